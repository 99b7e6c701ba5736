//! Requests in the form that today's worker package of Vast wants: signed, with the client's body
//! as the payload.

use super::replica::SendFault;
use crate::clock;
use crate::deployment::Workload;
use crate::spec::DeploymentName;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;
use samovar_proxy::{Address as UpstreamAddress, Upstream};
use samovar_workers::address::Address;
use samovar_workers::envelope::{Numbers, Ticket, wrap};
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmtime_wasi_http::WasiBody;

/// Signatures kept: one per worker that is there.
const SIGNATURES_MAX: usize = 1000;

/// Wraps the requests of one deployment.
pub struct Envelopes {
    native: Arc<super::Native>,
    endpoint: String,
    workload: Workload,
    numbers: Numbers,
    /// By address. Signing takes a millisecond.
    signatures: Mutex<BTreeMap<Address, Arc<str>>>,
}

impl Envelopes {
    /// For the workers of a deployment.
    pub(super) fn new(
        native: Arc<super::Native>,
        deployment: &DeploymentName,
        workload: Workload,
    ) -> Self {
        Envelopes {
            native,
            endpoint: deployment.to_string(),
            workload,
            numbers: Numbers::starting_at(clock::unix_ms() * 1000),
            signatures: Mutex::default(),
        }
    }

    /// Puts a request with a body into its envelope. One without goes as it is.
    pub async fn wrap(
        &self,
        request: Request<WasiBody>,
        upstream: &Upstream<WasiBody>,
    ) -> Result<Request<WasiBody>, SendFault> {
        if http_body::Body::is_end_stream(request.body()) {
            return Ok(request);
        }
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|error| {
            SendFault::RequestBody(format!("the request's body broke off: {error}"))
        })?;
        let body = body.to_bytes();
        let address = worker_address(upstream.address()).ok_or_else(|| {
            SendFault::Envelope("a worker on a Unix socket takes no envelopes".to_owned())
        })?;
        let signature = self.signature(&address).map_err(SendFault::Envelope)?;
        let ticket = Ticket {
            endpoint: &self.endpoint,
            number: self.numbers.next(),
            cost: self.workload.units(&parts.headers, Some(&body)),
            url: &address,
            signature: &signature,
        };
        let wrapped = wrap(&body, &ticket);
        let wrapped = wrapped.map_err(|error| SendFault::Envelope(error.to_string()))?;
        let body = wrapped.map_or(body, Bytes::from);
        parts.headers.remove(header::CONTENT_LENGTH);
        let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
        Ok(Request::from_parts(parts, body))
    }

    fn signature(&self, address: &Address) -> Result<Arc<str>, String> {
        if let Some(known) = self.signatures.lock().get(address) {
            return Ok(Arc::clone(known));
        }
        let made: Arc<str> = self.native.sign(address)?.into();
        let mut signatures = self.signatures.lock();
        if signatures.len() >= SIGNATURES_MAX {
            signatures.clear();
        }
        signatures.insert(address.clone(), Arc::clone(&made));
        Ok(made)
    }
}

fn worker_address(address: &UpstreamAddress) -> Option<Address> {
    match address {
        UpstreamAddress::Tcp(address) => Some(Address::of(address.ip(), address.port())),
        UpstreamAddress::Host { host, port } => {
            Address::parse(&format!("http://{host}:{port}")).ok()
        }
        UpstreamAddress::Unix(_) => None,
    }
}
