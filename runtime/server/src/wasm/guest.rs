//! What stands behind one instance: its limits, its WASI context, its output.
//!
//! A guest gets standard streams that go to the log, clocks and random numbers. It has no files and
//! no sockets; whom it may call over HTTP its deployment says.

use super::calling;
use super::component::HandlerCode;
use super::memory::{MemoryLimit, Parts};
use super::replica::{Vitals, heavy};
use super::surroundings::Surroundings;
use crate::calls::Running;
use crate::logs::{GuestOutput, LogStream};
use http::HeaderName;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;
use wasmtime::component::{GuestTaskId, ResourceTable};
use wasmtime::{Store, UpdateDeadline};
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
#[derive(Clone)]
pub struct GuestLimits {
    /// Bytes of linear memory.
    pub memory_bytes: usize,
    /// CPU time for one request.
    pub cpu_time: Duration,
    /// Bytes of response headers.
    pub response_headers_bytes: usize,
    /// Environment variables the guest sees, secrets among them.
    pub env: Vec<(String, String)>,
}

/// The data of one instance's store.
pub struct Guest {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    memory: MemoryLimit,
    /// The requests that are being served, where that are many, by the guest's task.
    tasks: HashMap<GuestTaskId, Weak<Running>>,
    /// Stays loaded as long as the instance lives.
    _code: Arc<HandlerCode>,
    /// Numbers it reports, and what it prints.
    pub(super) output: GuestOutput,
}

impl Guest {
    /// A store for one instance, with all its limits set. `output` takes what it prints.
    pub fn store(
        code: &Arc<HandlerCode>,
        limits: &GuestLimits,
        surroundings: Arc<Surroundings>,
        output: &GuestOutput,
        meter: Arc<Vitals>,
        is_async: bool,
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
            hooks: Hooks { surroundings, running: None, is_async },
            memory: MemoryLimit::new(limits.memory_bytes, TABLE_ELEMENTS_MAX, PARTS_MAX),
            tasks: HashMap::new(),
            _code: Arc::clone(code),
            output: output.clone(),
        };
        let mut store = Store::new(&code.engine, guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        store.set_max_component_handles(HANDLES_MAX);
        store.set_epoch_deadline(1);
        let budget = limits.cpu_time;
        store.epoch_deadline_callback(move |_| Ok(next_deadline(&meter, budget)));
        store
    }

    /// The one request, or batch, that is being served, if it may call others.
    pub fn serve(&mut self, running: Option<Arc<Running>>) {
        self.hooks.running = running;
    }

    /// A request that the guest serves in this task.
    pub fn serve_in(&mut self, task: GuestTaskId, running: &Arc<Running>) {
        if self.tasks.len() >= self.tasks.capacity() {
            self.tasks.retain(|_, running| running.strong_count() > 0);
        }
        self.tasks.insert(task, Arc::downgrade(running));
    }

    /// What the guest does next it does for the request of this task.
    pub fn act_for(&mut self, task: Option<GuestTaskId>) {
        self.hooks.running = task.and_then(|task| self.tasks.get(&task)?.upgrade());
    }

    /// What it may reach.
    pub fn surroundings(&self) -> &Arc<Surroundings> {
        &self.hooks.surroundings
    }

    /// Its resources.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

/// What happens when an instance has run for an epoch: others get their turn, and it is stopped
/// when its budget is spent.
fn next_deadline(meter: &Vitals, budget: Duration) -> UpdateDeadline {
    if meter.used() > budget {
        meter.note_exceeded();
        return UpdateDeadline::Interrupt;
    }
    // Epochs also pass while an instance waits. Then it has not run long enough to give way, unless
    // it would wait on and on.
    if meter.in_this_turn() < super::engine::EPOCH && !heavy::is_starved() {
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

/// What a guest may do over HTTP.
struct Hooks {
    surroundings: Arc<Surroundings>,
    /// The request that makes the next call, if it may.
    running: Option<Arc<Running>>,
    /// Whether calls are made in the guest's own task.
    is_async: bool,
}

/// Made once; the default makes one for each request.
static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> =
    LazyLock::new(|| Arc::new(|name: &HeaderName| DEFAULT_FORBIDDEN_HEADERS.contains(name)));

type Sent = Box<dyn Future<Output = wasmtime_wasi_http::Result<()>> + Send>;
type SentRequest = wasmtime_wasi_http::Result<(http::Response<WasiBody>, Sent)>;

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::clone(&FORBIDDEN)
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _done: Sent,
    ) -> Box<dyn Future<Output = SentRequest> + Send> {
        let (reach, running) = (Arc::clone(&self.surroundings), self.running.clone());
        let answer = calling::send(reach, running, request, options.unwrap_or_default());
        let nothing_left = || -> Sent { Box::new(async { Ok(()) }) };
        if !self.is_async {
            return Box::new(async move { Ok((answer.await?, nothing_left())) });
        }
        // In a task of its own, or what it does would count as the guest's own time.
        let answer = wasmtime_wasi::runtime::spawn(answer);
        Box::new(async move { Ok((answer.await?, nothing_left())) })
    }
}
