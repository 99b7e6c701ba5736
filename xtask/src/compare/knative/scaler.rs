//! Targets, samples, bounds and the way to zero.

use serde_json::{Value, json};

use crate::compare::dice::{Dice, number};

pub fn target(dice: &mut Dice) -> Value {
    let mut request = json!({});
    let metric = dice.pick(&["concurrency", "concurrency", "rps"]);
    dice.maybe(&mut request, 60, "metric", metric);
    let annotation = number(dice.pick(&[0.01, 0.014, 0.5, 1.0, 10.0, 100.0, 250.5, 1e6]));
    dice.maybe(&mut request, 50, "target", annotation);
    let limit = dice.pick(&[0, 0, 1, 2, 10, 100, 1000]);
    dice.maybe(&mut request, 60, "container_concurrency", limit);
    let fraction = number(dice.pick(&[0.01, 0.1, 0.3, 0.7, 0.75, 1.0, 1.0 / 3.0]));
    dice.maybe(&mut request, 50, "cc_fraction", fraction.clone());
    dice.maybe(&mut request, 20, "utilization", fraction);
    let default = number(dice.pick(&[1.0, 10.0, 100.0, 200.0, 333.3]));
    dice.maybe(&mut request, 20, "cc_default", default.clone());
    dice.maybe(&mut request, 20, "rps_default", default);
    let percentage = number(dice.pick(&[1.0, 12.5, 33.3, 70.0, 99.9, 100.0]));
    dice.maybe(&mut request, 30, "utilization_percentage", percentage);
    request
}

pub fn sample_size(dice: &mut Dice) -> Value {
    let pods = (0..dice.int(1, 12)).map(|_| match dice.int(0, 3) {
        0 => dice.int(0, 5),
        1 => dice.int(4, 100),
        2 => dice.int(100, 10_000),
        _ => dice.pick(&[0, 1, 3, 4, 16, 1000, 1_000_000, 1_000_000_000]),
    });
    let pods: Vec<i64> = pods.collect();
    json!({ "pods": pods })
}

/// One wish for a revision in some state, with times next to the limits that count.
pub fn scaler(dice: &mut Dice) -> Value {
    let mut case = json!({});
    let window = dice.pick(&[6.0, 60.0, 300.0]);
    let grace = dice.pick(&[6.0, 30.0, 60.0]);
    let retention = dice.pick(&[0.0, 0.0, 42.0, 60.0, 600.0]);
    let deadline = dice.pick(&[5.0, 121.0, 600.0]);
    for (name, seconds) in [("stable_window", window), ("grace", grace)] {
        dice.maybe(&mut case, 70, name, number(seconds));
    }
    dice.maybe(&mut case, 75, "retention", number(retention));
    dice.maybe(&mut case, 40, "progress_deadline", number(deadline));
    let states = ["activating", "active", "active", "inactive", "inactive"];
    let state = dice.pick(&states);
    dice.maybe(&mut case, 85, "state", state);
    let since = beside(dice, &[window, grace, retention, retention, deadline + 30.0, 30.0]);
    dice.maybe(&mut case, 90, "state_for", number(since));
    let proxied = beside(dice, &[grace, grace, retention, 0.0]);
    dice.maybe(&mut case, 75, "proxy_for", number(proxied));
    let desired = dice.pick(&[-1, 0, 0, 0, 0, 1, 2, 5, 10]);
    dice.maybe(&mut case, 50, "desired", desired);
    for name in ["current", "min", "max", "initial"] {
        let replicas = dice.pick(&[0, 0, 1, 1, 2, 5, 10]);
        dice.maybe(&mut case, 25, name, replicas);
    }
    for (name, percent) in [("initial_attained", 30), ("probe", 30), ("enable_scale_to_zero", 25)] {
        let value = dice.chance(50);
        dice.maybe(&mut case, percent, name, value);
    }
    let reachability = dice.pick(&["unknown", "reachable", "unreachable"]);
    dice.maybe(&mut case, 50, "reachability", reachability);
    let burst = dice.pick(&[-1, 0, 211]);
    dice.maybe(&mut case, 30, "tbc", burst);
    json!({ "case": case })
}

/// One of these times, or a little before or after it.
fn beside(dice: &mut Dice, times: &[f64]) -> f64 {
    let time = dice.pick(times);
    (time + dice.pick(&[0.0, 0.0, 0.0, 0.001, 1.0, -0.001, -1.0])).max(0.0)
}
