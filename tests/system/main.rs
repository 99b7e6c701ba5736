//! System tests: what the `samovar` binary promises, checked from outside.

mod admin;
mod cli;
mod cli_projects;
mod crash;
mod data;
mod durability;
mod limits;
mod limits_http;
mod policies;
mod policies_bad;
mod pool;
mod pool_life;
mod serving;
mod spec;
mod startup;
mod support;
mod upload;
mod upload_bombs;
