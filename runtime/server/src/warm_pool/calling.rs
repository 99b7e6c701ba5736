//! What a pool tells about the calls of its requests: who holds which place, and which places are
//! lost. All of it is said under the pool's lock, or the two could disagree.

use super::WarmPool;
use super::slot::{Inner, Waiter};
use crate::calls::Running;
use samovar_core::calls::{CallId, Extent, Place, PoolId};
use samovar_core::limits::PoolLimits;
use samovar_core::pool::{Leaving, Member, Pool};
use samovar_core::replica::Lease;
use std::sync::Arc;

impl WarmPool {
    /// Tells it from all other pools.
    pub fn id(&self) -> PoolId {
        self.id
    }

    /// How many requests, or batches, it serves at most, and with the replicas it has.
    pub fn extent(&self) -> Extent {
        self.extent_of(&self.inner.lock().pool)
    }

    fn extent_of(&self, pool: &Pool<Waiter>) -> Extent {
        let PoolLimits { max, concurrency, .. } = self.settings.limits;
        let counts = pool.counts();
        let present = counts.ready + counts.starting;
        let of = |replicas: u32| replicas.saturating_mul(concurrency);
        Extent { pool: self.id, capacity: of(max), places: of(present) }
    }

    /// The place of one request, or batch, on a replica.
    pub fn place_on(&self, lease: Lease) -> Place {
        Place { extent: self.extent(), replica: lease.id, units: 1 }
    }

    fn place_in(&self, pool: &Pool<Waiter>, lease: Lease) -> Place {
        Place { extent: self.extent_of(pool), replica: lease.id, units: 1 }
    }

    /// A call got a place.
    pub(super) fn tell_granted(&self, pool: &Pool<Waiter>, call: Option<CallId>, lease: Lease) {
        if let (Some(calls), Some(call)) = (&self.settings.calls, call) {
            calls.granted(call, self.place_in(pool, lease));
        }
    }

    /// A call got a place that it does not use any more.
    pub(super) fn tell_ended(&self, call: Option<CallId>) {
        if let (Some(calls), Some(call)) = (&self.settings.calls, call) {
            calls.ended(call);
        }
    }

    /// A batch got a place. What it is known as, if it may call others.
    pub(super) fn tell_batch(
        &self,
        pool: &Pool<Waiter>,
        members: &[Member<Waiter>],
        lease: Lease,
    ) -> Option<Arc<Running>> {
        let batches = self.settings.batches.as_ref()?;
        let ids = members.iter().filter_map(|member| match &member.waiter {
            Waiter::InBatch(item) => item.call(),
            Waiter::Alone(_, call) => *call,
        });
        let ids: Vec<_> = ids.collect();
        batches.start(&ids, self.place_in(pool, lease))
    }

    /// Says which replicas take no more requests, so that calls do not count on their places, nor
    /// those that wait for others. Answers which pools are short of a replica by that.
    pub(super) fn tell_leaving(&self, inner: &mut Inner) -> Vec<Arc<WarmPool>> {
        let mut short = Vec::new();
        let Some(calls) = &self.settings.calls else { return short };
        while let Some((lease, why)) = inner.pool.next_leaving() {
            match why {
                Leaving::Draining => calls.drains(self.id, lease.id),
                Leaving::Spent { idle } => {
                    short.extend(calls.spent(self.extent_of(&inner.pool), lease.id, idle));
                }
            }
        }
        short
    }

    pub(super) fn tell_gone(&self, lease: Lease) {
        if let Some(calls) = &self.settings.calls {
            calls.gone(self.id, lease.id);
        }
    }

    /// Looks whether calls that wait need one more replica somewhere.
    pub(super) fn review_calls(&self, pool: &Pool<Waiter>) -> Vec<Arc<WarmPool>> {
        match &self.settings.calls {
            Some(calls) if pool.counts().queued > 0 => calls.review(self.extent_of(pool)),
            Some(_) | None => Vec::new(),
        }
    }
}

impl Drop for WarmPool {
    fn drop(&mut self) {
        if let Some(calls) = &self.settings.calls {
            calls.remove_pool(self.id);
        }
    }
}
