//! Gangs: several processes that are one replica. What each is told, and that they live and die
//! together.

use std::collections::{BTreeMap, BTreeSet};

use samovar_tests::load::at_once;
use samovar_tests::native::{Process, processes};
use samovar_tests::status::{number, text};
use samovar_tests::workers::environment;
use samovar_tests::{Load, Native, eventually};
use serde_json::{Value, json};

use crate::support::names;

/// A gang of this kind.
fn gang(kind: &str, workers: u32, procs: u32) -> Value {
    json!({"distribute": {"type": kind, "workers": workers, "procs": procs}})
}

/// The processes of the only replica of `m`, as soon as it is ready and all of them are counted.
async fn members(native: &Native, count: usize) -> Vec<Process> {
    eventually(&format!("a gang of {count}"), async || {
        let members = processes(&native.wait_ready("m", 1).await[0]);
        (members.len() == count).then_some(members)
    })
    .await
}

/// All values of a variable, by rank.
fn values(envs: &[BTreeMap<String, String>], name: &str) -> Vec<String> {
    let value = |env: &BTreeMap<String, String>| env.get(name).cloned();
    envs.iter().map(|env| value(env).unwrap_or_else(|| panic!("no {name} in {env:?}"))).collect()
}

#[tokio::test]
async fn each_process_of_a_gang_is_told_its_place() {
    let native = Native::start_with(&["--devices", "4"]).await;
    let mut spec = gang("pytorch", 2, 2);
    spec["process"] = json!({"gpus": 2});
    native.deploy("m", spec).await;
    let members = members(&native, 4).await;
    let envs: Vec<_> = members.iter().map(|member| environment(*member)).collect();
    assert_eq!(values(&envs, "RANK"), ["0", "1", "2", "3"]);
    assert_eq!(values(&envs, "WORLD_SIZE"), ["4"; 4]);
    assert_eq!(values(&envs, "LOCAL_RANK"), ["0", "1", "0", "1"]);
    assert_eq!(values(&envs, "LOCAL_WORLD_SIZE"), ["2"; 4]);
    assert_eq!(values(&envs, "NODE_RANK"), ["0", "0", "1", "1"]);
    assert_eq!(values(&envs, "MASTER_ADDR"), ["127.0.0.1"; 4]);
    let devices = values(&envs, "CUDA_VISIBLE_DEVICES");
    assert_eq!(devices, ["0,1", "0,1", "2,3", "2,3"], "two devices per worker");
    let ports: BTreeSet<String> = values(&envs, "PORT").into_iter().collect();
    let master: BTreeSet<String> = values(&envs, "MASTER_PORT").into_iter().collect();
    assert_eq!((ports.len(), master.len()), (4, 1), "{ports:?} {master:?}");
    assert!(ports.is_disjoint(&master), "the coordinator has a port of its own");
    for _ in 0..5 {
        let env = native.http.get("/m/env").await.expect(200).json();
        assert_eq!(text(&env, "/RANK"), "0", "rank 0 takes the requests");
    }
    let replica = native.replicas("m").await.remove(0);
    assert_eq!(text(&replica, "/address"), format!("127.0.0.1:{}", values(&envs, "PORT")[0]));
    native.wait_log("m", "stdout", "[rank 3] listening").await;
}

#[tokio::test]
async fn each_kind_of_gang_has_its_variables() {
    let native = Native::start().await;
    let cases = [
        ("spmd", vec!["RANK", "WORLD_SIZE", "POD_IPS"]),
        ("pytorch", vec!["MASTER_ADDR", "MASTER_PORT", "GROUP_RANK"]),
        ("jax", vec!["JAX_COORDINATOR_ADDRESS", "JAX_PROCESS_ID", "JAX_NUM_PROCESSES"]),
        ("tensorflow", vec!["TF_CONFIG"]),
        ("ray", vec!["RAY_HEAD_NODE_IP", "RAY_ADDRESS"]),
    ];
    for (kind, variables) in cases {
        native.deploy("m", gang(kind, 2, 1)).await;
        let status = native.status("m").await;
        assert_eq!(status["spec"]["distribute"]["type"], kind);
        let is_new = |replicas: &[Value], _: &[Value]| {
            replicas.len() == 1 && replicas[0]["revision"] == status["revision"]
        };
        native.wait_view("m", "only the new gang", is_new).await;
        let envs: Vec<_> =
            members(&native, 2).await.iter().map(|member| environment(*member)).collect();
        assert_eq!(envs.len(), 2, "{kind}");
        for variable in variables {
            assert!(values(&envs, variable).iter().all(|value| !value.is_empty()), "{variable}");
        }
    }
}

#[tokio::test]
async fn several_gangs_have_ports_of_their_own() {
    let native = Native::start().await;
    let mut spec = gang("tensorflow", 2, 2);
    spec["replicas"] = json!(3);
    native.deploy("m", spec).await;
    let replicas = native
        .wait_view("m", "three gangs of four", |replicas, _| {
            let is_whole = |replica: &Value| {
                replica["state"] == "ready" && replica["pids"].as_array().map(Vec::len) == Some(4)
            };
            replicas.len() == 3 && replicas.iter().all(is_whole)
        })
        .await;
    let mut seen = BTreeSet::new();
    for replica in &replicas {
        let envs: Vec<_> = processes(replica).iter().map(|member| environment(*member)).collect();
        let configs: Vec<Value> = values(&envs, "TF_CONFIG")
            .iter()
            .map(|config| serde_json::from_str(config).expect("it is JSON"))
            .collect();
        assert!(configs.iter().all(|config| config["cluster"] == configs[0]["cluster"]));
        for worker in configs[0]["cluster"]["worker"].as_array().expect("a list") {
            assert!(seen.insert(worker.to_string()), "{worker} is given twice");
        }
        for port in values(&envs, "PORT") {
            assert!(seen.insert(port.clone()), "port {port} is given twice");
        }
    }
    assert_eq!(seen.len(), 3 * (4 + 4));
}

#[tokio::test]
async fn gang_whose_members_disagree_fails_as_a_whole() {
    let native = Native::start().await;
    let mut spec = native.spec(gang("pytorch", 3, 1));
    spec["env"]["BEHAVE"] = json!("disagree");
    let words = ["rank 1", "exited with code 1", "WORLD_SIZE 2 by its checkpoint"];
    let refused = native.put("m", &spec).await;
    names(&refused.refused(422, "start-failed")["message"], &words);
    native.wait_no_workers().await;
    spec["replicas"] = json!("0..1");
    native.put("m", &spec).await.expect(201);
    let reply = native.http.get("/m").await;
    names(&reply.host_error(503, "start-failed")["message"], &words);
    native.wait_failure("m", &words).await;
    assert!(native.cli().ok(&["status", "m"]).await.contains("rank 1"));
    native.delete("m").await;
    native.wait_no_workers().await;
}

#[tokio::test]
async fn gang_that_loses_a_member_is_restarted_as_a_whole() {
    let native = Native::start_with(&["--devices", "3"]).await;
    let mut spec = gang("jax", 3, 1);
    spec["process"] = json!({"gpus": 1});
    native.deploy("m", spec).await;
    for rank in [2, 0] {
        let first = members(&native, 3).await;
        first[rank].kill9();
        let words = [format!("rank {rank}"), "was killed by SIGKILL".to_owned()];
        native.wait_failure("m", &[&words[0], &words[1]]).await;
        for member in &first {
            member.ended().await;
        }
        let second = members(&native, 3).await;
        assert!(second.iter().all(|member| !first.contains(member)), "{first:?} {second:?}");
        native.http.get("/m").await.expect(200);
        assert_eq!(native.leased().await, [1.0; 3]);
    }
    assert_eq!(native.workers().len(), 3);
}

#[tokio::test]
async fn member_that_leaves_with_success_breaks_the_gang_too() {
    let native = Native::start().await;
    native.deploy("m", gang("spmd", 2, 1)).await;
    let first = members(&native, 2).await;
    native.wait_log("m", "stdout", "[rank 1] listening").await;
    // Told to end by somebody else: it ends well, but it ends.
    first[1].signal(rustix::process::Signal::TERM);
    native.wait_failure("m", &["rank 1", "exited with code 0"]).await;
    for member in first {
        member.ended().await;
    }
    members(&native, 2).await;
}

#[tokio::test]
async fn request_on_a_gang_that_loses_a_member_is_answered() {
    let native = Native::start().await;
    native.deploy("m", gang("pytorch", 2, 1)).await;
    let first = members(&native, 2).await;
    let running = at_once(&native.http, "/m/wait?gate=never", 2);
    native.wait_status("m", "two ongoing", |status| number(status, "/ongoing") == 2).await;
    first[1].kill9();
    for reply in running.answers().await {
        reply.host_error(502, "replica-failed");
    }
    members(&native, 2).await;
    native.http.get("/m").await.expect(200);
}

#[tokio::test]
async fn gang_is_drained_and_replaced_as_a_whole() {
    let native = Native::start().await;
    native.deploy("m", gang("pytorch", 2, 1)).await;
    let first = members(&native, 2).await;
    let load = Load::start(&native.http, "/m", 2);
    load.serve_more(10).await;
    let mut spec = gang("pytorch", 3, 1);
    spec["env"] = json!({"NUMBER": "2"});
    native.deploy("m", spec).await;
    load.serve_more(10).await;
    load.stop_without_failure().await;
    for member in first {
        member.ended().await;
    }
    eventually("three processes are left", async || (native.workers().len() == 3).then_some(()))
        .await;
    native.delete("m").await;
    native.wait_no_workers().await;
}

#[tokio::test]
async fn gang_starts_with_its_quorum_when_the_time_is_over() {
    let native = Native::start_with(&["--devices", "3"]).await;
    native.deploy("other", json!({"process": {"gpus": 1}})).await;
    let distribute = json!({"type": "pytorch", "workers": 3, "quorum_workers": 2,
        "quorum_timeout": "300ms"});
    native.deploy("m", json!({"process": {"gpus": 1}, "distribute": distribute})).await;
    let members = members(&native, 2).await;
    let envs: Vec<_> = members.iter().map(|member| environment(*member)).collect();
    assert_eq!(values(&envs, "WORLD_SIZE"), ["2"; 2]);
    native.wait_log("m", "system", "2 of 3 workers").await;
}

#[tokio::test]
async fn gang_without_its_quorum_fails_and_says_so() {
    let native = Native::start_with(&["--devices", "3"]).await;
    native.deploy("other", json!({"process": {"gpus": 1}, "replicas": 2})).await;
    let distribute = json!({"workers": 3, "quorum_workers": 2, "quorum_timeout": "300ms"});
    let spec = json!({"process": {"gpus": 1}, "distribute": distribute, "replicas": "0..1"});
    native.deploy("m", spec).await;
    let waiting = at_once(&native.http, "/m", 1);
    native.wait_failure("m", &["1 of 3 workers", "quorum is 2"]).await;
    native.delete("other").await;
    // By then it may have been refused, or it is served.
    let reply = waiting.answers().await.remove(0);
    assert!(matches!(reply.status, 200 | 503), "{reply:?}");
    eventually("the gang starts", async || {
        let reply = native.http.get("/m").await;
        (reply.status == 200).then_some(())
    })
    .await;
}
