//! What the commands print about things done by hand.

use super::{deployment, printed};
use crate::api;
use crate::cli::{list, replicas, status};
use expect_test::expect;
use serde_json::json;

#[test]
fn paused_deployments_say_so() {
    let mut paused = deployment();
    paused.held = Some(3);
    let text = printed(|out| status::write_status(out, &paused, "http://h/t"));
    let line = text.lines().find(|line| line.contains("scaling"));
    expect!["  scaling      paused at 3; `samovar resume thumbnail` lets the policy decide"]
        .assert_eq(line.unwrap());
    let text = printed(|out| list::write_list(out, &[paused]));
    assert!(text.contains("3 (paused)"), "{text}");
}

#[test]
fn changes_by_hand_say_how_the_replicas_are() {
    let changed = |held| api::ReplicasChanged {
        target: 4,
        held,
        replicas: api::Replicas { starting: 1, ready: 3, draining: 0 },
    };
    let name = "thumbnail".parse().unwrap();
    let text = |held| printed(|out| replicas::write_changed(out, &name, &changed(held)));
    expect![[r"
        thumbnail: 3 ready, 1 starting, 0 draining; target 4, decided by its policy
    "]]
    .assert_eq(&text(None));
    expect![[r"
        thumbnail: 3 ready, 1 starting, 0 draining; target 4, paused at 4
    "]]
    .assert_eq(&text(Some(4)));
}

#[test]
fn lists_of_replicas_have_instances_too() {
    let list: api::ReplicaList = serde_json::from_value(json!({
        "replicas": [
            {"id": 0, "revision": 1, "kind": "wasm", "state": "draining", "ongoing": 1,
             "age_ms": 65_000},
            {"id": 3, "revision": 2, "kind": "wasm", "state": "ready", "ongoing": 0, "age_ms": 10},
        ],
        "failures": [{"at_ms": 1000, "replica": 2, "message": "out of memory"}],
    }))
    .unwrap();
    expect![[r"
        REPLICA  KIND  STATE     ONGOING  AGE    PID  MEMORY  CPU  DEVICES  LOAD  NOTE
        1/0      wasm  draining  1        1m 5s  -    -       -    -        -     -
        2/3      wasm  ready     0        0s     -    -       -    -        -     -

        last failures
          00:00:01.000  replica 2: out of memory
    "]]
    .assert_eq(&printed(|out| replicas::write_all(out, &list)));
    expect![[r"
        replica 3 of revision 2
          kind     wasm
          state    ready
          ongoing  0
          age      0s
    "]]
    .assert_eq(&printed(|out| replicas::write_one(out, &list.replicas[1])));
    let none = api::ReplicaList { replicas: Vec::new(), failures: Vec::new() };
    assert_eq!(printed(|out| replicas::write_all(out, &none)), "no replicas\n");
}
