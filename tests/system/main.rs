//! System tests: what the `samovar` binary promises, checked from outside.
//!
//! They need `target/release/samovar` and the guests in `target/components`; `cargo xtask test`
//! builds both first. Each test has a server and a data folder of its own, so they run side by side;
//! most of their time they wait, so more threads than cores are faster:
//!
//! ```text
//! cargo test --release -p samovar-tests --test system -- --test-threads 6 pool::
//! SAMOVAR_TEST_SEED=7 cargo test --release -p samovar-tests --test system -- crash::
//! ```

#![allow(clippy::print_stdout, reason = "the test runner shows it with a failure")]

mod admin;
mod batching;
mod batching_bad;
mod batching_native;
mod calls;
mod calls_forged;
mod calls_inherit;
mod calls_loops;
mod calls_storm;
mod capabilities;
mod capabilities_kv;
mod capabilities_life;
mod capabilities_secrets;
mod cli;
mod cli_projects;
mod cold_start;
mod crash;
mod data;
mod durability;
mod fleet;
mod limits;
mod limits_http;
mod loads_connections;
mod loads_http2;
mod loads_idle;
mod loads_pipelining;
mod loads_slow;
mod loads_soak;
mod loads_vanish;
mod manual;
mod manual_load;
mod manual_ready;
mod native;
mod native_bad;
mod native_cli;
mod native_devices;
mod native_examples;
mod native_faults;
mod native_gang;
mod native_gang_kinds;
mod native_kill;
mod native_life;
mod native_loop;
mod native_stream;
mod outbound;
mod outbound_addresses;
mod outbound_limits;
mod overrides;
mod policies;
mod policies_bad;
mod policy_crash;
mod policy_promote;
mod policy_replay;
mod policy_rollback;
mod policy_shadow;
mod policy_trial;
mod pool;
mod pool_life;
mod record;
mod schemas;
mod schemas_docs;
mod serving;
mod simulate;
mod simulate_bad;
mod spec;
mod startup;
mod support;
mod upload;
mod upload_bombs;
mod worker;
mod worker_bad;
mod worker_external;
mod worker_vast;
