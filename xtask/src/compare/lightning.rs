//! Requests for Lightning's AutoScaler and its load balancer.

mod balancer;

use serde_json::{Value, json};

use super::{
    System,
    dice::{Dice, number},
};

const STEPS_MAX: i64 = 300;
const INTERVALS_S: [f64; 12] = [0.0, 0.1, 0.3, 0.5, 1.0, 1.0, 2.0, 2.5, 5.0, 10.0, 10.0, 60.0];

pub fn system() -> System {
    let modes = vec![
        ("trace", 8),
        ("scale", 3),
        ("config", 2),
        ("batcher", 3),
        ("process", 1),
        ("http", 2),
        ("error", 1),
        ("first_call", 1),
    ];
    let generate = |dice: &mut Dice, mode: &str| match mode {
        "trace" => trace(dice),
        "scale" => scale(dice),
        "config" => json!({ "config": config(dice) }),
        "first_call" => json!({ "config": config(dice), "pending_requests": dice.int(0, 9) }),
        "batcher" => balancer::batcher(dice),
        "process" => balancer::process(dice),
        "http" => balancer::http(dice),
        "error" => balancer::error(dice),
        other => unreachable!("no mode `{other}` in the table above"),
    };
    System { name: "lightning", modes, generate: Box::new(generate) }
}

/// Requests that so many replicas see: often exactly at one of the two thresholds.
fn pending(dice: &mut Dice, active: i64, batch: i64) -> i64 {
    match dice.int(0, 9) {
        0 | 1 => 0,
        2..=4 => (active.max(1) * batch + dice.int(-1, 1)).max(0),
        5 | 6 => (active.max(1) * batch / 4 + dice.int(-1, 1)).max(0),
        7 => dice.pick(&[1, 1000, 10_000, 1_000_000]),
        _ => dice.int(1, 60),
    }
}

fn batch_size(dice: &mut Dice) -> i64 {
    dice.pick(&[1, 1, 2, 3, 4, 6, 7, 8, 8, 10, 32, 100])
}

fn scale(dice: &mut Dice) -> Value {
    let batch = batch_size(dice);
    let cases: Vec<Value> = (0..dice.int(1, 20))
        .map(|_| {
            let replicas = dice.pick(&[0, 0, 1, 1, 2, 3, 4, 7, 8, 50, 1000]);
            let works = dice.pick(&[0, 0, 0, 1, 1, 2, 5, 8]);
            let pending = pending(dice, replicas + works, batch);
            let mut case = json!({ "replicas": replicas, "pending_requests": pending });
            dice.maybe(&mut case, 70, "pending_works", works);
            case
        })
        .collect();
    let mut request = json!({ "cases": cases });
    if batch != 8 || dice.chance(50) {
        request["max_batch_size"] = batch.into();
    }
    request
}

fn trace(dice: &mut Dice) -> Value {
    let low = dice.pick(&[0, 0, 1, 1, 2, 5]);
    let high = low + dice.pick(&[0, 1, 2, 4, 8, 30]);
    let mut config = json!({ "min_replicas": low, "max_replicas": high });
    let batch = batch_size(dice);
    dice.maybe(&mut config, 70, "max_batch_size", batch);
    let batch = config["max_batch_size"].as_i64().unwrap_or(8);
    for name in ["scale_out_interval", "scale_in_interval"] {
        let interval = number(dice.pick(&INTERVALS_S));
        dice.maybe(&mut config, 80, name, interval);
    }
    let interval = config["scale_out_interval"].as_f64().unwrap_or(10.0);
    let is_custom = dice.chance(25);
    let mut left = STEPS_MAX;
    let steps: Vec<Value> = (0..dice.int(1, 14))
        .map(|_| {
            let active = dice.int(low, high);
            let mut step = json!({ "pending_requests": pending(dice, active, batch) });
            let works = dice.pick(&[0, 1, 1, 2, 4]);
            dice.maybe(&mut step, 25, "pending_works", works);
            let wait = wait_s(dice, interval);
            dice.maybe(&mut step, 85, "dt", number(wait));
            let repeat = dice.pick(&[2, 3, 5, 12, 40]);
            if repeat < left && dice.chance(45) {
                left -= repeat;
                step["repeat"] = repeat.into();
            }
            let target = dice.int(-3, high + 3);
            dice.maybe(&mut step, if is_custom { 60 } else { 0 }, "target", target);
            step
        })
        .collect();
    json!({ "config": config, "steps": steps })
}

/// Until the next turn: often just the interval, or a part of it. Whole milliseconds, which is what
/// the host's clock counts.
fn wait_s(dice: &mut Dice, interval: f64) -> f64 {
    let wait = match dice.int(0, 9) {
        0 | 1 => interval,
        2 => interval - 0.001,
        3 => interval + 0.001,
        4 => interval / 2.0,
        5 => interval / 10.0,
        6 => dice.unit() * 2.0 * interval,
        _ => dice.step_s(),
    };
    (wait.max(0.0) * 1000.0).round() / 1000.0
}

fn config(dice: &mut Dice) -> Value {
    let mut config = json!({});
    for name in ["min_replicas", "max_replicas"] {
        let replicas = dice.int(-3, 8);
        dice.maybe(&mut config, 50, name, replicas);
    }
    for name in ["scale_out_interval", "scale_in_interval", "timeout_batching"] {
        let interval = number(dice.pick(&INTERVALS_S));
        dice.maybe(&mut config, 20, name, interval);
    }
    let batch = batch_size(dice);
    dice.maybe(&mut config, 20, "max_batch_size", batch);
    let endpoint = dice.pick(&["predict", "/predict", "api/predict", "/", "a/b/c", "//x"]);
    dice.maybe(&mut config, 40, "endpoint", endpoint);
    let proxies =
        [json!(null), json!("http://localhost:9/x"), json!("x"), json!(5), json!(true), json!([1])];
    let proxy = dice.pick(&proxies);
    dice.maybe(&mut config, 30, "cold_start_proxy", proxy);
    config
}
