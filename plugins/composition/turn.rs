//! Stands for work that keeps a processor busy, without keeping one busy: requests of an instance
//! take turns, and the others wait. Shared by `driver` and `model`.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use samovar_sdk::config;
use wasip3::clocks::monotonic_clock;

/// When all turns so far are over, in nanoseconds of the monotonic clock.
static FREE_AT: AtomicU64 = AtomicU64::new(0);

/// Waits until those who came before are done, and then for `time`.
pub async fn take(time: Duration) {
    if time.is_zero() {
        return;
    }
    // One instance has one thread, so nothing comes between reading and writing.
    let start = FREE_AT.load(Ordering::Relaxed).max(monotonic_clock::now());
    let end = start.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    FREE_AT.store(end, Ordering::Relaxed);
    monotonic_clock::wait_until(end).await;
}

/// A time such as `200ms` in the deployment's `config`; none if it is not there.
///
/// # Errors
///
/// What is wrong with it.
pub fn configured(key: &str) -> Result<Duration, String> {
    let Some(text) = config::get(key) else { return Ok(Duration::ZERO) };
    humantime::parse_duration(&text).map_err(|error| format!("`{key}` is {text:?}: {error}"))
}
