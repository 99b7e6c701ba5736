//! Accelerators: who is leased which, and how deployments share what is too little.

use std::collections::BTreeSet;

use samovar_tests::load::at_once;
use samovar_tests::native::{direct, processes};
use samovar_tests::status::{all_replicas, list, number, ready, text};
use samovar_tests::{Load, Native, eventually};
use serde_json::{Value, json};

use crate::support::{BAD_POLICY, names, steered, with};

/// The spec of a pool of up to eight processes with `gpus` each, of which the policy wants
/// `wanted`.
fn wanting(wanted: u32, gpus: f64) -> Value {
    let spec = steered("steered", &format!("replicas:{wanted}"));
    with(spec, json!({"process": {"gpus": gpus}, "initial_replicas": 0}))
}

async fn with_policy(devices: &str) -> Native {
    let native = Native::start_with(&["--devices", devices]).await;
    native.push_policy("steered", BAD_POLICY).await;
    native
}

/// What each replica holds: the device and the part.
fn held(replicas: &[Value]) -> Vec<(String, f64)> {
    let devices = replicas.iter().flat_map(|replica| list(replica, "/devices"));
    devices
        .map(|device| (text(device, "/id").to_owned(), device["share"].as_f64().expect("a number")))
        .collect()
}

/// What the replica sees itself.
async fn visible(replica: &Value) -> String {
    let env = direct(replica).get("/env").await.expect(200).json();
    text(&env, "/CUDA_VISIBLE_DEVICES").to_owned()
}

/// Waits until exactly so many replicas of each deployment are there, all of them ready.
async fn wait_counts(native: &Native, counts: &[(&str, u64)]) {
    eventually(&format!("{counts:?}"), async || {
        for (name, count) in counts {
            let status = native.status(name).await;
            if (ready(&status), all_replicas(&status)) != (*count, *count) {
                return None;
            }
        }
        Some(())
    })
    .await;
}

#[tokio::test]
async fn whole_devices_are_never_shared() {
    let native = with_policy("a,b,c,d,e").await;
    native.deploy("m", json!({"replicas": 2, "process": {"gpus": 2}})).await;
    let replicas = native.wait_ready("m", 2).await;
    let mut seen = BTreeSet::new();
    for replica in &replicas {
        let own: Vec<String> =
            held(std::slice::from_ref(replica)).into_iter().map(|d| d.0).collect();
        assert_eq!(visible(replica).await, own.join(","));
        assert_eq!(own.len(), 2);
        seen.extend(own);
    }
    assert_eq!(seen.len(), 4, "{replicas:?}");
    assert_eq!(native.leased().await.iter().sum::<f64>(), 4.0);
}

#[tokio::test]
async fn parts_share_a_device_and_never_exceed_it() {
    let native = with_policy("4").await;
    native.deploy("half", json!({"replicas": 3, "process": {"gpus": 0.5}})).await;
    let halves = held(&native.wait_ready("half", 3).await);
    let mut devices: Vec<&str> = halves.iter().map(|(device, _)| device.as_str()).collect();
    devices.sort_unstable();
    assert_eq!(devices, ["0", "0", "1"], "the fullest device is filled first");
    native.deploy("third", json!({"replicas": 2, "process": {"gpus": 0.3}})).await;
    native.deploy("whole", json!({"process": {"gpus": 1}})).await;
    let machine = native.machine().await;
    for device in list(&machine, "/devices") {
        let parts = list(device, "/leases").iter().map(|lease| lease["share"].as_f64());
        let sum: f64 = parts.map(|part| part.expect("a number")).sum();
        assert!(sum <= 1.0 + 1e-9, "{device}");
        assert!((sum - device["leased"].as_f64().expect("a number")).abs() < 1e-9, "{device}");
        let holders: BTreeSet<&str> =
            list(device, "/leases").iter().map(|lease| text(lease, "/deployment")).collect();
        assert!(!holders.contains("whole") || holders.len() == 1, "{device}");
    }
    for name in ["half", "third", "whole"] {
        for replica in native.replicas(name).await {
            let own = held(std::slice::from_ref(&replica));
            assert_eq!(visible(&replica).await, own[0].0);
        }
    }
    let shown = native.cli().ok(&["machine"]).await;
    assert!(shown.contains("half") && shown.contains("whole"), "{shown}");
}

#[tokio::test]
async fn who_leased_nothing_sees_nothing() {
    let native = with_policy("2").await;
    native.deploy("m", json!({})).await;
    assert_eq!(visible(&native.replicas("m").await[0]).await, "");
    assert_eq!(native.leased().await, [0.0, 0.0]);
}

#[tokio::test]
async fn policy_that_wants_more_than_there_is_gets_what_there_is() {
    let native = with_policy("3").await;
    native.deploy("m", wanting(8, 1.0)).await;
    let limited = native
        .wait_decision("m", "limited by devices", |last| last["limited_by"] == "devices")
        .await;
    assert_eq!(number(&limited, "/target"), 3);
    wait_counts(&native, &[("m", 3)]).await;
    assert_eq!(native.leased().await, [1.0; 3]);
    let shown = native.cli().ok(&["decisions", "m"]).await;
    assert!(shown.contains("devices"), "{shown}");
    assert_eq!(number(&native.status("m").await, "/totals/replicas_failed"), 0);
}

#[tokio::test]
async fn slots_and_devices_are_told_apart() {
    let native = Native::start_with(&["--devices", "4", "--slots", "2"]).await;
    native.push_policy("steered", BAD_POLICY).await;
    native.deploy("m", wanting(4, 1.0)).await;
    let limited =
        native.wait_decision("m", "limited by slots", |last| last["limited_by"] == "slots").await;
    assert_eq!(number(&limited, "/target"), 2);
    wait_counts(&native, &[("m", 2)]).await;
}

#[tokio::test]
async fn deployment_without_room_says_so_and_gets_it_later() {
    let native = with_policy("2").await;
    native.deploy("first", json!({"replicas": 2, "process": {"gpus": 1}})).await;
    // It succeeds: room comes when others give it.
    let status = native.deploy("second", json!({"process": {"gpus": 2}, "priority": -1})).await;
    names(&status["no_room"], &["2"]);
    assert_eq!(ready(&status), 0);
    let shown = native.cli().ok(&["status", "second"]).await;
    assert!(shown.contains("no room"), "{shown}");
    assert_eq!(number(&native.status("second").await, "/totals/replicas_failed"), 0);
    let waiting = at_once(&native.http, "/second", 1);
    native.wait_status("second", "one queued", |status| number(status, "/queued") == 1).await;
    native.delete("first").await;
    waiting.answers().await.remove(0).expect(200);
    let status = native.status("second").await;
    assert!(status["no_room"].is_null(), "{status}");
}

#[tokio::test]
async fn room_for_some_replicas_is_enough_to_answer() {
    let native = with_policy("3").await;
    native.deploy("first", json!({"replicas": 2, "process": {"gpus": 1}})).await;
    let status = native.deploy("second", json!({"replicas": 2, "process": {"gpus": 1}})).await;
    assert_eq!(ready(&status), 1, "{status}");
    assert!(status["no_room"].is_string(), "{status}");
    native.http.get("/second").await.expect(200);
    native.delete("first").await;
    wait_counts(&native, &[("second", 2)]).await;
}

#[tokio::test]
async fn leases_come_back_when_replicas_go() {
    let native = with_policy("2").await;
    native.deploy("m", json!({"replicas": 2, "process": {"gpus": 1}})).await;
    for round in 0..3 {
        let replicas = native.wait_ready("m", 2).await;
        assert_eq!(native.leased().await, [1.0; 2], "round {round}");
        processes(&replicas[0])[0].kill9();
        native
            .wait_view("m", "a successor", |now, _| {
                now.len() == 2 && now.iter().all(|r| r["id"] != replicas[0]["id"])
            })
            .await;
    }
    let replicas = native.wait_ready("m", 2).await;
    let devices: BTreeSet<String> = held(&replicas).into_iter().map(|(device, _)| device).collect();
    assert_eq!(devices.len(), 2);
    native.delete("m").await;
    native.wait_unleased().await;
    native.wait_no_workers().await;
    native.deploy("next", json!({"process": {"gpus": 2}})).await;
    native.http.get("/next").await.expect(200);
}

#[tokio::test]
async fn failed_starts_give_their_lease_back() {
    let native = with_policy("1").await;
    let bad = json!({"process": {"gpus": 1}, "env": {"BEHAVE": "exit-at-once"}});
    native.put("bad", &native.spec(bad)).await.refused(422, "start-failed");
    native.wait_unleased().await;
    native.deploy("good", json!({"process": {"gpus": 1}})).await;
}

#[tokio::test]
async fn deployments_share_devices_evenly() {
    let native = with_policy("4").await;
    native.deploy("a", wanting(8, 1.0)).await;
    wait_counts(&native, &[("a", 4)]).await;
    native.deploy("b", wanting(8, 1.0)).await;
    wait_counts(&native, &[("a", 2), ("b", 2)]).await;
    native.deploy("small", wanting(1, 1.0)).await;
    wait_counts(&native, &[("small", 1)]).await;
    eventually("the small one's device came from another", async || {
        let (a, b) = (native.status("a").await, native.status("b").await);
        (ready(&a) + ready(&b) == 3 && all_replicas(&a) + all_replicas(&b) == 3).then_some(())
    })
    .await;
    native.delete("b").await;
    wait_counts(&native, &[("a", 3), ("small", 1)]).await;
}

#[tokio::test]
async fn saturated_deployment_gives_up_its_share_as_its_requests_end() {
    let native = with_policy("4").await;
    native.deploy("a", with(wanting(8, 1.0), json!({"concurrency": 1}))).await;
    wait_counts(&native, &[("a", 4)]).await;
    let before = native.replicas("a").await;
    let running = at_once(&native.http, "/a/wait?gate=a", 4);
    native.wait_status("a", "four ongoing", |status| number(status, "/ongoing") == 4).await;
    let status = native.deploy("b", wanting(8, 1.0)).await;
    assert_eq!(ready(&status), 0);
    native
        .wait_status("a", "two draining", |status| number(status, "/replicas/draining") == 2)
        .await;
    let no_room = |status: &Value| !status["no_room"].is_null();
    native.wait_status("b", "no room", no_room).await;
    for replica in &before {
        direct(replica).get("/open?gate=a").await.expect(200);
    }
    for reply in running.answers().await {
        reply.expect(200);
    }
    wait_counts(&native, &[("a", 2), ("b", 2)]).await;
    native.wait_status("b", "room", |status| status["no_room"].is_null()).await;
}

#[tokio::test]
async fn saturated_deployment_gives_way_under_endless_load() {
    let native = with_policy("2").await;
    native.deploy("a", with(wanting(8, 1.0), json!({"concurrency": 1}))).await;
    wait_counts(&native, &[("a", 2)]).await;
    let load = Load::start(&native.http, "/a/sleep?ms=20", 6);
    load.serve_more(20).await;
    native.deploy("b", wanting(8, 1.0)).await;
    wait_counts(&native, &[("b", 1)]).await;
    load.serve_more(20).await;
    wait_counts(&native, &[("a", 1), ("b", 1)]).await;
    load.stop_without_failure().await;
}

#[tokio::test]
async fn more_important_deployment_comes_first() {
    let native = with_policy("4").await;
    native.deploy("a", wanting(8, 1.0)).await;
    wait_counts(&native, &[("a", 4)]).await;
    native.deploy("b", with(wanting(3, 1.0), json!({"priority": 1}))).await;
    wait_counts(&native, &[("a", 1), ("b", 3)]).await;
    native.delete("b").await;
    wait_counts(&native, &[("a", 4)]).await;
}

#[tokio::test]
async fn redeploy_on_a_full_machine_gives_way_to_itself() {
    let native = with_policy("2").await;
    let spec = |number: u32| {
        let env = json!({"NUMBER": number.to_string()});
        json!({"replicas": 2, "process": {"gpus": 1}, "env": env})
    };
    native.deploy("m", spec(1)).await;
    let load = Load::start(&native.http, "/m/env", 3);
    for number in 2..=4 {
        load.serve_more(10).await;
        native.deploy("m", spec(number)).await;
        native
            .wait_view("m", "only the new revision", |replicas, _| {
                let is_new =
                    |replica: &Value| replica["revision"] == number && replica["state"] == "ready";
                replicas.len() == 2 && replicas.iter().all(is_new)
            })
            .await;
        let seen = native.http.get("/m/env").await.expect(200).json();
        assert_eq!(text(&seen, "/NUMBER"), number.to_string());
    }
    load.serve_more(10).await;
    load.stop_without_failure().await;
    assert_eq!(native.leased().await, [1.0; 2]);
}

#[tokio::test]
async fn replicas_of_a_full_machine_are_replaced_one_after_the_other() {
    for limit in [json!({"max_requests": 4}), json!({"max_age": "1s"})] {
        let native = with_policy("1").await;
        native.deploy("m", with(json!({"process": {"gpus": 1}}), limit.clone())).await;
        let load = Load::start(&native.http, "/m", 3);
        let generations = |status: &Value| number(status, "/totals/replicas_started") >= 4;
        native.wait_status("m", "several generations", generations).await;
        load.stop_without_failure().await;
        let status = native.status("m").await;
        assert_eq!(number(&status, "/totals/replicas_failed"), 0, "{limit}: {status}");
    }
}

#[tokio::test]
async fn redeploy_that_cannot_start_on_a_full_machine_is_told() {
    let native = with_policy("1").await;
    native.deploy("m", json!({"process": {"gpus": 1}})).await;
    let bad = json!({"process": {"gpus": 1}, "env": {"BEHAVE": "exit-at-once"}});
    let status = native.deploy("m", bad).await;
    assert!(status["no_room"].is_string(), "{status}");
    native.wait_failure("m", &["exited with code 1", "weights.bin"]).await;
    native.http.get("/m").await.host_error(503, "start-failed");
    native.deploy("m", json!({"process": {"gpus": 1}})).await;
    eventually("it is well again", async || {
        (native.http.get("/m").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn gangs_share_the_machine() {
    let native = with_policy("4").await;
    let gang = with(wanting(8, 1.0), json!({"distribute": {"type": "pytorch", "workers": 2}}));
    native.deploy("gang", gang).await;
    wait_counts(&native, &[("gang", 2)]).await;
    assert_eq!(native.workers().len(), 4);
    let devices: BTreeSet<_> =
        held(&native.replicas("gang").await).into_iter().map(|(device, _)| device).collect();
    assert_eq!(devices.len(), 4);
    // One that needs half of the machine and one that needs a device each.
    native.deploy("single", wanting(8, 1.0)).await;
    wait_counts(&native, &[("gang", 1), ("single", 2)]).await;
}
