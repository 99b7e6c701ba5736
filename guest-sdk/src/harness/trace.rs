//! What happens in a run: settings of the deployment, and steps of requests.

use std::{ops::RangeInclusive, rc::Rc, time::Duration};

use super::{CsvError, Run, csv, host, millis};
use crate::{Limits, Observation, Policy};

/// Replicas, requests and times for a policy to be tried out on; see [the module](super).
///
/// Without any call: one question per second, limits of 0 to 10, one request at a time per replica,
/// 1000 waiting places, replicas that are ready at once, that go as soon as they are idle and too
/// many, and requests of one second. Settings hold for the whole run; requests are added one after
/// the other. Times are whole milliseconds.
#[derive(Clone)]
pub struct Trace {
    pub(super) interval_ms: u64,
    pub(super) limits: Limits,
    pub(super) startup_ms: u64,
    pub(super) scaledown_ms: u64,
    pub(super) service_ms: u64,
    pub(super) initial: u32,
    pub(super) fixed: Option<u32>,
    pub(super) steps: Vec<Step>,
    pub(super) edits: Vec<Edit>,
}

pub(super) type Edit = Rc<dyn Fn(&mut Observation)>;

/// What the requests do for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    pub length_ms: u64,
    pub load: Load,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Load {
    /// So many are inside.
    Level(u32),
    /// So many arrive per second, evenly spaced.
    Rate(f64),
}

impl Trace {
    /// A trace without requests.
    pub fn new() -> Self {
        Self {
            interval_ms: 1000,
            limits: Limits { min: 0, max: 10, concurrency: 1, queue_max: 1000 },
            startup_ms: 0,
            scaledown_ms: 0,
            service_ms: 1000,
            initial: 0,
            fixed: None,
            steps: Vec::new(),
            edits: Vec::new(),
        }
    }

    /// The time between two questions. Default: 1 s. The first one is asked at 0 s; a policy can
    /// bring the next one forward with [`Decision::next_tick_ms`](crate::Decision::next_tick_ms).
    ///
    /// # Panics
    ///
    /// When it is less than a millisecond.
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval_ms = millis(interval);
        assert!(self.interval_ms > 0, "the interval must be at least 1 ms");
        self
    }

    /// Fewest and most replicas. Default: `0..=10`.
    ///
    /// # Panics
    ///
    /// When the range is empty.
    pub fn limits(mut self, replicas: RangeInclusive<u32>) -> Self {
        assert!(!replicas.is_empty(), "the limits must hold at least one number");
        (self.limits.min, self.limits.max) = replicas.into_inner();
        self
    }

    /// Requests one replica serves at a time. Default: 1.
    ///
    /// # Panics
    ///
    /// When it is 0.
    pub fn concurrency(mut self, requests: u32) -> Self {
        assert!(requests > 0, "a replica must serve at least one request");
        self.limits.concurrency = requests;
        self
    }

    /// Requests that may wait; further ones are refused and counted as rejected. Default: 1000.
    pub fn queue_max(mut self, requests: u32) -> Self {
        self.limits.queue_max = requests;
        self
    }

    /// How long a replica takes to become ready. Default: no time at all.
    pub fn startup(mut self, time: Duration) -> Self {
        self.startup_ms = millis(time);
        self
    }

    /// How long a replica must have been idle before it goes, when there are more than the target.
    /// The host's `scaledown_ttl`. Default: no time at all.
    pub fn scaledown_after(mut self, idle: Duration) -> Self {
        self.scaledown_ms = millis(idle);
        self
    }

    /// How long a replica works on each request that [arrives](Trace::arrivals). Default: 1 s.
    ///
    /// # Panics
    ///
    /// When it is less than a millisecond.
    pub fn service_time(mut self, time: Duration) -> Self {
        self.service_ms = millis(time);
        assert!(self.service_ms > 0, "requests must take at least 1 ms");
        self
    }

    /// Replicas that are ready from the beginning. Default: none.
    pub fn starts_with(mut self, replicas: u32) -> Self {
        self.initial = replicas;
        self
    }

    /// Opens the loop: `replicas` are ready all the time, whatever the policy decides. The targets
    /// of the run are what the host would have made of the decisions.
    pub fn fixed(mut self, replicas: u32) -> Self {
        self.fixed = Some(replicas);
        self
    }

    /// From here on for `length`: exactly so many requests are inside, waiting or being served.
    ///
    /// Those that come at its beginning count as arrived, those that go as completed. Nobody knows
    /// how long they took, so there is no latency.
    pub fn requests(self, length: Duration, inside: u32) -> Self {
        self.step(length, Load::Level(inside))
    }

    /// From here on for `length`: requests arrive evenly spaced, the first one after half a gap.
    /// They are served first come, first served, and outlive the step.
    ///
    /// # Panics
    ///
    /// When `per_second` is negative or not finite.
    pub fn arrivals(self, length: Duration, per_second: impl Into<f64>) -> Self {
        let rate = per_second.into();
        assert!(rate.is_finite() && rate >= 0.0, "so many arrivals per second: {rate}");
        self.step(length, Load::Rate(rate))
    }

    /// From here on for `length`: no new requests. Those that arrived before are finished.
    pub fn quiet(self, length: Duration) -> Self {
        self.step(length, Load::Rate(0.0))
    }

    /// Adds a recording. The first line names the columns: `at_s` and either `requests` (inside at
    /// that time) or `arrivals_per_s`; others are ignored, and so are empty lines and those that
    /// begin with `#`. A row holds until the next one, the last one for as long as the row before
    /// it (a single one for one interval). The first row is where the recording begins.
    ///
    /// ```
    /// # use samovar_sdk::harness::{Trace, seconds};
    /// # #[derive(serde::Deserialize)]
    /// # struct Mine;
    /// # impl samovar_sdk::SimplePolicy for Mine {
    /// #     const NAME: &'static str = "mine";
    /// #     fn scale(&mut self, _: f64, metrics: &samovar_sdk::Metrics) -> f64 {
    /// #         metrics.pending_requests
    /// #     }
    /// # }
    /// let recorded = "\
    /// at_s,requests
    /// 0,1
    /// 60,4
    /// 90,0
    /// ";
    /// let run = Trace::new().csv(recorded)?.run(&mut Mine);
    /// assert_eq!(run.course(), "1@0s 4@60s 0@90s");
    /// assert_eq!(run.ticks.len(), 120);
    /// # Ok::<(), samovar_sdk::harness::CsvError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When a column is missing, a number is none, or times do not go forward.
    pub fn csv(mut self, text: &str) -> Result<Self, CsvError> {
        self.steps.extend(csv::steps(text, self.interval_ms)?);
        Ok(self)
    }

    /// Changes each observation before the policy sees it, for what the harness knows nothing of:
    /// custom series, work, failures, latencies.
    ///
    /// ```
    /// # use samovar_sdk::{Sample, harness::Trace};
    /// let trace = Trace::new().edit(|seen| {
    ///     let load = if seen.now_ms < 30_000 { 0.2 } else { 0.9 };
    ///     seen.custom.push(Sample { name: "gpu_load".into(), value: load });
    /// });
    /// ```
    pub fn edit(mut self, change: impl Fn(&mut Observation) + 'static) -> Self {
        self.edits.push(Rc::new(change));
        self
    }

    /// Plays the trace to its end. Give it a policy that was asked nothing yet, or
    /// [`Run::assert_replays`] has nothing to compare with.
    ///
    /// As in the real host a number that is not finite leaves the target as it is. A panic of the
    /// policy goes through, so that the test fails where it happened.
    ///
    /// # Panics
    ///
    /// When the trace has no steps.
    pub fn run<P: Policy>(&self, policy: &mut P) -> Run {
        assert!(!self.steps.is_empty(), "the trace has no steps");
        host::play(self, policy)
    }

    fn step(mut self, length: Duration, load: Load) -> Self {
        self.steps.push(Step { length_ms: millis(length), load });
        self
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}
