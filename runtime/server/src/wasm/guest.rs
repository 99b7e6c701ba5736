//! What stands behind one instance: its limits, its WASI context, its output.
//!
//! A guest gets standard streams that go to the log, clocks and random numbers. It has no files, no
//! sockets and no outbound HTTP.

use super::memory::{MemoryLimit, Parts};
use super::replica::Vitals;
use crate::logs::{GuestOutput, LogStream};
use http::HeaderName;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx,
    WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// Bytes one host call may move. A body chunk has at most 1 MiB.
const HOSTCALL_BYTES_MAX: usize = 32 << 20;
/// Component-model handles one instance may hold.
const HANDLES_MAX: usize = 20_000;
/// Host resources (bodies, headers, pollables) one instance may hold.
const RESOURCES_MAX: usize = 20_000;
/// Parts of one component; Python's have a few dozen instances.
const PARTS_MAX: Parts = Parts { instances: 200, tables: 100, memories: 20 };
/// Elements of all tables together. Large interpreters need tens of thousands.
const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Random bytes one call may ask for.
const RANDOM_BYTES_MAX: u64 = 1 << 20;
/// Header maps take more memory than on the wire; what is on the wire is checked elsewhere.
const FIELD_SIZE_FACTOR: usize = 4;

/// What one instance may use.
#[derive(Clone, Debug)]
pub struct GuestLimits {
    /// Bytes of linear memory.
    pub memory_bytes: usize,
    /// CPU time for one request.
    pub cpu_time: Duration,
    /// Bytes of response headers.
    pub response_headers_bytes: usize,
    /// Environment variables the guest sees.
    pub env: Vec<(String, String)>,
}

/// The data of one instance's store.
pub struct Guest {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    memory: MemoryLimit,
}

impl Guest {
    /// A store for one instance, with all its limits set. `output` takes what it prints.
    pub fn store(
        engine: &Engine,
        limits: &GuestLimits,
        output: &GuestOutput,
        meter: Arc<Vitals>,
    ) -> Store<Guest> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let mut wasi = WasiCtxBuilder::new();
        wasi.envs(&limits.env)
            .stdout(output.stream(LogStream::Stdout))
            .stderr(output.stream(LogStream::Stderr))
            .max_random_size(RANDOM_BYTES_MAX)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.response_headers_bytes.saturating_mul(FIELD_SIZE_FACTOR));
        let guest = Guest {
            table,
            wasi: wasi.build(),
            http,
            hooks: Hooks,
            memory: MemoryLimit::new(limits.memory_bytes, TABLE_ELEMENTS_MAX, PARTS_MAX),
        };
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        store.set_max_component_handles(HANDLES_MAX);
        store.set_epoch_deadline(1);
        let budget = limits.cpu_time;
        store.epoch_deadline_callback(move |_| Ok(next_deadline(&meter, budget)));
        store
    }
}

/// What happens when an instance has run for an epoch: others get their turn, and it is stopped
/// when its budget is spent.
fn next_deadline(meter: &Vitals, budget: Duration) -> UpdateDeadline {
    if meter.used() > budget {
        meter.note_exceeded();
        return UpdateDeadline::Interrupt;
    }
    // Epochs also pass while an instance waits. Then it has not run long enough to give way.
    if meter.in_this_turn() < super::engine::EPOCH {
        return UpdateDeadline::Continue(1);
    }
    UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// What a guest may do over HTTP: answer. Outbound requests are denied.
struct Hooks;

/// Made once; the default makes one for each request.
static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> =
    LazyLock::new(|| Arc::new(|name: &HeaderName| DEFAULT_FORBIDDEN_HEADERS.contains(name)));

type SentRequest = wasmtime_wasi_http::Result<(
    http::Response<WasiBody>,
    Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send>,
)>;

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::clone(&FORBIDDEN)
    }

    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _done: Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send>,
    ) -> Box<dyn Future<Output = SentRequest> + Send> {
        Box::new(async { Err(wasmtime_wasi_http::Error::HttpRequestDenied) })
    }
}
