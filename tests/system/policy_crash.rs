//! Steps of policies that are cut short: by `kill -9` at random moments, and by a full disk.
//!
//! The seed is printed and can be given with `SAMOVAR_TEST_SEED`.

use std::env;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use http::Method;
use samovar_tests::http::full;
use samovar_tests::status::number;
use samovar_tests::{Http, Samovar, within};
use serde_json::{Value, json};

use crate::support::{BEHAVE, some_decisions};

const ROUNDS: usize = 25;
/// Longest time from the start of a round to its kill.
const LIFE_MS_MAX: u64 = 300;

/// The versions that were acknowledged: number, name and settings.
type Acknowledged = Arc<Mutex<Vec<Value>>>;

#[tokio::test]
async fn kills_between_steps_lose_no_version() {
    let given = env::var("SAMOVAR_TEST_SEED").ok();
    let seed = given.map_or_else(|| fastrand::u64(..), |text| text.parse().expect("a number"));
    println!("SAMOVAR_TEST_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let mut samovar = Samovar::start().await;
    samovar.push_policy("mine", "queue-depth").await;
    let spec = json!({"replicas": "1..4", "idle_ttl": "off", "scaling": {"interval": "50ms"}});
    samovar.deploy("pool", BEHAVE, spec).await;
    let acknowledged = Acknowledged::default();
    for _ in 0..ROUNDS {
        let life = Duration::from_millis(random.u64(0..=LIFE_MS_MAX));
        let steps = step_until_killed(samovar.admin.clone(), acknowledged.clone(), random.fork());
        let worker = tokio::spawn(steps);
        tokio::time::sleep(life).await; // Not to wait for anything: this is the random moment.
        samovar.kill9();
        within("the worker notices the kill", worker).await.expect("no step was refused");
        samovar.start_again().await;
        check(&samovar, &acknowledged).await;
    }
    let count = acknowledged.lock().expect("nobody panics with it").len();
    assert!(count > ROUNDS, "only {count} steps were acknowledged");
}

/// Swaps, promotes and rolls back, one after another.
async fn step_until_killed(admin: Http, acknowledged: Acknowledged, mut random: Rng) {
    let ask = async |method: Method, step: &str, body: Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("/v1/deployments/pool/policy{step}");
        let request = admin.request(method, &path).body(full(body)).expect("a valid request");
        let reply = admin.try_send(request).await.ok()?;
        Some(reply.expect(200).json())
    };
    loop {
        let config = json!({"max_batch_size": random.u32(1..1000)});
        let lightning = json!({"policy": "lightning", "config": config});
        let config = json!({"waiting_per_replica": random.u32(1..1000)});
        let mine = json!({"policy": "mine", "config": config});
        let wanted = if random.bool() { mine } else { lightning };
        let steps = match random.u8(..3) {
            0 => vec![(Method::PUT, "", wanted)],
            1 => vec![(Method::PUT, "/shadow", wanted), (Method::POST, "/promote", Value::Null)],
            _ => vec![(Method::PUT, "", wanted), (Method::POST, "/rollback", Value::Null)],
        };
        for (method, step, body) in steps {
            let Some(answer) = ask(method, step, body).await else { return };
            if step != "/shadow" {
                acknowledged.lock().expect("nobody panics with it").push(brief(&answer));
            }
        }
    }
}

/// A version, from the answer to a step.
fn brief(swapped: &Value) -> Value {
    let policy = &swapped["policy"];
    json!([swapped["version"], policy["name"], policy["config"]])
}

/// What was acknowledged is there, at most one more step was on its way, and the last one is live.
async fn check(samovar: &Samovar, acknowledged: &Acknowledged) {
    let versions = samovar.versions("pool").await;
    let seen: Vec<Value> = versions
        .iter()
        .map(|version| json!([version["version"], version["name"], version["config"]]))
        .collect();
    let policy = samovar.status("pool").await["policy"].clone();
    let newest = versions.last().expect("there is one");
    for key in ["name", "digest", "config"] {
        assert_eq!(policy[key], newest[key], "{key}");
    }
    let mut acknowledged = acknowledged.lock().expect("nobody panics with it");
    let last = acknowledged.last().map_or(1, |version| number(version, "/0"));
    let newest = number(newest, "/version");
    assert!(newest == last || newest == last + 1, "{newest} after {last}");
    let oldest = number(&versions[0], "/version");
    for version in acknowledged.iter().filter(|version| number(version, "/0") >= oldest) {
        assert!(seen.contains(version), "{version} was acknowledged and is gone: {seen:?}");
    }
    if newest > last {
        acknowledged.extend(seen.last().cloned());
    }
}

#[tokio::test]
async fn full_disk_refuses_steps_and_changes_nothing() {
    let samovar = Samovar::start().await;
    let spec = json!({"replicas": "1..4", "idle_ttl": "off", "scaling": {"interval": "50ms"}});
    samovar.deploy("pool", BEHAVE, spec).await;
    samovar.swap("pool", "lightning", json!({"max_batch_size": 3})).await.expect(200);
    samovar.shadow("pool", "lightning", json!({"max_batch_size": 4})).await.expect(200);
    let before = samovar.status("pool").await;
    let versions = samovar.versions("pool").await;

    samovar.limit_file_size(Some(4096));
    samovar.promote("pool").await.refused(507, "storage-full");
    samovar.rollback("pool", None).await.refused(507, "storage-full");
    samovar.swap("pool", "lightning", json!({})).await.refused(507, "storage-full");
    samovar.shadow("pool", "lightning", json!({})).await.refused(507, "storage-full");
    samovar.delete_shadow("pool").await.refused(507, "storage-full");
    let after = samovar.status("pool").await;
    assert_eq!(after["policy"], before["policy"]);
    assert_eq!(after["shadow"]["since_ms"], before["shadow"]["since_ms"]);
    assert_eq!(samovar.versions("pool").await, versions);
    // A trial writes nothing.
    samovar.test_policy("pool", &json!({"policy": "lightning"})).await.expect(200);
    let count = samovar.decisions("pool").await.len();
    let decisions = some_decisions(&samovar, "pool", count + 3).await;
    let last = decisions.last().expect("there are some");
    assert_eq!((&last["error"], &last["shadow"]["error"]), (&Value::Null, &Value::Null));

    samovar.limit_file_size(None);
    assert_eq!(samovar.promote("pool").await.expect(200).json()["version"], 3);
}
