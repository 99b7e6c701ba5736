//! The requests of a deployment as they come, for `samovar record`.

use super::{Admin, parse};
use crate::api::{ApiError, RequestEvent};
use crate::clock;
use crate::deployment::Event;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use samovar_core::time::Timestamp;
use tokio::sync::broadcast::{self, error::RecvError};

/// Events sent together at most.
const TOGETHER_MAX: usize = 1024;

/// One JSON object per line, until the caller leaves or the deployment is deleted.
pub async fn requests(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let deployment = admin.control.deployment(&parse(&name, "name")?)?;
    let events = deployment.recorder.listen();
    drop(deployment);
    let first = line(&RequestEvent::Start { at_us: micros(clock::now()) });
    let more = futures::stream::unfold(events, |mut events| async move {
        let lines = next_lines(&mut events).await?;
        Some((lines, events))
    });
    let all = futures::stream::once(async move { first }).chain(more);
    let body = Body::from_stream(all.map(Ok::<_, std::convert::Infallible>));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// Waits for an event, then takes what else is there. None when there will be no more.
async fn next_lines(events: &mut broadcast::Receiver<Event>) -> Option<String> {
    let mut text = match events.recv().await {
        Ok(event) => line(&to_api(event)),
        Err(RecvError::Lagged(events)) => line(&RequestEvent::Lost { events }),
        Err(RecvError::Closed) => return None,
    };
    for _ in 1..TOGETHER_MAX {
        match events.try_recv() {
            Ok(event) => text.push_str(&line(&to_api(event))),
            Err(_) => break, // What was lost is told by the next `recv`.
        }
    }
    Some(text)
}

fn line(event: &RequestEvent) -> String {
    let mut text = serde_json::to_string(event).expect("it is plain data");
    text.push('\n');
    text
}

fn to_api(event: Event) -> RequestEvent {
    match event {
        Event::Arrived { id, at } => RequestEvent::Arrived { id, at_us: micros(at) },
        Event::Ended { id, service } => RequestEvent::Ended {
            id,
            service_us: service.map(|service| service.as_micros() as u64),
        },
    }
}

fn micros(at: Timestamp) -> u64 {
    at.as_nanos() / 1000
}
