//! The pool's rules, one fact per test, and its invariants under random operations.
//!
//! The tables run a [`script`] against one pool and compare what it did, line by line. The
//! properties run random operations in a [`world`] that knows only what the pool's owner knows.

mod batch_ends;
mod batching;
mod closing;
mod crashes;
mod dispatch;
mod external;
mod holding;
mod leaving;
mod life;
mod lightning;
mod manual;
mod observing;
mod one_more;
mod properties;
mod room;
mod scaling;
mod script;
mod shedding;
mod sleep;
mod spent;
mod starts;
mod wake;
mod world;
