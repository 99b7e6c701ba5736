//! Nothing outlives the server: not when it is killed, nor when its keeper is killed too, nor in
//! hundred starts and ends. This program is the tests, and with an argument it is the server or
//! its keeper.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "roles talk to the tests, and those to their reader")]

use samovar_native::{
    Asked, Endpoint, Keep, MemberPlan, Output, ReadyWhen, Replica, ReplicaPlan, Stream, Warden,
    WardenOptions, keeper,
};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, fs};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(60);

/// A leader, a child, a child in its own session, an orphan in its own session that closes its
/// output, and each says its number.
const FAMILY: &str = "
trap '' TERM
sh -c 'echo pid $$; exec sleep 1000' &
setsid sh -c 'echo pid $$; exec sleep 1000' &
(setsid sh -c 'echo pid $$; exec sleep 1000 >/dev/null 2>&1' &)
";
/// An orphan in its own session with an empty environment.
const NAMELESS: &str = "(exec setsid env -i /bin/sh -c 'echo pid $$; exec sleep 1000' &)\n";
const LEADER: &str = "echo pid $$\nexec sleep 1000";
const FAMILY_SIZE: usize = 4;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let words: Vec<&str> = arguments[1..].iter().map(String::as_str).collect();
    match words[..] {
        ["keeper"] => keeper::run().unwrap(),
        ["server", marker, folder, what] => block_on(serve(marker, Path::new(folder), what)),
        ["loop", folder] => block_on(start_and_end(Path::new(folder))),
        _ => block_on(all_tests(&words)),
    }
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(work);
}

/// What `cargo test NAME` gives to programs like this is a part of the name.
async fn all_tests(words: &[&str]) {
    let is_wanted = |name: &str| {
        let filters: Vec<_> = words.iter().filter(|word| !word.starts_with('-')).collect();
        filters.is_empty() || filters.iter().any(|filter| name.contains(**filter))
    };
    macro_rules! run {
        ($($test:ident)*) => {$(
            if is_wanted(stringify!($test)) {
                $test().await;
                println!("test {} ... ok", stringify!($test));
            }
        )*};
    }
    run! {
        killed_server_leaves_nobody
        killed_keeper_is_replaced
        next_server_ends_what_is_left_without_a_keeper
        keeper_leaves_the_next_server_alone
        hundred_starts_and_ends_leave_no_trace
    }
}

// The tests.

async fn killed_server_leaves_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "family+nameless").await;
    assert_eq!(server.pids.len(), 5);
    let keeper = server.keeper().await;
    server.kill();
    server.gone().await;
    eventually("the keeper ends too", || (!runs(keeper)).then_some(())).await;
}

async fn killed_keeper_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "family+nameless").await;
    let first = server.keeper().await;
    kill(first, "KILL");
    eventually("it is noticed", || (!runs(first)).then_some(())).await;
    let second = server.keeper().await;
    assert_ne!(first, second);
    server.kill();
    server.gone().await;
}

async fn next_server_ends_what_is_left_without_a_keeper() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "family+nameless").await;
    let keeper = server.keeper().await;
    kill(server.pid(), "STOP"); // So that it starts no other keeper.
    kill(keeper, "KILL");
    server.kill();
    let mut next = Server::start(folder.path(), "family").await;
    // The leader is ended by the kernel, sooner or later.
    assert!(next.leftovers >= FAMILY_SIZE, "{} were found", next.leftovers);
    assert_eq!(server.pids.iter().filter(|pid| runs(**pid)).count(), 0);
    next.kill();
    next.gone().await;
}

async fn keeper_leaves_the_next_server_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "family").await;
    let keeper = server.keeper().await;
    kill(keeper, "STOP");
    server.kill();
    let mut next = Server::start(folder.path(), "family").await;
    kill(keeper, "CONT");
    eventually("it has nothing to do", || (!runs(keeper)).then_some(())).await;
    assert!(next.pids.iter().all(|pid| runs(*pid)), "those of the next server live");
    next.kill();
    next.gone().await;
}

async fn hundred_starts_and_ends_leave_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Command::new(env::current_exe().unwrap());
    let status = run.arg("loop").arg(folder.path()).status().unwrap();
    assert!(status.success(), "{status}");
}

// The server's part.

async fn serve(marker: &str, folder: &Path, what: &str) {
    let warden = warden(marker, folder);
    println!("leftovers {}", warden.end_leftovers().await.unwrap().len());
    let command = match what {
        "family" => format!("{FAMILY}{LEADER}"),
        _ => format!("{FAMILY}{NAMELESS}{LEADER}"),
    };
    let output = Arc::new(Print::default());
    let replica = Replica::start(&warden, plan(&command), output.clone()).await.unwrap();
    let all = if what == "family" { FAMILY_SIZE } else { FAMILY_SIZE + 1 };
    eventually("all are seen", || {
        let (pids, seen) = (output.pids.lock().unwrap(), replica.usage().pids);
        (pids.len() == all && pids.iter().all(|pid| seen.contains(pid))).then_some(())
    })
    .await;
    println!("seen");
    let failure = replica.failed().await;
    panic!("{failure}");
}

fn warden(marker: &str, folder: &Path) -> Arc<Warden> {
    let keeper = Some(vec![env::current_exe().unwrap().into(), "keeper".into()]);
    let sockets = folder.join("s");
    Warden::start(WardenOptions { marker: marker.to_owned(), keeper, sockets }).unwrap()
}

fn plan(command: &str) -> ReplicaPlan {
    let told = CancellationToken::new();
    told.cancel();
    let member = MemberPlan {
        program: "sh".into(),
        args: vec!["-c".into(), command.into()],
        env: Vec::new(),
        cwd: None,
        endpoint: Endpoint::Unix("/nowhere/at/all".into()),
    };
    ReplicaPlan {
        members: vec![member],
        ready: ReadyWhen::Told(told),
        asked: Asked::RankZero,
        liveness: None,
        start_timeout: DEADLINE,
        grace: DEADLINE,
        memory_max: None,
        leases: Vec::new(),
        keep: Keep::default(),
    }
}

/// Hands the output on, and remembers who has said its number.
#[derive(Default)]
struct Print {
    pids: Mutex<Vec<i32>>,
}

impl Output for Print {
    fn line(&self, _: u32, _: Stream, text: &str) {
        println!("{text}");
        let pid = text.strip_prefix("pid ").expect("they say nothing else");
        self.pids.lock().unwrap().push(pid.parse().unwrap());
    }

    fn note(&self, text: &str) {
        println!("note {text}");
    }
}

struct Quiet;

impl Output for Quiet {
    fn line(&self, _: u32, _: Stream, _: &str) {}

    fn note(&self, text: &str) {
        panic!("{text}");
    }
}

async fn start_and_end(folder: &Path) {
    let warden_here = warden("loop", folder);
    let mut before = None;
    let mut last: Option<Replica> = None;
    for round in 0..110 {
        let command = "sleep 1000 & setsid sleep 1000 & (setsid sleep 1000 &) ; exec sleep 1000";
        let mut plan = plan(command);
        plan.grace = if round % 3 == 0 { Duration::ZERO } else { DEADLINE };
        plan.leases = vec![warden_here.lease_port().unwrap(), warden_here.lease_socket().unwrap()];
        // The one before ends while this one starts, which must not be taken for a part of it.
        let ends = async {
            match last.take() {
                Some(last) if round % 5 > 0 => last.end().await,
                Some(_) | None => {}
            }
        };
        let start = Replica::start(&warden_here, plan, Arc::new(Quiet));
        let replica = tokio::join!(start, ends).0.unwrap();
        let failed = tokio::time::timeout(Duration::from_millis(20), replica.failed()).await;
        assert!(failed.is_err(), "{failed:?} in round {round}");
        last = Some(replica).filter(|_| round != 9 && round != 109);
        if round == 9 {
            before = Some(settled(|_| true).await);
        }
    }
    let before = before.unwrap();
    settled(|now| now.iter().zip(&before).all(|(now, before)| now <= before)).await;
    let children = children();
    assert_eq!(children.len(), 1, "only the keeper is left: {children:?}");
    drop(warden_here);
    eventually("the keeper and the threads end", || {
        let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
        let names =
            threads.map(|task| fs::read_to_string(task.path().join("comm")).unwrap_or_default());
        let is_left = { names }.any(|name| name.starts_with("samovar-"));
        (self::children().is_empty() && !is_left).then_some(())
    })
    .await;
}

/// Children, zombies too; descriptors; threads.
type Traces = [usize; 3];

fn traces() -> Traces {
    let count = |folder: &str| fs::read_dir(folder).unwrap().count();
    [children().len(), count("/proc/self/fd"), count("/proc/self/task")]
}

/// Waits until only the keeper is left, and for what is wanted.
async fn settled(is_wanted: impl Fn(&Traces) -> bool) -> Traces {
    eventually("no more traces than before", || {
        Some(traces()).filter(|traces| traces[0] == 1 && is_wanted(traces))
    })
    .await
}

/// Processes whose parent is this one.
fn children() -> Vec<String> {
    let own = std::process::id();
    stats().filter(|(_, parent, _)| *parent == own).map(|(pid, ..)| name(pid)).collect()
}

// Helpers of the tests.

struct Server {
    child: Child,
    pids: Vec<u32>,
    leftovers: usize,
}

impl Server {
    /// Starts a server and waits until its replica and all of its descendants are there.
    async fn start(folder: &Path, what: &str) -> Server {
        let mut command = Command::new(env::current_exe().unwrap());
        // The folder is new, so its name is a marker that nobody else has.
        let marker = format!("outlive{}", folder.file_name().unwrap().to_str().unwrap());
        command.args(["server", &marker]).arg(folder).arg(what).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut pids, mut leftovers, mut is_seen) = (Vec::new(), 0, false);
        let count = if what == "family" { FAMILY_SIZE } else { FAMILY_SIZE + 1 };
        while pids.len() < count || !is_seen {
            let line = lines.next().expect("it goes on").unwrap();
            match line.split_once(' ') {
                Some(("pid", pid)) => pids.push(pid.parse::<u32>().unwrap()),
                Some(("leftovers", count)) => leftovers = count.parse().unwrap(),
                _ => is_seen = line == "seen",
            }
        }
        // Nobody reads any more; what would be written is of no interest.
        tokio::task::spawn_blocking(move || lines.for_each(drop));
        assert!(pids.iter().all(|pid| runs(*pid)));
        Server { child, pids, leftovers }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    async fn keeper(&self) -> u32 {
        let own = self.pid();
        let is_keeper = |(pid, parent, is_zombie): &(u32, u32, bool)| {
            *parent == own && !is_zombie && name(*pid).ends_with(" keeper")
        };
        eventually("there is a keeper", || stats().find(is_keeper)).await.0
    }

    /// As the worst of users does.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn gone(&self) {
        let is_gone = || (!self.pids.iter().any(|pid| runs(*pid))).then_some(());
        eventually("all its processes end", is_gone).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status();
    assert!(status.unwrap().success());
}

/// Number, parent, and whether it is a zombie, of all processes.
fn stats() -> impl Iterator<Item = (u32, u32, bool)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
}

fn stat(pid: u32) -> Option<(u32, u32, bool)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let is_zombie = fields.next()? == "Z";
    Some((pid, fields.next()?.parse().ok()?, is_zombie))
}

fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|(_, _, is_zombie)| !is_zombie)
}

fn name(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ")
}

async fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < give_up, "in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
