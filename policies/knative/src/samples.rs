//! From observations to one sample per second, and to the averages of the two windows.

use samovar_sdk::{Observation, blocks::Buckets};

use crate::{Algorithm, Metric, Settings};

/// Width of a bucket: the pause between two scrapes of a pod.
const SECOND_MS: u64 = 1_000;
/// A tick that is early by up to this much counts as on time.
const EARLY_MS: u64 = 100;

/// How many of `pods` the original asks for their numbers each second: all up to three, then a
/// sample that is good for a mean (95 % confidence, `pkg/autoscaler/metrics/sample_size.go`).
///
/// The host measures all replicas, so live it makes no difference.
pub fn sample_size(pods: u32) -> u32 {
    const FACTOR: f64 = 1.96 * 1.96 * 100.0 / 25.0;
    let all = f64::from(pods);
    if pods <= 3 { pods } else { (all * FACTOR / (all + FACTOR - 1.0)).ceil() as u32 }
}

/// The samples of the metric that counts.
///
/// Seconds are counted from the first observation. An observation that ends a second gives it one
/// sample, the mean since the last sample; one that ends several gives each of them that mean, and
/// one that ends none is kept until the second is over.
#[derive(Debug)]
pub(crate) struct Samples {
    metric: Metric,
    /// Nothing but the activator reports: with a burst capacity of -1.
    activator_only: bool,
    stable: Buckets,
    panic: Buckets,
    stable_seconds: u64,
    /// Times of the first and the newest observation. None before.
    seen_ms: Option<(u64, u64)>,
    /// Newest second that has ended.
    second: u64,
    pending: Pending,
    /// Whether the newest sample was above zero.
    was_busy: bool,
}

/// What was observed since the last sample.
#[derive(Debug, Default)]
struct Pending {
    /// Of the metric over time, in milliseconds.
    integral: f64,
    span_ms: u64,
    has_data: bool,
}

impl Samples {
    pub(crate) fn new(settings: &Settings) -> Self {
        let stable_ms = settings.stable_window().as_millis() as u64;
        let panic_ms = settings.panic_window().as_millis() as u64;
        let buckets = |window_ms| match settings.algorithm {
            Algorithm::Linear => Buckets::linear(window_ms, SECOND_MS),
            Algorithm::WeightedExponential => Buckets::weighted(window_ms, SECOND_MS),
        };
        Self {
            metric: settings.metric,
            activator_only: settings.burst_capacity() == -1.0,
            stable: buckets(stable_ms),
            panic: buckets(panic_ms),
            stable_seconds: stable_ms.div_ceil(SECOND_MS),
            seen_ms: None,
            second: 0,
            pending: Pending::default(),
            was_busy: false,
        }
    }

    /// Takes in one observation. True when another second has ended, and for the first one.
    pub(crate) fn observe(&mut self, seen: &Observation) -> bool {
        let Some((first_ms, last_ms)) = self.seen_ms else {
            self.seen_ms = Some((seen.now_ms, seen.now_ms));
            let span_ms = if seen.since_ms > 0 { seen.since_ms } else { SECOND_MS };
            self.add(seen, span_ms);
            self.flush(0, 0);
            return true;
        };
        self.seen_ms = Some((first_ms, seen.now_ms.max(last_ms)));
        let span_ms = match seen.since_ms {
            0 => seen.now_ms.saturating_sub(last_ms),
            since_ms => since_ms,
        };
        self.add(seen, span_ms);
        let second = (seen.now_ms.saturating_sub(first_ms) + EARLY_MS) / SECOND_MS;
        if second <= self.second {
            return false;
        }
        // Seconds that have left the window again need no sample.
        let from = (self.second + 1).max((second + 1).saturating_sub(self.stable_seconds));
        self.second = second;
        self.flush(from, second);
        true
    }

    /// Makes sure that a request that has just come counts: the activator reports the first one
    /// at once, as one.
    pub(crate) fn first_request(&mut self) {
        if self.pending.has_data {
            self.flush(self.second, self.second);
        }
        if self.panic.average(self.now_ms()) == 0.0 {
            self.record(self.second, 1.0);
        }
    }

    /// The averages of the stable and the panic window. None without a sample in the stable one.
    pub(crate) fn averages(&self) -> Option<(f64, f64)> {
        let now_ms = self.now_ms();
        if self.stable.is_empty(now_ms) && !self.activator_only {
            return None;
        }
        Some((self.stable.average(now_ms), self.panic.average(now_ms)))
    }

    /// The newest second that has ended, as a time. This clock has no jitter.
    pub(crate) fn now_ms(&self) -> u64 {
        self.second * SECOND_MS
    }

    fn add(&mut self, seen: &Observation, span_ms: u64) {
        let requests = f64::from(seen.requests());
        let integral = match self.metric {
            Metric::Rps => seen.arrived as f64 * SECOND_MS as f64,
            Metric::Concurrency => {
                let queued = seen.queued_average.unwrap_or(f64::from(seen.queued));
                let ongoing = seen.ongoing_average.unwrap_or(f64::from(seen.ongoing));
                (queued + ongoing) * span_ms as f64
            }
        };
        if !(integral >= 0.0 && integral.is_finite()) {
            return;
        }
        let pods_report = seen.ready > 0 && !self.activator_only;
        self.pending.integral += integral;
        self.pending.span_ms += span_ms;
        self.pending.has_data |= pods_report || integral > 0.0 || requests > 0.0;
    }

    /// Gives the mean of what is pending to the seconds `from..=to`.
    fn flush(&mut self, from: u64, to: u64) {
        let Pending { integral, span_ms, has_data } = std::mem::take(&mut self.pending);
        let mean = if span_ms > 0 { integral / span_ms as f64 } else { 0.0 };
        // The activator reports one zero after the last request, then nothing.
        if has_data || (self.activator_only && self.was_busy) {
            (from..=to).for_each(|second| self.record(second, mean));
            self.was_busy = mean > 0.0;
        }
    }

    fn record(&mut self, second: u64, value: f64) {
        self.stable.record(second * SECOND_MS, value);
        self.panic.record(second * SECOND_MS, value);
    }
}
