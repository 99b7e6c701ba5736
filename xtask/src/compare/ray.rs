//! Requests for the autoscaler of Ray Serve, in the three eras that decide differently.

mod config;
mod series;

use std::str::FromStr;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    Answer, System,
    dice::{Dice, number},
    original::Original,
};

/// Ray 2.8 to 2.9, 2.10 to 2.48, 2.55 on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Era {
    Legacy,
    Mid,
    Modern,
}

/// A tick that repeats may make a trace no longer than this.
const TICKS_MAX: i64 = 400;

impl FromStr for Era {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = [Era::Legacy, Era::Mid, Era::Modern];
        let era = known.into_iter().find(|era| era.name() == name);
        era.with_context(|| format!("`{name}` is no era of Ray: legacy, mid or modern"))
    }
}

impl Era {
    fn name(self) -> &'static str {
        match self {
            Era::Legacy => "legacy",
            Era::Mid => "mid",
            Era::Modern => "modern",
        }
    }
}

/// The era of the installed Ray, which must be the one that is `wanted`.
pub fn era(original: &mut Original, wanted: Option<&str>) -> Result<Era> {
    let wanted: Option<Era> = wanted.map(str::parse).transpose()?;
    let probe = json!({ "mode": "capacity", "num_replicas": 1, "target_capacity": 100 });
    let answer = original.ask(&[probe])?.pop();
    let Some(Answer::Given(answer)) = answer else {
        bail!("the original does not even answer a simple request: {answer:?}");
    };
    let installed: Era = answer["era"].as_str().context("the original names no era")?.parse()?;
    match wanted {
        Some(wanted) if wanted != installed => {
            bail!("wanted {}, but the installed Ray is {}", wanted.name(), installed.name())
        }
        _ => Ok(installed),
    }
}

pub fn system(era: Era) -> System {
    let modes = match era {
        Era::Legacy => vec![("trace", 7), ("config", 2), ("capacity", 1), ("window_average", 1)],
        Era::Mid => vec![("trace", 7), ("config", 2), ("capacity", 1)],
        Era::Modern => {
            vec![("trace", 8), ("aggregate", 4), ("app", 3), ("config", 3), ("capacity", 1)]
        }
    };
    let generate = move |dice: &mut Dice, mode: &str| {
        let mut request = match mode {
            "trace" => trace(dice, era),
            "config" => json!({ "config": config::any(dice, era) }),
            "capacity" => capacity(dice),
            "window_average" => series::window_average(dice),
            "aggregate" => series::aggregate(dice),
            "app" => app(dice),
            other => unreachable!("no mode `{other}` in the table above"),
        };
        // The original knows its era and does not read this.
        request["era"] = era.name().into();
        request
    };
    System { name: "ray", modes, generate: Box::new(generate) }
}

/// What the ticks of one trace share.
struct Scene {
    era: Era,
    /// Requests per replica that the configuration wants.
    target: f64,
    /// Whether a policy of the user's own decides.
    is_custom: bool,
}

fn trace(dice: &mut Dice, era: Era) -> Value {
    let config = config::valid(dice, era);
    let top = config["max_replicas"].as_i64().unwrap_or(1);
    let is_custom = era == Era::Modern && dice.chance(20);
    let scene = Scene { era, target: config::target(&config, era), is_custom };
    let mut left = TICKS_MAX;
    let ticks: Vec<Value> = (0..dice.int(1, 12))
        .map(|_| {
            let mut tick = tick(dice, &scene);
            let repeat = match dice.int(0, 19) {
                0 => dice.int(290, 320),
                1..=6 => dice.int(2, 14),
                _ => 1,
            };
            if repeat > 1 && repeat < left {
                tick["repeat"] = repeat.into();
                left -= repeat;
            }
            tick
        })
        .collect();
    let mut request = json!({ "config": config, "ticks": ticks });
    let start = dice.int(0, top.min(40) + 1);
    dice.maybe(&mut request, 80, "start_target", start);
    let running = dice.int(0, start);
    dice.maybe(&mut request, 15, "start_running", running);
    dice.maybe(&mut request, 8, "full", true);
    if dice.chance(20) {
        request["target_capacity"] = target_capacity(dice);
        let direction = dice.pick(&[json!("UP"), json!("DOWN"), json!(null)]);
        request["target_capacity_direction"] = direction;
    }
    if era == Era::Modern && dice.chance(15) {
        request["gang_size"] = dice.int(1, 8).into();
    }
    request
}

fn tick(dice: &mut Dice, scene: &Scene) -> Value {
    let mut tick = json!({});
    let running = dice.pick(&[0, 1, 1, 1, 2, 2, 3, 4, 5, 7, 10, 13, 30]);
    match dice.int(0, 9) {
        0..=6 => tick["running"] = running.into(),
        7 | 8 => tick["run_as"] = "target".into(),
        _ => {}
    }
    if scene.era == Era::Legacy && dice.chance(70) {
        let loads = (0..running).map(|_| number(load(dice, scene.target, 1)));
        tick["ongoing"] = loads.collect();
    } else if dice.chance(95) {
        tick["total"] = number(load(dice, scene.target, running));
    }
    if scene.era == Era::Legacy && dice.chance(30) {
        tick["queued"] = number(dice.amount());
    }
    if scene.is_custom {
        tick["desired"] = number(desired(dice, running));
    }
    let step = number(dice.step_s());
    dice.maybe(&mut tick, 30, "dt", step);
    let forced = dice.int(0, 12);
    dice.maybe(&mut tick, 6, "set_target", forced);
    tick
}

/// Requests for so many replicas: often exactly what they want, or a simple multiple.
fn load(dice: &mut Dice, target: f64, replicas: i64) -> f64 {
    let full = target * replicas.max(1) as f64;
    match dice.int(0, 9) {
        0 | 1 => 0.0,
        2..=5 => {
            let ratio = dice.pick(&[0.1, 0.3, 0.5, 2.0 / 3.0, 1.0, 1.0, 1.0, 1.1, 1.5, 2.0, 3.0]);
            dice.around(full * ratio)
        }
        _ => dice.amount(),
    }
}

/// The wish of a user's own policy.
fn desired(dice: &mut Dice, running: i64) -> f64 {
    match dice.int(0, 5) {
        0 => 0.0,
        1 => dice.int(-4, 12) as f64,
        2 => dice.around(running as f64),
        3 => running as f64 + dice.pick(&[-1.0, -0.5, 0.1, 0.5, 1.0, 2.1]),
        _ => dice.amount(),
    }
}

fn capacity(dice: &mut Dice) -> Value {
    let replicas = dice.pick(&[0, 1, 2, 3, 5, 7, 10, 15, 50, 99, 100, 201, 100_000]);
    json!({ "num_replicas": replicas, "target_capacity": target_capacity(dice) })
}

/// Percent, with values that land on halves.
fn target_capacity(dice: &mut Dice) -> Value {
    match dice.int(0, 4) {
        0 => dice.pick(&[json!(null), json!(0), json!(100), json!(100.0), json!(0.0)]),
        1 => dice.int(1, 99).into(),
        2 => number(dice.pick(&[0.1, 0.5, 1.5, 2.5, 12.5, 33.3, 99.5, 14.5, 35.7])),
        3 => number(dice.unit() * 100.0),
        _ => dice.pick(&[10, 25, 30, 50, 70, 75, 90]).into(),
    }
}

/// Several deployments under one policy, which may leave some of them out.
fn app(dice: &mut Dice) -> Value {
    let names = &["A", "B", "C"][..usize::try_from(dice.int(1, 3)).expect("positive")];
    let mut deployments = json!({});
    for name in names {
        let mut deployment = json!({ "config": config::valid(dice, Era::Modern) });
        let start = dice.int(0, 8);
        dice.maybe(&mut deployment, 85, "start_target", start);
        deployments[*name] = deployment;
    }
    let ticks = (0..dice.int(1, 8)).map(|_| {
        let mut tick = json!({});
        for name in names {
            let part = part(dice);
            dice.maybe(&mut tick, 90, name, part);
        }
        let repeat = dice.int(2, 12);
        dice.maybe(&mut tick, 40, "repeat", repeat);
        let step = number(dice.step_s());
        dice.maybe(&mut tick, 30, "dt", step);
        tick
    });
    let ticks: Vec<Value> = ticks.collect();
    json!({ "deployments": deployments, "ticks": ticks })
}

/// What one deployment of an application shows in a tick.
fn part(dice: &mut Dice) -> Value {
    let mut part = json!({});
    let running = dice.pick(&[0, 0, 1, 1, 2, 3, 5, 10]);
    dice.maybe(&mut part, 80, "running", running);
    let total = number(dice.amount());
    dice.maybe(&mut part, 60, "total", total);
    let desired = number(desired(dice, running));
    dice.maybe(&mut part, 75, "desired", desired);
    part
}
