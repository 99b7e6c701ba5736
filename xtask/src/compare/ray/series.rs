//! Series of measurements for Ray's aggregation.

use serde_json::{Value, json};

use crate::compare::dice::{Dice, number};

/// Seconds around which the merge of several series rounds one way or the other, to 10 ms.
const ROUNDING_S: [f64; 8] = [0.004_999, 0.005, 0.005_001, 0.015, 0.025, 0.104_999, 0.105, 1.005];

/// Series of replicas and handles up to now.
pub fn aggregate(dice: &mut Dice) -> Value {
    let now = dice.pick(&[0.0, 1.0, 1.5, 2.0, 10.0, 29.999, 30.0, 31.0]);
    let mut request = json!({ "now": number(now) });
    let function = dice.pick(&["mean", "mean", "max", "min", "MAX"]);
    dice.maybe(&mut request, 85, "aggregation_function", function);
    let names = ["replica_series", "handle_running_series", "handle_queued_series"];
    let mut count_max = 1;
    for (name, percent) in names.into_iter().zip([75, 35, 60]) {
        let count = dice.int(0, 5);
        count_max = count_max.max(count);
        let all: Vec<Value> = (0..count).map(|_| series(dice, now)).collect();
        dice.maybe(&mut request, percent, name, all);
    }
    let running = dice.int(0, count_max);
    dice.maybe(&mut request, 20, "running", running);
    request
}

/// Points in the order of time, some at the same time, some after now (a clock that is ahead).
fn series(dice: &mut Dice, now: f64) -> Value {
    let count = dice.pick(&[0, 1, 1, 2, 3, 5, 8]);
    let mut times: Vec<f64> = Vec::new();
    while times.len() < count {
        times.push(match dice.int(0, 9) {
            0 => now,
            1 => now + dice.pick(&[0.000_5, 0.001, 0.5, 2.0]),
            2 | 3 => dice.pick(&ROUNDING_S),
            4 => times.last().copied().unwrap_or(0.0),
            5 => dice.around(now / 2.0),
            6 | 7 => dice.int(0, 20) as f64 / 10.0,
            _ => dice.unit() * now.max(0.1),
        });
    }
    times.sort_by(f64::total_cmp);
    times.into_iter().map(|time| json!([number(time), number(value(dice))])).collect()
}

fn value(dice: &mut Dice) -> f64 {
    if dice.chance(60) { dice.int(0, 12) as f64 } else { dice.amount() }
}

/// Points that a replica of the first era averages from a time on.
pub fn window_average(dice: &mut Dice) -> Value {
    let mut times: Vec<f64> = (0..dice.int(0, 10)).map(|_| dice.amount()).collect();
    times.sort_by(f64::total_cmp);
    let start = match times.is_empty() {
        true => 0.0,
        false => {
            let time = times[dice.below(times.len())];
            dice.around(time)
        }
    };
    let points: Vec<Value> =
        times.into_iter().map(|time| json!([number(time), number(value(dice))])).collect();
    json!({ "points": points, "start": number(start) })
}
