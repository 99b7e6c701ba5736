//! Benchmarks: what a request costs the server, cold starts, and changes under load.
//!
//! The yardstick is the CPU time of the server process per request, as a ratio to a bare hyper
//! server measured in the same run. Ratios hold on other machines; absolute numbers do not.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "talking to a person is the job")]

pub mod bars;
pub mod baselines;
pub mod batching;
pub mod calls;
pub mod change;
pub mod cold;
pub mod compare;
pub mod cost;
pub mod density;
pub mod frame;
pub mod growth;
pub mod instructions;
pub mod keyvalue;
pub mod loadgen;
pub mod many;
pub mod memory;
pub mod neighbour;
pub mod numbers;
pub mod paced;
pub mod policies;
pub mod process;
pub mod proxy;
pub mod report;
pub mod response;
pub mod scale;
pub mod simulate;
pub mod ticks;
pub mod truth;
pub mod turns;
pub mod warm;
