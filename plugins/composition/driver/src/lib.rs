//! Asks two models at once, `http://heavy.internal/` and `http://light.internal/`, and adds up what
//! they answer.
//!
//! ```text
//! GET /?x=5    ->  15
//! ```
//!
//! While it waits for them, its instance serves other requests. The deployment's `config` may have
//! `work`, like `4.7ms`: how long its own part of a request takes, one request at a time.

#[path = "../../turn.rs"]
mod turn;

use futures::future::try_join;
use wasip3::{
    http::{
        client,
        types::{ErrorCode, Fields, Request, Response, Scheme},
    },
    spawn_local, wit_future, wit_stream,
};

/// Why there is no sum: status and text.
type Refusal = (u16, String);

struct Driver;

wasip3::http::service::export!(Driver);

impl wasip3::exports::http::handler::Guest for Driver {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or("/".into());
        let (status, text) = match sum(&target).await {
            Ok(sum) => (200, sum.to_string()),
            Err(refusal) => refusal,
        };
        Ok(respond(status, format!("{text}\n")))
    }
}

async fn sum(target: &str) -> Result<f64, Refusal> {
    let work = turn::configured("work").map_err(|reason| (500, reason))?;
    turn::take(work).await;
    let (heavy, light) = try_join(ask("heavy", target), ask("light", target)).await?;
    Ok(heavy + light)
}

/// What the deployment `name` answers to `target`.
async fn ask(name: &str, target: &str) -> Result<f64, Refusal> {
    let request = get(&format!("{name}.internal"), target);
    let response =
        client::send(request).await.map_err(|error| (502, format!("{name}: {error}")))?;
    let status = response.get_status_code();
    let (_, taken) = wit_future::new(|| Ok(()));
    let (body, end) = Response::consume_body(response, taken);
    let body = body.collect().await;
    end.await.map_err(|error| (502, format!("{name} broke off: {error}")))?;
    let text = String::from_utf8_lossy(&body);
    if status != 200 {
        return Err((status, format!("{name}: {}", text.trim())));
    }
    text.trim().parse().map_err(|_| (502, format!("{name} answered {text:?}, which is no number")))
}

fn get(authority: &str, target: &str) -> Request {
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    request.set_scheme(Some(&Scheme::Http)).expect("it is one");
    request.set_authority(Some(authority)).expect("it is one");
    request.set_path_with_query(Some(target)).expect("it was received");
    request
}

fn respond(status: u16, text: String) -> Response {
    let headers = Fields::from_list(&[("content-type".into(), b"text/plain".to_vec())])
        .expect("the header is well-formed");
    let (mut body, reader) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(reader), trailers);
    response.set_status_code(status).expect("the status is one of HTTP's");
    spawn_local(async move {
        body.write_all(text.into_bytes()).await; // Rest stays when the client has gone.
    });
    response
}
