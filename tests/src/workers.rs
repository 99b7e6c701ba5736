//! Workers of Vast's protocol as a test plays them, and what the server knows of its replicas.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::http::{Http, Reply};
use crate::native::{self, Native, Process};
use crate::paths;
use crate::server::Samovar;
use crate::status::text;

/// Time between two reports of a worker that goes on reporting.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);

/// Units per second that a played worker says it can do.
pub const MAX_PERF: f64 = 100.0;

/// An HTTP server inside the test. Dropping it closes its port and cuts all its connections.
pub struct Site {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Site {
    /// Serves on a free port; `answer` gets each request with its whole body.
    pub async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(Request<Bytes>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind a free port");
        let address = listener.local_addr().expect("it is bound");
        let accepting = tokio::spawn(async move {
            // Its end aborts the connections in it.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let answer = answer.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        Ok::<_, hyper::Error>(answer(Request::from_parts(head, body)).await)
                    }
                });
                connections.spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// An answer with a JSON body.
pub fn answer(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::new(Bytes::from(body.to_string()))).expect("a valid answer")
}

/// What a worker needs to join a deployment, as the admin API tells it.
#[derive(Clone)]
pub struct Join {
    http: Http,
    /// The path of the address that workers report to.
    path: String,
    /// What they prove themselves with.
    pub token: String,
    /// The address that workers report to.
    pub report_addr: String,
}

impl Join {
    /// Asks for it.
    ///
    /// # Panics
    /// When the address is not one of this server's admin API.
    pub async fn of(samovar: &Samovar, deployment: &str) -> Self {
        let path = format!("/v1/deployments/{deployment}/join");
        let join = samovar.admin.get(&path).await.expect(200).json();
        let report_addr = text(&join, "/report_addr").to_owned();
        let path = report_addr.strip_prefix(&samovar.admin.url(""));
        let path = path.unwrap_or_else(|| panic!("not on the admin API: {report_addr}")).to_owned();
        // Workers do not have the operator's token.
        let http = Http::new(samovar.admin.address());
        Self { http, path, token: text(&join, "/token").to_owned(), report_addr }
    }

    /// Posts a message to one of the routes, such as `worker_status/`.
    pub async fn post(&self, route: &str, body: impl Into<Bytes>) -> Reply {
        let path = format!("{}/{route}", self.path);
        self.http.send(self.http.request(Method::POST, &path), body).await
    }

    /// Posts a report as it is.
    pub async fn report(&self, message: &Value) -> Reply {
        self.post("worker_status/", message.to_string()).await
    }

    /// The key that requests are signed with.
    pub async fn public_key(&self) -> Reply {
        self.http.get(&format!("{}/pubkey/", self.path)).await
    }
}

/// A worker that somebody started somewhere: an HTTP server in the test, and what it reports.
///
/// Its paths: `/hold` answers when [`Worker::let_go`] was called, all others at once.
pub struct Worker {
    /// Its name.
    pub id: String,
    join: Join,
    site: Option<Site>,
    address: SocketAddr,
    served: Arc<AtomicU64>,
    gate: watch::Sender<bool>,
    reporting: Option<JoinHandle<()>>,
}

impl Worker {
    /// A worker that listens and has not reported anything yet.
    pub async fn start(join: &Join, id: &str) -> Self {
        let served = Arc::new(AtomicU64::new(0));
        let (gate, open) = watch::channel(false);
        let (name, count) = (id.to_owned(), Arc::clone(&served));
        let site = Site::start(move |request: Request<Bytes>| {
            let (name, count, mut open) = (name.clone(), Arc::clone(&count), open.clone());
            async move {
                if request.uri().path() == "/hold" {
                    let _ = open.wait_for(|open| *open).await; // Ends with the worker, too.
                }
                count.fetch_add(1, Ordering::Relaxed);
                let echo = String::from_utf8_lossy(request.body()).into_owned();
                answer(200, &json!({"worker": name, "echo": echo, "path": request.uri().path()}))
            }
        })
        .await;
        let address = site.address();
        let (id, join) = (id.to_owned(), join.clone());
        Self { id, join, site: Some(site), address, served, gate, reporting: None }
    }

    /// A worker that is loaded, says so now and then, and has been taken in.
    ///
    /// # Panics
    /// When its report is refused.
    pub async fn loaded(join: &Join, id: &str) -> Self {
        let mut worker = Self::start(join, id).await;
        worker.report(json!({})).await.expect(200);
        worker.keep_reporting();
        worker
    }

    /// Where it listens, as it reports it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests it answered.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// The report of today's worker that is loaded and holds nothing, with `changes`.
    pub fn message(&self, changes: Value) -> Value {
        let mut message = json!({
            "id": self.id, "mtoken": self.join.token, "version": "1.1.0", "url": self.url(),
            "loadtime": 4.25, "max_perf": MAX_PERF, "error_msg": "",
            "cur_load": 0.0, "new_load": 0.0, "rej_load": 0.0, "cur_perf": 0.0,
            "num_requests_working": 0, "num_requests_recieved": 0, "working_request_idxs": [],
            "cur_capacity": 0, "max_capacity": 0, "disk_usage": 1.5, "additional_disk_usage": -0.5,
        });
        let Value::Object(changes) = changes else { panic!("{changes} is not an object") };
        message.as_object_mut().expect("it is one").extend(changes);
        message
    }

    /// Reports [`Worker::message`].
    pub async fn report(&self, changes: Value) -> Reply {
        self.join.report(&self.message(changes)).await
    }

    /// Reports that it still loads.
    pub async fn report_loading(&self) -> Reply {
        self.report(json!({"loadtime": 0.0, "max_perf": 0.0})).await
    }

    /// From now on it reports every now and then that it is loaded.
    pub fn keep_reporting(&mut self) {
        let (join, message) = (self.join.clone(), self.message(json!({})));
        self.silence();
        self.reporting = Some(tokio::spawn(async move {
            loop {
                tokio::time::sleep(REPORT_INTERVAL).await;
                join.report(&message).await;
            }
        }));
    }

    /// It reports nothing more.
    pub fn silence(&mut self) {
        if let Some(reporting) = self.reporting.take() {
            reporting.abort();
        }
    }

    /// It says that it leaves, and reports nothing more.
    pub async fn leave(&mut self) -> Reply {
        self.silence();
        let message = json!({"id": self.id, "mtoken": self.join.token});
        self.join.post("leave/", message.to_string()).await
    }

    /// Requests to `/hold` are answered.
    pub fn let_go(&self) {
        self.gate.send_replace(true);
    }

    /// It ends without a word: its port is closed and its connections are cut.
    pub fn crash(&mut self) {
        self.silence();
        self.site = None;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.silence();
    }
}

/// The spec of a deployment whose replicas are the fixture worker, with `spec` on top.
pub fn reporting_process(env: Value, spec: Value) -> Value {
    let script = paths::fixture("worker/server.py");
    let process = json!({"command": native::python(), "args": ["-S", script]});
    let base = json!({"process": process, "worker": {}, "env": env, "idle_ttl": "off"});
    with(base, spec)
}

/// The spec of a deployment of workers that register themselves, with `spec` on top.
pub fn external(spec: Value) -> Value {
    with(json!({"worker": {}, "replicas": "0..4", "idle_ttl": "off"}), spec)
}

/// The spec `left` with the members of `right` put in their place.
fn with(mut left: Value, right: Value) -> Value {
    let Value::Object(members) = right else { panic!("{right} is not an object") };
    left.as_object_mut().expect("a spec is an object").extend(members);
    left
}

impl Native {
    /// Puts a spec as it is, and returns the deployment's status.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn deploy_spec(&self, name: &str, spec: &Value) -> Value {
        let reply = self.put(name, spec).await;
        assert!(matches!(reply.status, 200 | 201), "{} {}", reply.status, reply.text());
        reply.json()
    }

    /// Deploys workers that register themselves, and says how they join.
    pub async fn deploy_external(&self, name: &str, spec: Value) -> Join {
        self.deploy_spec(name, &external(spec)).await;
        Join::of(self, name).await
    }
}

/// The environment a process was started with.
///
/// # Panics
/// When it is not there.
pub fn environment(process: Process) -> BTreeMap<String, String> {
    let bytes = fs::read(format!("/proc/{}/environ", process.pid)).expect("the process runs");
    let text = String::from_utf8(bytes).expect("the environment is text");
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
