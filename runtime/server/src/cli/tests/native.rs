//! What the commands print about native replicas.

use super::{deployment, printed};
use crate::api;
use crate::cli::{machine, replicas, status};
use expect_test::expect;
use serde_json::json;

#[test]
fn replicas_have_a_line_each() {
    let list: api::ReplicaList = serde_json::from_value(json!({
        "replicas": [
            {"id": 7, "revision": 2, "kind": "process", "state": "ready", "ongoing": 3,
             "age_ms": 65_000, "address": "127.0.0.1:4000", "pids": [100, 101],
             "memory_bytes": 134_217_728, "cpu_ms": 1500,
             "devices": [{"id": "0", "share": 1.0}, {"id": "1", "share": 0.5}],
             "load": 2.5, "max_perf": 10.0},
            {"id": 8, "revision": 2, "kind": "process", "state": "starting", "ongoing": 0,
             "age_ms": 900, "message": "loads: /health does not answer below 400 yet"},
            {"id": 0, "revision": 2, "kind": "wasm", "state": "ready", "ongoing": 0, "age_ms": 0},
        ],
        "failures": [
            {"at_ms": 1000, "replica": 5, "message": "exited with status 1"},
            {"at_ms": 2000, "replica": 6, "message": "was killed by SIGKILL"},
        ],
    }))
    .unwrap();
    expect![[r#"

        REPLICA  KIND     STATE     ONGOING  AGE    PID     MEMORY   CPU    DEVICES     LOAD         NOTE
        2/7      process  ready     3        1m 5s  100 +1  128 MiB  1.5 s  0,1 (50 %)  2.5 of 10.0  127.0.0.1:4000
        2/8      process  starting  0        0s     -       -        -      -           -            loads: /health does not answer below 400 yet

        last failures
          00:00:02.000  replica 6: was killed by SIGKILL
          00:00:01.000  replica 5: exited with status 1
    "#]].assert_eq(&printed(|out| replicas::write_native(out, &list)));
}

#[test]
fn nothing_is_said_about_no_native_replicas() {
    let list = api::ReplicaList { replicas: Vec::new(), failures: Vec::new() };
    assert_eq!(printed(|out| replicas::write_native(out, &list)), "");
}

#[test]
fn a_machine_shows_who_has_its_devices() {
    let machine: api::Machine = serde_json::from_value(json!({
        "slots": 1000, "slots_free": 990,
        "devices": [
            {"id": "GPU-1", "name": "NVIDIA L4", "memory_bytes": 24_159_191_040_u64,
             "memory_used_bytes": 1_073_741_824, "utilization": 0.25, "leased": 1.0,
             "leases": [{"deployment": "a", "replica": 0, "share": 0.5},
                        {"deployment": "b", "replica": 3, "share": 0.5}]},
            {"id": "1", "name": "device 1", "leased": 0.0, "leases": []},
        ],
    }))
    .unwrap();
    expect![[r#"
          replicas      10 of 1000 in use
          accelerators  2

        DEVICE  NAME       MEMORY             BUSY  LEASED  BY
        GPU-1   NVIDIA L4  1 GiB of 22.5 GiB  25 %  100 %   a/0 (50 %), b/3 (50 %)
        1       device 1   ?                  ?     0 %     -
    "#]]
    .assert_eq(&printed(|out| machine::write_machine(out, &machine)));
    let bare = api::Machine { slots: 5, slots_free: 5, devices: Vec::new() };
    let text = printed(|out| machine::write_machine(out, &bare));
    assert!(text.ends_with("none; `samovar up --devices` can name some\n"), "{text}");
}

#[test]
fn status_of_a_process_says_what_it_runs_and_what_it_lacks() {
    let mut model = deployment();
    model.kind = api::ReplicaKind::Process;
    (model.component, model.world) = (None, None);
    model.spec["process"] = json!({"command": "python3", "args": ["server.py", "--fast"]});
    model.no_room = Some("a replica needs 1 accelerators; 2.0 of 2 are leased".to_owned());
    model.limited = Some(api::Limited { wanted: 4, by: api::LimitedBy::Devices });
    let text = printed(|out| status::write_status(out, &model, "http://h/m"));
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_start)
        .filter(|line| ["process", "no room", "limited"].iter().any(|word| line.starts_with(word)))
        .collect();
    expect![[r"
        process      python3 server.py --fast
        limited      4 wanted, the machine has accelerators for 3
        no room      a replica needs 1 accelerators; 2.0 of 2 are leased"]]
    .assert_eq(&lines.join("\n"));
}
