//! Warm pools and policies under virtual time.
//!
//! The simulator runs the very pool and the very arithmetic of targets that the server runs
//! (`samovar-core`), and asks policies through [`Scaler`], behind which the server puts the real
//! components in their sandbox. Only requests, instances and the clock are simulated. One seed
//! gives one outcome, bit for bit.

pub mod arrivals;
mod calls;
mod check;
mod control;
pub mod crowd;
mod deployment;
mod digest;
pub mod distribution;
pub mod engine;
mod events;
pub mod explore;
pub mod faults;
mod machine;
pub mod outcome;
pub mod quantiles;
mod replicas;
pub mod report;
mod requests;
pub mod rng;
pub mod scaler;
pub mod scalers;
pub mod scenario;
mod serving;
pub mod spec;
mod tally;
mod text;
pub mod trace;

pub use engine::{Finished, Progress, Simulation, Violation};
pub use scaler::Scaler;
pub use scenario::Scenario;
