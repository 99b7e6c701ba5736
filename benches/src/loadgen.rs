//! A load generator: a fixed number of kept connections, each with one request at a time.
//!
//! It runs on one thread of its own, so that it takes at most one core from the server. It times
//! every request, and counts everything but a complete answer with status 200, and the length that
//! is expected, as a failure.

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinSet, LocalSet},
    time::{Instant, sleep},
};

use crate::response;

/// Most bytes of a response: the longest body that is echoed, and its framing.
const RESPONSE_BYTES_MAX: usize = 2 << 20;
/// A connection that failed waits this long, so that a dead server is not hammered.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);

/// What is asked, and by how many at once.
#[derive(Clone, Debug)]
pub struct Load {
    pub address: SocketAddr,
    /// Every connection asks for them in turn, each begins with another one.
    pub paths: Vec<String>,
    pub connections: usize,
    /// Sent by `POST` with every request; `GET` if it is empty.
    pub body: Bytes,
    /// Of `body`; not sent if it is empty.
    pub content_type: &'static str,
    /// Bytes of the body of a good answer; any number if none.
    pub expects_bytes: Option<usize>,
}

/// What came of it.
#[derive(Default, Debug)]
pub struct Report {
    /// Good answers.
    pub answered: u64,
    pub failed: u64,
    pub first_failure: Option<String>,
    pub elapsed: Duration,
    /// Of every good answer, sorted.
    pub latencies_us: Vec<u32>,
}

impl Report {
    pub fn per_second(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }
}

/// A load that runs until it is told to stop.
pub struct Running {
    shared: Arc<Shared>,
    thread: JoinHandle<Report>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    answered: AtomicU64,
}

impl Load {
    /// Requests without a body.
    pub fn get(address: SocketAddr, path: impl Into<String>, connections: usize) -> Self {
        Self::get_each(address, vec![path.into()], connections)
    }

    /// Requests without a body for several paths.
    pub fn get_each(address: SocketAddr, paths: Vec<String>, connections: usize) -> Self {
        let (body, content_type, expects_bytes) = (Bytes::new(), "", None);
        Self { address, paths, connections, body, content_type, expects_bytes }
    }

    /// The requests of every connection.
    pub(crate) fn requests(&self) -> Vec<Requests> {
        let all: Rc<[_]> = self.paths.iter().map(|path| self.request(path)).collect();
        let expects_bytes = self.expects_bytes;
        let first = |index| index * all.len() / self.connections;
        let one = |index| Requests { all: Rc::clone(&all), next: first(index), expects_bytes };
        (0..self.connections).map(one).collect()
    }

    fn request(&self, path: &str) -> Vec<u8> {
        let Self { address, body, content_type, .. } = self;
        if body.is_empty() {
            return get(*address, path);
        }
        let length = body.len();
        let mut head =
            format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n");
        if !content_type.is_empty() {
            head += &format!("content-type: {content_type}\r\n");
        }
        [head.as_bytes(), b"\r\n", body].concat()
    }

    /// Starts the load on a thread of its own.
    pub fn start(self) -> Running {
        let shared = Arc::new(Shared::default());
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || block_on(drive(self, shared))
        });
        Running { shared, thread }
    }

    /// Runs the load for `duration`.
    pub async fn run(self, duration: Duration) -> Report {
        let running = self.start();
        sleep(duration).await;
        running.finish().await
    }

    /// Opens all connections, then sends one request on each at the same time.
    pub async fn once(self) -> Report {
        tokio::task::spawn_blocking(|| block_on(all_at_once(self)))
            .await
            .expect("it does not panic")
    }
}

impl Running {
    /// Good answers so far.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// No further requests; waits for the answers that are under way.
    pub async fn finish(self) -> Report {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(|| thread.join()).await;
        joined.expect("joining does not panic").expect("the load does not panic")
    }
}

/// A request without a body.
pub(crate) fn get(address: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes()
}

pub(crate) fn block_on(load: impl Future<Output = Report>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("start the load's runtime"), load)
}

async fn drive(load: Load, shared: Arc<Shared>) -> Report {
    let started = Instant::now();
    let report = Rc::new(RefCell::new(Report::default()));
    let mut tasks = JoinSet::new();
    for mut requests in load.requests() {
        let (report, shared) = (Rc::clone(&report), Arc::clone(&shared));
        let mut connection = Connection::new(load.address);
        tasks.spawn_local(async move {
            while !shared.is_over.load(Ordering::Relaxed) {
                let is_good = one(&mut connection, &mut requests, Instant::now(), &report).await;
                if is_good {
                    shared.answered.fetch_add(1, Ordering::Relaxed);
                } else {
                    sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    finished(report, started)
}

async fn all_at_once(load: Load) -> Report {
    let report = Rc::new(RefCell::new(Report::default()));
    let connections = open_all(&load).await;
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for (mut connection, mut requests) in connections.into_iter().zip(load.requests()) {
        let report = Rc::clone(&report);
        tasks.spawn_local(async move {
            one(&mut connection, &mut requests, Instant::now(), &report).await;
        });
    }
    while tasks.join_next().await.is_some() {}
    finished(report, started)
}

pub(crate) async fn open_all(load: &Load) -> Vec<Connection> {
    let mut connections = Vec::new();
    for _ in 0..load.connections {
        let mut connection = Connection::new(load.address);
        // One that cannot be opened fails again, and is counted, when it is used.
        connection.stream = connection.open().await.ok();
        connections.push(connection);
    }
    connections
}

pub(crate) fn finished(report: Rc<RefCell<Report>>, started: Instant) -> Report {
    let mut report = report.take();
    report.elapsed = started.elapsed();
    report.latencies_us.sort_unstable();
    report
}

/// What one connection sends, over and over.
pub(crate) struct Requests {
    all: Rc<[Vec<u8>]>,
    next: usize,
    expects_bytes: Option<usize>,
}

impl Requests {
    fn turn(&mut self) -> &[u8] {
        let turn = self.next;
        self.next = (turn + 1) % self.all.len();
        &self.all[turn]
    }
}

/// One request, counted; whether the answer was good. It took the time from `since` on.
pub(crate) async fn one(
    connection: &mut Connection,
    requests: &mut Requests,
    since: Instant,
    report: &RefCell<Report>,
) -> bool {
    let answer = connection.send(requests.turn()).await;
    let micros = u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX);
    let mut report = report.borrow_mut();
    let failure = match answer {
        Ok((200, bytes)) if requests.expects_bytes.is_none_or(|expected| bytes == expected) => {
            report.answered += 1;
            report.latencies_us.push(micros);
            return true;
        }
        Ok((status, bytes)) => format!("status {status}, {bytes} bytes"),
        Err(error) => error.to_string(),
    };
    report.failed += 1;
    report.first_failure.get_or_insert(failure);
    false
}

/// A connection that is opened when it is needed.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, buffer: Vec::with_capacity(4096) }
    }

    async fn open(&mut self) -> io::Result<TcpStream> {
        let stream = match self.stream.take() {
            Some(stream) => return Ok(stream),
            None => TcpStream::connect(self.address).await?,
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Sends `request`, reads the whole answer and returns its status and the length of its body.
    /// Nothing is sent twice.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<(u16, usize)> {
        let mut stream = self.open().await?;
        let (mut answers, mut requests) = stream.split();
        // At the same time: a server that answers while it reads would wait for us to read.
        let ((), answer) = tokio::try_join!(
            biased;
            requests.write_all(request),
            receive(&mut answers, &mut self.buffer),
        )?;
        if !answer.is_last {
            self.stream = Some(stream);
        }
        Ok((answer.status, answer.body_bytes))
    }
}

/// Reads the whole answer.
async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<response::Complete> {
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let broken = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        let Some(answer) = response::parse(buffer).map_err(broken)? else {
            if buffer.len() > RESPONSE_BYTES_MAX {
                return Err(broken("the response is too long".to_owned()));
            }
            continue;
        };
        if answer.len != buffer.len() {
            return Err(broken("there are bytes after the response".to_owned()));
        }
        return Ok(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_begin_with_different_paths() {
        let paths = ["/a", "/b", "/c", "/d"].map(str::to_owned).to_vec();
        let load = Load::get_each("127.0.0.1:1".parse().unwrap(), paths, 2);
        let texts = |mut requests: Requests| {
            let mut text = || String::from_utf8(requests.turn()[4..6].to_vec()).unwrap();
            [(); 5].map(|()| text()).join(" ")
        };
        let all: Vec<_> = load.requests().into_iter().map(texts).collect();
        assert_eq!(all, ["/a /b /c /d /a", "/c /d /a /b /c"]);
    }
}
