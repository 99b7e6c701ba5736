//! What load to expect. Vast.ai's own forecast is closed; this one is ours.

use samovar_sdk::blocks::Ewma;

/// How many times longer the half-life of the far average is.
const FAR: f64 = 4.0;

/// Expects the load to go on as the difference of two averages says.
///
/// An average lags behind a steady rise by a known time, so two with different half-lives give the
/// slope and the present level. The far average is the least that is expected: what was needed a
/// moment ago may be needed again, and a gap between two bursts is not the end of the work.
#[derive(Debug, Clone)]
pub struct Forecast {
    near: Ewma,
    far: Ewma,
    /// Requests per second, to know the work of one.
    arrivals: Ewma,
    horizon_s: f64,
}

impl Forecast {
    /// A forecast for the load `horizon_s` seconds ahead.
    pub fn new(half_life_s: f64, horizon_s: f64) -> Self {
        Self {
            near: Ewma::new(half_life_s),
            far: Ewma::new(half_life_s * FAR),
            arrivals: Ewma::new(half_life_s),
            horizon_s,
        }
    }

    /// Adds what came in the last `seconds`: work and requests, both per second.
    pub fn record(&mut self, offered: f64, arrived: f64, seconds: f64) {
        self.near.record(offered, seconds);
        self.far.record(offered, seconds);
        self.arrivals.record(arrived, seconds);
    }

    /// Load expected in units per second, at least 0; none before anything was measured.
    pub fn load(&self) -> Option<f64> {
        let (near, far) = (self.near.get()?, self.far.get()?);
        let slope = (near - far) / (self.far.lag_s() - self.near.lag_s());
        let ahead = near + slope * (self.near.lag_s() + self.horizon_s);
        Some(ahead.max(far).max(0.0))
    }

    /// Mean work of the requests that came of late; none if none did.
    pub fn work_per_request(&self) -> Option<f64> {
        let work = self.near.get()? / self.arrivals.get()?;
        (work.is_finite() && work > 0.0).then_some(work)
    }
}

#[cfg(test)]
mod tests {
    use super::Forecast;

    fn after(loads: impl IntoIterator<Item = f64>) -> f64 {
        let mut forecast = Forecast::new(10.0, 10.0);
        for load in loads {
            forecast.record(load, load / 100.0, 1.0);
        }
        forecast.load().unwrap()
    }

    #[test]
    fn steady_load_is_expected_to_stay() {
        assert!((after([300.0; 600]) - 300.0).abs() < 1e-6);
        assert!((after([300.0]) - 300.0).abs() < 1e-6);
    }

    #[test]
    fn steady_rise_is_expected_to_go_on() {
        let expected = after((0..2000).map(f64::from));
        assert!((expected - 2010.0).abs() < 1.5, "{expected}");
    }

    #[test]
    fn step_is_followed_soon_and_overshot_a_little() {
        let step = |seconds| after([0.0; 600].into_iter().chain(vec![100.0; seconds]));
        assert!(step(15) > 85.0, "{}", step(15));
        let most = (1..300).map(step).fold(0.0, f64::max);
        assert!(most < 125.0, "{most}");
        let gone = |seconds| after([100.0; 600].into_iter().chain(vec![0.0; seconds]));
        assert!((gone(40) - 50.0).abs() < 1.0, "half is remembered for a far half-life");
        assert!(gone(400) < 0.2);
    }

    #[test]
    fn work_of_a_request_is_known_from_the_past() {
        let mut forecast = Forecast::new(10.0, 0.0);
        assert_eq!(forecast.work_per_request(), None);
        forecast.record(500.0, 2.0, 1.0);
        forecast.record(0.0, 0.0, 30.0);
        assert!((forecast.work_per_request().unwrap() - 250.0).abs() < 1e-6);
    }
}
