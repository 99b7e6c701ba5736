//! Modes `trace` and `app`: decisions turn by turn, for one deployment or several.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{config, object, only_modern, rounded};
use crate::bounds::{Bounds, Capacity, Direction};
use crate::config::{Config, Era};
use crate::rule::{Outcome, Scaler, TURN_MS, Turn};

/// The recorder's clock starts here, which matters for the last digits.
const EPOCH_S: f64 = 1_000_000.0;
/// Up to so many turns the recorder lists every decision.
const LISTED_TURNS_MAX: usize = 12;

#[derive(Deserialize)]
pub(super) struct Question {
    config: Map<String, Value>,
    ticks: Vec<Tick>,
    start_target: Option<f64>,
    start_running: Option<f64>,
    target_capacity: Option<f64>,
    target_capacity_direction: Option<Direction>,
    gang_size: Option<i64>,
    #[serde(default)]
    full: bool,
}

#[derive(Deserialize)]
#[serde(default)]
struct Tick {
    repeat: f64,
    dt: f64,
    running: Option<f64>,
    run_as: Option<String>,
    set_target: Option<f64>,
    total: f64,
    ongoing: Option<Vec<f64>>,
    queued: f64,
    desired: Option<f64>,
}

impl Default for Tick {
    fn default() -> Self {
        Self {
            repeat: 1.0,
            dt: 0.1,
            running: None,
            run_as: None,
            set_target: None,
            total: 0.0,
            ongoing: None,
            queued: 0.0,
            desired: None,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct ApplicationQuestion {
    deployments: BTreeMap<String, Member>,
    ticks: Vec<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Member {
    config: Map<String, Value>,
    start_target: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MemberTick {
    running: Option<f64>,
    total: f64,
    desired: Option<f64>,
}

/// One deployment as the original sees it.
struct Deployment {
    scaler: Scaler,
    bounds: Bounds,
    initial: Option<i64>,
}

impl Deployment {
    fn new(config: &Config, capacity: Capacity, gang_size: i64) -> Result<Self, String> {
        if config.era == Era::Modern && config.target_ongoing_requests.is_none() {
            return Err("the original accepts no target_ongoing_requests and then fails".into());
        }
        // The values of a configuration the original accepted always have both.
        let (min, max) = (config.min_replicas.unwrap_or(1), config.max_replicas.unwrap_or(1));
        let mut rule = config.rule();
        rule.gang_size = gang_size;
        Ok(Self {
            scaler: Scaler::new(rule),
            bounds: Bounds::new(min, config.initial_replicas, max, capacity),
            initial: config.initial_replicas,
        })
    }
}

/// The turns of one deployment, and what came of them.
pub(super) fn answer(question: Question, era: Era) -> Result<Map<String, Value>, String> {
    let (config, _) = config::accept(&question.config, era)?;
    let is_custom = era == Era::Modern && question.ticks.iter().any(|tick| tick.desired.is_some());
    let capacity = Capacity {
        percent: question.target_capacity,
        direction: question.target_capacity_direction,
    };
    // The recorder replaces the whole policy by the user's, together with what rounds to gangs.
    let gang_size = question.gang_size.filter(|_| !is_custom).unwrap_or(1);
    let mut deployment = Deployment::new(&config, capacity, gang_size)?;

    let mut target = question.start_target.unwrap_or(1.0) as i64;
    let mut running = question.start_running.map_or(target, |running| running as i64);
    let (mut offset_s, mut calls, mut decisions) = (0.0, 0, Vec::new());
    for tick in &question.ticks {
        for turn in 0..tick.repeat as u64 {
            if let Some(forced) = tick.set_target.filter(|_| turn == 0) {
                target = forced as i64;
            }
            running = tick.running.map_or(running, |running| running as i64);
            if tick.run_as.as_deref() == Some("target") {
                running = target;
            }
            if is_custom && tick.desired.is_none() {
                return Err("the user's policy answers in some ticks and not in others".into());
            }
            let seen = seen(era, tick, target, running, offset_s, deployment.bounds);
            let outcome = deployment.scaler.turn(&seen);
            calls += i64::from(running > 0 || tick.total <= 0.0);
            decisions.push(Decided { at_s: offset_s, target, running, outcome });
            target = outcome.count;
            offset_s = rounded(offset_s + tick.dt, 9);
        }
    }

    let mut answer = report(&decisions, question.full);
    answer.insert("final_target".into(), json!(target));
    if is_custom {
        answer.insert("custom_policy_calls".into(), json!(calls));
    }
    Ok(answer)
}

/// What the original is given in one turn.
fn seen(era: Era, tick: &Tick, target: i64, running: i64, at_s: f64, bounds: Bounds) -> Turn {
    let (running, load) = match era {
        // Each replica that reports, with its own number.
        Era::Legacy => {
            let share = if running > 0 { tick.total / running as f64 } else { 0.0 };
            let shares = || vec![share; running.max(0) as usize];
            let ongoing = tick.ongoing.clone().unwrap_or_else(shares);
            let sum = ongoing.iter().fold(0.0, |sum, number| sum + number);
            (
                ongoing.len() as i64,
                if ongoing.is_empty() { 0.0 } else { sum / ongoing.len() as f64 },
            )
        }
        Era::Mid | Era::Modern => (running, tick.total),
    };
    Turn {
        now_s: EPOCH_S + at_s,
        loop_ms: TURN_MS,
        target,
        running,
        load,
        queued: tick.queued,
        desired: tick.desired.filter(|_| era == Era::Modern),
        bounds,
    }
}

/// One turn of a trace.
struct Decided {
    at_s: f64,
    target: i64,
    running: i64,
    outcome: Outcome,
}

impl Decided {
    fn is_change(&self) -> bool {
        self.outcome.count != self.target
    }

    fn json(&self) -> Value {
        json!({
            "t": rounded(self.at_s, 6),
            "target_before": self.target,
            "running": self.running,
            "decision": self.outcome.count,
            "changed": self.is_change(),
        })
    }
}

fn report(decisions: &[Decided], is_full: bool) -> Map<String, Value> {
    let listed = |decided: &Decided| decided.json();
    if is_full {
        let all: Vec<Value> = decisions.iter().map(listed).collect();
        return object([("decisions", json!(all))]);
    }
    let changes: Vec<Value> =
        decisions.iter().filter(|decided| decided.is_change()).map(listed).collect();
    let mut answer = object([("changes", json!(changes)), ("num_ticks", json!(decisions.len()))]);
    if decisions.len() <= LISTED_TURNS_MAX {
        let counts: Vec<i64> = decisions.iter().map(|decided| decided.outcome.count).collect();
        answer.insert("decision_list".into(), json!(counts));
    }
    answer
}

/// The turns of an application whose policy decides for several deployments at once. A deployment
/// the policy leaves out gets no decision, and its delay goes on.
pub(super) fn answer_application(
    question: ApplicationQuestion,
    era: Era,
) -> Result<Map<String, Value>, String> {
    only_modern(era, "app")?;
    let mut members = BTreeMap::new();
    for (name, member) in &question.deployments {
        let (config, _) = config::accept(&member.config, era)?;
        let deployment = Deployment::new(&config, Capacity::default(), 1)?;
        let started = member.start_target.unwrap_or(1.0) as i64;
        let target = deployment.bounds.clamp(deployment.initial.unwrap_or(started));
        members.insert(name, (deployment, target));
    }
    let (mut offset_s, mut decisions) = (0.0, Vec::new());
    for tick in &question.ticks {
        let number = |key: &str| tick.get(key).and_then(Value::as_f64);
        for _ in 0..number("repeat").unwrap_or(1.0) as u64 {
            let mut decided = Map::new();
            for (name, (deployment, target)) in &mut members {
                let member: MemberTick = match tick.get(*name) {
                    Some(member) => super::read(member.clone())?,
                    None => MemberTick::default(),
                };
                let Some(desired) = member.desired else { continue };
                let tick = Tick { total: member.total, desired: Some(desired), ..Tick::default() };
                let running = member.running.map_or(*target, |running| running as i64);
                let seen = seen(era, &tick, *target, running, offset_s, deployment.bounds);
                *target = deployment.scaler.turn(&seen).count;
                decided.insert((*name).clone(), json!(*target));
            }
            decisions.push(Value::Object(decided));
            offset_s = rounded(offset_s + number("dt").unwrap_or(0.1), 9);
        }
    }
    let targets: Map<String, Value> =
        members.into_iter().map(|(name, (_, target))| (name.clone(), json!(target))).collect();
    Ok(object([("decisions", json!(decisions)), ("final_targets", Value::Object(targets))]))
}
