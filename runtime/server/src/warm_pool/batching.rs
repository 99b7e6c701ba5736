//! Requests that leave together.

use super::WarmPool;
use super::slot::{Granted, Inner, Waiter};
use crate::calls::Running;
use crate::clock;
use crate::dispatch::Item;
use crate::wasm::replica::SyncInstance;
use samovar_core::pool::{Arrival, Batches, Health, Member, Outcome, Refusal, Ticket};
use samovar_core::replica::Lease;
use samovar_core::time::Timestamp;
use std::sync::Arc;

/// A request in the queue that leaves with others. Dropping it leaves the queue, if it is still
/// there.
pub struct Ticketed {
    pool: Arc<WarmPool>,
    ticket: Ticket,
}

impl Ticketed {
    /// Leaves the queue. False if it is not there any more.
    pub fn leave(&self) -> bool {
        let mut inner = self.pool.inner.lock();
        let has_left = inner.pool.cancel(self.ticket, clock::now()).is_some();
        self.pool.settle(inner);
        has_left
    }
}

impl Drop for Ticketed {
    fn drop(&mut self) {
        self.leave();
    }
}

impl WarmPool {
    /// A request arrives that is served with others.
    ///
    /// # Errors
    ///
    /// It and the reason, if it may not wait.
    pub fn arrive_for_batch(
        self: &Arc<Self>,
        item: Box<Item>,
        now: Timestamp,
    ) -> Result<Ticketed, (Box<Item>, Refusal)> {
        let mut item = Some(item);
        let mut inner = self.inner.lock();
        let waiter = || Waiter::InBatch(item.take().expect("asked for once"));
        let arrival = inner.pool.arrive(waiter, now);
        self.settle(inner);
        match arrival {
            Arrival::Queued(ticket) => Ok(Ticketed { pool: Arc::clone(self), ticket }),
            Arrival::Refused(refusal) => Err((item.expect("only asked for if it waits"), refusal)),
            Arrival::Assigned(_) => unreachable!("a pool that batches assigns nothing singly"),
        }
    }

    /// A batch has ended. `instance` is what served it, if it may serve on; `again` waits once
    /// more, each request alone.
    pub fn finish_batch(
        &self,
        lease: Lease,
        instance: Option<Box<SyncInstance>>,
        ends: &[(Timestamp, Outcome)],
        again: Vec<Member<Box<Item>>>,
        health: Health,
    ) {
        let mut inner = self.inner.lock();
        let orphan = inner.put_back(lease, instance);
        let waits = |member: Member<Box<Item>>| {
            let Member { waiter, ticket, arrived } = member;
            Member { waiter: Waiter::InBatch(waiter), ticket, arrived }
        };
        let again = again.into_iter().map(waits).collect();
        inner.pool.retry_batch(lease, ends, again, health, clock::now());
        self.settle(inner);
        drop(orphan);
    }

    /// What was sent in batches; none if requests go alone.
    pub fn batches(&self) -> Option<Batches> {
        self.inner.lock().pool.batches().cloned()
    }

    pub(super) fn serve_batch(
        &self,
        granted: Granted,
        members: Vec<Member<Waiter>>,
        running: Option<Arc<Running>>,
    ) {
        let (Some(batches), Some(this)) = (&self.settings.batches, self.this.upgrade()) else {
            return; // The pool itself is being dropped.
        };
        let item = |member: Member<Waiter>| {
            let Member { waiter, ticket, arrived } = member;
            let Waiter::InBatch(waiter) = waiter else {
                unreachable!("all requests of a pool that batches are items")
            };
            Member { waiter, ticket, arrived }
        };
        let members = members.into_iter().map(item).collect();
        self.shared.runtime.spawn(Arc::clone(batches).serve(this, granted, members, running));
    }

    /// Looks at the batches again when the next one is due.
    pub(super) fn set_timer(&self, inner: &mut Inner) {
        let Some(due) = inner.pool.batch_due() else { return };
        if inner.flush_at.is_some_and(|at| at <= due) {
            return;
        }
        inner.flush_at = Some(due);
        let pool = self.this.clone();
        self.shared.runtime.spawn(async move {
            tokio::time::sleep(due.since(clock::now())).await;
            let Some(pool) = pool.upgrade() else { return };
            let mut inner = pool.inner.lock();
            if inner.flush_at == Some(due) {
                inner.flush_at = None;
            }
            inner.pool.flush(clock::now());
            pool.settle(inner);
        });
    }
}
