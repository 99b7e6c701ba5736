//! Messages for tests.

use samovar_core::time::Timestamp;
use samovar_workers::message::Report;
use serde_json::{Value, json};

/// That many seconds after the clock started.
pub fn at(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds * 1000.0) as u64)
}

/// A message, as it is read.
pub fn read(message: &Value) -> Report {
    Report::parse(message.to_string().as_bytes()).unwrap()
}

/// `message` with `changes`.
pub fn with(mut message: Value, changes: Value) -> Value {
    let fields = message.as_object_mut().unwrap();
    fields.extend(changes.as_object().unwrap().clone());
    message
}

/// A message of today's worker 7 that holds nothing and has loaded in 42.5 s, with `changes`.
pub fn today(changes: Value) -> Value {
    let message = json!({
        "id": 7, "mtoken": "tok", "version": "1.1.0", "url": "http://10.0.0.1:4000",
        "loadtime": 42.5, "max_perf": 150.0, "error_msg": "",
        "cur_load": 0, "new_load": 0.0, "rej_load": 0.0, "cur_perf": 0.0,
        "num_requests_working": 0, "num_requests_recieved": 0, "working_request_idxs": [],
        "cur_capacity": 0, "max_capacity": 0, "disk_usage": 1.5, "additional_disk_usage": -0.5,
    });
    with(message, changes)
}

/// The same before it has loaded.
pub fn today_loading(changes: Value) -> Value {
    with(today(json!({"loadtime": 0.0, "max_perf": 0.0})), changes)
}

/// A message of the worker of 2024, loaded before, with `changes`.
pub fn aiohttp(changes: Value) -> Value {
    let message = json!({
        "id": 7, "url": "http://10.0.0.1:4000", "loadtime": 0.0, "max_perf": 50.0,
        "cur_load": 0.0, "cur_perf": 0.0, "error_msg": "", "num_requests_working": 0,
        "num_requests_recieved": 0, "cur_capacity": 0, "max_capacity": 0,
        "additional_disk_usage": 0.0,
    });
    with(message, changes)
}

/// A message of the first generation, with `changes`.
pub fn flask(changes: Value) -> Value {
    with(json!({"id": "7", "mtoken": "tok"}), changes)
}
