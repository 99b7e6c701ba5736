//! Who may report, join and leave.

use expect_test::expect;
use samovar_core::time::Timestamp;
use samovar_workers::address::Address;
use samovar_workers::message::{Leave, Report};
use samovar_workers::registry::{
    Event, Happened, Refused, Registry, Sender, Settings, WORKERS_MAX,
};
use samovar_workers::secret::Secret;
use samovar_workers::worker::State;
use serde_json::{Value, json};

use crate::say::{aiohttp, at, flask, read, today, today_loading};

fn registry() -> Registry {
    let join = Some(Secret::new("tok"));
    Registry::new(Settings { join, ..Settings::default() })
}

fn address(url: &str) -> Address {
    Address::parse(url).unwrap()
}

fn from(peer: &str) -> Sender {
    Sender { peer: Some(peer.parse().unwrap()), token: None }
}

fn hear(registry: &mut Registry, seconds: f64, message: &Value) -> Result<Vec<Happened>, Refused> {
    hear_from(registry, seconds, message, &Sender::default())
}

fn hear_from(
    registry: &mut Registry,
    seconds: f64,
    message: &Value,
    sender: &Sender,
) -> Result<Vec<Happened>, Refused> {
    let events = registry.report(&read(message), sender, at(seconds))?;
    Ok(events.into_iter().map(|event| event.what).collect())
}

/// What a message does to a registry in which nothing may change.
#[track_caller]
fn refuses(registry: &mut Registry, seconds: f64, message: &Value) -> Refused {
    let before = states(registry);
    let refused = hear(registry, seconds, message).unwrap_err();
    assert_eq!(states(registry), before);
    refused
}

fn states(registry: &Registry) -> Vec<(String, State, String, Option<Timestamp>)> {
    let rows = registry.members().map(|(id, member)| {
        let (worker, address) = (member.worker(), member.address().to_string());
        (id.to_owned(), worker.state(), address, worker.last_report())
    });
    rows.collect()
}

#[test]
fn a_stranger_with_the_token_joins_loads_and_leaves() {
    let mut it = registry();
    let joined = Happened::Joined(address("http://10.0.0.1:4000"));
    let heard = hear(&mut it, 1.0, &today_loading(json!({})));
    assert_eq!(heard, Ok(vec![joined, Happened::Updated]));
    assert_eq!(hear(&mut it, 50.0 - 20.0, &today(json!({}))), Ok(vec![Happened::Loaded]));
    let failed = Happened::Failed("boom".into());
    assert_eq!(hear(&mut it, 40.0, &today(json!({"error_msg": "boom"}))), Ok(vec![failed]));
    assert_eq!(hear(&mut it, 50.0, &today_loading(json!({}))), Ok(vec![Happened::Restarted]));

    let leave = Leave::parse(br#"{"id":"7","mtoken":"tok"}"#).unwrap();
    it.admit(&leave.worker, leave.token.as_ref()).unwrap();
    assert_eq!(it.leave("7"), Some(Event { id: "7".into(), what: Happened::Left }));
    assert_eq!((it.leave("7"), it.members().len()), (None, 0));
}

#[test]
fn a_wrong_token_is_refused_without_saying_what_is_wrong() {
    let mut it = registry();
    it.start("12".into(), Secret::new("own"), address("http://127.0.0.1:4000"), at(0.0));
    let denied = [
        today(json!({"mtoken": "no"})),
        today(json!({"mtoken": ""})),
        today(json!({"mtoken": null})),
        // What joins others does not speak for one of ours, nor the other way round.
        today(json!({"id": 12})),
        today(json!({"id": 12, "mtoken": "no"})),
        today(json!({"id": 13, "mtoken": "own"})),
    ];
    for message in &denied {
        assert_eq!(refuses(&mut it, 1.0, message), Refused::Denied, "{message}");
    }
    assert_eq!(it.denied(), 6);
    assert_eq!(it.admit("12", Some(&Secret::new("tok"))), Err(Refused::Denied));
    assert_eq!(it.admit("12", None), Err(Refused::Denied));
    it.admit("12", Some(&Secret::new("own"))).unwrap();
}

#[test]
fn nobody_joins_without_a_join_token() {
    for join in [None, Some(Secret::new(""))] {
        let mut it = Registry::new(Settings { join, ..Settings::default() });
        for token in [json!(null), json!(""), json!("tok")] {
            let message = today(json!({"mtoken": token}));
            assert_eq!(refuses(&mut it, 1.0, &message), Refused::Denied);
        }
    }
}

#[test]
fn ours_are_expected_and_stay_until_removed() {
    let mut it = registry();
    it.start("7".into(), Secret::new("own"), address("http://10.0.0.1:4000"), at(0.0));
    assert_eq!(it.member("7").unwrap().worker().state(), State::Loading);
    let own = |changes: Value| crate::say::with(today(json!({"mtoken": "own"})), changes);
    assert_eq!(hear(&mut it, 5.0, &own(json!({}))), Ok(vec![Happened::Loaded]));
    let elsewhere = own(json!({"url": "http://10.0.0.2:4000"}));
    let words = "worker 7 is at http://10.0.0.1:4000 and alive, so it cannot be at \
        http://10.0.0.2:4000 as well";
    assert_eq!(refuses(&mut it, 6.0, &elsewhere).to_string(), words);
    assert_eq!(it.due(), Some(at(40.0)));
    assert_eq!(it.expire(at(40.0)), []);
    assert_eq!(it.expire(at(40.1)), [Event { id: "7".into(), what: Happened::TimedOut }]);
    assert_eq!((it.due(), it.expire(at(99.0)), it.members().len()), (None, vec![], 1));
    assert_eq!(hear(&mut it, 100.0, &own(json!({}))), Ok(vec![Happened::Recovered]));
    assert_eq!(it.leave("7"), Some(Event { id: "7".into(), what: Happened::Left }));
    assert_eq!(it.member("7").unwrap().worker().state(), State::Gone);
    assert!(it.remove("7").is_some());
    assert_eq!(refuses(&mut it, 101.0, &own(json!({}))), Refused::Denied);
}

#[test]
fn strangers_that_fall_silent_are_forgotten() {
    let mut it = registry();
    hear(&mut it, 1.0, &today(json!({}))).unwrap();
    assert_eq!(it.expire(at(36.1)), [Event { id: "7".into(), what: Happened::TimedOut }]);
    assert_eq!(it.members().len(), 0);
    let joined = Happened::Joined(address("http://10.0.0.1:4000"));
    let heard = hear(&mut it, 40.0, &today(json!({})));
    assert_eq!(heard, Ok(vec![joined, Happened::Loaded]));
}

#[test]
fn a_second_process_elsewhere_waits_until_the_first_is_silent() {
    let mut it = registry();
    hear(&mut it, 1.0, &today(json!({"num_requests_recieved": 5}))).unwrap();
    let second = today(json!({"url": "http://10.0.0.2:4000"}));
    let known = address("http://10.0.0.1:4000");
    let said = address("http://10.0.0.2:4000");
    let conflict = Refused::Conflict { id: "7".into(), known, said: said.clone() };
    assert_eq!(refuses(&mut it, 36.0, &second), conflict);
    let heard = hear(&mut it, 36.1, &second).unwrap();
    assert_eq!(heard, [Happened::TimedOut, Happened::Joined(said), Happened::Loaded]);
    assert_eq!(it.member("7").unwrap().worker().received(), Some(0));
}

#[test]
fn the_same_place_with_new_counters_is_a_restart() {
    let mut it = registry();
    hear(&mut it, 1.0, &today(json!({"num_requests_recieved": 5}))).unwrap();
    let url = "HTTP://10.0.0.1:4000/";
    let anew = today_loading(json!({"url": url}));
    assert_eq!(hear(&mut it, 5.0, &anew), Ok(vec![Happened::Restarted]));
}

#[test]
fn an_address_belongs_to_one_worker() {
    let mut it = registry();
    hear(&mut it, 1.0, &today(json!({}))).unwrap();
    let refused = refuses(&mut it, 2.0, &today(json!({"id": 8})));
    expect!["http://10.0.0.1:4000 is the address of worker 7, which is alive"]
        .assert_eq(&refused.to_string());
}

#[test]
fn who_joins_says_where_it_listens() {
    let mut it = registry();
    let texts = [
        json!({"url": "https://10.0.0.1:4000"}),
        json!({"url": "http://:0"}),
        json!({"url": "http://10.0.0.1"}),
        json!({"url": null}),
    ]
    .map(|changes| {
        let refused = refuses(&mut it, 1.0, &today(changes)).to_string();
        refused.strip_suffix("; a worker that joins must say where it listens").unwrap().to_owned()
            + "\n"
    });
    expect![[r"
        `url` uses https, but workers are reached over plain http
        `url` is not of the form http://host:port
        `url` has no port between 1 and 65535
        `url` is missing
    "]]
    .assert_eq(&texts.concat());
}

#[test]
fn the_connection_tells_for_those_that_say_nothing() {
    let mut it = registry();
    let loaded = flask(json!({"loadtime": 0.01, "max_perf": 0.5}));
    let heard = hear_from(&mut it, 1.0, &loaded, &from("::ffff:10.0.0.5")).unwrap();
    let told = address("http://10.0.0.5:3000");
    assert_eq!(heard, [Happened::Joined(told.clone()), Happened::Loaded]);
    let update = flask(json!({"cur_load": 0.0, "num_requests_recieved": 0}));
    let other = hear_from(&mut it, 2.0, &update, &from("10.0.0.6")).unwrap_err();
    let said = address("http://10.0.0.6:3000");
    assert_eq!(other, Refused::Conflict { id: "7".into(), known: told, said });
    assert_eq!(hear_from(&mut it, 3.0, &update, &from("10.0.0.5")), Ok(vec![Happened::Updated]));

    let port = flask(json!({"id": "8", "port": 3100, "loadtime": 0.01, "max_perf": 0.5}));
    let heard = hear_from(&mut it, 1.0, &port, &from("10.0.0.5")).unwrap();
    assert_eq!(heard[0], Happened::Joined(address("http://10.0.0.5:3100")));
}

#[test]
fn what_a_worker_says_is_better_than_what_its_connection_tells() {
    let mut it = registry();
    let loads = flask(json!({"message": "loading update"}));
    hear_from(&mut it, 1.0, &loads, &from("172.16.0.1")).unwrap();
    let update = flask(json!({"message": "data update", "cur_load": 0.0, "max_perf": 2.0,
        "url": "http://10.0.0.5:40123"}));
    let heard = hear_from(&mut it, 9.0, &update, &from("172.16.0.1")).unwrap();
    let moved = Happened::Moved(address("http://10.0.0.5:40123"));
    assert_eq!(heard, [moved, Happened::Loaded]);
    assert_eq!(
        hear_from(&mut it, 10.0, &loads, &from("172.16.0.1")).unwrap(),
        [Happened::Restarted]
    );
    let elsewhere = flask(json!({"message": "data update", "url": "http://10.0.0.6:40123"}));
    assert!(matches!(refuses(&mut it, 11.0, &elsewhere), Refused::Conflict { .. }));
}

#[test]
fn the_worker_of_2024_brings_its_token_with_the_connection() {
    let mut it = registry();
    assert_eq!(refuses(&mut it, 1.0, &aiohttp(json!({}))), Refused::Denied);
    let sender = Sender { peer: None, token: Some(Secret::new("tok")) };
    assert!(hear_from(&mut it, 1.0, &aiohttp(json!({})), &sender).is_ok());
    // A token in the message counts more.
    let wrong = today(json!({"mtoken": "no"}));
    assert_eq!(hear_from(&mut it, 2.0, &wrong, &sender), Err(Refused::Denied));
}

#[test]
fn what_is_from_the_past_is_refused_with_its_reason() {
    let mut it = registry();
    hear(&mut it, 1.0, &today(json!({"num_requests_recieved": 5}))).unwrap();
    let refused = refuses(&mut it, 2.0, &today(json!({"num_requests_recieved": 4})));
    expect!["the message counts 4 requests after 5 in an earlier message of the same process"]
        .assert_eq(&refused.to_string());
}

#[test]
fn there_is_room_for_a_thousand() {
    let mut it = registry();
    for id in 0..WORKERS_MAX {
        let url = format!("http://10.0.0.1:{}", 2000 + id);
        hear(&mut it, 1.0, &today(json!({"id": id, "url": url}))).unwrap();
    }
    let more = today(json!({"id": "more", "url": "http://10.0.0.1:9000"}));
    assert_eq!(refuses(&mut it, 1.0, &more), Refused::Full);
    // The name of a silent one is not one more.
    let again = today(json!({"id": 5, "url": "http://10.0.0.1:9000"}));
    let heard = hear(&mut it, 60.0, &again).unwrap();
    assert_eq!(heard[0], Happened::TimedOut);
    assert_eq!(it.members().len(), WORKERS_MAX);
}

#[test]
fn a_report_is_about_one_worker_only() {
    let mut it = registry();
    hear(&mut it, 1.0, &today(json!({}))).unwrap();
    let before = states(&it);
    let other = json!({"id": "8", "url": "http://10.0.0.2:4000", "error_msg": "boom"});
    hear(&mut it, 2.0, &today(other)).unwrap();
    assert_eq!(states(&it)[0], before[0]);
    let forged = Report::parse(br#"{"id":7,"mtoken":"guess","error_msg":"boom"}"#).unwrap();
    assert_eq!(it.report(&forged, &Sender::default(), at(3.0)), Err(Refused::Denied));
    assert_eq!(states(&it)[0], before[0]);
}
