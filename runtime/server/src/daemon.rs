//! The server's life: set up, serve, drain, stop.

use crate::admin::{self, Admin};
use crate::clock;
use crate::config::{LogFormat, ServerConfig};
use crate::control::{Control, Setup};
use crate::ingress::Ingress;
use crate::library::Library;
use crate::native::{self, Native};
use crate::policy::Program;
use crate::spec::DEFAULT_POLICY;
use crate::store::{self, Store};
use crate::wasm::compile::CompileLimits;
use crate::wasm::replica::heavy::Heavy;
use anyhow::Context as _;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing_subscriber::EnvFilter;

/// Connections the kernel holds before they are accepted. The kernel's own limit counts too.
const BACKLOG: u32 = 4096;
/// More descriptors are not asked for; every connection takes memory as well.
const DESCRIPTORS_MAX: u64 = 1 << 20;
/// Descriptors that clients do not get.
const DESCRIPTORS_KEPT: u64 = 512;
/// How often the end of draining is looked for.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// Serves until a signal comes, then lets requests finish.
///
/// # Errors
///
/// When something the server needs cannot be had: its folder, its ports, wasmtime.
pub async fn run(config: ServerConfig, heavy: Heavy, fault_injection: bool) -> anyhow::Result<()> {
    init_logging(config.log_format);
    clock::now(); // The clock starts with the server.
    let descriptors = raise_descriptor_limit();
    store::ignore_sigxfsz();
    forbid_core_files();
    let store = Arc::new(Store::open(&config.data).map_err(anyhow::Error::from)?);
    tracing::info!("data folder {}", store.folder().display());
    // Ports before the slow part: a port in use is told at once. Nothing is accepted yet.
    let data_plane = bind(config.listen).context("open the data plane")?;
    let admin_api = bind(config.admin).context("open the admin API")?;
    let addresses = (data_plane.local_addr()?, admin_api.local_addr()?);
    let limits =
        CompileLimits { timeout: config.compile_timeout, memory_bytes: config.compile_memory };
    let library = Library::new(Arc::clone(&store), limits, config.slots, config.code_cache)?;
    // Held while the server runs, so that it is warm for the first deployment. The other built-in
    // policies are compiled when they are first asked for.
    let _default = start_default(&library).await?;
    let workers_url = config.workers_url.unwrap_or_else(|| format!("http://{}", addresses.1));
    let native = Native::start(native::Setup {
        data: store.folder(),
        devices: &config.devices,
        processes: config.processes,
        workers_url,
    })
    .await?;
    let control = Control::new(Setup {
        store,
        library,
        native: Arc::clone(&native),
        heavy,
        slots: config.slots,
        component_bytes_max: config.max_component_size,
        fault_injection,
    })
    .context("start the control loops")?;
    control.restore().await;
    let stop = CancellationToken::new();
    let connections = TaskTracker::new();
    let ingress = Ingress::new(Arc::clone(&control.dispatch), connections_max(descriptors));
    let serving = tokio::spawn(ingress.run(data_plane, stop.clone(), connections.clone()));
    let admin = Admin {
        control: Arc::clone(&control),
        token: config.admin_token.map(Arc::new),
        data_plane: addresses.0,
    };
    let stopped = stop.clone();
    tokio::spawn(async move {
        let router = admin::router(admin).into_make_service_with_connect_info::<SocketAddr>();
        let server = axum::serve(admin_api, router);
        if let Err(error) = server.with_graceful_shutdown(stopped.cancelled_owned()).await {
            tracing::error!("the admin API ended: {error}");
        }
    });
    // Before `ready` is said, so that a signal that follows it is not the default one.
    let mut signals = Signals::new()?;
    announce(addresses).context("print the addresses")?;
    signals.next().await;
    tracing::info!("stopping: running requests may finish within {:?}", config.drain_timeout);
    stop.cancel();
    _ = serving.await;
    connections.close();
    tokio::select! {
        () = drained(&control, &connections) => tracing::info!("all requests have finished"),
        () = tokio::time::sleep(config.drain_timeout) => {
            tracing::warn!("requests were cut at the drain time-out");
        }
        () = signals.next() => {
            tracing::warn!("requests were cut by a second signal");
            return Ok(()); // What is left of native replicas ends with this process.
        }
    }
    let longest = control.stop_replicas();
    control.farewells.close();
    let all_ended = async {
        native.ended().await;
        control.farewells.wait().await;
    };
    tokio::select! {
        () = all_ended => {}
        () = tokio::time::sleep(longest) => tracing::warn!("replicas were killed"),
        () = signals.next() => tracing::warn!("replicas were killed by a second signal"),
    }
    Ok(())
}

async fn start_default(library: &Library) -> anyhow::Result<Arc<Program>> {
    let (digest, _) = library.builtin(DEFAULT_POLICY).expect("it is built in");
    let program = library.program(digest).await;
    program.with_context(|| format!("start the policy `{DEFAULT_POLICY}`"))
}

async fn drained(control: &Control, connections: &TaskTracker) {
    connections.wait().await;
    // Guests may go on after their response was sent.
    while control.deployments.list().iter().any(|deployment| deployment.counts().ongoing > 0) {
        tokio::time::sleep(DRAIN_POLL).await;
    }
}

/// Memory holds secrets, of the server and of the processes it starts, which inherit the limit. One
/// byte rather than none: where cores go through a pipe, Linux writes them in spite of a zero.
fn forbid_core_files() {
    let limit = rustix::process::Rlimit { current: Some(1), maximum: Some(1) };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Core, limit) {
        tracing::warn!("core files cannot be switched off: {error}");
    }
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address).with_context(|| format!("listen on {address}"))?;
    socket.listen(BACKLOG).with_context(|| format!("listen on {address}"))
}

/// Asks for as many descriptors as the system allows, and says how many there are: a shell gives a
/// thousand, each connection takes one.
fn raise_descriptor_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(DESCRIPTORS_MAX).min(DESCRIPTORS_MAX);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= allowed {
        return current;
    }
    limit.current = Some(allowed);
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => allowed,
        Err(error) => {
            tracing::warn!("cannot ask for more than {current} file descriptors: {error}");
            current
        }
    }
}

/// How many connections clients may have: the rest of the server keeps some descriptors, so that
/// the admin API can be reached whatever they do.
fn connections_max(descriptors: u64) -> usize {
    let kept = DESCRIPTORS_KEPT.min(descriptors / 2);
    usize::try_from(descriptors - kept).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

/// Scripts wait for these lines.
fn announce((data_plane, admin_api): (SocketAddr, SocketAddr)) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "data plane  http://{data_plane}")?;
    writeln!(out, "admin API   http://{admin_api}")?;
    writeln!(out, "ready")?;
    out.flush()
}

/// The signals that stop the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        let terminate = listen(SignalKind::terminate())?;
        Ok(Signals { terminate, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn init_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_env("SAMOVAR_LOG")
        .unwrap_or_else(|_| EnvFilter::new("warn,samovar=info,h2=error"));
    let is_terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_terminal)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
