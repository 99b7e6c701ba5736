//! The life of one worker: states, rates, and messages that come late, twice or not at all.

use samovar_workers::worker::{Change, Past, Patience, State, Worker};
use serde_json::{Value, json};

use crate::say::{aiohttp, at, flask, read, today, today_loading, with};

fn worker() -> Worker {
    Worker::new(Patience::default(), at(0.0))
}

/// A worker that has said `message` at 10 s.
fn after(message: &Value) -> Worker {
    let mut worker = worker();
    worker.apply(&read(message), at(10.0)).unwrap();
    worker
}

#[track_caller]
fn says(worker: &mut Worker, seconds: f64, message: &Value, change: Change, state: State) {
    assert_eq!(worker.apply(&read(message), at(seconds)), Ok(change));
    assert_eq!(worker.state(), state);
}

#[track_caller]
fn is_past(worker: &mut Worker, seconds: f64, message: &Value, past: Past) {
    let before = (worker.state(), worker.received(), worker.last_report(), worker.totals());
    let count = worker.tally().past;
    assert_eq!(worker.apply(&read(message), at(seconds)), Err(past));
    assert_eq!(worker.tally().past, count + 1);
    let now = (worker.state(), worker.received(), worker.last_report(), worker.totals());
    assert_eq!(now, before, "a message from the past changes nothing");
}

fn error(message: &str) -> State {
    State::Errored(message.into())
}

#[test]
fn today_loads_works_fails_and_starts_anew() {
    let mut it = worker();
    assert_eq!(it.state(), State::Loading);
    says(&mut it, 1.0, &today_loading(json!({})), Change::Updated, State::Loading);
    assert_eq!(it.max_perf(), None);
    says(&mut it, 50.0, &today(json!({})), Change::Loaded, State::Ready);
    assert_eq!((it.max_perf(), it.load_time_s()), (Some(150.0), Some(42.5)));
    says(&mut it, 60.0, &today(json!({})), Change::Updated, State::Ready);
    let failed = today(json!({"error_msg": "boom"}));
    says(&mut it, 70.0, &failed, Change::Failed, error("boom"));
    says(&mut it, 80.0, &failed, Change::Updated, error("boom"));
    is_past(&mut it, 81.0, &today(json!({})), Past::Error);
    says(&mut it, 90.0, &today_loading(json!({})), Change::Restarted, State::Loading);
    let other = today(json!({"loadtime": 41.0}));
    says(&mut it, 130.0, &other, Change::Loaded, State::Ready);
    assert_eq!(it.tally().restarts, 1);
}

#[test]
fn a_second_benchmark_result_is_taken_and_noted() {
    let mut it = after(&today(json!({})));
    let other = today(json!({"max_perf": 120.0}));
    says(&mut it, 20.0, &other, Change::Measured, State::Ready);
    says(&mut it, 30.0, &other, Change::Updated, State::Ready);
    assert_eq!((it.max_perf(), it.tally().measured), (Some(120.0), 1));

    let mut it = after(&flask(json!({"loadtime": 3.0, "max_perf": 0.5})));
    let other = flask(json!({"loadtime": 3.0, "max_perf": 0.7}));
    says(&mut it, 20.0, &other, Change::Measured, State::Ready);
}

#[test]
fn a_lower_count_of_the_same_process_is_from_the_past() {
    let mut it = after(&today(json!({"num_requests_recieved": 5})));
    let old = today(json!({"num_requests_recieved": 4, "new_load": 30}));
    is_past(&mut it, 20.0, &old, Past::Count { said: 4, known: 5 });

    let mut it = after(&aiohttp(json!({"num_requests_recieved": 5})));
    let old = aiohttp(json!({"num_requests_recieved": 4, "cur_load": 3}));
    is_past(&mut it, 20.0, &old, Past::Count { said: 4, known: 5 });

    let mut it = after(&flask(json!({"cur_load": 0.5, "num_requests_recieved": 5})));
    let old = flask(json!({"cur_load": 0.4, "num_requests_recieved": 4}));
    is_past(&mut it, 20.0, &old, Past::Count { said: 4, known: 5 });
}

#[test]
fn a_lower_count_of_a_new_process_is_a_restart() {
    let mut it = after(&today(json!({"num_requests_recieved": 5})));
    let other = today(json!({"loadtime": 40.0, "num_requests_recieved": 1}));
    says(&mut it, 20.0, &other, Change::Restarted, State::Ready);
    assert_eq!(it.received(), Some(1));

    let mut it = after(&aiohttp(json!({"num_requests_recieved": 5})));
    let loads = aiohttp(json!({"max_perf": 0.0}));
    says(&mut it, 20.0, &loads, Change::Restarted, State::Loading);
    let loaded = aiohttp(json!({"loadtime": 9.0}));
    says(&mut it, 30.0, &loaded, Change::Loaded, State::Ready);

    let mut it = after(&aiohttp(json!({"num_requests_recieved": 5})));
    says(&mut it, 20.0, &loaded, Change::Restarted, State::Ready);

    let mut it = after(&flask(json!({"cur_load": 0.5, "num_requests_recieved": 5})));
    let loaded = flask(json!({"loadtime": 0.01, "max_perf": 0.5}));
    says(&mut it, 20.0, &loaded, Change::Measured, State::Ready);
    let first = flask(json!({"cur_load": 0.0, "num_requests_recieved": 0}));
    says(&mut it, 20.1, &first, Change::Updated, State::Ready);
    assert_eq!(it.received(), Some(0));
}

#[test]
fn a_repeated_message_of_loading_is_found_out_by_the_process_itself() {
    let mut it = after(&today(json!({"num_requests_recieved": 5})));
    // Nothing tells the repeated message from a restart.
    says(&mut it, 20.0, &today_loading(json!({})), Change::Restarted, State::Loading);
    // Nor does another one hide the process.
    says(&mut it, 25.0, &today_loading(json!({})), Change::Updated, State::Loading);
    let older = today(json!({"num_requests_recieved": 4}));
    is_past(&mut it, 26.0, &older, Past::Count { said: 4, known: 5 });
    let real = today(json!({"num_requests_recieved": 6, "new_load": 10}));
    says(&mut it, 30.0, &real, Change::Loaded, State::Ready);
    assert_eq!((it.received(), it.tally().past), (Some(6), 2));
    is_past(&mut it, 31.0, &older, Past::Count { said: 4, known: 6 });
}

#[test]
fn a_process_that_was_replaced_is_from_the_past() {
    let mut it = after(&today(json!({"num_requests_recieved": 5})));
    says(&mut it, 20.0, &today_loading(json!({})), Change::Restarted, State::Loading);
    says(&mut it, 60.0, &today(json!({"loadtime": 40.0})), Change::Loaded, State::Ready);
    let replaced = today(json!({"num_requests_recieved": 9}));
    is_past(&mut it, 61.0, &replaced, Past::Process);
}

#[test]
fn work_in_a_repeated_message_counts_once() {
    let work = today(json!({"num_requests_recieved": 1, "new_load": 30, "cur_perf": 20}));
    let mut it = after(&work);
    says(&mut it, 12.0, &work, Change::Repeated, State::Ready);
    let next = today(json!({"num_requests_recieved": 1, "cur_perf": 10}));
    says(&mut it, 14.0, &next, Change::Updated, State::Ready);
    says(&mut it, 16.0, &work, Change::Repeated, State::Ready);
    assert_eq!(it.totals(), [30.0, 0.0, 30.0]);
    assert_eq!((it.tally().repeated, it.tally().reports), (2, 2));
    // It is what an honest worker says whose report was not acknowledged, so it is alive.
    assert_eq!(it.last_report(), Some(at(16.0)));

    // Idle workers say the same again and again.
    let mut idle = after(&today(json!({})));
    says(&mut idle, 20.0, &today(json!({})), Change::Updated, State::Ready);
}

#[test]
fn the_first_generation_counts_down_when_requests_fail() {
    let general = |received: u32, load: f64| {
        flask(json!({"message": "data update", "cur_load": load, "cur_capacity": 5.0,
            "num_requests_recieved": received, "loadtime": 9.0, "max_perf": 2.0, "error": false}))
    };
    let mut it = after(&general(2, 260.0));
    says(&mut it, 11.0, &general(1, 0.0), Change::Updated, State::Ready);
    says(&mut it, 12.0, &general(1, 0.0), Change::Updated, State::Ready);
    assert_eq!(it.received(), Some(1));
    let loads = flask(json!({"message": "loading update", "disk_usage": 1}));
    says(&mut it, 13.0, &loads, Change::Restarted, State::Loading);
}

#[test]
fn updates_of_the_first_generation_do_not_end_an_error() {
    let mut it = after(&flask(json!({"loadtime": 3.0, "max_perf": 0.5})));
    let failed = flask(json!({"error_msg": "disk full"}));
    says(&mut it, 20.0, &failed, Change::Failed, error("disk full"));
    let update = flask(json!({"cur_load": 0.0, "num_requests_recieved": 0}));
    says(&mut it, 30.0, &update, Change::Updated, error("disk full"));
    let general = with(update, json!({"message": "data update", "max_perf": 1.0, "error": false}));
    says(&mut it, 31.0, &general, Change::Updated, error("disk full"));
    let loaded = flask(json!({"loadtime": 4.0, "max_perf": 0.5}));
    says(&mut it, 40.0, &loaded, Change::Recovered, State::Ready);
}

#[test]
fn an_error_of_2024_ends_with_its_process() {
    let mut it = after(&aiohttp(json!({"error_msg": "boom", "num_requests_recieved": 3})));
    is_past(&mut it, 20.0, &aiohttp(json!({"num_requests_recieved": 3})), Past::Error);
    let anew = aiohttp(json!({"loadtime": 5.0}));
    says(&mut it, 30.0, &anew, Change::Recovered, State::Ready);
}

#[test]
fn silence_ends_a_worker_and_a_report_revives_it() {
    let mut it = worker();
    assert!(!it.is_overdue(at(120.0)) && it.is_overdue(at(120.1)), "nothing was ever said");
    it.apply(&read(&today(json!({"num_requests_recieved": 2, "cur_load": 5}))), at(130.0)).unwrap();
    assert!(!it.is_overdue(at(165.0)));
    assert!(it.is_overdue(it.due() + std::time::Duration::from_millis(1)));
    it.end();
    assert_eq!((it.state(), it.held(), it.is_overdue(at(900.0))), (State::Gone, None, false));
    is_past(
        &mut it,
        901.0,
        &today(json!({"num_requests_recieved": 1})),
        Past::Count { said: 1, known: 2 },
    );
    let again = today(json!({"num_requests_recieved": 2}));
    says(&mut it, 910.0, &again, Change::Recovered, State::Ready);
}

#[test]
fn what_was_said_before_does_not_revive() {
    let work = today(json!({"num_requests_recieved": 1, "new_load": 30}));
    let mut it = after(&work);
    it.end();
    says(&mut it, 900.0, &work, Change::Repeated, State::Gone);
    assert_eq!(it.last_report(), Some(at(10.0)));
}

#[test]
fn who_reports_at_random_may_be_silent_for_longer() {
    let mut it = after(&flask(json!({"message": "data update", "cur_load": 0.0})));
    assert!(!it.is_overdue(at(150.0)) && it.is_overdue(at(150.1)));
    it.end();
    let again = flask(json!({"message": "data update", "cur_load": 0.0, "loadtime": 1.0}));
    says(&mut it, 200.0, &again, Change::Recovered, State::Ready);
}

#[test]
fn sums_become_rates_over_the_time_between_reports() {
    let mut it = after(&today(json!({})));
    let work = |received: u32, new: f64, rejected: f64, served: f64| {
        today(json!({"num_requests_recieved": received, "new_load": new, "rej_load": rejected,
            "cur_perf": served, "cur_load": 40.0}))
    };
    it.apply(&read(&work(3, 100.0, 10.0, 60.0)), at(14.0)).unwrap();
    assert_eq!([it.offered_per_s(), it.rejected_per_s(), it.served_per_s()], [25.0, 2.5, 15.0]);
    // A tenth of a second later: not 1000 per second, and nothing is lost.
    it.apply(&read(&work(4, 100.0, 0.0, 0.0)), at(14.1)).unwrap();
    assert_eq!(it.offered_per_s(), 25.0);
    it.apply(&read(&work(5, 100.0, 0.0, 0.0)), at(16.0)).unwrap();
    assert_eq!([it.offered_per_s(), it.rejected_per_s(), it.served_per_s()], [100.0, 0.0, 0.0]);
    assert_eq!(it.totals(), [300.0, 10.0, 60.0]);
    assert_eq!(it.wait_s(), 40.0 / 150.0);
}

#[test]
fn a_first_sum_is_over_the_usual_time_between_reports() {
    let it = after(&today(json!({"num_requests_recieved": 3, "new_load": 50})));
    assert_eq!(it.offered_per_s(), 5.0);
    // A process that has just taken a name over has no such time behind it.
    let mut it = after(&today(json!({"num_requests_recieved": 3})));
    let anew = today(json!({"loadtime": 1.0, "num_requests_recieved": 2, "new_load": 50}));
    it.apply(&read(&anew), at(20.0)).unwrap();
    assert_eq!((it.offered_per_s(), it.totals()[0]), (0.0, 50.0));
    let next = today(json!({"loadtime": 1.0, "num_requests_recieved": 2}));
    it.apply(&read(&next), at(30.0)).unwrap();
    assert_eq!(it.offered_per_s(), 5.0);
}

#[test]
fn rates_are_taken_as_they_are() {
    let mut it = after(&flask(json!({"cur_load": 0.5, "num_requests_recieved": 5})));
    assert_eq!((it.offered_per_s(), it.totals()[0]), (0.5, 5.0));
    it.apply(&read(&flask(json!({"cur_load": 1.5, "num_requests_recieved": 9}))), at(12.0))
        .unwrap();
    assert_eq!((it.offered_per_s(), it.totals()[0]), (1.5, 8.0));
    assert_eq!((it.held(), it.wait_s()), (None, 0.0));
}
