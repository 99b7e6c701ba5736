//! Replicas made of real processes: small Python and shell programs that do what they should, or
//! do not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod ends;
mod fails;
mod gangs;
mod output;
mod starts;
mod support;
mod usage;
