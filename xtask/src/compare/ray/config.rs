//! Settings of Ray's autoscaler, valid ones and ones it refuses.

use serde_json::{Value, json};

use super::Era;
use crate::compare::dice::{Dice, number};

const FACTORS: [f64; 12] = [0.1, 0.3, 0.5, 0.6, 0.9, 1.0, 1.0, 1.5, 2.0, 2.5, 3.0, 1.0 / 3.0];
const TARGETS: [f64; 10] = [1.0, 1.0, 2.0, 0.5, 0.1, 3.0, 0.7, 20.0, 1.1, 100.0];
/// Some are no multiple of a turn of 0.1 s in binary, and 0 means at once.
const DELAYS_S: [f64; 14] =
    [0.0, 0.0, 0.0, 0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.1, 2.5, 30.0];
const OLD_TARGET: &str = "target_num_ongoing_requests_per_replica";
const NEW_TARGET: &str = "target_ongoing_requests";

/// Null means the same as not given.
const OPTIONAL: [&str; 6] = [
    "initial_replicas",
    "upscale_smoothing_factor",
    "downscale_smoothing_factor",
    "upscaling_factor",
    "downscaling_factor",
    "downscale_to_zero_delay_s",
];

/// Settings that every era accepts as they are meant.
pub fn valid(dice: &mut Dice, era: Era) -> Value {
    let low = dice.pick(&[0, 0, 1, 1, 2, 5]);
    let high = (low + dice.pick(&[0, 1, 3, 10, 10, 50, 200])).max(1);
    let mut config = json!({ "min_replicas": low, "max_replicas": high });
    let initial = dice.int(low, high);
    dice.maybe(&mut config, 15, "initial_replicas", initial);
    let name = if era == Era::Legacy { OLD_TARGET } else { NEW_TARGET };
    let target = number(dice.pick(&TARGETS));
    dice.maybe(&mut config, 70, name, target);
    factors(dice, &mut config, era);
    for (name, percent) in [("upscale_delay_s", 85), ("downscale_delay_s", 85)] {
        let delay = number(dice.pick(&DELAYS_S));
        dice.maybe(&mut config, percent, name, delay);
    }
    if era == Era::Modern {
        let delay = number(dice.pick(&DELAYS_S));
        dice.maybe(&mut config, 25, "downscale_to_zero_delay_s", delay);
    }
    foreign(dice, &mut config, era);
    for name in OPTIONAL {
        dice.maybe(&mut config, 3, name, Value::Null);
    }
    config
}

/// Requests per replica that these settings mean.
pub fn target(config: &Value, era: Era) -> f64 {
    match era {
        Era::Legacy => config[OLD_TARGET].as_f64().unwrap_or(1.0),
        Era::Mid | Era::Modern => config[NEW_TARGET].as_f64().unwrap_or(2.0),
    }
}

fn factors(dice: &mut Dice, config: &mut Value, era: Era) {
    let old = ["smoothing_factor", "upscale_smoothing_factor", "downscale_smoothing_factor"];
    let new = ["upscaling_factor", "downscaling_factor"];
    let (old_percent, new_percent) = if era == Era::Legacy { (25, 0) } else { (10, 25) };
    for (names, percent) in [(&old[..], old_percent), (&new[..], new_percent)] {
        for name in names {
            let factor = number(dice.pick(&FACTORS));
            dice.maybe(config, percent, name, factor);
        }
    }
}

/// Settings that mean nothing here: of another era, without effect on decisions, misspelt.
fn foreign(dice: &mut Dice, config: &mut Value, era: Era) {
    let other = if era == Era::Legacy { NEW_TARGET } else { OLD_TARGET };
    let value = number(dice.pick(&TARGETS));
    dice.maybe(config, 4, other, value);
    let period = number(dice.pick(&[0.5, 5.0, 12.0, 60.0]));
    dice.maybe(config, 4, "look_back_period_s", period.clone());
    dice.maybe(config, 4, "metrics_interval_s", period.clone());
    dice.maybe(config, 3, "look_pack_period_s", period);
    let function = dice.pick(&["mean", "max", "min", "MAX", "Mean"]);
    dice.maybe(config, 4, "aggregation_function", function);
}

/// Settings of which some are refused.
pub fn any(dice: &mut Dice, era: Era) -> Value {
    let mut config = if dice.chance(70) { valid(dice, era) } else { json!({}) };
    for _ in 0..dice.int(0, 3) {
        match dice.int(0, 3) {
            0 => {
                let name = dice.pick(&["min_replicas", "max_replicas", "initial_replicas"]);
                config[name] = dice.int(-1, 12).into();
            }
            1 => {
                let name = dice.pick(&FIELDS);
                config[name] = dice.pick(&odd_values());
            }
            2 => {
                let name = dice.pick(&FIELDS[3..]);
                config[name] = number(dice.pick(&[-1.0, -0.1, 0.0, 1e-9, 0.5, 4.0, 1e9]));
            }
            _ => {
                let names = ["mean", "MIN", "Max", "sum", "p95", "", " max"];
                config["aggregation_function"] = dice.pick(&names).into();
            }
        }
    }
    config
}

/// The first three are whole numbers.
const FIELDS: [&str; 15] = [
    "min_replicas",
    "max_replicas",
    "initial_replicas",
    OLD_TARGET,
    NEW_TARGET,
    "metrics_interval_s",
    "look_back_period_s",
    "smoothing_factor",
    "upscale_smoothing_factor",
    "downscale_smoothing_factor",
    "upscaling_factor",
    "downscaling_factor",
    "upscale_delay_s",
    "downscale_delay_s",
    "downscale_to_zero_delay_s",
];

/// What a file may contain instead of a number: the original converts some of it.
fn odd_values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(false),
        json!("5"),
        json!("0.5"),
        json!("many"),
        json!(2.0),
        json!(2.5),
        json!([]),
        json!({}),
    ]
}
