//! The loop of the load balancer that makes batches.

use std::collections::{BTreeSet, VecDeque};

use serde::Deserialize;
use serde_json::{Value, json};

use super::rounded;

/// Seconds between two looks at the waiting requests.
const POLL_S: f64 = 0.05;

/// What the recorded clock shows at the start; differences of times round like there.
const START_S: f64 = 1_000_000.0;

/// Seconds by which times may differ and count as one.
const SAME_S: f64 = 1e-9;

/// Requests that arrive at a balancer with these workers.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct Batcher {
    max_batch_size: usize,
    /// Seconds since the last batch after which one leaves that is not full.
    timeout_batching: f64,
    servers: Vec<String>,
    /// Seconds a worker needs for a batch.
    service_time: f64,
    /// Seconds, and the request.
    arrivals: Vec<(f64, Value)>,
    /// Seconds after which the loop is stopped.
    until: f64,
}

impl Default for Batcher {
    fn default() -> Self {
        Self {
            max_batch_size: 8,
            timeout_batching: 1.0,
            servers: vec!["s0".into()],
            service_time: 0.0,
            arrivals: Vec::new(),
            until: 10.0,
        }
    }
}

impl Batcher {
    pub(super) fn answer(mut self) -> Value {
        self.arrivals.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut arrivals = VecDeque::from(self.arrivals);
        // One batch is in flight per worker, so counting the free ones is enough.
        let mut free = self.servers.iter().collect::<BTreeSet<_>>().len();
        let mut busy_until_s: Vec<f64> = Vec::new();
        let mut waiting: VecDeque<Value> = VecDeque::new();
        // The first wait counts from when a request is first seen, later ones from the last batch.
        let mut waits_since_s = None;
        let mut batches = Vec::new();
        let mut offset_s = 0.0;
        loop {
            offset_s = rounded(offset_s + POLL_S, 9);
            while arrivals.front().is_some_and(|(at_s, _)| *at_s <= offset_s + SAME_S) {
                waiting.extend(arrivals.pop_front().map(|(_, request)| request));
            }
            let before = busy_until_s.len();
            busy_until_s.retain(|end_s| *end_s > offset_s + SAME_S);
            free += before - busy_until_s.len();
            if offset_s > self.until {
                return json!({"batches": batches, "left_waiting": waiting});
            }
            let now_s = START_S + offset_s;
            if self.max_batch_size == 0 || waiting.is_empty() {
                continue;
            }
            let is_late = now_s - *waits_since_s.get_or_insert(now_s) > self.timeout_batching;
            let is_full = waiting.len() >= self.max_batch_size;
            if free > 0 && (is_full || is_late) {
                free -= 1;
                busy_until_s.push(rounded(offset_s + self.service_time, 9));
                let batch = waiting.drain(..waiting.len().min(self.max_batch_size));
                batches.push((rounded(offset_s, 6), batch.collect::<Vec<_>>()));
                waits_since_s = Some(now_s);
            }
        }
    }
}
