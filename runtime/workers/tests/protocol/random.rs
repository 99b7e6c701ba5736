//! Anything can come: nothing panics, and nobody reaches another worker.

use proptest::prelude::*;
use samovar_workers::address::Address;
use samovar_workers::message::{Finished, Leave, Report};
use samovar_workers::registry::{Registry, Sender, Settings};
use samovar_workers::secret::Secret;
use samovar_workers::worker::State;
use serde_json::{Map, Value, json};

use crate::say::{at, read, today};

const FIELDS: [&str; 20] = [
    "id",
    "mtoken",
    "message",
    "version",
    "url",
    "port",
    "loaded",
    "loadtime",
    "max_perf",
    "cur_load",
    "new_load",
    "rej_load",
    "cur_perf",
    "cur_capacity",
    "error",
    "error_msg",
    "num_requests_working",
    "num_requests_recieved",
    "worker_id",
    "requests",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u32..20).prop_map(Value::from),
        (0.0..100.0).prop_map(|number: f64| Value::from(number)),
        ".{0,20}".prop_map(Value::from),
        prop::sample::select(vec!["8", "tok", "loading update", "http://10.0.0.8:80", ""])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(FIELDS.to_vec()), inner, 0..3)
                .prop_map(|fields| {
                    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
                    Value::Object(fields.collect())
                }),
        ]
    })
}

/// An object of the protocol's fields, some with values that fit.
fn message() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(prop::sample::select(FIELDS.to_vec()), value(), 0..12)
        .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

/// Messages that are often taken: of worker 8, now of one generation, now of another.
fn good_message() -> impl Strategy<Value = Value> {
    let figure = || prop_oneof![Just(0.0), 0.0..1e6, Just(1e15)];
    let shape = (0..4_usize, any::<bool>(), any::<bool>());
    (shape, figure(), figure(), figure(), 0_u32..6).prop_map(
        |((shape, is_failed, is_loading), load, load_time, perf, received)| {
            let error = if is_failed { "boom" } else { "" };
            let load_time: f64 = if is_loading { 0.0 } else { load_time };
            let load_time = load_time.min(samovar_workers::message::LOAD_TIME_S_MAX);
            let mut message = json!({"id": 8, "mtoken": "tok", "url": "http://10.0.0.8:80",
                "cur_load": load, "num_requests_recieved": received});
            let more = match shape {
                0 => json!({}),
                1 => json!({"message": "data update", "cur_capacity": load, "error": is_failed}),
                2 => json!({"loadtime": load_time, "max_perf": perf, "error_msg": error,
                    "cur_capacity": 0}),
                _ => json!({"loadtime": load_time.min(3.0), "max_perf": perf, "error_msg": error,
                    "new_load": load, "rej_load": load, "cur_perf": load}),
            };
            message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            message
        },
    )
}

/// A registry in which worker 7 has reported and worker 9 is expected.
fn registry() -> Registry {
    let join = Some(Secret::new("tok"));
    let mut registry = Registry::new(Settings { join, ..Settings::default() });
    let address = Address::parse("http://10.0.0.9:80").unwrap();
    registry.start("9".into(), Secret::new("own"), address, at(0.0));
    let first = read(&today(json!({"num_requests_recieved": 3, "new_load": 8})));
    registry.report(&first, &Sender::default(), at(1.0)).unwrap();
    registry
}

/// All that is known of a worker.
fn seen(registry: &Registry, id: &str) -> String {
    format!("{:?}", registry.member(id))
}

proptest! {
    #[test]
    fn bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = (Report::parse(&body), Finished::parse(&body), Leave::parse(&body));
    }

    #[test]
    fn nearly_json_never_panics(
        fields in message(),
        cut in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut body = Value::from(fields).to_string().into_bytes();
        let at = cut.index(body.len());
        body[at] = byte;
        let _ = (Report::parse(&body), Finished::parse(&body), Leave::parse(&body));
        body.truncate(at);
        prop_assert!(Report::parse(&body).is_err());
    }

    #[test]
    fn what_is_read_is_within_its_bounds(fields in message()) {
        if let Ok(report) = Report::parse(Value::from(fields).to_string().as_bytes()) {
            let load = report.load;
            let loads = [load.held, load.rejected, load.served];
            let figures = [report.load_time_s, report.max_perf].into_iter().chain(loads);
            for figure in figures.flatten() {
                prop_assert!((0.0..=1e15).contains(&figure));
            }
            prop_assert!((1..=128).contains(&report.worker.len()));
            prop_assert!(report.error.is_none_or(|error| error.chars().count() <= 1000));
        }
    }

    #[test]
    fn nobody_without_the_token_changes_anything(mut fields in message(), id in 6_u32..10) {
        let mut registry = registry();
        fields.insert("id".into(), id.into());
        fields.insert("mtoken".into(), "guess".into());
        let before = [seen(&registry, "7"), seen(&registry, "9")];
        if let Ok(report) = Report::parse(Value::from(fields).to_string().as_bytes()) {
            prop_assert!(registry.report(&report, &Sender::default(), at(2.0)).is_err());
        }
        prop_assert_eq!([seen(&registry, "7"), seen(&registry, "9")], before);
        prop_assert_eq!(registry.members().len(), 2);
    }

    #[test]
    fn a_worker_changes_itself_only(
        messages in prop::collection::vec((good_message(), 0.0..30.0), 1..30),
    ) {
        let mut registry = registry();
        let before = [seen(&registry, "7"), seen(&registry, "9")];
        let mut now = 2.0;
        for (message, seconds) in messages {
            now += seconds;
            let state = registry.member("8").map(|member| member.worker().state());
            let heard = registry.report(&read(&message), &Sender::default(), at(now));
            let Some(member) = registry.member("8") else { continue };
            let worker = member.worker();
            if heard.is_err() {
                prop_assert_eq!(Some(worker.state()), state, "a refused report changes nothing");
            } else {
                prop_assert!(worker.state() != State::Gone);
            }
            let [offered, rejected, served] = worker.totals();
            let rates = [worker.offered_per_s(), worker.rejected_per_s(), worker.served_per_s()];
            for figure in rates.into_iter().chain([offered, rejected, served, worker.wait_s()]) {
                prop_assert!(figure.is_finite() && figure >= 0.0);
            }
            prop_assert_eq!(worker.is_ready(), worker.state() == State::Ready);
        }
        prop_assert_eq!([seen(&registry, "7"), seen(&registry, "9")], before);
    }
}
