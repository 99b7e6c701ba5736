//! Simulates and checks random scenarios.
//!
//! `cargo run --release -p samovar-sim --example explore [first seed] [seeds]`

#![allow(clippy::print_stdout, reason = "it reports to whoever runs it")]

use samovar_sim::explore::{Explored, explore};
use samovar_sim::scalers::native;
use std::ops::ControlFlow;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|text| text.parse::<u64>().ok());
    let first = numbers.next().unwrap_or(0);
    let seeds = first..first + numbers.next().unwrap_or(10_000);
    let mut report = |explored: &Explored| {
        if explored.seeds.is_multiple_of(10_000) {
            println!("{} seeds, {} violations", explored.seeds, explored.violations.len());
        }
        ControlFlow::Continue(())
    };
    let explored = explore(seeds, &mut native, &mut report).expect("all policies are there");
    for violation in &explored.violations {
        println!("{violation}");
    }
    println!(
        "{} seeds, {} requests, {} events, digest {:016x}, {} violations",
        explored.seeds,
        explored.requests,
        explored.events,
        explored.digest,
        explored.violations.len()
    );
}
