//! What the load balancer does with one request, and with a failed call of a worker.

use serde::Deserialize;
use serde_json::{Value, json};

/// The state of the balancer when a request comes.
#[derive(Deserialize)]
pub(super) struct Admission {
    #[serde(default)]
    servers: u64,
    /// Requests inside, this one included.
    #[serde(default)]
    in_flight: u64,
    #[serde(default = "max_batch_size")]
    max_batch_size: u64,
    /// Whether there is a proxy for cold starts.
    #[serde(default)]
    proxy: bool,
}

fn max_batch_size() -> u64 {
    8
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    Batched,
    Proxied,
    Refused,
}

/// What a caller is told when there is no worker.
pub(super) const NO_WORKER: &str = "None of the workers are healthy!, try again in a few seconds";

impl Admission {
    /// A balancer that has no proxy.
    pub(super) fn without_proxy(servers: u64, in_flight: u64, max_batch_size: u64) -> Self {
        Self { servers, in_flight, max_batch_size, proxy: false }
    }

    /// Without workers and proxy a request is refused. Only with a proxy is there a limit.
    pub(super) fn outcome(&self) -> Admitted {
        let is_full = self.in_flight >= self.max_batch_size.saturating_mul(self.servers);
        match (self.servers, self.proxy) {
            (0, false) => Admitted::Refused,
            (0, true) => Admitted::Proxied,
            (_, true) if is_full => Admitted::Proxied,
            _ => Admitted::Batched,
        }
    }

    pub(super) fn answer(&self) -> Value {
        match self.outcome() {
            Admitted::Batched => json!({"outcome": "BATCHED"}),
            Admitted::Proxied => json!({"outcome": "PROXIED"}),
            Admitted::Refused => json!({"status": 503, "detail": NO_WORKER}),
        }
    }
}

/// How a call of a worker ended.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Failure {
    #[serde(rename = "http_418")]
    Http418,
    ServerDisconnected,
    ClientError,
    ClientResponseError,
    Timeout,
    TextServerDisconnected,
    Runtime,
    NoArgs,
    NotAnException,
}

impl Failure {
    /// The status and text the caller gets. An error without arguments escapes, as the balancer
    /// looks at the first one.
    pub(super) fn answer(self) -> Value {
        let (status, detail) = match self {
            Self::NotAnException => return json!({"raised": false}),
            Self::NoArgs => return json!({"raised": true, "unhandled": "IndexError"}),
            Self::Http418 => (418, "teapot"),
            Self::ServerDisconnected => (500, "Worker Server Disconnected"),
            Self::ClientError | Self::ClientResponseError => (500, "Worker Server error"),
            Self::Timeout => (408, "Request timed out"),
            Self::TextServerDisconnected => (500, "Worker Server disconnected"),
            Self::Runtime => (500, "boom"),
        };
        json!({"raised": true, "status": status, "detail": detail})
    }
}
