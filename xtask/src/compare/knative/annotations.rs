//! Annotations of a revision: which of them are refused.
//!
//! Left out is what the model of Knative judges otherwise than Knative itself: empty texts for
//! numbers and the class, digits with underscores or spaces, `nan`, durations without a leading
//! digit, an initial scale beyond 32 bits, and scales that are wrong by themselves next to one that
//! is compared with them.

use serde_json::{Value, json};

use crate::compare::dice::Dice;

const PREFIX: &str = "autoscaling.knative.dev/";

const SCALES: [&str; 10] = ["0", "1", "2", "3", "5", "10", "11", "+4", "007", "2147483647"];
/// Refused for themselves.
const NO_SCALES: [&str; 4] = ["-1", "1.5", "never", "2147483648"];
const NUMBERS: [&str; 17] = [
    "0", "0.009", "0.01", "1", "0.99", "70", "99.9", "100", "100.1", "109", "110", "1000",
    "1000.5", "-1", "-11", "1e2", "fifty",
];
const DURATIONS: [&str; 24] = [
    "", "0", "0s", "1s", "5s", "5999ms", "6s", "6000ms", "42.5s", "30s", "60s", "1m", "1m30s",
    "1m9s82ms", "59m60s", "1h", "60m", "3600s", "3601s", "1h1ns", "365h", "-5s", "+30s", "soon",
];
const WORDS: [(&str, &[&str]); 3] = [
    (
        "class",
        &[
            "kpa.autoscaling.knative.dev",
            "kpa.autoscaling.knative.dev",
            "hpa.autoscaling.knative.dev",
            "unsupported.knative.dev",
            "some.other.domain",
        ],
    ),
    ("metric", &["concurrency", "rps", "cpu", "memory", "", "RPS"]),
    (
        "metric-aggregation-algorithm",
        &["linear", "weighted-exponential", "weightedExponential", "random-selection", ""],
    ),
];

pub fn annotations(dice: &mut Dice) -> Value {
    let mut annotations = json!({});
    let is_limited = dice.chance(25);
    if is_limited {
        let scale = dice.pick(&[&SCALES[..], &NO_SCALES].concat());
        dice.maybe(&mut annotations, 90, &format!("{PREFIX}max-scale"), scale);
    }
    // Few at a time, or nearly everything is refused for several reasons.
    let percent = dice.pick(&[6, 12, 25, 60]);
    let mut set = |dice: &mut Dice, key: &str, texts: &[&str]| {
        let text = dice.pick(texts);
        dice.maybe(&mut annotations, percent, &format!("{PREFIX}{key}"), text);
    };
    let names = ["min-scale", "max-scale", "activation-scale"];
    match dice.int(0, 3) {
        _ if is_limited => {}
        0 => {
            let name = dice.pick(&names);
            set(dice, name, &NO_SCALES);
        }
        _ => names.into_iter().for_each(|name| set(dice, name, &SCALES)),
    }
    set(dice, "initial-scale", &SCALES);
    set(dice, "initial-scale", &NO_SCALES[..3]);
    for key in [
        "panic-window-percentage",
        "panic-threshold-percentage",
        "target",
        "target-utilization-percentage",
        "target-burst-capacity",
    ] {
        set(dice, key, &NUMBERS);
    }
    for key in ["window", "scale-to-zero-pod-retention-period", "scale-down-delay"] {
        set(dice, key, &DURATIONS);
    }
    for (key, texts) in WORDS {
        set(dice, key, texts);
    }
    set(dice, "unknown", &["anything"]);
    let mut request = json!({ "annotations": annotations });
    let config = config(dice, is_limited);
    dice.maybe(&mut request, if is_limited { 100 } else { 40 }, "config", config);
    request
}

/// The cluster's own settings.
fn config(dice: &mut Dice, is_limited: bool) -> Value {
    let mut config = json!({});
    let allow = dice.chance(60);
    dice.maybe(&mut config, 50, "allow_zero_initial_scale", allow);
    let limit = dice.pick(if is_limited { &[1, 5, 10][..] } else { &[0] });
    dice.maybe(&mut config, 80, "max_scale_limit", limit);
    let scale = dice.pick(&[0, 1, 5]);
    dice.maybe(&mut config, 30, "max_scale", scale);
    let class = dice.pick(&WORDS[0].1[1..3]);
    dice.maybe(&mut config, 30, "class", class);
    config
}
