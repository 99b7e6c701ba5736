//! A batch on an instance that exports `samovar:handler/batch`.

use super::{Again, Answer, Answers, Batches, Broken, Item};
use crate::calls::Running;
use crate::dispatch::{Failure, FailureCode, ResponseBody, check_answer};
use crate::wasm::bindings::batch;
use crate::wasm::replica::{Ended, SyncInstance, Vitals};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use samovar_core::pool::Health;
use std::sync::Arc;

/// Serves a batch, and gives the instance back if it can serve on.
pub async fn serve(
    batches: &Batches,
    instance: Box<SyncInstance>,
    items: &[&Item],
    running: &Option<Arc<Running>>,
) -> (Answers, Option<Box<SyncInstance>>) {
    let requests = items.iter().map(|item| request(item)).collect();
    let call = instance.call_batch(requests, running.clone());
    let vitals = Arc::clone(call.vitals());
    let longest = batches.limits.request_timeout;
    match tokio::time::timeout(longest, call).await {
        Ok(Ok(Ended { instance, result: Ok(answers) })) => {
            (split(batches, items, answers), Some(instance))
        }
        Ok(Ok(Ended { result: Err(trap), .. }) | Err(trap)) => {
            (Err(trapped(&vitals, items.len(), &trap)), None)
        }
        Err(_) => {
            let message = format!("the handler did not answer its batch within {longest:?}");
            let failure = Failure::new(FailureCode::RequestTimeout, message);
            (Err(Broken { failure, again: Again::No, health: Health::Condemned }), None)
        }
    }
}

fn request(item: &Item) -> batch::Request {
    let headers = item.head.headers.iter();
    let uri = &item.head.uri;
    batch::Request {
        method: item.head.method.as_str().to_owned(),
        path_with_query: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect(),
        body: item.body.to_vec(),
    }
}

fn split(
    batches: &Batches,
    items: &[&Item],
    answers: Vec<Result<batch::Response, String>>,
) -> Answers {
    if answers.len() != items.len() {
        return Err(Broken::wrong_count(answers.len(), items.len()));
    }
    Ok(answers.into_iter().map(|answer| response(batches, answer)).collect())
}

fn response(batches: &Batches, answer: Result<batch::Response, String>) -> Answer {
    let answer = answer.map_err(|reason| Failure::new(FailureCode::BatchItem, reason))?;
    let unusable = |what: String| {
        Failure::new(FailureCode::BatchAnswer, format!("the handler answered with {what}"))
    };
    let status = StatusCode::from_u16(answer.status).ok();
    let status = status.filter(|status| (200..600).contains(&status.as_u16()));
    let status = status.ok_or_else(|| unusable(format!("the status {}", answer.status)))?;
    let limits = &batches.limits;
    if answer.body.len() as u64 > limits.response_body_bytes {
        let (bytes, most) = (answer.body.len(), limits.response_body_bytes);
        let message = format!("response body has {bytes} bytes, allowed are {most}");
        return Err(Failure::new(FailureCode::ResponseTooLarge, message));
    }
    let mut response = Response::new(ResponseBody::full(Bytes::from(answer.body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in answer.headers {
        let known = HeaderName::from_bytes(name.as_bytes()).ok();
        let known =
            known.filter(|name| !wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS.contains(name));
        let (Some(known), Ok(value)) = (known, HeaderValue::from_bytes(&value)) else {
            let name: String = name.chars().take(100).collect();
            return Err(unusable(format!("a header `{name}` that cannot be sent")));
        };
        // The length is that of the body, whatever the handler says.
        if known != http::header::CONTENT_LENGTH {
            headers.append(known, value);
        }
    }
    check_answer(limits, headers)?;
    Ok(response)
}

fn trapped(vitals: &Vitals, requests: usize, trap: &wasmtime::Error) -> Broken {
    let failure = if vitals.is_exceeded() {
        Failure::new(FailureCode::CpuLimit, "the handler used up its CPU time")
    } else {
        let of = if requests > 1 { format!(" on a batch of {requests}") } else { String::new() };
        let message = format!("the handler failed{of}: {}", trap.root_cause());
        Failure::new(FailureCode::GuestTrap, message)
    };
    Broken { failure, again: Again::IfWanted, health: Health::Condemned }
}
