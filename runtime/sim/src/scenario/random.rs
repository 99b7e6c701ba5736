//! Random scenarios, in which everything goes wrong that can.

use super::{
    CallsSpec, DeploymentSpec, Load, NodeSpec, Order, QueueSpec, Replicas, ScalingSpec, Scenario,
    Users,
};
use crate::arrivals::Workload;
use crate::distribution::Distribution;
use crate::faults::{ClockJump, DeploymentFaults, Faults, NodeFailure, Window};
use crate::rng::{self, Rng};
use serde_json::Map;
use std::time::Duration;

/// The scenario of a seed: up to four deployments on a machine that may be small, with policies of
/// [`crate::scalers`], and faults that stop before the end.
pub fn random(seed: u64) -> Scenario {
    let mut draw = Draw(rng::stream(seed, "", "scenario"));
    let duration = draw.between(20_000, 60_000);
    let until = duration.mul_f64(rng::unit(&mut draw.0));
    let nodes = draw.nodes();
    let count = draw.up_to(1, 4);
    let deployments = (0..count).map(|index| draw.deployment(index, count, until)).collect();
    Scenario {
        duration,
        seed,
        tail: Duration::from_secs(30),
        interval: Duration::from_secs(1),
        faults: draw.machine_faults(&nodes, until),
        nodes,
        deployments,
    }
}

struct Draw(Rng);

impl Draw {
    /// A whole number of `least..=most`.
    fn up_to(&mut self, least: u32, most: u32) -> u32 {
        least + rng::below(&mut self.0, u64::from(most - least) + 1) as u32
    }

    /// A time between these, in milliseconds.
    fn between(&mut self, least: u32, most: u32) -> Duration {
        Duration::from_millis(u64::from(self.up_to(least, most)))
    }

    /// Whether one of `of` equally likely things happens.
    fn one_in(&mut self, of: u64) -> bool {
        rng::below(&mut self.0, of) == 0
    }

    fn nodes(&mut self) -> Vec<NodeSpec> {
        let count = if self.one_in(2) { 0 } else { self.up_to(1, 3) };
        let node = |index: u32| NodeSpec { name: format!("n{index}"), slots: self.up_to(1, 10) };
        (0..count).map(node).collect()
    }

    fn machine_faults(&mut self, nodes: &[NodeSpec], until: Duration) -> Faults {
        let mut faults = Faults { until: Some(until), ..Faults::default() };
        let last = until.as_millis() as u32;
        while self.one_in(2) {
            let (at, by) = (self.between(0, last), self.between(1, 20_000));
            faults.clock_jumps.push(ClockJump { at, by });
        }
        for node in nodes {
            if self.one_in(2) {
                let (at, lasts) = (self.between(0, last), self.between(1, 20_000));
                faults.node_failures.push(NodeFailure { node: node.name.clone(), at, lasts });
            }
        }
        faults
    }

    fn deployment(&mut self, index: u32, count: u32, calm_at: Duration) -> DeploymentSpec {
        let max = self.up_to(1, 8);
        let min = if self.one_in(2) { 0 } else { self.up_to(0, max) };
        let mut spec = DeploymentSpec::named(&format!("d{index}"));
        spec.replicas = Replicas { min, max };
        spec.initial_replicas = self.one_in(2).then(|| self.up_to(min, max));
        spec.concurrency = [1, 1, 2, 4, 16][rng::below(&mut self.0, 5) as usize];
        spec.idle_ttl = (!self.one_in(3)).then(|| self.between(0, 20_000));
        spec.scaledown_ttl = self.between(0, 10_000);
        spec.max_requests = if self.one_in(3) { u64::from(self.up_to(1, 50)) } else { 0 };
        // Longer than a start takes, or a replica would be too old before it is ready.
        spec.max_age = self.one_in(3).then(|| self.between(12_000, 40_000));
        spec.drain_timeout = self.between(0, 5_000);
        let timeout = self.between(10, 10_000);
        spec.queue = QueueSpec { max: self.up_to(1, 100), timeout };
        spec.request_timeout = self.between(100, 5_000);
        // Longer than most starts take, or the end would never be calm.
        spec.start_timeout = self.between(3_100, 6_000);
        spec.service = self.distribution(500);
        spec.serial = self.one_in(4).then(|| self.distribution(20));
        spec.start_up = self.distribution(1_000);
        spec.scaling = self.scaling(max, calm_at);
        spec.load = self.load(index);
        spec.calls = self.calls(index, count);
        spec.faults = self.faults(calm_at);
        spec
    }

    fn distribution(&mut self, mean_ms: u32) -> Distribution {
        let mean = self.between(1, mean_ms);
        match rng::below(&mut self.0, 3) {
            0 => Distribution::constant(mean),
            1 => Distribution::exponential(mean),
            _ => Distribution::of(vec![Duration::ZERO, mean, mean * 3]).expect("three values"),
        }
    }

    fn scaling(&mut self, max: u32, calm_at: Duration) -> ScalingSpec {
        let policy = ["fixed", "proportional", "wild", "wild"][rng::below(&mut self.0, 4) as usize];
        let mut config = Map::new();
        config.insert("replicas".to_owned(), self.up_to(0, max + 1).into());
        config.insert("calm_at_s".to_owned(), calm_at.as_secs_f64().into());
        ScalingSpec { policy: policy.to_owned(), config, interval: self.between(10, 2_000) }
    }

    /// The first deployment has a load of its own, others may have.
    fn load(&mut self, index: u32) -> Option<Load> {
        if index > 0 && self.one_in(3) {
            return None;
        }
        if self.one_in(3) {
            return Some(Load::Users(Users {
                count: self.up_to(1, 30),
                think: self.distribution(1_000),
                ramp: self.between(0, 10_000),
                after_failure: self.between(1, 2_000),
            }));
        }
        let rate = self.up_to(1, 40);
        let burst = rate * 4;
        let text = match rng::below(&mut self.0, 3) {
            0 => format!("poisson:{rate}/s"),
            1 => format!("steady:{rate}/s"),
            _ => format!("bursts:base=0/s,burst={burst}/s,every=15s,for=2s"),
        };
        Some(Load::Open(text.parse::<Workload>().expect("a workload")))
    }

    /// Calls go to later deployments only, so they never go round.
    fn calls(&mut self, index: u32, count: u32) -> Option<CallsSpec> {
        if index + 1 == count || self.one_in(2) {
            return None;
        }
        let calls = self.up_to(1, 3);
        let to = (0..calls).map(|_| format!("d{}", self.up_to(index + 1, count - 1))).collect();
        let order = if self.one_in(2) { Order::Parallel } else { Order::Sequence };
        let retries = self.up_to(0, 2) as u16;
        Some(CallsSpec { to, order, retries, backoff: self.between(1, 500) })
    }

    fn faults(&mut self, until: Duration) -> DeploymentFaults {
        if self.one_in(4) {
            return DeploymentFaults::default();
        }
        let mut probability =
            |most: f64| if self.one_in(2) { 0.0 } else { rng::unit(&mut self.0) * most };
        let mut faults = DeploymentFaults {
            start_fails: probability(0.6),
            start_hangs: probability(0.3),
            request_hangs: probability(0.05),
            answer_late: probability(0.3),
            answer_lost: probability(0.01),
            answer_error: probability(0.2),
            answer_nan: probability(0.2),
            ..DeploymentFaults::default()
        };
        faults.answer_delay = Some(self.distribution(3_000));
        faults.crash_every = self.one_in(2).then(|| self.between(500, 20_000));
        if self.one_in(3) {
            let half = until / 2;
            faults.windows.push(Window { from: half, to: until.max(half + half / 2) });
            faults.windows.retain(|window| window.from < window.to);
        }
        faults
    }
}
