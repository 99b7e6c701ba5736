//! How a worker measures its performance: the best of some rounds counts.
//!
//! Source: `Backend.__run_benchmark` of package `vastai` 1.9.1.

/// Work per second of a round.
pub fn throughput(work: f64, seconds: f64) -> f64 {
    work / seconds
}

/// The performance that counts: that of the best round.
pub fn best(throughputs: impl IntoIterator<Item = f64>) -> f64 {
    throughputs.into_iter().fold(0.0, f64::max)
}

/// Requests that were sent, and how they ended.
pub trait Server {
    /// Sends a request; true if it ended well.
    fn send(&mut self) -> bool;

    /// Seconds on its clock.
    fn now_s(&self) -> f64;
}

/// Runs rounds of `width` requests of `work` units each, after one to warm up if asked for. `None`
/// if all requests of a round failed, which ends the benchmark.
pub fn run(server: &mut impl Server, runs: u32, width: u32, work: f64) -> Option<f64> {
    let mut throughputs = Vec::new();
    for _ in 0..runs {
        let start_s = server.now_s();
        let good = (0..width).filter(|_| server.send()).count();
        if good == 0 {
            return None;
        }
        // Added one by one, as floats round then.
        let done = (0..good).map(|_| work).sum();
        throughputs.push(throughput(done, server.now_s() - start_s));
    }
    Some(best(throughputs))
}
