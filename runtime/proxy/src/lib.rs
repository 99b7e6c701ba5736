//! Samovar's HTTP/1.1 client towards native replicas: pooled connections, streaming both ways.
//!
//! One [`Upstream`] stands for one replica, reached over TCP or a Unix socket. The task that sends
//! a request also drives its connection, so a request costs no task, no task switch and no timer.
//! Only where a replica answers before it has the whole request does the connection get a task, so
//! that both directions go on independently.
//!
//! This crate does not choose replicas, repeat requests, or bound how long one takes: dropping the
//! future of [`Upstream::send`] or the [`Answer`] ends a request and closes its connection.

mod address;
mod answer;
mod error;
pub mod headers;
mod idle;
mod outgoing;
mod request;
mod socket;
mod upstream;
mod wire;

pub use address::Address;
pub use answer::Answer;
pub use error::{BodyError, SendError, SendFailure};
pub use upstream::{Counts, Options, Upstream};
