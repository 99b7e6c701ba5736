//! Native replicas of Samovar: groups of processes that are started, watched and ended without
//! leaving anything behind.
//!
//! A [`Warden`], one per server, starts [`Replica`]s from [`ReplicaPlan`]s. Which replicas there
//! should be, and what they are asked, is decided elsewhere.
//!
//! Nothing is left behind, because several nets lie over each other:
//! - Each member leads a session of its own; its process group is killed as a whole.
//! - The kernel kills members when the server ends (`PR_SET_PDEATHSIG`).
//! - All descendants inherit a mark in the environment, [`VARIABLE`], by which they are found
//!   wherever they went, and a second one in a limit, which stays when that is cleaned.
//! - Orphans come to the server (`PR_SET_CHILD_SUBREAPER`), even those that cleaned their
//!   environment.
//! - The [`keeper`], a process of its own, ends what is left of a server that was killed.
//! - [`Warden::end_leftovers`] does the same at the next start.
//!
//! No signal is ever sent to a number alone: a process is known by its number and its start time.

mod census;
pub mod devices;
mod failure;
mod group;
pub mod keeper;
mod launch;
mod listening;
mod marker;
mod output;
mod owners;
mod plan;
mod ports;
mod probe;
mod ready;
mod replica;
mod spawn;
mod sweep;
mod table;
mod tag;
mod warden;

pub use census::Usage;
pub use failure::Failure;
pub use launch::check;
pub use marker::VARIABLE;
pub use output::{Output, Stream};
pub use plan::{Asked, Endpoint, Keep, Liveness, MemberPlan, ReadyWhen, ReplicaPlan};
pub use ports::Lease;
pub use replica::Replica;
pub use sweep::Leftover;
pub use warden::{Warden, WardenOptions};
