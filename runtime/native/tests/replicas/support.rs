//! Plans for small programs, an output that remembers, and a look at who is left.

use samovar_native::{
    Asked, Endpoint, Failure, Keep, Lease, MemberPlan, Output, ReadyWhen, Replica, ReplicaPlan,
    Stream, Warden, WardenOptions,
};
use std::fs;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take before a test gives up; a passing test never waits this long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Functions for the programs: `serve` answers every request with `status`.
const PRELUDE: &str = "
import os, signal, socket, sys, time
def listen(port=None):
    return socket.create_server(('127.0.0.1', port or int(os.environ['PORT'])))
def answer(listener, status):
    connection, _ = listener.accept()
    connection.recv(4096)
    connection.sendall(b'HTTP/1.1 %d X\\r\\nContent-Length: 0\\r\\n\\r\\n' % status)
    connection.close()
def serve(status=200, listener=None):
    listener = listener or listen()
    while True:
        answer(listener, status)
def detach():
    if os.fork():
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    return True
";

/// The one of this test process.
pub fn warden() -> &'static Arc<Warden> {
    static WARDEN: OnceLock<Arc<Warden>> = OnceLock::new();
    WARDEN.get_or_init(|| {
        let sockets = std::env::temp_dir().join(format!("sn-{}", std::process::id()));
        let marker = format!("test-{}", std::process::id());
        Warden::start(WardenOptions { marker, keeper: None, sockets }).unwrap()
    })
}

/// What a replica wrote, and what was said about it.
#[derive(Default)]
pub struct Memory {
    lines: Mutex<Vec<(u32, Stream, String)>>,
    notes: Mutex<Vec<String>>,
}

impl Output for Memory {
    fn line(&self, rank: u32, stream: Stream, text: &str) {
        self.lines.lock().unwrap().push((rank, stream, text.to_owned()));
    }

    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_owned());
    }
}

impl Memory {
    pub fn lines(&self) -> Vec<(u32, Stream, String)> {
        self.lines.lock().unwrap().clone()
    }

    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    /// Waits for the line that begins with `start`; answers the rest of it.
    pub async fn after(&self, start: &str) -> String {
        eventually(start, || {
            let lines = self.lines.lock().unwrap();
            lines.iter().find_map(|(_, _, text)| Some(text.strip_prefix(start)?.to_owned()))
        })
        .await
    }
}

/// A plan for tests. Its processes carry a tag by which the test finds them.
pub struct Case {
    pub plan: ReplicaPlan,
    pub output: Arc<Memory>,
    tag: String,
}

impl Case {
    /// One member that runs a Python program with `PORT` in its environment.
    pub fn python(program: &str) -> Case {
        Case::gang(&[program])
    }

    /// One member that runs a shell command.
    pub fn shell(command: &str) -> Case {
        let mut case = Case::python("");
        case.plan.members[0].program = "sh".into();
        case.plan.members[0].args = vec!["-c".into(), command.into()];
        case
    }

    /// A member for each Python program.
    pub fn gang(programs: &[&str]) -> Case {
        static TAGS: AtomicU32 = AtomicU32::new(0);
        let number = TAGS.fetch_add(1, Ordering::Relaxed);
        let tag = format!("{}-{number}", std::process::id());
        let leases: Vec<Lease> = programs.iter().map(|_| warden().lease_port().unwrap()).collect();
        let member = |(program, lease): (&&str, &Lease)| MemberPlan {
            program: "python3".into(),
            args: vec!["-c".into(), format!("{PRELUDE}{program}").into()],
            env: vec![
                ("PORT".into(), lease.port().unwrap().to_string()),
                ("TEST_TAG".into(), tag.clone()),
                ("PYTHONUNBUFFERED".into(), "1".into()),
            ],
            cwd: None,
            endpoint: lease.endpoint().clone(),
        };
        let plan = ReplicaPlan {
            members: programs.iter().zip(&leases).map(member).collect(),
            ready: ReadyWhen::Healthy { path: "/".into() },
            asked: Asked::All,
            liveness: None,
            start_timeout: DEADLINE,
            grace: DEADLINE,
            memory_max: None,
            leases,
            keep: Keep::default(),
        };
        Case { plan, output: Arc::default(), tag }
    }

    pub fn endpoint(&self) -> Endpoint {
        self.plan.members[0].endpoint.clone()
    }

    /// Starts it; answers what it takes to look after it.
    pub async fn start(self) -> Running {
        let Case { plan, output, tag } = self;
        let replica = within(Replica::start(warden(), plan, output.clone())).await;
        Running { replica: replica.expect("it becomes ready"), output, tag }
    }

    /// Starts it in vain. Nothing is left of it.
    pub async fn fail(self) -> (Failure, Arc<Memory>) {
        let Case { plan, output, tag } = self;
        let result = within(Replica::start(warden(), plan, output.clone())).await;
        let failure = result.expect_err("it does not become ready");
        assert_eq!(tagged(&tag), [0; 0], "{failure}");
        (failure, output)
    }

    /// Begins to start it and gives up once `is_time`.
    pub async fn give_up(self, is_time: impl AsyncFn(&Memory)) {
        let Case { plan, output, tag } = self;
        let start = Replica::start(warden(), plan, output.clone());
        tokio::select! {
            result = start => panic!("it is too early: {result:?}"),
            () = is_time(&output) => {}
        }
        nobody_left(&tag).await;
    }
}

/// A replica that is ready.
pub struct Running {
    pub replica: Replica,
    pub output: Arc<Memory>,
    tag: String,
}

impl Running {
    /// Ends it; nothing is left at once.
    pub async fn end(self) -> Arc<Memory> {
        within(self.replica.end()).await;
        assert_eq!(tagged(&self.tag), [0; 0]);
        self.output
    }

    /// Drops it; nothing is left soon.
    pub async fn drop(self) {
        drop(self.replica);
        nobody_left(&self.tag).await;
    }

    /// Its failure; nothing is left soon.
    pub async fn failed(&self) -> Failure {
        let failure = within(self.replica.failed()).await;
        nobody_left(&self.tag).await;
        failure
    }

    pub fn pids(&self) -> Vec<i32> {
        tagged(&self.tag)
    }
}

/// Processes with this tag in their environment.
fn tagged(tag: &str) -> Vec<i32> {
    let entry = format!("TEST_TAG={tag}");
    let is_tagged = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|found| found == entry.as_bytes())
    };
    pids().filter(is_tagged).collect()
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

async fn nobody_left(tag: &str) {
    eventually("nobody is left", || tagged(tag).is_empty().then_some(())).await;
}

/// Whether there is such a process, a zombie included.
pub fn exists(pid: &str) -> bool {
    fs::exists(format!("/proc/{}", pid.trim())).unwrap()
}

/// Asks until there is an answer.
pub async fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < give_up, "in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// The result of what must end in good time.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(DEADLINE, work).await.expect("it ends in good time")
}
