//! How long one batch takes that has the server for itself.

use anyhow::{Result, ensure};
use samovar_tests::Samovar;

use super::{Batching, deploy, load};
use crate::numbers::Spread;

const TIMES: usize = 51;
/// No batch leaves before it is full.
const TIMEOUT_MS: u64 = 60_000;

/// Microseconds that a request takes which fills a batch of `size` on an idle server: it waits for
/// nothing else. That is the one of the batch that is answered soonest after it was sent.
///
/// # Errors
///
/// When a request fails.
pub async fn alone(samovar: &Samovar, deployment: &str, size: u32) -> Result<Spread> {
    deploy(samovar, deployment, 1, Batching { size, timeout_ms: TIMEOUT_MS }).await;
    let mut shortest_us = Vec::new();
    for _ in 0..TIMES {
        let report = load(samovar, deployment, size as usize).once().await;
        let failure = report.first_failure.as_deref().unwrap_or_default();
        ensure!(report.failed == 0, "{deployment}: {failure}");
        shortest_us.push(f64::from(report.latencies_us[0]));
    }
    Ok(Spread::of(shortest_us))
}
