//! Requests made by a description.

use super::profile::{Profile, Walk};
use super::{Arrival, Arrivals, timestamp};
use crate::distribution::exponential;
use crate::rng::Rng;
use crate::spec::DURATION_MAX;

/// How requests follow each other under a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// Evenly.
    Regular,
    /// Independently of each other.
    Poisson,
}

/// Requests that follow a [`Workload`](super::Workload).
#[derive(Clone, Debug)]
pub struct Generator {
    rng: Rng,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Profile { walk: Walk, process: Process },
    Heavy { at: f64, least: f64, alpha: f64 },
}

impl Generator {
    pub(super) fn profile(profile: Profile, process: Process, rng: Rng) -> Self {
        // Regular requests come in the middle of their time, so that any whole interval holds
        // exactly its share and none falls on its edge.
        let ahead = match process {
            Process::Regular => -0.5,
            Process::Poisson => 0.0,
        };
        Self { rng, source: Source::Profile { walk: Walk::new(profile, ahead), process } }
    }

    /// Times between requests are Pareto with this exponent and `1 / rate` on average.
    pub(super) fn heavy(rate: f64, alpha: f64, rng: Rng) -> Self {
        let least = (alpha - 1.0) / alpha / rate;
        Self { rng, source: Source::Heavy { at: 0.0, least, alpha } }
    }
}

impl Arrivals for Generator {
    #[inline]
    fn next(&mut self) -> Option<Arrival> {
        let at = match &mut self.source {
            Source::Profile { walk, process: Process::Regular } => walk.advance(1.0)?,
            Source::Profile { walk, process: Process::Poisson } => {
                walk.advance(exponential(&mut self.rng))?
            }
            Source::Heavy { at, least, alpha } => {
                let gap = *least * libm::exp(exponential(&mut self.rng) / *alpha);
                *at += gap.min(DURATION_MAX.as_secs_f64());
                *at
            }
        };
        Some(Arrival { at: timestamp(at), service_nanos: None })
    }
}
