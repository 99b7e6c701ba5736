//! Tells listeners about each request of a deployment, for `samovar record`.
//!
//! Nobody listens as a rule; then it costs one load per request.

use crate::clock;
use parking_lot::Mutex;
use samovar_core::time::Timestamp;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::broadcast;

/// Events a slow listener may be behind before it loses the oldest.
const BEHIND_MAX: usize = 1 << 15;

/// What happened to a request.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// It arrived.
    Arrived {
        /// Tells it from others.
        id: u64,
        /// When.
        at: Timestamp,
    },
    /// It has ended.
    Ended {
        /// Which one.
        id: u64,
        /// How long a replica worked on it; none if it got none.
        service: Option<Duration>,
    },
}

/// One deployment's requests, for those who listen.
#[derive(Default)]
pub struct Recorder {
    is_on: AtomicBool,
    next_id: AtomicU64,
    sender: Mutex<Option<broadcast::Sender<Event>>>,
}

/// A request that is being recorded. Its end is told when this is dropped.
pub struct Recording {
    sender: broadcast::Sender<Event>,
    id: u64,
    granted: Option<Timestamp>,
}

impl Recorder {
    /// Listens from now on, until the receiver is dropped.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        let mut sender = self.sender.lock();
        let receiver = sender.get_or_insert_with(|| broadcast::channel(BEHIND_MAX).0).subscribe();
        self.is_on.store(true, Relaxed);
        receiver
    }

    /// A request has arrived. None if nobody listens.
    pub fn arrived(&self, at: Timestamp) -> Option<Recording> {
        if !self.is_on.load(Relaxed) {
            return None;
        }
        let mut sender = self.sender.lock();
        let listened = sender.as_ref().filter(|sender| sender.receiver_count() > 0).cloned();
        let Some(live) = listened else {
            *sender = None;
            self.is_on.store(false, Relaxed);
            return None;
        };
        let id = self.next_id.fetch_add(1, Relaxed);
        // The last listener may leave in this moment.
        _ = live.send(Event::Arrived { id, at });
        Some(Recording { sender: live, id, granted: None })
    }
}

impl Recording {
    /// It got a replica.
    pub fn granted(&mut self) {
        self.granted = Some(clock::now());
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let service = self.granted.map(|granted| clock::now().since(granted));
        _ = self.sender.send(Event::Ended { id: self.id, service });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_while_somebody_listens() {
        let recorder = Recorder::default();
        assert!(recorder.arrived(Timestamp::ZERO).is_none());
        let mut events = recorder.listen();
        let mut request = recorder.arrived(Timestamp::from_millis(7)).unwrap();
        request.granted();
        drop(request);
        drop(recorder.arrived(Timestamp::from_millis(8)).unwrap());
        let Ok(Event::Arrived { id: 0, at }) = events.try_recv() else { panic!("its arrival") };
        assert_eq!(at, Timestamp::from_millis(7));
        assert!(matches!(events.try_recv(), Ok(Event::Ended { id: 0, service: Some(_) })));
        assert!(matches!(events.try_recv(), Ok(Event::Arrived { id: 1, .. })));
        assert!(matches!(events.try_recv(), Ok(Event::Ended { id: 1, service: None })));
        drop(events);
        assert!(recorder.arrived(Timestamp::ZERO).is_none());
        assert!(!recorder.is_on.load(Relaxed));
    }
}
