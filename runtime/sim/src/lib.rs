//! Warm pools and policies under virtual time.
//!
//! The simulator runs the very pool and the very arithmetic of targets that the server runs
//! (`samovar-core`), and asks policies through [`Scaler`], behind which the server puts the real
//! components in their sandbox. Only requests, instances and the clock are simulated. One seed
//! gives one outcome, bit for bit.

pub mod arrivals;
pub mod distribution;
pub mod outcome;
pub mod rng;
pub mod scaler;
pub mod spec;
mod text;
pub mod trace;

pub use scaler::Scaler;
