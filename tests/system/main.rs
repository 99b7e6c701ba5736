//! System tests: what the `samovar` binary promises, checked from outside.

mod support;
mod upload;
mod upload_bombs;
mod spec;
mod serving;
mod pool;
mod pool_life;
mod limits;
mod limits_http;
mod policies;
mod policies_bad;
