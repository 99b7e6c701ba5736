//! Pure models of Vast.ai's worker: what a worker counts, admits, signs and measures.
//!
//! The host has workers of its own kind, so [`scale`](samovar_sdk::Policy::scale) shares only the
//! waiting time and the way performance is measured with these. They state the protocol
//! exactly, for three generations of the worker's public code, and answer its vectors.
//!
//! Sources: package `vastai` 1.9.1 (`serverless/server`), `vast-ai/pyworker` at 910f6f2 and
//! `vast-ai/vast-pyworker` at 42cc75e.

pub mod accounting;
pub mod accounting_2024;
pub mod benchmark;
pub mod desk;
pub mod handler;
pub mod hello;
pub mod signature;
pub mod tokens;

/// Work of a request whose handler cannot say better.
pub const DEFAULT_WORKLOAD: f64 = 100.0;

/// Least performance that waiting is divided by.
const PERF_MIN: f64 = 0.000_01;

/// Seconds in which workers of `perf` units per second do `work` units. Before a benchmark, with a
/// performance of 0, any work takes very long.
pub fn wait_time_s(work: f64, perf: f64) -> f64 {
    work / perf.max(PERF_MIN)
}
