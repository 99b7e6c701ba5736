//! Abstract work as rates, for policies that count work instead of requests.

use crate::observation::Work;
use crate::time::Timestamp;

/// Sums up work between looks. One unit is whatever handlers and workers make it; a policy only
/// compares units with units.
#[derive(Clone, Debug, Default)]
pub struct WorkMeter {
    arrived: f64,
    served: f64,
    rejected: f64,
    cancelled: f64,
    looked: Option<Timestamp>,
}

impl WorkMeter {
    /// A request with this much work arrived, whatever becomes of it.
    ///
    /// # Panics
    ///
    /// If `units` is negative, infinite or not a number, like the next three: whoever reads what a
    /// worker reported must have refused that.
    pub fn arrived(&mut self, units: f64) {
        self.arrived += checked(units);
    }

    /// A request with this much work was served.
    ///
    /// # Panics
    ///
    /// See [`WorkMeter::arrived`].
    pub fn served(&mut self, units: f64) {
        self.served += checked(units);
    }

    /// A request with this much work was refused.
    ///
    /// # Panics
    ///
    /// See [`WorkMeter::arrived`].
    pub fn rejected(&mut self, units: f64) {
        self.rejected += checked(units);
    }

    /// The caller of a request with this much work went away.
    ///
    /// # Panics
    ///
    /// See [`WorkMeter::arrived`].
    pub fn cancelled(&mut self, units: f64) {
        self.cancelled += checked(units);
    }

    /// Rates since the last look, in units per second; the next look starts here. `capacity` is
    /// what all replicas together can do, where it is known. None, and nothing is forgotten, if no
    /// time has passed. So it is at the first look, as nobody knows how long ago work began to
    /// come; what came before it is counted at the second.
    ///
    /// # Panics
    ///
    /// If `capacity` is negative, infinite or not a number.
    pub fn look(&mut self, now: Timestamp, capacity: Option<f64>) -> Option<Work> {
        let capacity = capacity.map(checked);
        let looked = *self.looked.get_or_insert(now);
        let seconds = now.since(looked).as_secs_f64();
        if seconds == 0.0 {
            return None;
        }
        // Reports that are each finite may add up to infinity, which no policy could use.
        let rate = |units: f64| (units / seconds).min(f64::MAX);
        let work = Work {
            offered: rate(self.arrived),
            served: rate(self.served),
            rejected: rate(self.rejected),
            cancelled: rate(self.cancelled),
            capacity,
        };
        *self = WorkMeter { looked: Some(now), ..WorkMeter::default() };
        Some(work)
    }
}

fn checked(units: f64) -> f64 {
    assert!(units.is_finite() && units >= 0.0, "work is a finite amount, not {units}");
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A meter that was looked at.
    fn meter(now: Timestamp) -> WorkMeter {
        let mut meter = WorkMeter::default();
        assert_eq!(meter.look(now, Some(1.0)), None);
        meter
    }

    #[test]
    fn rates_are_since_the_last_look() {
        let mut meter = meter(Timestamp::from_millis(1_000));
        meter.arrived(10.0);
        meter.arrived(2.5);
        meter.served(4.0);
        meter.rejected(1.0);
        meter.cancelled(0.5);
        let expected = Work {
            offered: 25.0,
            served: 8.0,
            rejected: 2.0,
            cancelled: 1.0,
            capacity: Some(30.0),
        };
        assert_eq!(meter.look(Timestamp::from_millis(1_500), Some(30.0)), Some(expected));
        let nothing = Work { capacity: None, ..Work::default() };
        assert_eq!(meter.look(Timestamp::from_millis(2_500), None), Some(nothing));
    }

    #[test]
    fn a_look_at_once_forgets_nothing() {
        let mut meter = meter(Timestamp::ZERO);
        meter.arrived(3.0);
        assert_eq!(meter.look(Timestamp::ZERO, None), None);
        let work = meter.look(Timestamp::from_millis(2_000), None).expect("time has passed");
        assert_eq!(work.offered, 1.5);
        meter.served(1.0);
        assert_eq!(meter.look(Timestamp::from_millis(1_000), None), None, "time went back");
        let work = meter.look(Timestamp::from_millis(3_000), None).expect("time has passed");
        assert_eq!(work.served, 1.0);
    }

    #[test]
    fn what_came_before_the_first_look_is_counted_at_the_second() {
        let mut meter = WorkMeter::default();
        meter.arrived(3.0);
        assert_eq!(meter.look(Timestamp::from_millis(60_000), None), None);
        meter.arrived(1.0);
        let work = meter.look(Timestamp::from_millis(62_000), None).expect("time has passed");
        assert_eq!(work.offered, 2.0);
    }

    #[test]
    fn a_rate_is_finite() {
        let mut meter = meter(Timestamp::ZERO);
        meter.arrived(f64::MAX);
        meter.arrived(f64::MAX);
        let work = meter.look(Timestamp::from_nanos(1), None).expect("time has passed");
        assert_eq!(work.offered, f64::MAX);
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            let adds: [fn(&mut WorkMeter, f64); 5] = [
                WorkMeter::arrived,
                WorkMeter::served,
                WorkMeter::rejected,
                WorkMeter::cancelled,
                |meter, capacity| {
                    meter.look(Timestamp::ZERO, Some(capacity));
                },
            ];
            for add in adds {
                let added = std::panic::catch_unwind(|| {
                    add(&mut WorkMeter::default(), bad);
                });
                assert!(added.is_err(), "{bad} was taken");
            }
        }
    }
}
