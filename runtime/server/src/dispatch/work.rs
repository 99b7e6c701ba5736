//! How much work requests are, for deployments whose policy wants to know.

use super::answer::Failure;
use super::body::{full, read};
use crate::deployment::{WorkTally, Workload};
use http::Request;
use samovar_core::pool::Outcome;
use std::sync::Arc;
use std::time::Duration;
use wasmtime_wasi_http::WasiBody;

/// Bytes of a body that are looked into for its work; a larger one counts the default.
const LOOKED_INTO_MAX: u64 = 1 << 20;

/// The work of one request. Dropped without an end, it was refused.
pub struct Units {
    tally: Arc<WorkTally>,
    units: f64,
    is_open: bool,
}

impl Units {
    /// A request arrived with this much work.
    pub fn new(tally: &Arc<WorkTally>, units: f64) -> Self {
        tally.meter.lock().arrived(units);
        Units { tally: Arc::clone(tally), units, is_open: true }
    }

    /// The request has ended on a replica.
    pub fn ended(mut self, outcome: Outcome) {
        self.is_open = false;
        let mut meter = self.tally.meter.lock();
        match outcome {
            Outcome::Completed => meter.served(self.units),
            Outcome::Cancelled => meter.cancelled(self.units),
            Outcome::Failed => {}
        }
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        if self.is_open {
            self.tally.meter.lock().rejected(self.units);
        }
    }
}

/// Measures a request. Its body is read for that only if the number is in there; it may take
/// `longest` to come.
pub async fn measure(
    workload: &Workload,
    tally: &Arc<WorkTally>,
    request: Request<WasiBody>,
    longest: Duration,
) -> Result<(Units, Request<WasiBody>), Failure> {
    let length = http_body::Body::size_hint(request.body()).exact();
    let is_short = length.is_some_and(|length| length <= LOOKED_INTO_MAX);
    if !workload.reads_body() || !is_short {
        let units = workload.units(request.headers(), None);
        return Ok((Units::new(tally, units), request));
    }
    let (parts, body) = request.into_parts();
    let body = read(body, longest).await?;
    let units = workload.units(&parts.headers, Some(&body));
    Ok((Units::new(tally, units), Request::from_parts(parts, full(body))))
}
