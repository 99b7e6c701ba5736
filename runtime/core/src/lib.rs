//! What Samovar decides, apart from how it is carried out.
//!
//! Everything here is synchronous and deterministic: no clock, no randomness, no I/O, no async, no
//! logging. Functions that depend on time take `now` as their last argument. The server calls a
//! [`pool::Pool`] in place, from the task of the connection, under that pool's own short lock;
//! there is no central loop on the path of a request.

#![forbid(unsafe_code)]

pub mod calls;
pub mod device;
pub mod gang;
pub mod histogram;
pub mod limits;
pub mod observation;
pub mod pool;
pub mod replica;
pub mod ring;
pub mod route;
pub mod series;
pub mod share;
pub mod target;
pub mod tick;
pub mod time;
pub mod work;
