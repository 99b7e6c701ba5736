//! Servers that run for one workload.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Error, Result, anyhow, bail};
use bytes::Bytes;
use http::Method;
use samovar_tests::{Http, Reply, Samovar, http::full, paths, status};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{
    baselines::{self, Baseline},
    loadgen::Load,
};

use super::{
    contender::{Contender, Programs},
    tree::Tree,
    workload::{Workload, World},
};

/// Name and route of the deployment on Samovar.
const DEPLOYMENT: &str = "w";
/// Requests that one replica of WASI 0.3 serves at once, and that a batch has at most.
const SHARED: usize = 16;
/// Servers in Python take a while.
const READY_IN: Duration = Duration::from_secs(90);
const STOPPED_IN: Duration = Duration::from_secs(15);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Of what a server complained, the end.
const COMPLAINTS: &str = "stderr";
const COMPLAINT_BYTES: usize = 2000;

/// What is to be started.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub contender: Contender,
    /// If it is no program of our own.
    pub program: Option<&'a PathBuf>,
    pub workload: Workload,
    /// If it runs guests.
    pub guest: Option<&'static str>,
    pub connections: usize,
}

impl<'a> Wanted<'a> {
    /// `contender` with its own guest for `workload`, when others have `connections`.
    pub fn new(
        contender: Contender,
        programs: &'a Programs,
        workload: Workload,
        connections: usize,
    ) -> Self {
        Self {
            contender,
            program: programs.of(contender),
            workload,
            guest: contender.guest(workload),
            connections: workload.connections(connections),
        }
    }

    fn guest(&self) -> Result<&'static str> {
        self.guest.context("no such guest")
    }
}

/// A server that answers one workload. Dropping it kills all its processes.
pub struct Server {
    pub contender: Contender,
    pub load: Load,
    pub tree: Tree,
    process: Option<Process>,
}

enum Process {
    Samovar(Box<Samovar>),
    Other(Other),
}

/// A process with a folder of its own, which goes after it.
struct Other {
    _baseline: Baseline,
    folder: TempDir,
}

impl Server {
    /// Starts it and waits until it answers as it should.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn start(wanted: Wanted<'_>) -> Result<Self> {
        if let Contender::Samovar(world) = wanted.contender {
            return Self::samovar(wanted, world).await;
        }
        let folder = tempfile::Builder::new().prefix("p").tempdir().context("make a folder")?;
        let baseline =
            start(&wanted, folder.path()).map_err(|error| explained(error, folder.path()))?;
        let (address, tree) = (baseline.address, Tree::of(baseline.pid()));
        let other = Other { _baseline: baseline, folder };
        let mut server = Self::of(&wanted, address, tree, Process::Other(other));
        if let Err(error) = server.answers(wanted.workload).await {
            let Some(Process::Other(other)) = &server.process else { return Err(error) };
            return Err(explained(error, other.folder.path()));
        }
        Ok(server)
    }

    async fn samovar(wanted: Wanted<'_>, world: World) -> Result<Self> {
        let samovar = Samovar::start().await;
        let (replicas, spec) = spec(wanted.workload, world, wanted.connections);
        samovar.deploy(DEPLOYMENT, wanted.guest()?, spec).await;
        let is_warm = |seen: &Value| status::ready(seen) == replicas as u64;
        samovar.wait_status(DEPLOYMENT, "all its replicas", is_warm).await;
        let (address, tree) = (samovar.http.address(), Tree::of(samovar.pid()));
        let process = Process::Samovar(Box::new(samovar));
        let mut server = Self::of(&wanted, address, tree, process);
        server.answers(wanted.workload).await?;
        Ok(server)
    }

    fn of(wanted: &Wanted<'_>, address: SocketAddr, tree: Tree, process: Process) -> Self {
        let load = load(wanted, address);
        Self { contender: wanted.contender, load, tree, process: Some(process) }
    }

    /// Waits for the first good answer, which says how long all have to be.
    async fn answers(&mut self, workload: Workload) -> Result<()> {
        let give_up = Instant::now() + READY_IN;
        let reply = loop {
            match ask(&self.load).await {
                // Some answer before all of them is there.
                Ok(reply) if reply.status == 200 => break reply,
                Ok(reply) if Instant::now() > give_up => bail!("status {}", reply.status),
                Err(error) if Instant::now() > give_up => return Err(anyhow!(error)),
                _ if self.tree.alive().is_empty() => bail!("it has ended"),
                _ => sleep(POLL_INTERVAL).await,
            }
        };
        workload.check(&self.load.body, &reply.body)?;
        self.load.expects_bytes = Some(reply.body.len());
        Ok(())
    }

    /// Ends it, as a person would, and kills what is left after a while.
    pub async fn stop(mut self) {
        match self.process.take() {
            Some(Process::Samovar(samovar)) => drop(samovar.stop().await),
            Some(Process::Other(other)) => {
                self.tree.terminate();
                let give_up = Instant::now() + STOPPED_IN;
                while !self.tree.alive().is_empty() && Instant::now() < give_up {
                    sleep(POLL_INTERVAL).await;
                }
                self.tree.kill();
                drop(other);
            }
            None => {}
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(Process::Other(_)) = self.process {
            self.tree.kill();
        }
    }
}

/// What is deployed, and how many replicas that makes: as many as serve all connections at once,
/// since a handler of WASI 0.2 takes one request at a time.
fn spec(workload: Workload, world: World, connections: usize) -> (usize, Value) {
    let shared = connections.div_ceil(SHARED);
    let (replicas, mut spec) = match (workload, world) {
        (_, World::Wasi02) => (connections, json!({"concurrency": 1})),
        (Workload::Sleep, World::Wasi03) => (1, json!({"concurrency": connections})),
        (_, World::Wasi03) => (shared, json!({"concurrency": SHARED})),
        (_, World::Batch) => {
            // As in most deployments that batch: a batch leaves when it is full, or after a while.
            let batching = json!({"max_batch_size": SHARED, "timeout_batching": "1ms"});
            (shared, json!({"batching": batching}))
        }
    };
    spec["replicas"] = json!({"min": replicas, "max": replicas});
    (replicas, spec)
}

fn load(wanted: &Wanted<'_>, address: SocketAddr) -> Load {
    let Wanted { contender, workload, connections, .. } = *wanted;
    let path = match contender {
        Contender::Samovar(_) => match workload.guest_path().as_str() {
            "/" => format!("/{DEPLOYMENT}"),
            path => format!("/{DEPLOYMENT}{path}"),
        },
        Contender::Wasmtime(_) | Contender::Spin => workload.guest_path(),
        Contender::LitServe => "/predict".into(),
        _ => workload.script_path().into(),
    };
    let get = Load::get(address, path, connections);
    match (contender, workload) {
        // It takes JSON only.
        (Contender::LitServe, Workload::Hello) => {
            Load { body: Bytes::from_static(b"{}"), content_type: "application/json", ..get }
        }
        _ => Load { body: workload.body(), content_type: workload.content_type(), ..get },
    }
}

/// Sends what `load` sends, once.
async fn ask(load: &Load) -> Result<Reply, String> {
    let method = if load.body.is_empty() { Method::GET } else { Method::POST };
    let client = Http::new(load.address);
    let mut request = client.request(method, &load.paths[0]);
    if !load.content_type.is_empty() {
        request = request.header("content-type", load.content_type);
    }
    let request = request.body(full(load.body.clone())).map_err(|error| error.to_string())?;
    client.try_send(request).await
}

/// Starts what is neither Samovar nor wasmtime; `folder` is its own.
fn start(wanted: &Wanted<'_>, folder: &Path) -> Result<Baseline> {
    let Wanted { contender, program, workload, .. } = *wanted;
    let program = || program.with_context(|| format!("{} is not installed", contender.name()));
    let scripts = paths::workspace().join("benches/peers");
    let mut command = match contender {
        Contender::Wasmtime(variant) => {
            let component = paths::component(wanted.guest()?);
            return Baseline::wasmtime(program()?, variant, &component);
        }
        Contender::Native | Contender::Samovar(_) => {
            let name = if workload == Workload::Json { "native-json" } else { "bare-hyper" };
            Command::new(baselines::beside(name)?)
        }
        _ => Command::new(program()?),
    };
    match contender {
        Contender::Spin => {
            fs::copy(scripts.join("spin.toml"), folder.join("spin.toml"))?;
            fs::copy(paths::component(wanted.guest()?), folder.join("guest.wasm"))?;
            command.args(["up", "--listen", "127.0.0.1:0", "--from"]);
            command.arg(folder.join("spin.toml"));
        }
        Contender::Workerd => {
            command.args(["serve", "--control-fd=1"]).arg(scripts.join("workerd.capnp"));
        }
        Contender::RayServe => {
            command.arg(scripts.join("ray_serve.py")).arg(folder);
        }
        Contender::LitServe => {
            command.arg(scripts.join("lit_serve.py"));
        }
        Contender::Native | Contender::Samovar(_) | Contender::Wasmtime(_) => {}
    }
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("RAY_USAGE_STATS_ENABLED", "0");
    command.stderr(File::create(folder.join(COMPLAINTS)).context("make a file for complaints")?);
    Baseline::printing(command.current_dir(folder))
}

/// The error with the end of what the server complained, if it did.
fn explained(error: Error, folder: &Path) -> Error {
    let text = fs::read(folder.join(COMPLAINTS)).unwrap_or_default();
    let end = text.len().saturating_sub(COMPLAINT_BYTES);
    match String::from_utf8_lossy(&text[end..]).trim() {
        "" => error,
        complaint => error.context(complaint.to_owned()),
    }
}
