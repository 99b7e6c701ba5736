//! One `samovar up` process under test.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::Cli;
use crate::components::component;
use crate::http::Http;
use crate::paths;
use crate::status;
use crate::wait::{DEADLINE, eventually};

/// What the standard library prints when a thread panics.
const PANIC_MARK: &str = " panicked at ";

/// How a server is started.
#[derive(Clone, Default)]
pub struct Options {
    /// Flags after `samovar up --listen … --admin … --data …`.
    pub args: Vec<String>,
    /// Environment on top of the test's own.
    pub env: Vec<(String, String)>,
    /// Address of the data plane; `127.0.0.1:0` if not given.
    pub listen: Option<String>,
    /// Address of the admin API; `127.0.0.1:0` if not given.
    pub admin: Option<String>,
    /// The data folder; a new one of its own if not given.
    pub data: Option<PathBuf>,
    /// A program and arguments that run it, such as valgrind. It must become the server, as the same
    /// process.
    pub under: Vec<OsString>,
    /// Whether a panic on stderr is part of the test.
    pub panics_allowed: bool,
}

/// A server that did not get ready.
#[derive(Debug)]
pub struct Refused {
    /// Its exit status; none if a signal ended it.
    pub code: Option<i32>,
    pub stderr: String,
}

/// A running (or killed) `samovar up`. Dropping it kills the process.
pub struct Samovar {
    options: Options,
    folder: Arc<TempDir>,
    running: Option<Running>,
    /// Client of the data plane.
    pub http: Http,
    /// Client of the admin API.
    pub admin: Http,
}

struct Running {
    child: Child,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Samovar {
    /// Starts a server with defaults.
    pub async fn start() -> Self {
        Self::start_options(Options::default()).await
    }

    /// Starts a server with further flags and environment variables.
    pub async fn start_with(args: &[&str], env: &[(&str, &str)]) -> Self {
        let args = args.iter().map(ToString::to_string).collect();
        let env = env.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Self::start_options(Options { args, env, ..Options::default() }).await
    }

    /// Starts a server.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn start_options(options: Options) -> Self {
        match Self::try_start(options).await {
            Ok(samovar) => samovar,
            Err(refused) => panic!("samovar up did not get ready: {refused:?}"),
        }
    }

    /// Starts a server that must refuse, and returns what it complained.
    ///
    /// # Panics
    /// When it gets ready, or ends with another status than `code`.
    pub async fn refuses(options: Options, code: i32) -> String {
        match Self::try_start(options).await {
            Ok(_) => panic!("samovar up got ready, which it must not"),
            Err(refused) => {
                assert_eq!(refused.code, Some(code), "{}", refused.stderr);
                assert!(!refused.stderr.contains(PANIC_MARK), "{}", refused.stderr);
                refused.stderr
            }
        }
    }

    /// Starts a server, or says how it refused.
    ///
    /// # Errors
    /// When the process ends before it is ready.
    pub async fn try_start(options: Options) -> Result<Self, Refused> {
        raise_file_limit();
        let folder = Arc::new(tempfile::tempdir().expect("make a folder for the test"));
        let data = options.data.clone().unwrap_or_else(|| folder.path().join("data"));
        let (running, http, admin) = launch(&options, folder.path(), &data).await?;
        Ok(Self { options, folder, running: Some(running), http, admin })
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.options.data.clone().unwrap_or_else(|| self.folder.path().join("data"))
    }

    /// A folder of this test for files of its own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        let running = self.running.as_ref().expect("the server runs");
        Pid::from_child(&running.child)
    }

    /// What it wrote to stderr since it was last started.
    pub fn stderr(&self) -> String {
        let running = self.running.as_ref().expect("the server runs");
        running.stderr.lock().expect("readers do not panic").clone()
    }

    /// Kills the process without any warning and waits until it is gone.
    pub fn kill9(&mut self) {
        let running = self.running.take().expect("the server runs");
        let (_, stderr) = running.kill();
        self.check_panics(&stderr);
    }

    /// Starts it again on the same data folder, after [`Samovar::kill9`].
    pub async fn start_again(&mut self) {
        assert!(self.running.is_none(), "the server still runs");
        let launched = launch(&self.options, self.folder.path(), &self.data()).await;
        let (running, http, admin) = launched.expect("samovar up gets ready again");
        (self.running, self.http, self.admin) = (Some(running), http, admin);
    }

    /// Kills it and starts it again on the same data folder.
    pub async fn restart(&mut self) {
        self.kill9();
        self.start_again().await;
    }

    /// Sends SIGTERM and leaves it to end by itself.
    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).expect("the server runs");
    }

    /// Sends SIGTERM, waits for the exit status 0, and returns what stood on stderr.
    pub async fn stop(mut self) -> String {
        self.terminate();
        self.ended(0).await
    }

    /// Waits until the process ends by itself, with the status `code`.
    pub async fn ended(&mut self, code: i32) -> String {
        let (seen, stderr) = self.ended_somehow().await;
        assert_eq!(seen, Some(code), "{stderr}");
        stderr
    }

    /// Waits until the process ends by itself; its status, none if a signal ended it, and stderr.
    pub async fn ended_somehow(&mut self) -> (Option<i32>, String) {
        let mut running = self.running.take().expect("the server runs");
        let child = &mut running.child;
        let ended = async || child.try_wait().expect("it is our child");
        let status = eventually("samovar ends by itself", ended).await;
        let (_, stderr) = running.kill();
        self.check_panics(&stderr);
        (status.code(), stderr)
    }

    /// From now on no file of the process may grow beyond `size_bytes`, as on a full disk; `None`
    /// ends it.
    pub fn limit_file_size(&self, size_bytes: Option<u64>) {
        let maximum = rustix::process::getrlimit(Resource::Fsize).maximum; // The child has it too.
        let limit = Rlimit { current: size_bytes.or(maximum), maximum };
        prlimit(Some(self.pid()), Resource::Fsize, limit).expect("limit a process of our own");
    }

    /// From now on the process may have no more than `count` open files; `None` ends it.
    pub fn limit_descriptors(&self, count: Option<u64>) {
        let maximum = rustix::process::getrlimit(Resource::Nofile).maximum; // The child has it too.
        let limit = Rlimit { current: count.or(maximum), maximum };
        prlimit(Some(self.pid()), Resource::Nofile, limit).expect("limit a process of our own");
    }

    /// The command line client, talking to this server.
    pub fn cli(&self) -> Cli {
        Cli::new(self.folder(), &self.admin.url(""))
    }

    /// Uploads `wasm` and returns its digest.
    pub async fn upload(&self, wasm: impl Into<bytes::Bytes>) -> String {
        let reply = self.admin.post("/v1/components", wasm).await;
        assert!(matches!(reply.status, 200 | 201), "{} {}", reply.status, reply.text());
        status::text(&reply.json(), "/digest").to_owned()
    }

    /// Puts a deployment of the guest called `guest`, and returns its status.
    pub async fn deploy(&self, name: &str, guest: &str, spec: Value) -> Value {
        self.deploy_wasm(name, component(guest), spec).await
    }

    /// Puts a deployment of `wasm`, and returns its status.
    pub async fn deploy_wasm(&self, name: &str, wasm: Vec<u8>, spec: Value) -> Value {
        let digest = self.upload(wasm).await;
        let reply = self.put_spec(name, &digest, spec).await;
        assert!(matches!(reply.status, 200 | 201), "{} {}", reply.status, reply.text());
        reply.json()
    }

    /// Puts the spec `spec` of the component `digest`.
    pub async fn put_spec(&self, name: &str, digest: &str, mut spec: Value) -> crate::Reply {
        spec["component"] = json!(digest);
        self.admin.put_json(&format!("/v1/deployments/{name}"), &spec).await
    }

    /// Pushes the guest called `guest` as the policy `name`.
    pub async fn push_policy(&self, name: &str, guest: &str) -> Value {
        let reply = self.admin.put(&format!("/v1/policies/{name}"), component(guest)).await;
        assert!(matches!(reply.status, 200 | 201), "{} {}", reply.status, reply.text());
        reply.json()
    }

    /// Asks for another policy of a deployment.
    pub async fn swap(&self, name: &str, policy: &str, config: Value) -> crate::Reply {
        let wish = json!({"policy": policy, "config": config});
        self.admin.put_json(&format!("/v1/deployments/{name}/policy"), &wish).await
    }

    /// The status of a deployment.
    pub async fn status(&self, name: &str) -> Value {
        self.admin.get(&format!("/v1/deployments/{name}")).await.expect(200).json()
    }

    /// Waits until the status of a deployment is as `wanted`, and returns it.
    pub async fn wait_status(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let found = eventually_or(async || {
            last = self.status(name).await;
            wanted(&last).then(|| last.clone())
        });
        match found.await {
            Some(status) => status,
            None => panic!("{name} never had {what}: {last}"),
        }
    }

    /// The decision log of a deployment, oldest first.
    pub async fn decisions(&self, name: &str) -> Vec<Value> {
        let path = format!("/v1/deployments/{name}/decisions?limit=1000");
        let log = self.admin.get(&path).await.expect(200).json();
        status::list(&log, "/decisions").to_vec()
    }

    /// Waits until the newest decision is as `wanted`, and returns it.
    pub async fn wait_decision(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = None;
        let found = eventually_or(async || {
            last = self.decisions(name).await.pop();
            last.clone().filter(&wanted)
        });
        match found.await {
            Some(decision) => decision,
            None => panic!("{name} never decided {what}: {last:?}"),
        }
    }

    /// The sum of a metric over the lines with these labels. `None` when there is no such line.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let text = self.admin.get("/metrics").await.expect(200).text();
        status::metric(&text, name, labels)
    }

    fn check_panics(&self, stderr: &str) {
        let panicked = stderr.lines().find(|line| line.contains(PANIC_MARK));
        if !self.options.panics_allowed && !thread::panicking() {
            assert_eq!(panicked, None, "the server panicked:\n{stderr}");
        }
    }
}

impl Drop for Samovar {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        let (_, stderr) = running.kill();
        if thread::panicking() {
            #[expect(clippy::print_stderr, reason = "the test runner shows it with the failure")]
            {
                eprintln!("--- stderr of samovar\n{stderr}---");
            }
        }
        self.check_panics(&stderr);
    }
}

impl Running {
    /// Kills the process if it still runs and returns all it wrote to stderr.
    fn kill(mut self) -> (Option<i32>, String) {
        let _ = self.child.kill(); // Fails when it has ended already, which is fine.
        let code = self.child.wait().ok().and_then(|status| status.code());
        for reader in self.readers {
            reader.join().expect("a reader does not panic");
        }
        let stderr = self.stderr.lock().expect("readers do not panic").clone();
        (code, stderr)
    }
}

/// Asks `probe` until it answers; none when [`DEADLINE`] has passed without one.
pub(crate) async fn eventually_or<T>(mut probe: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let give_up = tokio::time::Instant::now() + DEADLINE;
    while tokio::time::Instant::now() < give_up {
        if let Some(answer) = probe().await {
            return Some(answer);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    None
}

/// Thousands of connections in one test need more than the usual 1,024 files.
fn raise_file_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = rustix::process::setrlimit(Resource::Nofile, all); // Best effort.
}

async fn launch(
    options: &Options,
    folder: &Path,
    data: &Path,
) -> Result<(Running, Http, Http), Refused> {
    let mut running = spawn(options, folder, data);
    let (sender, lines) = mpsc::channel();
    let stdout = running.child.stdout.take().expect("stdout is piped");
    running.readers.push(thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line); // Nobody listens any more once it is ready.
        }
    }));
    let mut seen = Vec::new();
    let started = eventually_or(async || {
        loop {
            match lines.try_recv() {
                Ok(line) => seen.push(line),
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return Some(Started::Ended),
            }
        }
        let ready = seen.iter().any(|line| line == "ready");
        ready.then_some(Started::Ready)
    });
    match started.await {
        Some(Started::Ready) => {
            let (data_plane, admin) = parse_addresses(&seen);
            Ok((running, Http::new(data_plane), Http::new(admin)))
        }
        Some(Started::Ended) => {
            let _ = running.child.wait(); // Its stdout is closed; the exit status follows.
            let (code, stderr) = running.kill();
            Err(Refused { code, stderr })
        }
        None => panic!("not ready after {DEADLINE:?}: {seen:?}\n{}", running.kill().1),
    }
}

enum Started {
    Ready,
    Ended,
}

fn spawn(options: &Options, folder: &Path, data: &Path) -> Running {
    let samovar = paths::samovar().into_os_string();
    let mut words = options.under.iter().chain([&samovar]);
    let mut command = Command::new(words.next().expect("there is samovar at least"));
    command.args(words);
    let listen = options.listen.as_deref().unwrap_or("127.0.0.1:0");
    let admin = options.admin.as_deref().unwrap_or("127.0.0.1:0");
    command.args(["up", "--listen", listen, "--admin", admin, "--data"]).arg(data);
    command.args(&options.args).current_dir(folder);
    clear_environment(&mut command);
    command.envs(options.env.iter().map(|(key, value)| (key, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start samovar");
    let mut pipe = child.stderr.take().expect("stderr is piped");
    let stderr = Arc::new(Mutex::new(String::new()));
    let collected = stderr.clone();
    let reader = thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut piece) {
            let text = String::from_utf8_lossy(&piece[..length]);
            collected.lock().expect("nobody panics with it").push_str(&text);
        }
    });
    Running { child, stderr, readers: vec![reader] }
}

/// Takes away what the developer's own environment would change.
pub(crate) fn clear_environment(command: &mut Command) {
    for (key, _) in std::env::vars_os() {
        let ours = key.to_str().is_some_and(|key| key.starts_with("SAMOVAR_"));
        if ours || key == "RUST_LOG" {
            command.env_remove(key);
        }
    }
    command.env("RUST_BACKTRACE", "0");
}

/// Reads the two addresses that stand before `ready`, and nothing else may.
fn parse_addresses(lines: &[String]) -> (SocketAddr, SocketAddr) {
    let address = |line: &String, label: &str| {
        let url = line.strip_prefix(label).map(str::trim)?;
        url.strip_prefix("http://")?.parse::<SocketAddr>().ok()
    };
    let [data_plane, admin, ready] = lines else { panic!("expected three lines: {lines:?}") };
    assert_eq!(ready, "ready");
    let data_plane = address(data_plane, "data plane").expect("the data plane's address");
    let admin = address(admin, "admin API").expect("the admin API's address");
    assert!(data_plane.port() != 0 && admin.port() != 0, "{lines:?}");
    (data_plane, admin)
}
