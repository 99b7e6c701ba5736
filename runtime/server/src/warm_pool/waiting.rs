//! What becomes of a request that arrives, and waiting in the queue.

use super::WarmPool;
use super::slot::Granted;
use crate::clock;
use samovar_core::calls::CallId;
use samovar_core::pool::{Refusal, Ticket};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What became of an arriving request.
pub enum Admission {
    /// It is served now.
    Granted(Granted),
    /// It waits.
    Waiting(Waiting),
    /// It is refused.
    Refused(Refusal),
}

/// A request in the queue. Dropping it leaves the queue.
pub struct Waiting {
    pub(super) pool: Arc<WarmPool>,
    pub(super) ticket: Ticket,
    /// The call it is, if another deployment makes it.
    pub(super) call: Option<CallId>,
    pub(super) receiver: Option<oneshot::Receiver<Result<Granted, Refusal>>>,
}

impl Waiting {
    /// Waits for a replica, at most for `longest`. `None` when the time is over.
    pub async fn wait(mut self, longest: Duration) -> Option<Result<Granted, Refusal>> {
        let receiver = self.receiver.as_mut().expect("only taken when dropped");
        match tokio::time::timeout(longest, receiver).await {
            Ok(answer) => {
                self.receiver = None;
                Some(answer.unwrap_or(Err(Refusal::Closed)))
            }
            // Dropping `self` leaves the queue, or gives back what came in this very moment.
            Err(_) => None,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(mut receiver) = self.receiver.take() else {
            return;
        };
        // Before its place in the queue is free, or that of a replica.
        self.pool.tell_ended(self.call);
        let mut inner = self.pool.inner.lock();
        if inner.pool.cancel(self.ticket, clock::now()).is_none() {
            receiver.close();
            if let Ok(Ok(granted)) = receiver.try_recv() {
                inner.give_back(granted);
            }
        }
        self.pool.settle(inner);
    }
}
