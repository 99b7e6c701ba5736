//! Where requests of a deployment may go to other than its own replicas.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

use super::DeploymentName;

/// Calls of a component to other deployments, inside the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallsSpec {
    /// Whom it may call. Processes and workers are not asked.
    pub allow: CallAllow,
}

/// Whom a component may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallAllow {
    /// All deployments, itself included.
    All,
    /// These, each named once, in the order they were written; nobody if there is none.
    Only(Vec<DeploymentName>),
}

impl CallAllow {
    /// Whether `callee` may be called.
    pub fn allows(&self, callee: &DeploymentName) -> bool {
        match self {
            CallAllow::All => true,
            CallAllow::Only(names) => names.contains(callee),
        }
    }
}

/// HTTP requests of a component to elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundSpec {
    /// What may be called, like `https://*.example.com`.
    pub allow: Vec<String>,
    /// Addresses that a name may resolve to beside public ones: kinds, or networks.
    pub addresses: Vec<String>,
    /// Files with certificates of authorities that are trusted beside those of the system;
    /// absolute paths.
    pub ca_files: Vec<PathBuf>,
    /// The longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// From the request to the head of its response.
    pub first_byte_timeout: Duration,
    /// The longest silence of a response's body.
    pub between_bytes_timeout: Duration,
    /// Connections of all replicas together; at least 1.
    pub max_connections: u32,
    /// Bytes of a request's body.
    pub request_body: u64,
    /// Bytes of a response's body.
    pub response_body: u64,
}

/// Who answers while no replica can.
#[derive(Debug, Clone, PartialEq)]
pub struct ColdStartProxySpec {
    /// Who answers instead.
    pub to: ProxyTo,
    /// With more requests than this per ready replica, queued and ongoing, further ones go there
    /// too. None: only those go that find no ready replica.
    pub above: Option<f64>,
    /// From sending a request there to the head of its response.
    pub timeout: Duration,
}

/// Who answers in place of a deployment's own replicas.
#[derive(Debug, Clone, PartialEq)]
pub enum ProxyTo {
    /// Another deployment.
    Deployment(DeploymentName),
    /// An http or https URL without a query; what follows the route is added to its path.
    Url(String),
    /// Nobody: the answer is always the same.
    Response {
        /// 200 to 599.
        status: StatusCode,
        /// Each name once.
        headers: Vec<(HeaderName, HeaderValue)>,
        /// The whole body, as UTF-8.
        body: String,
    },
}
