//! Ring windows: averages of buckets, and the largest value of the last ticks.

use serde_json::{Value, json};

use crate::compare::dice::{Dice, number};

/// Records and questions, mostly in the order of time, some late.
pub fn window(dice: &mut Dice) -> Value {
    let granularity = dice.pick(&[1, 1, 1, 1, 2, 5]);
    let mut window = dice.pick(&[1, 2, 5, 5, 6, 10, 60, 100]).max(granularity);
    let whole = dice.chance(70);
    let mut now = dice.pick(&[0, 1, 1000, 1000, 1_000_000]) as f64;
    let mut ops: Vec<Value> = Vec::new();
    let request_window = window;
    for _ in 0..dice.int(1, 40) {
        match dice.int(0, 19) {
            0..=10 => {
                let late = dice.pick(&[0, 0, 0, 0, 1, 2, window - 1, window, window + 1]) as f64;
                let value = if whole { dice.int(0, 60) as f64 } else { dice.amount() };
                ops.push(json!({ "at": number((now - late).max(0.0)), "record": number(value) }));
            }
            11..=18 => {
                let later = dice.pick(&[0, 0, 0, 1, 2, window - 1, window, window + 1]) as f64;
                ops.push(json!({ "at": number(now + later) }));
            }
            _ => {
                window = dice.pick(&[1, 2, 3, 5, 10, 60]).max(granularity);
                ops.push(json!({ "resize": window }));
            }
        }
        now += match dice.int(0, 9) {
            0..=2 => 0.0,
            3 => dice.pick(&[0.1, 0.4, 0.5, 0.999]),
            4 => dice.int(0, 2 * window) as f64,
            _ => 1.0,
        };
    }
    let mut request = json!({ "window": request_window, "ops": ops });
    if granularity != 1 {
        request["granularity"] = granularity.into();
    }
    dice.maybe(&mut request, 35, "weighted", true);
    let digits = dice.int(0, 6);
    dice.maybe(&mut request, 20, "digits", digits);
    request
}

/// Values of ticks whose numbers never go back.
pub fn max_window(dice: &mut Dice) -> Value {
    let size = dice.pick(&[1, 2, 3, 5, 5, 10, 150]);
    let mut index = dice.pick(&[0, 1, 100]);
    let (mut values, mut indices) = (Vec::new(), Vec::new());
    for _ in 0..dice.int(1, 40) {
        values.push(dice.int(0, 9));
        indices.push(index);
        index += dice.pick(&[0, 1, 1, 1, 1, 2, size - 1, size, size + 1]);
    }
    json!({ "size": size, "values": values, "index": indices })
}
