//! Tests, one file per subject. `world` is the simple model: who holds what and who is queued, with
//! all schedules tried; `owner` is what the server does, with both a world and a graph.

mod cost;
mod examples;
mod exhaustive;
mod histories;
mod owner;
mod world;
