//! The one place where the server reads a clock.
//!
//! Decisions in `samovar-core` take times as arguments; whoever calls them asks here, once per event.

use samovar_core::time::Timestamp;
use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Now, on the monotonic clock that all decisions use. It starts at the first call.
pub fn now() -> Timestamp {
    let nanos = START.elapsed().as_nanos();
    Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Now, in milliseconds since the Unix epoch, for people to read and never for decisions.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
