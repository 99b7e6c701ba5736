//! Requests for the autoscaler of Knative.

mod annotations;
mod scaler;
mod windows;

use serde_json::{Value, json};

use super::{
    System,
    dice::{Dice, number},
};

pub fn system() -> System {
    let modes = vec![
        ("autoscaler", 6),
        ("pipeline", 3),
        ("window", 4),
        ("max_window", 2),
        ("target", 2),
        ("sample_size", 1),
        ("scaler", 4),
        ("annotations", 4),
    ];
    let generate = |dice: &mut Dice, mode: &str| match mode {
        "autoscaler" => autoscaler(dice),
        "pipeline" => pipeline(dice),
        "window" => windows::window(dice),
        "max_window" => windows::max_window(dice),
        "target" => scaler::target(dice),
        "sample_size" => scaler::sample_size(dice),
        "scaler" => scaler::scaler(dice),
        "annotations" => annotations::annotations(dice),
        other => unreachable!("no mode `{other}` in the table above"),
    };
    System { name: "knative", modes, generate: Box::new(generate) }
}

fn autoscaler(dice: &mut Dice) -> Value {
    let spec = spec(dice);
    let target = spec["target"].as_f64().unwrap_or(100.0);
    let window = spec["stable_window"].as_f64().unwrap_or(60.0);
    let ready = pods(dice);
    let mut now = dice.pick(&[0.0, 0.0, 1.0, 2.0, 1000.0]);
    let start = now;
    let ticks: Vec<Value> = (0..dice.int(1, 20))
        .map(|_| {
            let tick = tick(dice, now, target);
            now += match dice.int(0, 9) {
                0 => window,
                1 => window + 0.001,
                2 => window / 2.0,
                3 => 0.0,
                4 => dice.pick(&[0.5, 1.0, 3.0, 300.0]),
                _ => 2.0,
            };
            tick
        })
        .collect();
    let mut request = json!({ "spec": spec, "ticks": ticks });
    dice.maybe(&mut request, 80, "ready_at_start", ready);
    dice.maybe(&mut request, 30, "start", number(start));
    if dice.chance(20) {
        request["panic_since"] =
            number((start - dice.pick(&[0.0, 1.0, 59.0, 60.0, 61.0])).max(0.0));
        request["max_panic_pods"] = pods(dice).into();
    }
    let fields: Vec<_> = ["desired", "ebc", "valid", "panicking"]
        .into_iter()
        .filter(|field| *field == "desired" || dice.chance(70))
        .collect();
    dice.maybe(&mut request, 60, "fields", fields);
    request
}

fn spec(dice: &mut Dice) -> Value {
    let target = dice.pick(&[1.0, 10.0, 10.0, 70.0, 100.0, 0.01, 0.7, 7.0, 1.0 / 3.0, 181.0]);
    let mut spec = json!({ "target": number(target) });
    let total = number(dice.pick(&[target, target / 0.7, target / 0.75, 1.0]));
    dice.maybe(&mut spec, 60, "total", total);
    let burst = dice.pick(&[-1, 0, 1, 10, 75, 100, 200, 211, 1982]);
    dice.maybe(&mut spec, 70, "tbc", burst);
    let threshold = number(dice.pick(&[1.1, 1.5, 2.0, 2.0, 2.0, 3.0, 10.0, 100.0]));
    dice.maybe(&mut spec, 60, "panic_threshold", threshold);
    for name in ["max_up", "max_down"] {
        let rate = number(dice.pick(&[1.1, 1.5, 2.0, 3.0, 10.0, 10.0, 1000.0]));
        dice.maybe(&mut spec, 60, name, rate);
    }
    let window = number(dice.pick(&[0.0, 6.0, 10.0, 30.0, 60.0, 60.0, 300.0, 3600.0]));
    dice.maybe(&mut spec, 60, "stable_window", window);
    let delay = number(dice.pick(&[0.0, 1.0, 2.0, 3.0, 6.0, 10.0, 60.0, 300.0, 3600.0]));
    dice.maybe(&mut spec, 35, "scale_down_delay", delay);
    let activation = dice.pick(&[1, 2, 3, 5, 20]);
    dice.maybe(&mut spec, 25, "activation_scale", activation);
    let is_reachable = dice.chance(50);
    dice.maybe(&mut spec, 25, "reachable", is_reachable);
    spec
}

fn pods(dice: &mut Dice) -> i64 {
    dice.pick(&[0, 0, 1, 1, 1, 2, 3, 5, 8, 10, 40, 100, 1000])
}

fn tick(dice: &mut Dice, now: f64, target: f64) -> Value {
    let mut tick = json!({ "t": number(now) });
    let pods = pods(dice);
    let ready = if dice.chance(5) { Value::Null } else { pods.into() };
    dice.maybe(&mut tick, 60, "ready", ready);
    // Without a value there is no decision; the original never has only one of them.
    if dice.chance(95) {
        tick["stable"] = number(load(dice, target, pods));
        tick["panic"] = number(load(dice, target, pods));
    }
    if dice.chance(6) {
        tick["update"] = spec(dice);
    }
    tick
}

/// The load of so many pods: often a multiple of what they are meant for.
fn load(dice: &mut Dice, target: f64, pods: i64) -> f64 {
    let full = target * pods.max(1) as f64;
    match dice.int(0, 9) {
        0 => 0.0,
        1..=5 => {
            let ratio = dice.pick(&[0.1, 0.5, 0.9, 1.0, 1.0, 1.1, 2.0, 2.0, 3.0, 10.0, 1000.0]);
            dice.around(full * ratio)
        }
        _ => dice.amount(),
    }
}

/// One sample per second through both windows, into a pool that starts and stops pods.
fn pipeline(dice: &mut Dice) -> Value {
    let mut spec = spec(dice);
    // Percentages that give no half seconds: the model rounds them to even.
    spec["stable_window"] = dice.pick(&[6, 10, 30, 60, 60]).into();
    let target = spec["target"].as_f64().unwrap_or(100.0);
    let mut samples: Vec<Value> = Vec::new();
    for _ in 0..dice.int(1, 6) {
        let pods = dice.pick(&[1, 1, 2, 5, 20]);
        let (load, is_noisy) = (load(dice, target, pods), dice.chance(30));
        for _ in 0..dice.pick(&[1, 2, 5, 10, 30, 60]) {
            let sample = if is_noisy { load * dice.unit() } else { load };
            samples.push(number(sample));
        }
    }
    let mut request = json!({ "spec": spec, "samples": samples });
    let percentage = dice.pick(&[1, 10, 20, 50, 100]);
    dice.maybe(&mut request, 40, "panic_window_percentage", percentage);
    let ready = dice.pick(&[0, 0, 1, 2, 5, 10]);
    dice.maybe(&mut request, 60, "ready_at_start", ready);
    let delay = dice.pick(&[0, 1, 2, 5, 20]);
    dice.maybe(&mut request, 60, "start_delay", delay);
    let (low, high) = (dice.int(0, 3), dice.pick(&[0, 1, 5, 100]));
    dice.maybe(&mut request, 25, "min", low);
    dice.maybe(&mut request, 25, "max", high);
    request
}
