//! What is wrong with a message, in words.

use expect_test::expect;
use samovar_workers::message::{
    FINISHED_BYTES_MAX, FINISHED_MAX, Finished, Generation, Leave, Offered, Outcome,
    REPORT_BYTES_MAX, Report, Stage,
};

/// What is said about each of the bodies, a line each.
fn refusals<B: AsRef<[u8]>>(bodies: impl IntoIterator<Item = B>) -> String {
    let refused = bodies.into_iter().map(|body| match Report::parse(body.as_ref()) {
        Err(malformed) => format!("{malformed}\n"),
        Ok(report) => {
            panic!("{:?} is taken for {report:?}", String::from_utf8_lossy(body.as_ref()))
        }
    });
    refused.collect()
}

/// What is said about a field with each of the values.
fn value_refusals<const N: usize>(values: [(&str, &str); N]) -> String {
    refusals(values.map(|(field, value)| format!(r#"{{"id":7,"mtoken":"t","{field}":{value}}}"#)))
}

#[test]
fn figures_must_be_finite_and_not_negative() {
    let refused = value_refusals([
        ("max_perf", "-1"),
        ("cur_load", "-0.5"),
        ("max_perf", "NaN"),
        ("loadtime", "Infinity"),
        ("loadtime", "-Infinity"),
        ("new_load", "1e400"),
        ("new_load", "-1e300"),
        ("rej_load", "\"12\""),
        ("cur_perf", "true"),
        ("cur_perf", "[1]"),
        ("cur_perf", r#"{"a":1}"#),
        ("loadtime", "2592000.1"),
    ]);
    expect![[r#"
        `max_perf` is -1, it must be a number from 0 to 1e15
        `cur_load` is -0.5, it must be a number from 0 to 1e15
        `max_perf` is no JSON value, for example NaN or Infinity
        `loadtime` is no JSON value, for example NaN or Infinity
        `loadtime` is no JSON value, for example NaN or Infinity
        `new_load` is too large for a number
        `new_load` is -1e300, it must be a number from 0 to 1e15
        `rej_load` is text, it must be a number from 0 to 1e15
        `cur_perf` is true, it must be a number from 0 to 1e15
        `cur_perf` is a list, it must be a number from 0 to 1e15
        `cur_perf` is an object, it must be a number from 0 to 1e15
        `loadtime` is more than 30 days
    "#]]
    .assert_eq(&refused);
}

#[test]
fn counts_must_be_whole() {
    let refused = value_refusals([
        ("num_requests_recieved", "1.5"),
        ("num_requests_working", "-3"),
        ("port", "0"),
        ("port", "65536"),
    ]);
    expect![[r#"
        `num_requests_recieved` is 1.5, it must be a whole number, at least 0
        `num_requests_working` is -3, it must be a whole number, at least 0
        `port` must be between 1 and 65535
        `port` must be between 1 and 65535
    "#]]
    .assert_eq(&refused);
}

#[test]
fn names_and_texts_are_limited() {
    let ids = ["null", "\"\"", "\"a b\"", "\"a\\nb\"", "\"é\"", "-7", "7.5", "true", "[7]"];
    expect![[r#"
        `id` is null, it must be a whole number or 1 to 128 printable ASCII characters
        `id` has 0 characters, it must be a whole number or 1 to 128 printable ASCII characters
        `id` has other characters, it must be a whole number or 1 to 128 printable ASCII characters
        `id` has other characters, it must be a whole number or 1 to 128 printable ASCII characters
        `id` has other characters, it must be a whole number or 1 to 128 printable ASCII characters
        `id` is -7, it must be a whole number or 1 to 128 printable ASCII characters
        `id` is 7.5, it must be a whole number or 1 to 128 printable ASCII characters
        `id` is true, it must be a whole number or 1 to 128 printable ASCII characters
        `id` is a list, it must be a whole number or 1 to 128 printable ASCII characters
    "#]]
    .assert_eq(&refusals(ids.map(|id| format!("{{\"id\":{id}}}"))));

    let long = |chars| format!("\"{}\"", "a".repeat(chars));
    let refused = refusals([
        "{}".to_owned(),
        format!(r#"{{"id":{}}}"#, long(129)),
        format!(r#"{{"id":7,"mtoken":{}}}"#, long(257)),
        format!(r#"{{"id":7,"url":{}}}"#, long(513)),
        r#"{"id":7,"url":5}"#.to_owned(),
        r#"{"id":7,"error":"yes"}"#.to_owned(),
    ]);
    expect![[r#"
        `id` is missing
        `id` has 129 characters, it must be a whole number or 1 to 128 printable ASCII characters
        `mtoken` has 257 bytes, more than 256, it must be a text of limited length
        `url` has 513 bytes, more than 512, it must be a text of limited length
        `url` is a number, it must be a text of limited length
        `error` has an invalid type: string "yes", expected a boolean
    "#]]
    .assert_eq(&refused);
    assert!(Report::parse(format!(r#"{{"id":{}}}"#, long(128)).as_bytes()).is_ok());
}

#[test]
fn bodies_must_be_one_object() {
    let deep = format!(r#"{{"id":7,"x":{}}}"#, "[".repeat(10_000));
    let large = vec![b' '; REPORT_BYTES_MAX + 1];
    let refused = refusals([
        b"" as &[u8],
        b"null",
        br#"[7,"tok"]"#,
        br#"{"id":7"#,
        br#"{"id":7}{"#,
        br#"{"id":7,}"#,
        b"{\"id\":\"\xff\"}",
        br#"{"id":7,"id":8}"#,
        br#"{"id":7,"max_perf":1,"max_perf":2}"#,
        deep.as_bytes(),
        &large,
    ]);
    expect![[r#"
        the message is not a JSON object
        the message is not a JSON object
        the message is not a JSON object
        the message ends too early
        the message has more after its JSON object
        the message is not JSON (trailing comma)
        `id` is not JSON (invalid unicode code point)
        `id` occurs twice
        `max_perf` occurs twice
        `x` is no JSON value, for example NaN or Infinity
        the message has 65537 bytes, more than the limit of 65536
    "#]]
    .assert_eq(&refused);
}

#[test]
fn unknown_fields_and_nulls_are_ignored() {
    let report = Report::parse(
        br#" {"id":7,"max_capacity":null,"cur_load":null,"x":{"id":8},"disk_usage":-1,"url":""} "#,
    );
    let report = report.unwrap();
    assert_eq!((report.worker.as_str(), report.stage), ("7", Stage::Unsaid));
    assert_eq!((report.url, report.load.offered, report.received), (None, None, None));
}

#[test]
fn numbers_and_texts_name_the_same_worker() {
    let [number, text] =
        [r#"{"id":7}"#, r#"{"id":"7"}"#].map(|body| Report::parse(body.as_bytes()).unwrap().worker);
    assert_eq!(number, text);
}

#[test]
fn texts_for_the_status_are_cut_and_printable() {
    let long = "é".repeat(2000);
    let body = format!(r#"{{"id":7,"error_msg":"a\nb\u001b[31m{long}","version":"1\r\n"}}"#);
    let report = Report::parse(body.as_bytes()).unwrap();
    let error = report.error.unwrap();
    assert_eq!(error.chars().count(), 1000);
    assert!(error.starts_with("a b [31mé"), "{error}");
    assert_eq!(report.version.as_deref(), Some("1  "));
}

#[test]
fn tokens_are_not_in_debug_output() {
    let report = Report::parse(br#"{"id":7,"mtoken":"hunter2"}"#).unwrap();
    assert!(!format!("{report:?}").contains("hunter2"));
    assert_eq!(report.token.unwrap().reveal(), "hunter2");
}

#[test]
fn generations_are_told_apart() {
    for (body, generation, stage, offered) in [
        (
            r#"{"id":"7","mtoken":"t","loadtime":0.0,"max_perf":0.5}"#,
            Generation::Flask,
            Stage::Loaded,
            None,
        ),
        (
            r#"{"id":"7","mtoken":"t","cur_load":0.5,"num_requests_recieved":5}"#,
            Generation::Flask,
            Stage::Loaded,
            Some(Offered::PerSecond(0.5)),
        ),
        (r#"{"id":7,"mtoken":"t","error_msg":"x"}"#, Generation::Flask, Stage::Unsaid, None),
        (
            r#"{"id":7,"message":"loading update","disk_usage":1}"#,
            Generation::Flask,
            Stage::Loading,
            None,
        ),
        // Pictures: a rate. Text: a sum.
        (
            r#"{"id":7,"message":"data update","cur_load":5,"loadtime":3,"max_perf":2}"#,
            Generation::Flask,
            Stage::Loaded,
            Some(Offered::PerSecond(5.0)),
        ),
        (
            r#"{"id":7,"message":"data update","cur_load":5,"cur_capacity":9,"max_capacity":null}"#,
            Generation::Flask,
            Stage::Loaded,
            Some(Offered::SinceReport(5.0)),
        ),
        (
            r#"{"id":7,"loadtime":0,"cur_load":1.25,"max_perf":0,"cur_capacity":0,"error_msg":""}"#,
            Generation::Aiohttp,
            Stage::Loading,
            Some(Offered::PerSecond(1.25)),
        ),
        (
            r#"{"id":7,"mtoken":"t","loadtime":0.0,"cur_load":3,"new_load":4,"rej_load":0}"#,
            Generation::Today,
            Stage::Loading,
            Some(Offered::SinceReport(4.0)),
        ),
    ] {
        let report = Report::parse(body.as_bytes()).unwrap();
        let told = (report.generation, report.stage, report.load.offered);
        assert_eq!(told, (generation, stage, offered), "{body}");
    }
}

#[test]
fn finished_requests_are_read() {
    let body = br#"{"worker_id":12,"mtoken":"tok","requests":[
        {"request_idx":4,"success":true,"status":"Success","entered_queue_at":100.0,
         "work_started_at":100.5,"work_completed_at":102.0},
        {"request_idx":"x","success":false,"status":"Rejected","entered_queue_at":100.0,
         "work_started_at":0.0,"work_completed_at":0.0},
        {"status":"Dreamt"}]}"#;
    let finished = Finished::parse(body).unwrap();
    assert_eq!(finished.worker, "12");
    let told: Vec<_> = finished.requests.iter().map(|it| (it.number, it.outcome)).collect();
    let expected = [(Some(4), Outcome::Success), (None, Outcome::Rejected), (None, Outcome::Other)];
    assert_eq!(told, expected);
    let times: Vec<_> = finished.requests.iter().map(|it| (it.waited_s, it.worked_s)).collect();
    assert_eq!(times, [(Some(0.5), Some(1.5)), (None, None), (None, None)]);

    let refused = [
        r#"{"worker_id":12}"#,
        r#"{"worker_id":12,"requests":{}}"#,
        r#"{"worker_id":12,"requests":[{"entered_queue_at":NaN}]}"#,
        r#"{"worker_id":12,"requests":[{},{"work_started_at":-1}]}"#,
    ]
    .map(|body| format!("{}\n", Finished::parse(body.as_bytes()).unwrap_err()));
    expect![[r#"
        `requests` is missing
        `requests` has an invalid type: map, expected a list
        `requests[0].entered_queue_at` is no JSON value, for example NaN or Infinity
        `requests[1].work_started_at` is -1, it must be a number from 0 to 1e15
    "#]]
    .assert_eq(&refused.concat());
}

#[test]
fn finished_requests_are_limited() {
    let body =
        |count| format!(r#"{{"worker_id":12,"requests":[{{}}{}]}}"#, ",{}".repeat(count - 1));
    let most = Finished::parse(body(FINISHED_MAX).as_bytes()).unwrap();
    assert_eq!(most.requests.len(), FINISHED_MAX);
    expect!["`requests` has more than 50000 requests"]
        .assert_eq(&Finished::parse(body(FINISHED_MAX + 1).as_bytes()).unwrap_err().to_string());
    let large = vec![b' '; FINISHED_BYTES_MAX + 1];
    expect!["the message has 4194305 bytes, more than the limit of 4194304"]
        .assert_eq(&Finished::parse(&large).unwrap_err().to_string());
}

#[test]
fn leaving_is_read() {
    let leave = Leave::parse(br#"{"id":7,"mtoken":"tok"}"#).unwrap();
    assert_eq!((leave.worker.as_str(), leave.token.unwrap().reveal()), ("7", "tok"));
    expect!["`id` is missing"]
        .assert_eq(&Leave::parse(br#"{"mtoken":"tok"}"#).unwrap_err().to_string());
}
