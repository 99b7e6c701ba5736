//! From a load to a number of workers, as far as Vast.ai documents it.
//!
//! Source: `guides/serverless/serverless-parameters.mdx` and `managing-scale.mdx` of
//! `vast-ai/docs` at c624622. Load is in units of work per second.

use crate::worker::wait_time_s;

/// The documented controls of an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Load that active workers must at least cover.
    pub min_load: f64,
    /// Part of the active capacity that the expected load should use.
    pub target_util: f64,
    /// Total capacity, active and in reserve, as a multiple of the active capacity.
    pub cold_mult: f64,
    /// Total capacity wanted whatever the load.
    pub min_cold_load: f64,
    /// Fewest workers, active and in reserve.
    pub cold_workers: u32,
    /// Most workers, active and in reserve.
    pub max_workers: u32,
    /// Seconds of waiting from which workers are added hard.
    pub target_queue_time: f64,
    /// Seconds without requests after which no worker need be active: none or 0 for no such
    /// condition, negative for never.
    pub inactivity_timeout: Option<f64>,
}

impl Default for Rule {
    /// Controls that control nothing: no floor, no headroom, no reserve, no cap, no waiting.
    fn default() -> Self {
        Self {
            min_load: 0.0,
            target_util: 1.0,
            cold_mult: 1.0,
            min_cold_load: 0.0,
            cold_workers: 0,
            max_workers: u32::MAX,
            target_queue_time: f64::INFINITY,
            inactivity_timeout: None,
        }
    }
}

/// What the workers are to be counted for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Demand {
    /// Load expected soon.
    pub forecast: f64,
    /// Work that waits for a worker, in units.
    pub waiting: f64,
    /// Seconds since there was anything to do; none while there is.
    pub idle_s: Option<f64>,
}

/// Performance of workers in units per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fleet<'a> {
    /// Of the workers there are, best first.
    pub perfs: &'a [f64],
    /// Of those that can serve, all together.
    pub serving: f64,
    /// Of a worker that would be added. Above 0.
    pub next: f64,
}

/// How many workers, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Count {
    /// Load the active workers are to cover.
    pub load: f64,
    /// Seconds that new work would wait.
    pub queue_s: f64,
    /// Workers for the load.
    pub active: u32,
    /// Workers with the reserve, within the bounds.
    pub total: u32,
}

/// A sum of capacities that lacks no more than this part is enough; floats do not add up exactly.
const ENOUGH: f64 = 1e-9;

impl Rule {
    /// Active capacity for an expected load, with the headroom that `target_util` leaves.
    pub fn active_capacity(&self, load: f64) -> f64 {
        load / self.target_util
    }

    /// Headroom as a part of the load: 0.25 for a `target_util` of 0.8.
    pub fn spare(&self) -> f64 {
        self.active_capacity(1.0) - 1.0
    }

    /// Capacity of active workers and reserve. The larger reserve counts.
    pub fn total_capacity(&self, active_capacity: f64) -> f64 {
        (active_capacity * self.cold_mult).max(self.min_cold_load).max(active_capacity)
    }

    /// Whether the endpoint may be without active workers after that long without requests.
    pub fn may_be_inactive(&self, idle_s: f64) -> bool {
        let gate_is_open = match self.inactivity_timeout {
            None => true,
            Some(timeout_s) => timeout_s >= 0.0 && idle_s >= timeout_s,
        };
        self.min_load <= 0.0 && gate_is_open
    }

    /// Fewest workers after that long without requests.
    pub fn min_total(&self, idle_s: f64) -> u32 {
        self.cold_workers.max(u32::from(!self.may_be_inactive(idle_s))).min(self.max_workers)
    }

    /// The cap on active workers and reserve together.
    pub fn capped(&self, total: u32) -> u32 {
        total.min(self.max_workers)
    }

    /// The number of workers for a demand.
    ///
    /// Where the engine is closed this is our choice: waiting work that would take longer than
    /// `target_queue_time` is to be done within that time, on top of the load.
    pub fn count(&self, demand: Demand, fleet: Fleet<'_>) -> Count {
        let queue_s = match demand.waiting > 0.0 {
            true => wait_time_s(demand.waiting, fleet.serving),
            false => 0.0,
        };
        let mut load = demand.forecast.max(self.min_load);
        if queue_s > self.target_queue_time {
            load += demand.waiting / self.target_queue_time;
        }
        let (mut active, mut capacity) = fleet.workers_for(self.active_capacity(load));
        if active == 0 && !demand.idle_s.is_some_and(|idle_s| self.may_be_inactive(idle_s)) {
            (active, capacity) = (1, fleet.perfs.first().copied().unwrap_or(fleet.next));
        }
        let (total, _) = fleet.workers_for(self.total_capacity(capacity));
        let total = self.capped(total.max(active).max(self.cold_workers));
        Count { load, queue_s, active, total }
    }
}

impl Fleet<'_> {
    /// How many workers it takes to have that capacity, best first, and what they have together.
    fn workers_for(&self, capacity: f64) -> (u32, f64) {
        let enough = capacity * (1.0 - ENOUGH);
        let mut sum = 0.0;
        for (index, perf) in self.perfs.iter().enumerate() {
            if sum >= enough {
                return (index as u32, sum);
            }
            sum += perf;
        }
        if sum >= enough {
            return (self.perfs.len() as u32, sum);
        }
        let more = ((enough - sum) / self.next).ceil();
        ((self.perfs.len() as f64 + more) as u32, sum + more * self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, Demand, Fleet, Rule};

    fn count(rule: &Rule, forecast: f64) -> Count {
        let demand = Demand { forecast, ..Demand::default() };
        rule.count(demand, Fleet { perfs: &[], serving: 0.0, next: 100.0 })
    }

    #[test]
    fn capacity_is_load_over_target() {
        let rule = Rule { target_util: 0.9, ..Rule::default() };
        assert_eq!(count(&rule, 900.0).active, 10, "1000 units, floats notwithstanding");
        assert_eq!(count(&rule, 901.0).active, 11);
        assert_eq!(count(&Rule::default(), 0.0).active, 1, "there are requests");
    }

    #[test]
    fn best_workers_count_first() {
        let fleet = Fleet { perfs: &[300.0, 100.0, 50.0], serving: 450.0, next: 150.0 };
        let count = |forecast| {
            let demand = Demand { forecast, ..Demand::default() };
            Rule::default().count(demand, fleet).active
        };
        assert_eq!([count(300.0), count(301.0), count(450.0)], [1, 2, 3]);
        assert_eq!([count(451.0), count(600.0), count(601.0)], [4, 4, 5]);
    }

    #[test]
    fn largest_reserve_wins_and_the_cap_is_hard() {
        let rule = Rule { cold_mult: 2.0, min_cold_load: 300.0, ..Rule::default() };
        assert_eq!(count(&rule, 100.0).total, 3);
        assert_eq!(count(&rule, 200.0).total, 4);
        assert_eq!(count(&Rule { cold_workers: 7, ..rule.clone() }, 200.0).total, 7);
        assert_eq!(count(&Rule { max_workers: 3, ..rule }, 200.0).total, 3);
    }

    #[test]
    fn long_queue_is_load() {
        let rule = Rule { target_queue_time: 10.0, ..Rule::default() };
        let count = |waiting, serving| {
            let demand = Demand { forecast: 100.0, waiting, idle_s: None };
            rule.count(demand, Fleet { perfs: &[], serving, next: 100.0 })
        };
        assert_eq!(count(2000.0, 200.0).load, 100.0, "ten seconds are the target");
        assert_eq!(count(2001.0, 200.0).load, 300.1);
        assert_eq!(count(1.0, 0.0).load, 100.1, "nobody serves");
        assert_eq!(count(0.0, 0.0).queue_s, 0.0);
    }
}
