//! State is replayed, never migrated: a policy that is fed the past knows what it would know had it
//! been there all along.

use samovar_tests::status::{list, number};
use samovar_tests::{Load, Samovar};
use serde_json::{Value, json};

use crate::support::{BEHAVE, some_decisions};

/// The built-in policies, with settings that make them change their minds within seconds.
fn policy(name: &str) -> (&str, Value) {
    let config = match name {
        "flyte" => json!({"allow_short_ttls": true, "idle_ttl": 1, "scaledown_ttl": 1,
            "zero_minimum": "zero"}),
        "kubetorch" => json!({"target": 2, "window": "6s", "scale_down_delay": "1s"}),
        "lightning" => json!({"max_batch_size": 2, "scale_out_interval": 0.3,
            "scale_in_interval": 0.3}),
        "ray-serve" => json!({"target_ongoing_requests": 1, "look_back_period_s": 1,
            "upscale_delay_s": 0.2, "downscale_delay_s": 0.5}),
        "vast" => json!({"forecast_half_life": 1, "forecast_horizon": 1, "target_queue_time": 1}),
        other => panic!("no settings for {other}"),
    };
    (name, config)
}

/// Lulls and crowds, each until so many more decisions were made.
async fn vary(samovar: &Samovar) {
    const DECISIONS: usize = 15;
    for width in [1, 12, 0, 4, 20, 0] {
        let load = Load::start(&samovar.http, "/pool/sleep?ms=40", width);
        let count = samovar.decisions("pool").await.len();
        some_decisions(samovar, "pool", count + DECISIONS).await;
        match width {
            0 => drop(load),
            _ => _ = load.stop_without_failure().await,
        }
    }
}

/// What a policy answered: the live one, the shadow or a candidate.
fn answer(of: &Value) -> (&Value, &Value) {
    (&of["wish"], &of["reason"])
}

/// Runs `second` in the shadow of `first`, then asks copies of it that know the past by replay.
async fn replays(first: &str, second: &str) {
    let samovar = Samovar::start().await;
    let (live, config) = policy(first);
    let scaling = json!({"policy": live, "config": config, "interval": "50ms"});
    let spec = json!({"replicas": "0..8", "initial_replicas": 1, "idle_ttl": "off",
        "scaledown_ttl": "1ms", "scaling": scaling});
    samovar.deploy("pool", BEHAVE, spec).await;
    let (second, config) = policy(second);
    samovar.shadow("pool", second, config.clone()).await.expect(200);
    vary(&samovar).await;

    let decisions = samovar.decisions("pool").await;
    let body = json!({"policy": second, "config": config});
    let test = samovar.test_policy("pool", &body).await.expect(200).json();
    let ticks = list(&test, "/ticks");
    assert!(ticks.len() >= decisions.len(), "nothing is forgotten so early");
    let mut compared = 0;
    let mut wishes = Vec::new();
    for (index, (tick, decision)) in ticks.iter().zip(&decisions).enumerate() {
        for key in ["ready", "starting", "queued", "ongoing"] {
            assert_eq!(tick[key], decision[key], "{key} of tick {index}: {tick} {decision}");
        }
        assert_eq!(answer(&tick["live"]), answer(decision), "{first} in tick {index}");
        if decision["shadow"].is_object() {
            let shadow = &decision["shadow"];
            assert_eq!(answer(&tick["candidate"]), answer(shadow), "{second} in tick {index}");
            assert_eq!(tick["candidate"]["target"], shadow["target"], "{second} in tick {index}");
            compared += 1;
            wishes.push(&shadow["wish"]);
        }
    }
    assert!(compared >= 50, "only {compared} of {} ticks", decisions.len());
    wishes.dedup();
    assert!(wishes.len() >= 3, "{second} never changed its mind: {wishes:?}");
    agrees_when_live(&samovar, second, config).await;
}

/// The policy goes live by a swap, beside the shadow that was there all along: from its first
/// decision on it says the same. Then the shadow itself goes live, beside a third copy.
async fn agrees_when_live(samovar: &Samovar, second: &str, config: Value) {
    let swapped = samovar.swap("pool", second, config.clone()).await.expect(200).json();
    assert!(number(&swapped, "/replayed") > 0);
    agrees_from(samovar, 2, second).await;
    samovar.promote("pool").await.expect(200);
    samovar.shadow("pool", second, config).await.expect(200);
    agrees_from(samovar, 3, second).await;
}

/// Live and shadow, the same policy now, say the same for some time under load.
async fn agrees_from(samovar: &Samovar, version: u64, second: &str) {
    let versions = samovar.versions("pool").await;
    let newest = versions.last().expect("there are some");
    assert_eq!(number(newest, "/version"), version);
    let since = number(newest, "/since_ms");
    let load = Load::start(&samovar.http, "/pool/sleep?ms=40", 6);
    let agreed = samovar_tests::eventually("live and shadow answer", async || {
        let mut decisions = samovar.decisions("pool").await;
        decisions.retain(|decision| {
            let is_new = number(decision, "/at_ms") >= since && decision["policy"] == second;
            is_new && decision["shadow"].is_object()
        });
        (decisions.len() >= 20).then_some(decisions)
    });
    for decision in agreed.await {
        assert_eq!(answer(&decision), answer(&decision["shadow"]), "version {version}: {decision}");
        assert_eq!(decision["shadow"]["differs"], false, "version {version}: {decision}");
    }
    load.stop_without_failure().await;
}

#[tokio::test]
async fn flyte_replays() {
    replays("lightning", "flyte").await;
}

#[tokio::test]
async fn kubetorch_replays() {
    replays("flyte", "kubetorch").await;
}

#[tokio::test]
async fn lightning_replays() {
    replays("kubetorch", "lightning").await;
}

#[tokio::test]
async fn ray_serve_replays() {
    replays("vast", "ray-serve").await;
}

#[tokio::test]
async fn vast_replays() {
    replays("ray-serve", "vast").await;
}
