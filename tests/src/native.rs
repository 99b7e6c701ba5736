//! Native replicas under test: the server in `fixtures/native`, and who is left of it.
//!
//! Every process of a server under test inherits a variable that no other process of the machine
//! has, so tests find all of them without asking the server.

use std::fs;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::http::{Http, Reply};
use crate::paths;
use crate::server::{Options, Samovar, eventually_or};
use crate::status::{list, text};
use crate::wait::eventually;

/// What all processes of a server under test have in their environment.
const TAG: &str = "NATIVE_TEST";
/// How the process is started that outlives the server to clean up after it.
const KEEPER: &str = "keep-processes";

/// A process, known by its number and its start: numbers are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub pid: i32,
    start: u64,
}

/// What the kernel tells about a process.
struct Stat {
    state: char,
    parent: i32,
    threads: usize,
    start: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Stat {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            threads: fields.get(17)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }
}

impl Process {
    /// The process that has this number now; none if it has ended.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        (stat.state != 'Z').then_some(Process { pid, start: stat.start })
    }

    /// Whether it still runs. A zombie does not.
    pub fn is_alive(self) -> bool {
        Process::of(self.pid) == Some(self)
    }

    /// Kills it without any warning, if it still runs.
    pub fn kill9(self) {
        self.signal(Signal::KILL);
    }

    /// Sends it a signal, if it still runs.
    pub fn signal(self, signal: Signal) {
        if self.is_alive() {
            let _ = kill_process(pid(self.pid), signal); // It may end in this very moment.
        }
    }

    /// Waits until it has ended.
    pub async fn ended(self) {
        let gone = async || (!self.is_alive()).then_some(());
        eventually(&format!("process {} ends", self.pid), gone).await;
    }
}

fn pid(number: i32) -> Pid {
    Pid::from_raw(number).expect("a process has a number above 0")
}

/// All numbers in the process table.
fn numbers() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").expect("/proc is there").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What a server holds of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Children that ended and were not waited for.
    pub zombies: usize,
    /// Children that run.
    pub children: usize,
    pub descriptors: usize,
    /// Sockets of its own that listen.
    pub listening: usize,
    pub threads: usize,
}

impl Holdings {
    /// Of a process.
    pub fn of(server: i32) -> Self {
        let children: Vec<Stat> =
            numbers().filter_map(Stat::read).filter(|stat| stat.parent == server).collect();
        let zombies = children.iter().filter(|child| child.state == 'Z').count();
        let open = fs::read_dir(format!("/proc/{server}/fd")).expect("the server runs");
        let open = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        let open: Vec<String> = open.map(|link| link.to_string_lossy().into_owned()).collect();
        let listening = listening_sockets();
        Holdings {
            zombies,
            children: children.len() - zombies,
            descriptors: open.len(),
            listening: open.iter().filter(|link| listening.contains(link)).count(),
            threads: Stat::read(server).expect("the server runs").threads,
        }
    }

    /// Whether nothing here is more than in `other`.
    pub fn is_within(&self, other: &Holdings) -> bool {
        self.zombies <= other.zombies
            && self.children <= other.children
            && self.descriptors <= other.descriptors
            && self.listening <= other.listening
            && self.threads <= other.threads
    }
}

/// The TCP sockets of the machine that listen, as they are shown in `/proc/PID/fd`.
fn listening_sockets() -> Vec<String> {
    const LISTEN: &str = "0A";
    let table = fs::read_to_string("/proc/net/tcp").expect("the machine has TCP");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(3) == Some(&LISTEN))
        .filter_map(|row| Some(format!("socket:[{}]", row.get(9)?)))
        .collect()
}

/// A server whose native replicas are under test.
pub struct Native {
    samovar: Samovar,
    tag: String,
}

impl Deref for Native {
    type Target = Samovar;

    fn deref(&self) -> &Samovar {
        &self.samovar
    }
}

impl DerefMut for Native {
    fn deref_mut(&mut self) -> &mut Samovar {
        &mut self.samovar
    }
}

impl Native {
    /// Starts a server with defaults.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server with further flags.
    pub async fn start_with(args: &[&str]) -> Self {
        let args = args.iter().map(ToString::to_string).collect();
        Self::start_options(Options { args, ..Options::default() }).await
    }

    /// Starts a server.
    pub async fn start_options(mut options: Options) -> Self {
        let tag = format!("{:016x}", fastrand::u64(..));
        options.env.push((TAG.to_owned(), tag.clone()));
        Self { samovar: Samovar::start_options(options).await, tag }
    }

    /// Sends SIGTERM, waits for the exit status 0, and returns what stood on stderr.
    pub async fn stop(self) -> String {
        self.samovar.stop().await
    }

    /// The spec of one replica of the server in `fixtures/native`, with `spec` on top.
    pub fn spec(&self, spec: Value) -> Value {
        let folder = self.folder();
        let process = json!({"command": python(), "args": ["-S", server()], "health": "/health"});
        let env = json!({"FOLDER": folder, "RECORD": folder.join("record")});
        let base = json!({"process": process, "env": env, "replicas": 1, "idle_ttl": "off"});
        merged(base, spec)
    }

    /// Puts a spec as it is.
    pub async fn put(&self, name: &str, spec: &Value) -> Reply {
        self.admin.put_json(&format!("/v1/deployments/{name}"), spec).await
    }

    /// Deploys the server in `fixtures/native`, with `spec` on top, and returns its status.
    pub async fn deploy(&self, name: &str, spec: Value) -> Value {
        let reply = self.put(name, &self.spec(spec)).await;
        assert!(matches!(reply.status, 200 | 201), "{} {}", reply.status, reply.text());
        reply.json()
    }

    /// Deploys the guest called `guest` beside the native replicas, and returns its status.
    pub async fn deploy_guest(&self, name: &str, guest: &str, spec: Value) -> Value {
        self.samovar.deploy(name, guest, spec).await
    }

    /// Deletes a deployment.
    pub async fn delete(&self, name: &str) {
        self.admin.delete(&format!("/v1/deployments/{name}")).await.expect(204);
    }

    /// The replicas of a deployment and its last failures, as the API tells them.
    pub async fn view(&self, name: &str) -> Value {
        self.admin.get(&format!("/v1/deployments/{name}/replicas")).await.expect(200).json()
    }

    /// The replicas of a deployment.
    pub async fn replicas(&self, name: &str) -> Vec<Value> {
        list(&self.view(name).await, "/replicas").to_vec()
    }

    /// Waits until the replicas of a deployment, and its failures, are as `wanted`.
    pub async fn wait_view(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&[Value], &[Value]) -> bool,
    ) -> Vec<Value> {
        let mut last = Value::Null;
        let found = eventually_or(async || {
            last = self.view(name).await;
            let (replicas, failures) = (list(&last, "/replicas"), list(&last, "/failures"));
            wanted(replicas, failures).then(|| replicas.to_vec())
        });
        match found.await {
            Some(replicas) => replicas,
            None => panic!("{name} never had {what}: {last}"),
        }
    }

    /// Waits until a deployment has `count` replicas, all of them ready and their processes counted.
    pub async fn wait_ready(&self, name: &str, count: usize) -> Vec<Value> {
        let what = format!("{count} ready replicas");
        self.wait_view(name, &what, |replicas, _| {
            let is_ready = |replica: &Value| {
                let has_processes = replica["kind"] != "external";
                replica["state"] == "ready" && replica["pids"].is_array() == has_processes
            };
            replicas.len() == count && replicas.iter().all(is_ready)
        })
        .await
    }

    /// Waits until a failure of a deployment is told that has all of `words`, and returns its text.
    pub async fn wait_failure(&self, name: &str, words: &[&str]) -> String {
        let mut last = Value::Null;
        let found = eventually_or(async || {
            last = self.view(name).await;
            let messages = list(&last, "/failures").iter().map(|failure| text(failure, "/message"));
            let mut fitting = messages.filter(|text| words.iter().all(|word| text.contains(word)));
            fitting.next().map(str::to_owned)
        });
        match found.await {
            Some(message) => message,
            None => panic!("{name} never failed with {words:?}: {last}"),
        }
    }

    /// Places and devices of the machine.
    pub async fn machine(&self) -> Value {
        self.admin.get("/v1/machine").await.expect(200).json()
    }

    /// How much of each device is leased.
    pub async fn leased(&self) -> Vec<f64> {
        let machine = self.machine().await;
        let devices = list(&machine, "/devices").iter();
        devices.map(|device| device["leased"].as_f64().expect("a number")).collect()
    }

    /// Waits until no device is leased.
    pub async fn wait_unleased(&self) {
        eventually("all devices are free", async || {
            self.leased().await.iter().all(|part| *part == 0.0).then_some(())
        })
        .await;
    }

    /// The log of a deployment.
    pub async fn log(&self, name: &str) -> Vec<Value> {
        let path = format!("/v1/deployments/{name}/logs?limit=2000");
        let log = self.admin.get(&path).await.expect(200).text();
        log.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    /// Waits for a line of a deployment's log.
    pub async fn wait_log(&self, name: &str, stream: &str, part: &str) -> Value {
        eventually(&format!("{part:?} in {stream} of {name}"), async || {
            let fits =
                |line: &Value| line["stream"] == stream && text(line, "/line").contains(part);
            self.log(name).await.into_iter().find(fits)
        })
        .await
    }

    /// All processes that came from the server, whatever became of them; not the server itself.
    pub fn descendants(&self) -> Vec<Process> {
        descendants(&self.tag, self.server_pid())
    }

    /// Those that belong to replicas.
    pub fn workers(&self) -> Vec<Process> {
        workers(&self.tag, self.server_pid())
    }

    /// Finds the processes of the server even while it does not run.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Waits until no process of a replica is left.
    pub async fn wait_no_workers(&self) {
        no_workers(&self.tag, self.server_pid()).await;
    }

    /// The server's number in the process table.
    pub fn server_pid(&self) -> i32 {
        self.pid().as_raw_nonzero().get()
    }
}

/// Waits until no process of a replica is left of the server with this tag.
pub async fn no_workers(tag: &str, server: i32) {
    eventually("no process of a replica is left", async || {
        workers(tag, server).is_empty().then_some(())
    })
    .await;
}

/// All processes that came from the server with this tag, apart from `server`.
pub fn descendants(tag: &str, server: i32) -> Vec<Process> {
    let mark = format!("{TAG}={tag}");
    let is_marked = |number: &i32| {
        let environment = fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    let others = numbers().filter(|number| *number != server).filter(is_marked);
    others.filter_map(Process::of).collect()
}

/// Those of [`descendants`] that belong to replicas.
pub fn workers(tag: &str, server: i32) -> Vec<Process> {
    let mut found = descendants(tag, server);
    found.retain(|process| !command_line(process.pid).contains(KEEPER));
    found
}

/// The command line of a process, for messages.
pub fn command_line(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

/// The processes of a replica, as the API tells them; none while it has not started them.
pub fn processes(replica: &Value) -> Vec<Process> {
    let pids = replica["pids"].as_array().into_iter().flatten();
    let pids = pids.map(|pid| pid.as_i64().and_then(|pid| i32::try_from(pid).ok()));
    pids.filter_map(|pid| Process::of(pid.expect("a small number"))).collect()
}

/// A client that talks to a replica and not to the server.
pub fn direct(replica: &Value) -> Http {
    let address = text(replica, "/address").trim_start_matches("http://").trim_end_matches('/');
    Http::new(address.parse::<SocketAddr>().expect("the replica listens on a port"))
}

/// The Python interpreter itself: what is called `python3` may be a script that looks for it.
pub fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let ask = ["-c", "import sys; print(sys.executable)"];
        let output = Command::new("python3").args(ask).output().expect("python3 is installed");
        String::from_utf8(output.stdout).expect("the path is text").trim().to_owned()
    })
}

/// The server that behaves as it is told.
pub fn server() -> String {
    let file = paths::workspace().join("tests/fixtures/native/server.py");
    file.to_str().expect("the path is text").to_owned()
}

/// `left` with the members of `right` put on top, objects member by member.
fn merged(left: Value, right: Value) -> Value {
    match (left, right) {
        (Value::Object(mut members), Value::Object(others)) => {
            for (key, value) in others {
                let before = members.remove(&key).unwrap_or(Value::Null);
                members.insert(key, merged(before, value));
            }
            Value::Object(members)
        }
        (_, right) => right,
    }
}
