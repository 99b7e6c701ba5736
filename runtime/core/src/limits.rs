//! What one pool may do. Checked when the deployment's spec is read; the pool trusts it.

use std::time::Duration;

/// Bounds and times of one pool, as in Flyte's `ReusePolicy`, with a bounded queue in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Replicas kept while the pool is awake.
    pub min: u32,
    /// Replicas that may exist at once, draining ones not counted. At least 1, at least `min`.
    pub max: u32,
    /// Replicas started together when the pool wakes up or is made. At most `max`.
    pub initial: u32,
    /// Requests one replica serves at a time; with `batch`, batches. At least 1.
    pub concurrency: u32,
    /// A pool that served and queued nothing for this long is emptied, `min` included.
    pub idle_ttl: Option<Duration>,
    /// A replica must have been idle for this long before it is removed to reach a lower target.
    pub scaledown_ttl: Duration,
    /// Requests after which a replica is replaced. It finishes the last one. At least 1.
    pub max_requests: Option<u64>,
    /// Age after which a replica is replaced.
    pub max_age: Option<Duration>,
    /// How long a draining replica may take to finish its requests before they are cut.
    pub drain_timeout: Duration,
    /// Requests that may wait for a replica. At least 1: the one that wakes the pool waits.
    pub queue_max: u32,
    /// Whether requests are served in batches, and in which.
    pub batch: Option<BatchLimits>,
}

/// The largest batch there may be.
pub const BATCH_SIZE_MAX: u32 = 1024;

/// When requests that wait leave as a batch, as with Lightning's `max_batch_size` and
/// `timeout_batching`: as soon as there is a full one, or after some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most requests in a batch, 1 to [`BATCH_SIZE_MAX`]. A queue that may hold fewer makes a full
    /// batch when it is full.
    pub max_size: u32,
    /// After this time a batch leaves that is not full.
    pub timeout: Duration,
    /// From when `timeout` counts.
    pub since: BatchSince,
}

/// From when the time-out of a batch counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSince {
    /// From when the request came that has waited longest.
    Oldest,
    /// From when the previous batch left, as in Lightning: after a quiet spell a single request
    /// leaves at once. Before the first batch, from when the request came that waits longest.
    PreviousSend,
}

impl PoolLimits {
    /// Requests one replica may serve at a time, in batches or not: what policies are told.
    pub fn requests_at_once(&self) -> u32 {
        let in_one = self.batch.map_or(1, |batch| batch.max_size);
        self.concurrency.saturating_mul(in_one)
    }

    /// Asserts what the spec's validation promises.
    ///
    /// # Panics
    ///
    /// If a bound contradicts another one.
    pub fn assert_valid(&self) {
        assert!(self.max >= 1, "a pool may hold at least one replica");
        assert!(self.min <= self.max, "min is at most max");
        assert!(self.initial <= self.max, "initial is at most max");
        assert!(self.concurrency >= 1, "a replica serves at least one request");
        assert!(self.max_requests != Some(0), "a replica serves at least one request in its life");
        assert!(self.queue_max >= 1, "the request that wakes a pool waits");
        let size = self.batch.map_or(1, |batch| batch.max_size);
        assert!((1..=BATCH_SIZE_MAX).contains(&size), "a batch has 1 to 1024 requests");
    }
}

#[cfg(test)]
impl PoolLimits {
    /// Limits for tests: `min..max` replicas that serve one request each.
    pub(crate) fn sample(min: u32, max: u32) -> Self {
        PoolLimits {
            min,
            max,
            initial: min,
            concurrency: 1,
            idle_ttl: Some(Duration::from_secs(300)),
            scaledown_ttl: Duration::from_secs(30),
            max_requests: None,
            max_age: None,
            drain_timeout: Duration::from_secs(30),
            queue_max: 100,
            batch: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the request that wakes a pool waits")]
    fn a_pool_without_a_queue_could_never_wake() {
        PoolLimits { queue_max: 0, ..PoolLimits::sample(0, 1) }.assert_valid();
    }

    #[test]
    #[should_panic(expected = "at least one request in its life")]
    fn a_replica_that_may_serve_nothing_is_refused() {
        PoolLimits { max_requests: Some(0), ..PoolLimits::sample(0, 1) }.assert_valid();
    }

    #[test]
    #[should_panic(expected = "a batch has 1 to 1024 requests")]
    fn an_empty_batch_is_refused() {
        let batch = BatchLimits { max_size: 0, timeout: Duration::ZERO, since: BatchSince::Oldest };
        PoolLimits { batch: Some(batch), ..PoolLimits::sample(0, 1) }.assert_valid();
    }

    #[test]
    fn a_replica_may_have_a_batch_in_each_of_its_places() {
        let batch = BatchLimits { max_size: 8, timeout: Duration::ZERO, since: BatchSince::Oldest };
        let limits = PoolLimits { concurrency: 3, ..PoolLimits::sample(0, 1) };
        assert_eq!(limits.requests_at_once(), 3);
        assert_eq!(PoolLimits { batch: Some(batch), ..limits }.requests_at_once(), 24);
    }

    #[test]
    #[should_panic(expected = "min is at most max")]
    fn a_minimum_above_the_maximum_is_refused() {
        PoolLimits::sample(2, 1).assert_valid();
    }
}
