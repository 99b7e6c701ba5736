//! The requests of a trace, one after the other.

use std::sync::Arc;

use samovar_core::time::Timestamp;

use super::Series;
use crate::arrivals::{Arrival, Arrivals};
use crate::distribution::exponential;
use crate::rng::Rng;

/// Where in an interval its requests come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// At equal distances.
    #[default]
    Even,
    /// Independently of each other: a Poisson process that made as many requests as recorded.
    Poisson,
}

/// The requests that a trace recorded for one deployment.
#[derive(Clone, Debug)]
pub struct Replay {
    series: Arc<Series>,
    spread: Spread,
    rng: Rng,
    row: usize,
    /// Requests of this row that came.
    came: u32,
    /// The part of this row's interval after the last of them.
    rest: f64,
}

impl Replay {
    pub(super) fn new(series: Arc<Series>, spread: Spread, rng: Rng) -> Self {
        Self { series, spread, rng, row: 0, came: 0, rest: 1.0 }
    }
}

impl Arrivals for Replay {
    fn next(&mut self) -> Option<Arrival> {
        let (at, count, last) = match &*self.series {
            Series::Requests { at, service } => {
                let at = Timestamp::from_nanos(*at.get(self.row)?);
                let service = service.get(self.row).copied();
                self.row += 1;
                let service_nanos = service.filter(|nanos| *nanos != Series::NO_SERVICE);
                return Some(Arrival { at, service_nanos });
            }
            Series::Counts { at, count, last } => (at, count, *last),
        };
        while self.came == *count.get(self.row)? {
            self.row += 1;
            self.came = 0;
            self.rest = 1.0;
        }
        let (start, count) = (at[self.row], count[self.row]);
        let length = at.get(self.row + 1).map_or(last, |next| next - start);
        let offset = match self.spread {
            Spread::Even => {
                let odd = 2 * u128::from(self.came) + 1;
                (u128::from(length) * odd / (2 * u128::from(count))) as u64
            }
            Spread::Poisson => {
                // The least of n uniform numbers is 1 - u^(1/n); the next one is the least of the
                // others in what is left.
                let left = f64::from(count - self.came);
                self.rest *= libm::exp(-exponential(&mut self.rng) / left);
                ((1.0 - self.rest) * length as f64) as u64
            }
        };
        self.came += 1;
        Some(Arrival { at: Timestamp::from_nanos(start + offset), service_nanos: None })
    }
}
