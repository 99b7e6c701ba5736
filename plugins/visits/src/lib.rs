//! A guest book: counts visits and keeps the last guests, whichever replica answers.
//!
//! ```text
//! GET /                  ->  Welcome! You are visitor 3.
//! GET /?name=Ada         ->  Welcome, Ada! You are visitor 4.
//! GET /guests            ->  4 Ada
//! ```
//!
//! The counter is one number in the key-value store, and each guest a key of its own, so replicas
//! that answer at the same time never overwrite each other. Guests are forgotten after a while.
//! Values of the deployment's `config`:
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `greeting` | `Welcome` | |
//! | `remember_s` | 3600 | seconds after which a guest is forgotten |

use std::time::Duration;

use samovar_sdk::{
    config, handler,
    keyvalue::{self, Error, Store},
    logging, wasip2,
};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

const COUNTER: &str = "visits";
/// What keys of guests begin with. The number after it has a fixed length, for their order.
const GUEST: &str = "guest/";

struct Visits;

wasip2::http::proxy::export!(Visits);

impl wasip2::exports::http::incoming_handler::Guest for Visits {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let answer = match handler::path(&target) {
            "/" => welcome(handler::query(&target, "name")),
            "/guests" => guests(),
            _ => return handler::respond(out, 404, "text/plain", b"ask for / or /guests\n"),
        };
        match answer {
            Ok(text) => handler::respond(out, 200, "text/plain; charset=utf-8", text.as_bytes()),
            Err(error) => {
                logging::error("visits", &error);
                handler::respond(out, 500, "text/plain", b"the book is closed\n");
            }
        }
    }
}

fn welcome(name: Option<String>) -> Result<String, Error> {
    let store = keyvalue::open("default")?;
    let number = store.increment(COUNTER, 1)?;
    let name = name.filter(|name| !name.trim().is_empty());
    if let Some(name) = &name {
        sign(&store, number, name)?;
    }
    let greeting = config::get("greeting").unwrap_or("Welcome".into());
    let comma = if name.is_some() { ", " } else { "" };
    let name = name.unwrap_or_default();
    Ok(format!("{greeting}{comma}{name}! You are visitor {number}.\n"))
}

fn sign(store: &Store, number: u64, name: &str) -> Result<(), Error> {
    let seconds = config::get("remember_s").and_then(|text| text.parse().ok()).unwrap_or(3600);
    store.set_for(&format!("{GUEST}{number:020}"), name, Duration::from_secs(seconds))?;
    logging::info("visits", format_args!("visitor {number} is {name:?}"));
    Ok(())
}

/// The guests that are remembered, a line each, in the order they came.
fn guests() -> Result<String, Error> {
    let store = keyvalue::open("default")?;
    let mut keys = store.keys().collect::<Result<Vec<_>, _>>()?;
    keys.retain(|key| key.starts_with(GUEST));
    keys.sort();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let line = |(key, name): (String, Vec<u8>)| {
        let number = key[GUEST.len()..].trim_start_matches('0');
        format!("{number} {}\n", String::from_utf8_lossy(&name))
    };
    Ok(store.get_many(&keys)?.into_iter().map(line).collect())
}
