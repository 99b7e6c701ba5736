//! Stands for a model: multiplies by a constant, and takes its time for it.
//!
//! ```text
//! GET /?x=5    ->  10
//! ```
//!
//! It may be given several requests, but works on one at a time, as one that computes would. Values
//! of the deployment's `config`:
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `weight` | 1 | what `x` is multiplied by |
//! | `work` | none | how long one request takes, like `200ms` |
//! | `start_up` | none | how long loading takes, before the first request |

#[path = "../../turn.rs"]
mod turn;

use std::{sync::OnceLock, thread, time::Duration};

use samovar_sdk::{config, handler, lifecycle::Lifecycle};
use wasip3::{
    http::types::{ErrorCode, Fields, Request, Response},
    spawn_local, wit_future, wit_stream,
};

static MODEL: OnceLock<Model> = OnceLock::new();

struct Model {
    weight: f64,
    work: Duration,
}

wasip3::http::service::export!(Model);
samovar_sdk::lifecycle!(Model);

impl Lifecycle for Model {
    #[expect(clippy::disallowed_methods, reason = "a guest waits by its host's clock")]
    fn init() -> Result<(), String> {
        let weight = config::get("weight").unwrap_or("1".into());
        let weight = weight.parse().map_err(|error| format!("`weight` is {weight:?}: {error}"))?;
        let model = Model { weight, work: turn::configured("work")? };
        thread::sleep(turn::configured("start_up")?);
        MODEL.set(model).map_err(|_| "loaded twice".into())
    }
}

impl wasip3::exports::http::handler::Guest for Model {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let model = MODEL.get().expect("`init` comes first");
        let target = request.get_path_with_query().unwrap_or_default();
        let x = handler::query(&target, "x").unwrap_or("1".into());
        let Ok(x) = x.parse::<f64>() else {
            return Ok(text(400, format!("`x` is {x:?}, which is no number\n")));
        };
        turn::take(model.work).await;
        Ok(text(200, format!("{}\n", x * model.weight)))
    }
}

fn text(status: u16, text: String) -> Response {
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
