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
    /// Requests one replica serves at a time. At least 1.
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
}

impl PoolLimits {
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
    #[should_panic(expected = "min is at most max")]
    fn a_minimum_above_the_maximum_is_refused() {
        PoolLimits::sample(2, 1).assert_valid();
    }
}
