//! Reports on simulations: tables for people, JSON and CSV for programs, pictures for both.
//!
//! All take several runs side by side, as when policies are compared under one workload.

mod decisions;
mod grid;
mod json;
mod plot;
mod rows;
mod table;

pub use decisions::{Decided, decisions_svg, decisions_table};
pub use json::json;
pub use plot::{PlotError, WIDTH, png, svg};
pub use rows::csv;
pub use table::table;
