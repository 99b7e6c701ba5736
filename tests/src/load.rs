//! A steady load of requests in the background, to change things under.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use http::Method;
use tokio::task::JoinHandle;

use crate::http::{Http, Reply, full};
use crate::wait::{eventually, within};

/// Loops that send a request one after another until stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    loops: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Starts `width` loops of `GET path`, each expecting the answer 200.
    pub fn start(http: &Http, path: &str, width: usize) -> Self {
        Self::of(http, Method::GET, path, "", width)
    }

    /// Starts `width` loops of `POST path` with `body`, each expecting the answer 200.
    pub fn post(http: &Http, path: &str, body: &str, width: usize) -> Self {
        Self::of(http, Method::POST, path, body, width)
    }

    /// Sends `GET path` in two loops until at least `count` were answered with 200.
    ///
    /// # Panics
    /// When any request failed.
    pub async fn some(http: &Http, path: &str, count: u64) {
        let load = Self::start(http, path, 2);
        load.serve_more(count).await;
        load.stop_without_failure().await;
    }

    fn of(http: &Http, method: Method, path: &str, body: &str, width: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicU64::new(0));
        let loops = (0..width)
            .map(|_| {
                let (http, path) = (http.clone(), path.to_owned());
                let (method, body) = (method.clone(), Bytes::copy_from_slice(body.as_bytes()));
                let (stop, served) = (stop.clone(), served.clone());
                let send = async move || {
                    let request = http.request(method.clone(), &path).body(full(body.clone()));
                    http.try_send(request.expect("a valid request")).await
                };
                tokio::spawn(one_loop(send, stop, served))
            })
            .collect();
        Self { stop, served, loops }
    }

    /// How many requests were answered with 200 so far.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Waits until `count` more requests were answered.
    pub async fn serve_more(&self, count: u64) {
        let enough = self.served() + count;
        eventually("the load goes on", async || (self.served() >= enough).then_some(())).await;
    }

    /// Ends the load and returns how many requests were answered with 200.
    ///
    /// # Panics
    /// When any request failed.
    pub async fn stop_without_failure(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        for one in self.loops {
            failures.extend(within("end the load", one).await.expect("a loop does not panic"));
        }
        let served = self.served.load(Ordering::Relaxed);
        let first = failures.first();
        assert!(failures.is_empty(), "{} of {served} failed: {first:?}", failures.len());
        assert!(served > 0, "the load did nothing");
        served
    }
}

async fn one_loop(
    send: impl AsyncFn() -> Result<Reply, String>,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match send().await {
            Ok(reply) if reply.status == 200 => {
                served.fetch_add(1, Ordering::Relaxed);
            }
            Ok(reply) => failures.push(format!("{} {}", reply.status, reply.text())),
            Err(error) => failures.push(error),
        }
        if failures.len() > 100 {
            break; // Enough to tell what is wrong.
        }
    }
    failures
}

/// Requests in flight. Awaiting gives their answers; dropping hangs up.
pub struct InFlight {
    requests: Vec<JoinHandle<Reply>>,
}

/// Sends `GET path` `count` times at once, in the background.
pub fn at_once(http: &Http, path: &str, count: usize) -> InFlight {
    let requests = (0..count)
        .map(|_| {
            let (http, path) = (http.clone(), path.to_owned());
            tokio::spawn(async move { http.get(&path).await })
        })
        .collect();
    InFlight { requests }
}

impl InFlight {
    /// Sends one request with a body, in the background.
    pub fn one(http: &Http, request: http::request::Builder, body: String) -> Self {
        let http = http.clone();
        let request = tokio::spawn(async move { http.send(request, body).await });
        Self { requests: vec![request] }
    }

    /// The only answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn answer(self) -> Reply {
        self.answers().await.pop().expect("one request was sent")
    }

    /// All answers.
    ///
    /// # Panics
    /// When a request got none.
    pub async fn answers(mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        for request in &mut self.requests {
            replies.push(within("answer a request", request).await.expect("it is answered"));
        }
        replies
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        for request in &self.requests {
            request.abort();
        }
    }
}
