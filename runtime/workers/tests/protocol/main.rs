//! What workers say, what becomes of it, and what others try.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;
mod life;
mod members;
mod random;
mod say;
mod vectors;
