//! A batch on a process or worker: one POST with all bodies.

use super::json::{self, Element};
use super::{Again, Answer, Answers, Batches, Broken, Item};
use crate::calls::Running;
use crate::dispatch::body::full;
use crate::dispatch::{Failure, FailureCode, ResponseBody};
use crate::native::{NativeReplica, SendFault};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use samovar_core::pool::Health;

/// Where a batch goes if its deployment does not say.
const ROOT: &str = "/";

/// Serves a batch.
pub async fn serve(
    batches: &Batches,
    replica: &NativeReplica,
    items: &[&Item],
    running: Option<&Running>,
) -> Answers {
    let bodies = items.iter().map(|item| &item.body);
    let mut request = Request::new(full(json::join(bodies, batches.spec.shape)));
    *request.method_mut() = Method::POST;
    let path = batches.spec.path.as_deref().unwrap_or(ROOT);
    *request.uri_mut() = path.parse().map_err(|_| broken(format!("`{path}` is not a path")))?;
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::CONTENT_TYPE, json.clone());
    request.headers_mut().insert(header::ACCEPT, json);
    if let Some(running) = running {
        running.mark(request.headers_mut());
    }
    let longest = batches.limits.request_timeout;
    let (status, body) =
        match tokio::time::timeout(longest, exchange(batches, replica, request)).await {
            Ok(answer) => answer?,
            Err(_) => {
                let message = format!("the replica did not answer its batch within {longest:?}");
                let failure = Failure::new(FailureCode::RequestTimeout, message);
                return Err(Broken { failure, again: Again::No, health: Health::Sound });
            }
        };
    if !status.is_success() {
        return refused(status, body, items.len());
    }
    let parts = json::split(&body, batches.spec.shape).map_err(|reason| {
        let failure = Failure::new(FailureCode::BatchAnswer, reason);
        Broken { failure, again: Again::No, health: Health::Sound }
    })?;
    if parts.len() != items.len() {
        return Err(Broken::wrong_count(parts.len(), items.len()));
    }
    Ok(parts.into_iter().map(answer).collect())
}

/// The status and the whole body of the answer.
async fn exchange(
    batches: &Batches,
    replica: &NativeReplica,
    request: Request<wasmtime_wasi_http::WasiBody>,
) -> Result<(StatusCode, Bytes), Broken> {
    let response = replica.send(request).await.map_err(|fault| {
        let again = match fault {
            SendFault::Unreachable { .. } => Again::Unsent,
            _ => Again::IfWanted,
        };
        let code = match fault {
            SendFault::HeadTooLarge(_) => FailureCode::ResponseTooLarge,
            SendFault::BadAnswer(_) => FailureCode::BadAnswer,
            _ => FailureCode::ReplicaFailed,
        };
        let failure = Failure::new(code, fault.to_string());
        Broken { failure, again, health: Health::Sound }
    })?;
    let (parts, body) = response.into_parts();
    let most = batches.limits.response_body_bytes;
    let body = Limited::new(body, usize::try_from(most).unwrap_or(usize::MAX));
    let body =
        body.collect().await.map_err(|error| broken(format!("the answer broke off: {error}")))?;
    Ok((parts.status, body.to_bytes()))
}

/// The batch as a whole was answered with an error: that is everybody's, if there is only one.
fn refused(status: StatusCode, body: Bytes, requests: usize) -> Answers {
    if requests == 1 {
        return Ok(vec![Ok(response(status, body))]);
    }
    let told: String = String::from_utf8_lossy(&body).chars().take(200).collect();
    let message = format!("the batch of {requests} requests was answered with {status}: {told}");
    let failure = Failure::new(FailureCode::BatchAnswer, message);
    Err(Broken { failure, again: Again::IfWanted, health: Health::Sound })
}

fn answer(part: Element) -> Answer {
    match part {
        Element::Body(body) => Ok(response(StatusCode::OK, body)),
        Element::Error(error) => {
            let status = StatusCode::from_u16(error.status).ok();
            let status =
                status.filter(|status| status.is_client_error() || status.is_server_error());
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Err(Failure::new(FailureCode::BatchItem, error.message).with_status(status))
        }
    }
}

fn response(status: StatusCode, body: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn broken(message: String) -> Broken {
    let failure = Failure::new(FailureCode::BatchAnswer, message);
    Broken { failure, again: Again::IfWanted, health: Health::Sound }
}
