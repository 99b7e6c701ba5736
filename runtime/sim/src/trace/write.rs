//! Writing traces.

use std::io;

use samovar_core::time::Timestamp;

use super::number::{Millis, Seconds};
use crate::arrivals::Arrival;

/// Writes requests as a trace that [`Trace::read`](super::Trace::read) reads, with the columns
/// `at_s`, `deployment` and `service_ms`.
pub struct TraceWriter<W: io::Write> {
    output: csv::Writer<W>,
    latest: Timestamp,
}

impl<W: io::Write> TraceWriter<W> {
    /// Starts a trace with its header.
    ///
    /// # Errors
    ///
    /// Those of `output`.
    pub fn new(output: W) -> io::Result<Self> {
        let mut output = csv::Writer::from_writer(output);
        output.write_record(["at_s", "deployment", "service_ms"])?;
        Ok(Self { output, latest: Timestamp::ZERO })
    }

    /// Adds a request of `deployment`.
    ///
    /// # Errors
    ///
    /// If it is before the one added last or `deployment` is empty, as such a trace could not be
    /// read; otherwise those of the output.
    pub fn record(&mut self, deployment: &str, arrival: &Arrival) -> io::Result<()> {
        let (before, at) = (self.latest.as_nanos(), arrival.at.as_nanos());
        if at < before {
            let reason = format!("time goes back from {} s to {} s", Seconds(before), Seconds(at));
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        if deployment.trim().is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "deployment is empty"));
        }
        self.latest = arrival.at;
        let service = arrival.service_nanos.map(|nanos| Millis(nanos).to_string());
        let at = Seconds(at).to_string();
        self.output.write_record([&at, deployment, service.as_deref().unwrap_or("")])?;
        Ok(())
    }

    /// Writes what is still held back and returns the output.
    ///
    /// # Errors
    ///
    /// Those of the output.
    pub fn finish(self) -> io::Result<W> {
        self.output.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}
