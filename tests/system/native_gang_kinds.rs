//! Gangs: what each kind of them is told in full, who takes requests, and a machine too small for
//! one. How they live and die is in `native_gang`.

use std::collections::{BTreeMap, BTreeSet};

use samovar_tests::Native;
use samovar_tests::native::{Process, processes};
use samovar_tests::status::{list, number, text};
use samovar_tests::workers::environment;
use serde_json::{Value, json};

use crate::support::names;

type Environment = BTreeMap<String, String>;

/// The processes of a replica, by rank, with what each was told.
fn ranks(replica: &Value) -> Vec<(Process, Environment)> {
    let mut found: Vec<_> =
        processes(replica).into_iter().map(|process| (process, environment(process))).collect();
    found.sort_by_key(|(_, told)| number_in(told, "RANK"));
    found
}

#[track_caller]
fn number_in(told: &Environment, name: &str) -> u32 {
    let text = told.get(name).unwrap_or_else(|| panic!("no {name}"));
    text.parse().unwrap_or_else(|_| panic!("{name} is {text}"))
}

/// Deploys a gang of that type, with two workers of two processes, and answers what each was told.
async fn gang(native: &Native, kind: &str) -> Vec<Environment> {
    let distribute = json!({"type": kind, "workers": 2, "procs": 2});
    native.deploy("g", json!({"distribute": distribute})).await;
    let replica = native.wait_ready("g", 1).await.remove(0);
    let told: Vec<Environment> = ranks(&replica).into_iter().map(|(_, told)| told).collect();
    for (rank, told) in told.iter().enumerate() {
        let rank = u32::try_from(rank).expect("a small number");
        let place = ["RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"]
            .map(|name| number_in(told, name));
        assert_eq!(place, [rank, rank % 2, rank / 2, 4, 2]);
        assert_eq!(told["POD_IPS"], "127.0.0.1,127.0.0.1");
        assert_eq!(told["SAMOVAR_DEPLOYMENT"], "g");
    }
    let ports: BTreeSet<&String> = told.iter().map(|told| &told["PORT"]).collect();
    assert_eq!(ports.len(), 4, "each has its own");
    let first = &told[0];
    assert_eq!(text(&replica, "/address"), format!("{}:{}", first["HOST"], first["PORT"]));
    told
}

/// The one value that all have under a name.
#[track_caller]
fn common<'a>(told: &'a [Environment], name: &str) -> &'a str {
    let values: BTreeSet<&str> = told.iter().map(|told| told[name].as_str()).collect();
    assert_eq!(values.len(), 1, "{name}: {values:?}");
    &told[0][name]
}

/// The port in `host:port`, which is none that a process serves on.
#[track_caller]
fn coordinator(told: &[Environment], address: &str) -> String {
    let port = address.strip_prefix("127.0.0.1:").expect("on this machine").to_owned();
    assert!(port.parse::<u16>().is_ok_and(|port| port > 0), "{address}");
    assert!(told.iter().all(|told| told["PORT"] != port), "{address} is a process's own");
    port
}

#[tokio::test]
async fn pytorch_gang_finds_its_master() {
    let native = Native::start().await;
    let told = gang(&native, "pytorch").await;
    assert_eq!(common(&told, "MASTER_ADDR"), "127.0.0.1");
    coordinator(&told, &format!("127.0.0.1:{}", common(&told, "MASTER_PORT")));
    for told in &told {
        assert_eq!(told["GROUP_RANK"], told["NODE_RANK"]);
    }
}

#[tokio::test]
async fn jax_gang_finds_its_coordinator() {
    let native = Native::start().await;
    let told = gang(&native, "jax").await;
    coordinator(&told, common(&told, "JAX_COORDINATOR_ADDRESS"));
    assert_eq!(common(&told, "JAX_NUM_PROCESSES"), "4");
    for told in &told {
        assert_eq!(told["JAX_PROCESS_ID"], told["RANK"]);
        assert_eq!(told["JAX_LOCAL_DEVICE_IDS"], told["LOCAL_RANK"]);
    }
}

#[tokio::test]
async fn tensorflow_gang_knows_its_cluster() {
    let native = Native::start().await;
    let told = gang(&native, "tensorflow").await;
    let configs: Vec<Value> = told
        .iter()
        .map(|told| serde_json::from_str(&told["TF_CONFIG"]).expect("TF_CONFIG is JSON"))
        .collect();
    for (rank, config) in configs.iter().enumerate() {
        assert_eq!(config["task"], json!({"type": "worker", "index": rank}));
        assert_eq!(config["cluster"], configs[0]["cluster"]);
    }
    let workers = list(&configs[0], "/cluster/worker");
    let places: BTreeSet<&str> = workers.iter().filter_map(Value::as_str).collect();
    assert_eq!(places.len(), 4, "{places:?}");
    for place in places {
        coordinator(&told, place);
    }
}

#[tokio::test]
async fn ray_gang_finds_its_head() {
    let native = Native::start().await;
    let told = gang(&native, "ray").await;
    assert_eq!(common(&told, "RAY_HEAD_NODE_IP"), "127.0.0.1");
    let port = coordinator(&told, common(&told, "RAY_ADDRESS"));
    assert_eq!(common(&told, "RAY_PORT"), port);
}

#[tokio::test]
async fn plain_gang_knows_its_place_and_no_more() {
    let native = Native::start().await;
    let told = gang(&native, "spmd").await;
    for foreign in ["MASTER_ADDR", "TF_CONFIG", "RAY_ADDRESS", "JAX_COORDINATOR_ADDRESS"] {
        assert!(told.iter().all(|told| !told.contains_key(foreign)), "{foreign}");
    }
}

#[tokio::test]
async fn only_rank_0_takes_requests() {
    let native = Native::start().await;
    let distribute = json!({"type": "pytorch", "workers": 3});
    native.deploy("g", json!({"distribute": distribute})).await;
    let replica = native.wait_ready("g", 1).await.remove(0);
    let first = ranks(&replica)[0].0.pid;
    assert_eq!(replica["pids"][0], first, "rank 0 is named first");
    for _ in 0..20 {
        let seen = native.http.get("/g/env").await.expect(200).json();
        assert_eq!(seen["RANK"], "0");
        assert_eq!(native.http.get("/g/pid").await.expect(200).json()["pid"], first);
    }
    let shown = native.cli().ok(&["status", "g"]).await;
    assert!(shown.contains(&format!("{first} +2")), "{shown}");
}

#[tokio::test]
async fn gang_is_one_replica_and_ends_as_one() {
    let native = Native::start().await;
    let distribute = json!({"type": "spmd", "workers": 2, "procs": 2});
    let status = native.deploy("g", json!({"distribute": distribute, "replicas": 2})).await;
    assert_eq!(number(&status, "/replicas/ready"), 2);
    assert_eq!(native.workers().len(), 8);
    native.delete("g").await;
    native.wait_no_workers().await;
}

/// Two devices, and a gang of three workers that each want one.
async fn short_of_devices(native: &Native, quorum: u32) -> samovar_tests::Reply {
    let distribute = json!({"type": "pytorch", "workers": 3, "quorum_workers": quorum,
        "quorum_timeout": "1s"});
    let process = json!({"gpus": 1});
    let spec = native.spec(json!({"distribute": distribute, "process": process}));
    native.put("g", &spec).await
}

#[tokio::test]
async fn gang_starts_with_its_quorum_when_no_more_have_a_place() {
    let native = Native::start_with(&["--devices", "2"]).await;
    let reply = short_of_devices(&native, 2).await;
    assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
    let replica = native.wait_ready("g", 1).await.remove(0);
    let told = ranks(&replica);
    assert_eq!(told.len(), 2);
    let mut devices = BTreeSet::new();
    for (_, told) in &told {
        assert_eq!(told["WORLD_SIZE"], "2");
        devices.insert(told["CUDA_VISIBLE_DEVICES"].clone());
    }
    assert_eq!(devices.len(), 2, "each has its own: {devices:?}");
    native.wait_log("g", "system", "starts with 2 of 3 workers").await;
    assert_eq!(native.leased().await, [1.0, 1.0]);
    native.delete("g").await;
    native.wait_unleased().await;
}

#[tokio::test]
async fn gang_that_can_never_have_its_quorum_is_refused() {
    let native = Native::start_with(&["--devices", "2"]).await;
    let error = short_of_devices(&native, 3).await.refused(422, "invalid-field");
    names(&error["message"], &["3", "2"]);
    assert_eq!(native.workers(), []);
}

#[tokio::test]
async fn missed_quorum_says_so() {
    let native = Native::start_with(&["--devices", "2"]).await;
    native.deploy("other", json!({"process": {"gpus": 1}})).await;
    // It has to give way to the gang, but not before it has answered.
    let http = native.http.clone();
    let busy = tokio::spawn(async move { http.get("/other/sleep?ms=5000").await });
    let reply = short_of_devices(&native, 2).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    native.wait_failure("g", &["1 of 3 workers", "quorum is 2"]).await;
    let shown = native.cli().ok(&["status", "g"]).await;
    assert!(shown.contains("the quorum is 2"), "{shown}");
    busy.await.expect("it is answered").expect(200);
    // When there is room, the gang comes.
    native.delete("other").await;
    native.wait_ready("g", 1).await;
}
