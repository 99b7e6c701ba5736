//! What the recorded workers say, and what becomes of it here.
//!
//! The messages are those of the originals: recorded ones, or made by the models that answer all
//! recorded vectors (`policies/vast`).

use std::collections::BTreeMap;

use samovar_workers::message::{Finished, Outcome};
use samovar_workers::worker::{Change, Patience, State, Worker};
use serde_json::{Value, json};
use vast::worker::accounting::{self, Accounting, Kind, Request};
use vast::worker::accounting_2024;
use vast::worker::hello::Hello;
use vast::worker::tokens::{Tokens, tokens};

use crate::say::{aiohttp, at, flask, read, today_loading, with};

fn vectors() -> BTreeMap<String, Value> {
    let text = include_str!("../../../../policies/vast/tests/vast.json");
    let file: Value = serde_json::from_str(text).unwrap();
    let vectors = file["vectors"].as_array().unwrap().iter();
    vectors.map(|vector| (vector["id"].as_str().unwrap().to_owned(), vector.clone())).collect()
}

fn worker() -> Worker {
    Worker::new(Patience::default(), at(0.0))
}

/// What the worker is after the messages a vector expects, sent at the times its reports have,
/// each filled up with what it leaves out.
fn replay(id: &str, fill: fn(Value) -> Value) -> Vec<(Change, Worker)> {
    let vector = &vectors()[id];
    let events = vector["request"]["events"].as_array().unwrap();
    let times = events.iter().filter(|event| event["do"] == "report").map(|event| &event["t"]);
    let messages = vector["expected"].as_array().unwrap();
    let mut worker = worker();
    let states = times.zip(messages).map(|(seconds, message)| {
        let report = read(&fill(message.clone()));
        let change = worker.apply(&report, at(100.0 + seconds.as_f64().unwrap())).unwrap();
        (change, worker.clone())
    });
    states.collect()
}

/// A request of that much work.
fn request(number: u32, work: f64) -> Request {
    Request { idx: number.into(), reqnum: number.into(), work, kind: Kind::Single }
}

#[test]
fn every_field_of_todays_message_is_known_here_or_left_aside() {
    let names = &vectors()["X01"]["expected"][0];
    let unused = ["working_request_idxs", "max_capacity", "disk_usage", "additional_disk_usage"];
    let message = today_loading(json!({}));
    for name in names.as_array().unwrap() {
        let name = name.as_str().unwrap();
        assert!(message.get(name).is_some(), "{name}");
        // Text where a number belongs, or a list where a text belongs, is noticed if it is read.
        let bad = with(message.clone(), json!({name: [{"a": []}]}));
        let result = samovar_workers::message::Report::parse(bad.to_string().as_bytes());
        assert_eq!(result.is_ok(), unused.contains(&name), "{name}");
    }
}

#[test]
fn x02_a_loading_worker() {
    let states = replay("X02", today_loading);
    let (change, worker) = &states[0];
    assert_eq!(
        (*change, worker.state(), worker.max_perf()),
        (Change::Updated, State::Loading, None)
    );
    assert_eq!((worker.held(), worker.working(), worker.received()), (Some(0.0), Some(0), Some(0)));
}

#[test]
fn x03_loaded_is_said_in_each_message_and_counts_once() {
    let states = replay("X03", today_loading);
    let changes: Vec<_> = states.iter().map(|(change, _)| *change).collect();
    assert_eq!(changes, [Change::Loaded, Change::Updated]);
    let worker = &states[1].1;
    assert_eq!((worker.load_time_s(), worker.max_perf()), (Some(42.5), Some(150.0)));
}

#[test]
fn x06_work_given_up_later_is_not_taken_back() {
    let states = replay("X06", today_loading);
    let held: Vec<_> = states.iter().map(|(_, worker)| worker.held()).collect();
    assert_eq!(held, [Some(30.0), Some(0.0)]);
    assert_eq!(states[1].1.totals()[0], 30.0);
}

#[test]
fn x10_an_error_stays() {
    let states = replay("X10", today_loading);
    let changes: Vec<_> = states.iter().map(|(change, _)| *change).collect();
    assert_eq!(changes, [Change::Failed, Change::Updated]);
    assert_eq!(states[1].1.state(), State::Errored("boom".into()));
}

#[test]
fn x11_and_x12_the_wait_is_what_the_worker_itself_counts() {
    let mut model = Accounting::default();
    let first = model.add(request(1, 1.0));
    model.start(first);
    let mut it = worker();
    it.apply(&read(&model.status()), at(100.0)).unwrap();
    // The recorded figure is rounded.
    assert_eq!((it.wait_s(), it.wait_s().round()), (model.wait_time_s(), 100_000.0));

    model.delivered();
    model.load(42.5, 50.0);
    model.end(first, accounting::Outcome::Success);
    for (number, work) in [(2, 100.0), (3, 50.0)] {
        let request = model.add(request(number, work));
        model.start(request);
    }
    let change = it.apply(&read(&model.status()), at(105.0)).unwrap();
    assert_eq!((change, it.wait_s(), model.wait_time_s()), (Change::Loaded, 3.0, 3.0));
    assert_eq!((it.served_per_s(), it.offered_per_s()), (0.2, 30.0));
}

#[test]
fn x14_a_hidden_request_is_missing_from_what_is_held_but_was_offered() {
    let expected = vectors()["X14"]["expected"][0].clone();
    let loaded = json!({"loadtime": 42.5, "max_perf": 50.0});
    let message = with(today_loading(loaded), expected);
    let mut it = worker();
    it.apply(&read(&message), at(100.0)).unwrap();
    assert_eq!((it.held(), it.totals()[0]), (Some(50.0), 150.0));
    assert_eq!((it.working(), it.received()), (Some(1), Some(1)));
}

#[test]
fn x15_finished_requests_have_their_outcomes() {
    let rows = vectors()["X15"]["expected"][0].clone();
    let requests = rows.as_array().unwrap().iter().map(|row| {
        json!({"request_idx": row[0], "success": row[1], "status": row[2],
            "entered_queue_at": 1000.0, "work_started_at": 0.0, "work_completed_at": 0.0})
    });
    let body = json!({"worker_id": 7, "mtoken": "tok", "requests": requests.collect::<Vec<_>>()});
    let finished = Finished::parse(body.to_string().as_bytes()).unwrap();
    let told: Vec<_> = finished.requests.iter().map(|it| (it.number, it.outcome)).collect();
    let expected =
        [Outcome::Success, Outcome::Cancelled, Outcome::Error, Outcome::Rejected].into_iter();
    assert_eq!(told, (1..=4).map(Some).zip(expected).collect::<Vec<_>>());
}

#[test]
fn x09_work_is_counted_once_when_only_the_answer_is_lost() {
    let mut model = Accounting::default();
    model.load(42.5, 150.0);
    let mut it = worker();
    it.apply(&read(&model.status()), at(100.0)).unwrap();
    model.delivered();
    let request = model.add(request(1, 30.0));
    model.start(request);
    // The same bytes three times, since no answer came back.
    for (seconds, change) in [(110.0, Change::Updated), (112.0, Change::Repeated)] {
        assert_eq!(it.apply(&read(&model.status()), at(seconds)), Ok(change));
    }
    assert_eq!(it.totals()[0], 30.0);
}

#[test]
fn h01_the_smallest_worker_loads_and_reports_rates() {
    let mut model = Hello::default();
    model.report();
    for _ in 0..3 {
        model.call("POST", "increment", &json!({"amount": 1}));
    }
    model.call("GET", "value", &Value::Null);
    model.call("GET", "value", &Value::Null);
    model.report();
    model.report();
    let recorded = vectors()["H01"]["expected"]["messages"].clone();
    let messages = Value::from(model.messages());
    assert_eq!(messages, recorded);

    let mut it = worker();
    let changes = messages.as_array().unwrap().iter().enumerate().map(|(index, message)| {
        let mut message = message[1].clone();
        if message["loadtime"] == "seconds" {
            message["loadtime"] = 0.000_1.into();
        }
        it.apply(&read(&message), at(100.0 + 10.0 * index as f64)).unwrap()
    });
    let changes: Vec<_> = changes.collect();
    assert_eq!(changes, [Change::Loaded, Change::Updated, Change::Updated, Change::Updated]);
    assert_eq!((it.state(), it.max_perf(), it.received()), (State::Ready, Some(0.5), Some(5)));
    assert_eq!((it.offered_per_s(), it.totals()[0]), (0.0, 5.0));
}

#[test]
fn h03_the_smallest_worker_fails() {
    let mut it = worker();
    let messages = vectors()["H03"]["expected"]["messages"].clone();
    it.apply(&read(&flask(json!({"loadtime": 0.000_1, "max_perf": 0.5}))), at(100.0)).unwrap();
    assert_eq!(it.apply(&read(&messages[1][1]), at(101.0)), Ok(Change::Failed));
    assert_eq!(it.state(), State::Errored("disk full".into()));
}

#[test]
fn h06_and_h07_text_generation_reports_sums_and_counts_down() {
    let mut model = Tokens::default();
    let mut it = worker();
    let mut say = |model: &mut Tokens, seconds| {
        let general = json!({"message": "data update", "loadtime": 9.0, "max_perf": 70.0});
        let message = with(flask(general), model.report());
        it.apply(&read(&message), at(seconds)).unwrap();
        (it.offered_per_s(), it.held(), it.working(), it.received())
    };
    say(&mut model, 100.0);
    model.start(tokens(400, 100.0));
    model.start(tokens(40, 50.0));
    assert_eq!(say(&mut model, 104.0), (65.0, Some(260.0), Some(2), Some(2)));
    model.finish(tokens(400, 100.0));
    assert_eq!(say(&mut model, 105.0), (0.0, Some(60.0), Some(1), Some(2)));
    model.error(tokens(40, 50.0), Some(500));
    assert_eq!(say(&mut model, 106.0), (0.0, Some(0.0), Some(0), Some(1)));
}

#[test]
fn h08_the_worker_of_2024_reports_a_rate() {
    let states = replay("H08", aiohttp);
    let rates: Vec<_> = states.iter().map(|(_, worker)| worker.offered_per_s()).collect();
    assert_eq!(rates, [1.25, 0.0]);
    let (change, worker) = &states[1];
    assert_eq!(
        (*change, worker.state(), worker.received()),
        (Change::Updated, State::Ready, Some(2))
    );
    assert_eq!((worker.load_time_s(), worker.held()), (Some(20.0), None));
}

#[test]
fn h09_loadtime_is_said_once_and_kept() {
    let states = replay("H09", |message| aiohttp(with(json!({"max_perf": 0.0}), message)));
    let changes: Vec<_> = states.iter().map(|(change, _)| *change).collect();
    assert_eq!(changes, [Change::Updated, Change::Loaded, Change::Updated, Change::Updated]);
    let worker = &states[3].1;
    assert_eq!((worker.load_time_s(), worker.max_perf()), (Some(20.0), Some(50.0)));
}

#[test]
fn h11_the_worker_of_2024_fails() {
    let states = replay("H11", aiohttp);
    assert_eq!((states[0].0, states[1].0), (Change::Failed, Change::Updated));
    assert_eq!(states[1].1.state(), State::Errored("boom".into()));
}

#[test]
fn the_worker_of_2024_can_start_anew() {
    let mut model = accounting_2024::Accounting::default();
    model.load(20.0, 50.0);
    model.start(1.into(), 10.0);
    let mut it = worker();
    let fill = |message: Value| with(message, json!({"additional_disk_usage": 0.0}));
    assert_eq!(it.apply(&read(&fill(model.report(4.0))), at(100.0)), Ok(Change::Loaded));
    let mut anew = accounting_2024::Accounting::default();
    assert_eq!(it.apply(&read(&fill(anew.report(10.0))), at(110.0)), Ok(Change::Restarted));
    assert_eq!(it.state(), State::Loading);
    anew.load(21.0, 49.0);
    assert_eq!(it.apply(&read(&fill(anew.report(10.0))), at(120.0)), Ok(Change::Loaded));
    assert_eq!(it.max_perf(), Some(49.0));
}
