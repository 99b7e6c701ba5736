//! Many clients that each send the same picture again and again.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::Scope,
    time::Duration,
};

use crate::{http::Http, ui};

/// First bytes of every PNG file.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// A client that fails does not try again at once: the log should stay readable.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What the clients counted together.
#[derive(Clone, Default)]
pub struct Tally {
    pub answered: u64,
    pub failed: u64,
    pub slowest: Duration,
    pub first_failure: Option<String>,
}

/// Running clients. Dropping it stops them, also when an error ends the demonstration.
pub struct Burst {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    tally: Mutex<Tally>,
}

impl Burst {
    /// Starts `clients` threads that POST `body`.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        clients: usize,
        address: &str,
        path: &'static str,
        body: &'scope [u8],
    ) -> Self {
        let shared = Arc::new(Shared::default());
        for _ in 0..clients {
            let (shared, mut http) = (Arc::clone(&shared), Http::new(address));
            scope.spawn(move || {
                while !shared.is_over.load(Ordering::Relaxed) {
                    if !shared.send(&mut http, path, body) {
                        ui::pause(PAUSE_AFTER_FAILURE);
                    }
                }
            });
        }
        Self { shared }
    }

    /// No further requests; those under way are still answered and counted.
    pub fn stop(&self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }

    pub fn tally(&self) -> Tally {
        self.shared.tally.lock().expect("clients do not panic").clone()
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Whether there was a good answer.
    fn send(&self, http: &mut Http, path: &str, body: &[u8]) -> bool {
        let started = ui::now();
        let failure = match http.send("POST", path, body) {
            Ok(reply) if reply.status == 200 && reply.body.starts_with(PNG) => None,
            Ok(reply) => {
                let text =
                    String::from_utf8_lossy(&reply.body).chars().take(200).collect::<String>();
                Some(format!("{} {text}", reply.status))
            }
            Err(error) => Some(error.to_string()),
        };
        let took = started.elapsed();
        let mut tally = self.tally.lock().expect("clients do not panic");
        tally.slowest = tally.slowest.max(took);
        let is_good = failure.is_none();
        if let Some(failure) = failure {
            tally.failed += 1;
            tally.first_failure.get_or_insert(failure);
        } else {
            tally.answered += 1;
        }
        is_good
    }
}
