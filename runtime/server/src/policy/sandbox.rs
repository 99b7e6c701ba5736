//! What stands behind a policy: nothing that could make it decide differently twice.
//!
//! A Rust guest with `std` imports a part of `wasi:cli`. It is linked, but there are no arguments,
//! no environment, no files and no sockets; the clocks stand still, random numbers have a fixed
//! seed, and waiting is a trap. What a policy prints to standard error is kept for the message when
//! it panics.

use crate::wasm::memory::{MemoryLimit, Parts};
use std::time::Duration;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi::p2::bindings::sync::io::streams::StreamError;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView,
};

/// Instructions one call may take, roughly: a tenth of a second of work. A call of the built-in
/// policies takes some ten thousand.
pub const FUEL_PER_CALL: u64 = 100_000_000;
/// Instructions one replay may take in all: a few seconds of work for at most 4,096 calls.
pub const FUEL_PER_REPLAY: u64 = 20 * FUEL_PER_CALL;
/// Linear memory of one policy, shared by all its scalers, each of which takes about a kilobyte.
const MEMORY_BYTES_MAX: usize = 64 << 20;
const TABLE_ELEMENTS_MAX: usize = 20_000;
/// Parts of one component.
const PARTS_MAX: Parts = Parts { instances: 50, tables: 20, memories: 5 };
const RESOURCES_MAX: usize = 10_000;
/// Scalers of one instance.
const HANDLES_MAX: usize = 100_000;
const HOSTCALL_BYTES_MAX: usize = 8 << 20;
/// Bytes kept of what it prints.
const OUTPUT_BYTES_MAX: usize = 4 << 10;

/// The data of a policy's store.
pub struct Sandbox {
    wasi: WasiCtx,
    table: ResourceTable,
    stderr: MemoryOutputPipe,
    memory: MemoryLimit,
}

impl Sandbox {
    /// A store for one policy instance.
    pub fn store(engine: &Engine) -> Store<Sandbox> {
        let stderr = MemoryOutputPipe::new(OUTPUT_BYTES_MAX);
        let seed = || Deterministic::new(b"samovar".to_vec());
        let wasi = WasiCtxBuilder::new()
            .stderr(stderr.clone())
            .secure_random(seed())
            .insecure_random(seed())
            .insecure_random_seed(0)
            .wall_clock(StoppedClock)
            .monotonic_clock(StoppedClock)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let memory = MemoryLimit::new(MEMORY_BYTES_MAX, TABLE_ELEMENTS_MAX, PARTS_MAX);
        let mut store = Store::new(engine, Sandbox { wasi, table, stderr, memory });
        store.limiter(|sandbox| &mut sandbox.memory);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        store.set_max_component_handles(HANDLES_MAX);
        store
    }

    /// Bytes of linear memory in use.
    pub fn memory_bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// What the policy printed to standard error so far.
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&self.stderr.contents()).trim().to_owned()
    }
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// What policies are linked to.
///
/// # Errors
///
/// When two interfaces have the same name, which would be a mistake of ours.
pub fn linker(engine: &Engine) -> anyhow::Result<Linker<Sandbox>> {
    use wasmtime_wasi::p2::DynPollable;
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    // A policy that waits would hold up its thread without using fuel.
    linker.allow_shadowing(true);
    let mut poll = linker.instance("wasi:io/poll@0.2.12")?;
    poll.func_wrap("[method]pollable.block", |_, (_,): (Resource<DynPollable>,)| {
        Err::<(), _>(waiting())
    })?;
    poll.func_wrap("poll", |_, (_,): (Vec<Resource<DynPollable>>,)| {
        Err::<(Vec<u32>,), _>(waiting())
    })?;
    // These would start an async runtime to wait for a pipe that never makes anybody wait, which
    // panics on the thread of the control loops.
    let mut streams = linker.instance("wasi:io/streams@0.2.12")?;
    streams.func_wrap(
        "[method]output-stream.blocking-write-and-flush",
        |mut store: StoreContextMut<'_, Sandbox>, (stream, bytes): (Output, Vec<u8>)| {
            let written = store.data_mut().table.get_mut(&stream)?.write(bytes.into());
            Ok((written.map_err(|_| StreamError::Closed),))
        },
    )?;
    streams.func_wrap("[method]output-stream.blocking-flush", |_, (_,): (Output,)| {
        Ok((Ok::<(), StreamError>(()),))
    })?;
    Ok(linker)
}

type Output = Resource<DynOutputStream>;

fn waiting() -> wasmtime::Error {
    wasmtime::format_err!("a policy must not wait")
}

struct StoppedClock;

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for StoppedClock {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}
