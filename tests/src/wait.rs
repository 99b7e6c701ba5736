//! Waiting for something to become true. Every wait has a deadline and says what it waited for.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long anything may take before a test gives up. Generous on purpose: tests share two cores
/// with compilers of large guests, and a passing test never waits this long.
pub const DEADLINE: Duration = Duration::from_secs(120);

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Asks `probe` until it answers, and returns the answer.
///
/// # Panics
/// When [`DEADLINE`] has passed without one.
pub async fn eventually<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(DEADLINE, what, probe).await
}

/// Like [`eventually`], for what would happen after a longer time even if it went wrong.
///
/// # Panics
/// When `deadline` has passed without an answer.
pub async fn eventually_within<T>(
    deadline: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    let give_up = Instant::now() + deadline;
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(Instant::now() < give_up, "waited {deadline:?} in vain: {what}");
        sleep(POLL_INTERVAL).await;
    }
}

/// The result of `work`, which must end within [`DEADLINE`].
///
/// # Panics
/// When it does not.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match timeout(DEADLINE, work).await {
        Ok(result) => result,
        Err(_) => panic!("took longer than {DEADLINE:?}: {what}"),
    }
}
