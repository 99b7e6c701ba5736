//! Requests for Lightning's load balancer.

use serde_json::{Value, json};

use crate::compare::dice::{Dice, number};

/// Requests that come in a second or so, and workers that take their time.
pub fn batcher(dice: &mut Dice) -> Value {
    let until = dice.int(1, 8);
    let polls = until * 20;
    let arrivals: Vec<Value> = (0..dice.int(0, 20))
        .map(|index| {
            let time = match dice.int(0, 3) {
                0 => dice.int(0, until) as f64,
                1 => dice.int(0, polls) as f64 * 0.05,
                2 => dice.int(0, 10 * until) as f64 / 10.0,
                _ => dice.unit() * until as f64,
            };
            json!([number(time), format!("r{index}")])
        })
        .collect();
    let mut request = json!({ "arrivals": arrivals });
    dice.maybe(&mut request, 90, "until", until);
    let batch = dice.pick(&[1, 2, 2, 3, 8]);
    dice.maybe(&mut request, 80, "max_batch_size", batch);
    let timeout = number(dice.pick(&[0.0, 0.05, 0.1, 0.15, 0.3, 0.5, 1.0, 1.0, 2.0]));
    dice.maybe(&mut request, 70, "timeout_batching", timeout);
    let service = number(dice.pick(&[0.0, 0.0, 0.05, 0.12, 0.5, 1.0, 2.0]));
    dice.maybe(&mut request, 70, "service_time", service);
    let servers: Vec<_> = (0..dice.int(0, 3)).map(|index| format!("s{index}")).collect();
    dice.maybe(&mut request, 50, "servers", servers);
    request
}

pub fn process(dice: &mut Dice) -> Value {
    let (servers, batch) = (dice.int(0, 3), dice.pick(&[1, 2, 8]));
    let in_flight = (servers * batch + dice.int(-2, 2)).max(0);
    let mut request = json!({ "servers": servers });
    dice.maybe(&mut request, 80, "in_flight", in_flight);
    dice.maybe(&mut request, 80, "max_batch_size", batch);
    let has_proxy = dice.chance(70);
    dice.maybe(&mut request, 70, "proxy", has_proxy);
    request
}

pub fn error(dice: &mut Dice) -> Value {
    let kinds = [
        "http_418",
        "server_disconnected",
        "client_error",
        "client_response_error",
        "timeout",
        "text_server_disconnected",
        "runtime",
        "no_args",
        "not_an_exception",
    ];
    json!({ "kind": dice.pick(&kinds) })
}

/// Calls of the balancer's routes. None of them may reach a worker: the call would wait for ever.
pub fn http(dice: &mut Dice) -> Value {
    let endpoint = dice.pick(&["api/predict", "predict", "/a/b"]);
    let path = format!("/{}", endpoint.trim_start_matches('/'));
    let has_workers = dice.chance(50);
    let calls: Vec<Value> = (0..dice.int(1, 6))
        .map(|_| match dice.int(0, 9) {
            0 => json!(["GET", "/", null]),
            1 => json!(["GET", "/num-requests", null]),
            2 | 3 => json!(["GET", "/system/info", null]),
            4 if has_workers => {
                let workers: Vec<_> =
                    (0..dice.int(0, 3)).map(|_| format!("http://w{}:1", dice.int(0, 3))).collect();
                json!(["PUT", "/system/update-servers", workers])
            }
            4 | 5 => {
                let body =
                    dice.pick(&[json!({}), json!("http://a"), json!([1]), json!(null), json!([])]);
                json!(["PUT", "/system/update-servers", body])
            }
            6 if !has_workers => json!(["POST", path, { "text": "x" }]),
            6 | 7 => {
                let body = dice.pick(&[json!({}), json!({ "text": 5 }), json!([]), json!(null)]);
                json!(["POST", path, body])
            }
            8 => json!([dice.pick(&["GET", "DELETE", "PUT", "HEAD"]), path, null]),
            _ => json!(["GET", dice.pick(&["/nothing", "/system", "/num-requests/"]), null]),
        })
        .collect();
    let mut request = json!({ "calls": calls });
    if endpoint != "api/predict" || dice.chance(50) {
        request["endpoint"] = endpoint.into();
    }
    request
}
