//! Traces are read, refused, replayed and written as described.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::error::Error;
use std::io::{self, Read};
use std::time::Duration;

use expect_test::{Expect, expect};
use samovar_core::time::Timestamp;
use samovar_sim::arrivals::{Arrival, Arrivals, Workload};
use samovar_sim::rng::stream;
use samovar_sim::trace::{Reason, Spread, Trace, TraceError, TraceWriter};

fn read(text: &str) -> Trace {
    Trace::read(text.as_bytes()).unwrap()
}

/// Times and services in nanoseconds, as replayed for `deployment`.
fn replay(trace: &Trace, deployment: &str, spread: Spread) -> Vec<(u64, Option<u64>)> {
    let mut replay = trace.arrivals(deployment, spread, stream(1, deployment, "trace")).unwrap();
    std::iter::from_fn(|| replay.next())
        .map(|arrival| (arrival.at.as_nanos(), arrival.service_nanos))
        .collect()
}

#[test]
fn requests_are_replayed_to_the_nanosecond() {
    let trace = read("at_s\n0\n0.000000001\n31535999.999999999\n");
    assert_eq!(trace.requests(), 3);
    assert_eq!(trace.end(), Duration::new(31_535_999, 999_999_999));
    assert_eq!(trace.deployments().count(), 0);
    let expected = [(0, None), (1, None), (31_535_999_999_999_999, None)];
    assert_eq!(replay(&trace, "any", Spread::Even), expected);
}

#[test]
fn columns_come_in_any_order_with_spaces_quotes_and_windows_line_ends() {
    let trace = read(" service_ms ,deployment, at_ms\r\n2.5,\"a\"\"b\", 1000\r\n,c,1000.5\r\n");
    assert_eq!(trace.deployments().collect::<Vec<_>>(), ["a\"b", "c"]);
    assert_eq!(replay(&trace, "a\"b", Spread::Even), [(1_000_000_000, Some(2_500_000))]);
    assert_eq!(replay(&trace, "c", Spread::Even), [(1_000_500_000, None)]);
    assert!(trace.arrivals("other", Spread::Even, stream(1, "", "")).is_none());
}

#[test]
fn counts_are_spread_evenly() {
    let trace = read("at_s,count\n10,2\n20,0\n30,4\n");
    assert_eq!((trace.requests(), trace.end()), (6, Duration::from_secs(40)));
    let times: Vec<_> =
        replay(&trace, "", Spread::Even).iter().map(|(at, _)| at / 10_000_000).collect();
    assert_eq!(times, [1250, 1750, 3125, 3375, 3625, 3875]);
}

#[test]
fn counts_of_deployments_have_intervals_of_their_own() {
    let trace = read("at_s,count,deployment\n0,1,a\n0,1,b\n1,1,a\n2,1,a\n2,3,b\n");
    assert_eq!(trace.end(), Duration::from_secs(4));
    let times = |name| {
        let replayed = replay(&trace, name, Spread::Even);
        replayed.iter().map(|(at, _)| at / 1_000_000).collect::<Vec<_>>()
    };
    assert_eq!(times("a"), [500, 1500, 2500]);
    assert_eq!(times("b"), [1000, 2333, 3000, 3666]);
}

#[test]
fn poisson_spread_is_uniform_within_its_interval() {
    let trace = read("at_s,count\n0,10000\n1,0\n2,40000\n");
    let times: Vec<u64> = replay(&trace, "", Spread::Poisson).iter().map(|(at, _)| *at).collect();
    assert_eq!(times.len(), 50_000);
    assert!(times.is_sorted());
    assert!(times.iter().all(|at| !(1_000_000_000..2_000_000_000).contains(at)));
    let below = |nanos| times.iter().filter(|at| **at < nanos).count() as f64;
    assert_eq!(below(1_000_000_000), 10_000.0);
    // Binomial, within three standard deviations.
    assert!((below(500_000_000) - 5000.0).abs() < 3.0 * 50.0);
    assert!((below(2_250_000_000) - 20_000.0).abs() < 3.0 * 7500.0_f64.sqrt());
    // Distances between uniform points are exponential: a share of 1/e is above the mean.
    let gaps = times[10_000..].windows(2).filter(|pair| pair[1] - pair[0] > 25_000).count() as f64;
    let share = (-1.0_f64).exp();
    assert!((gaps - 40_000.0 * share).abs() < 3.0 * (40_000.0 * share * (1.0 - share)).sqrt());
}

#[test]
fn what_is_written_is_read_again() {
    let workload: Workload = "bursts:base=5/s,burst=200/s,every=60s,for=5s".parse().unwrap();
    let mut writer = TraceWriter::new(Vec::new()).unwrap();
    let mut arrivals = workload.arrivals(stream(1, "x", "arrivals"));
    let mut written = Vec::new();
    for index in 0..10_000_u64 {
        let at = arrivals.next().unwrap().at;
        let service_nanos = (index % 3 > 0).then_some(index * 1_234_567);
        let name = if index % 2 == 0 { "even" } else { "odd, \"quoted\"" };
        writer.record(name, &Arrival { at, service_nanos }).unwrap();
        written.push((name, at.as_nanos(), service_nanos));
    }
    let trace = Trace::read(&writer.finish().unwrap()[..]).unwrap();
    for name in ["even", "odd, \"quoted\""] {
        let of_name = written.iter().filter(|(deployment, ..)| *deployment == name);
        let expected: Vec<_> = of_name.map(|(_, at, service)| (*at, *service)).collect();
        assert_eq!(replay(&trace, name, Spread::Even), expected);
    }
}

#[test]
fn the_writer_shows_times_plainly() {
    let mut writer = TraceWriter::new(Vec::new()).unwrap();
    let mut write = |millis, service_nanos| {
        let at = Timestamp::from_millis(millis);
        writer.record("a", &Arrival { at, service_nanos }).map_err(|error| error.to_string())
    };
    write(0, None).unwrap();
    write(1500, Some(20_000_000)).unwrap();
    assert_eq!(write(1000, None).unwrap_err(), "time goes back from 1.5 s to 1 s");
    write(90_000, Some(1)).unwrap();
    let nameless =
        writer.record(" ", &Arrival { at: Timestamp::from_millis(90_000), service_nanos: None });
    assert_eq!(nameless.unwrap_err().to_string(), "deployment is empty");
    let text = String::from_utf8(writer.finish().unwrap()).unwrap();
    expect![[r#"
        at_s,deployment,service_ms
        0,a,
        1.5,a,20
        90,a,0.000001
    "#]]
    .assert_eq(&text);
}

fn check_refusals(texts: &[&[u8]], expected: Expect) {
    let line = |text: &&[u8]| format!("{}\n", Trace::read(*text).unwrap_err());
    expected.assert_eq(&texts.iter().map(line).collect::<String>());
}

#[test]
fn bad_headers_are_refused() {
    check_refusals(
        &[
            b"",
            b"\n\n",
            b"at_s\n",
            b"0.5,1\n1,2\n",
            b"at_s,size\n0,1\n",
            b"at_s, at_s\n0,1\n",
            b"deployment\na\n",
            b"at_s,at_ms\n0,0\n",
            b"at_s,count,service_ms\n0,1,1\n",
            b"at_s,\xff\n0,1\n",
            b"at_s;count\n0;1\n",
        ],
        expect![[r#"
            the trace is empty; its first line must name the columns, at least at_s or at_ms
            the trace is empty; its first line must name the columns, at least at_s or at_ms
            the trace has a header and no rows
            line 1: there is no header; the first line must name the columns, at least at_s or at_ms
            line 1: unknown column `size`; known are at_s, at_ms, deployment, service_ms, count
            line 1: column at_s is given twice
            line 1: a column with the time is missing: at_s in seconds or at_ms in milliseconds
            line 1: at_s and at_ms are both given; one must go
            line 1: count and service_ms are both given; service_ms needs a row per request
            line 1: not UTF-8 text
            line 1: unknown column `at_s;count`; known are at_s, at_ms, deployment, service_ms, count
        "#]],
    );
}

#[test]
fn bad_rows_are_refused_with_their_line() {
    check_refusals(
        &[
            b"at_s\n1\nsoon\n",
            b"at_s,deployment\n1,a\n\n,b\n",
            b"at_s\n1\n-1\n",
            b"at_s\nNaN\n",
            b"at_s\ninf\n",
            b"at_ms\n315360000001\n",
            b"at_s\n1e300\n",
            b"at_s\n1\n\n\n2.5\n2.25\n",
            b"at_s,deployment\n2,a\n1,b\n",
            b"at_s,deployment\n1,a\n2\n",
            b"at_s\n1\n2,3\n",
            b"at_s,deployment\n1,\n",
            b"at_s,deployment\n1,\xc3\x28\n",
            b"at_s,service_ms\n1,-5\n",
            b"at_s,service_ms\n1,315360000001\n",
            b"at_s\n1\n0x10\n",
            b"at_s\r\n1\r\n\r\n-2",
            b"at_s\n1\n\"2\n",
        ],
        expect![[r#"
            line 3: at_s `soon` is not a number
            line 4: at_s `` is not a number
            line 3: at_s `-1` is negative
            line 2: at_s `NaN` is not a finite number
            line 2: at_s `inf` is not a finite number
            line 2: at_ms `315360000001` is over 10 years
            line 2: at_s `1e300` is over 10 years
            line 6: time goes back from 2.5 s to 2.25 s
            line 3: time goes back from 2 s to 1 s
            line 3: the header names 2 columns, this row has 1
            line 3: the header names 1 columns, this row has 2
            line 2: deployment is empty
            line 2: not UTF-8 text
            line 2: service_ms `-5` is negative
            line 2: service_ms `315360000001` is over 10 years
            line 3: at_s `0x10` is not a number
            line 4: at_s `-2` is negative
            line 3: a cell goes over several lines; is its quote not closed?
        "#]],
    );
}

#[test]
fn bad_counts_are_refused_with_their_line() {
    check_refusals(
        &[
            b"at_s,count\n0,1.5\n1,1\n",
            b"at_s,count\n0,-1\n1,1\n",
            b"at_s,count\n0,1000000001\n1,1\n",
            b"at_s,count\n0,99999999999999999999999\n1,1\n",
            b"at_s,count\n0,1e30\n1,1\n",
            b"at_s,count\n0,\n1,1\n",
            b"at_s,count\n0,nan\n1,1\n",
            b"at_s,count\n0,1\n1,1\n2,1\n4,1\n",
            b"at_s,count\n0,1\n60,1\n90,1\n",
            b"at_s,count\n0,1\n0,1\n",
            b"at_s,count\n0,1\n",
            b"at_s,count,deployment\n0,1,a\n1,1,b\n2,1,a\n",
        ],
        expect![[r#"
            line 2: count `1.5` is not a whole number
            line 2: count `-1` is negative
            line 2: count `1000000001` is over 1000000000
            line 2: count `99999999999999999999999` is over 1000000000
            line 2: count `1e30` is over 1000000000
            line 2: count `` is not a number
            line 2: count `nan` is not a finite number
            line 5: the interval from 2 s to 4 s is not 1 s long like the first; quiet intervals need rows with count 0
            line 4: the interval from 60 s to 90 s is not 60 s long like the first; quiet intervals need rows with count 0
            line 3: two intervals start at 0 s
            line 2: the only interval of its deployment; at least two rows tell how long one is
            line 3: the only interval of its deployment; at least two rows tell how long one is
        "#]],
    );
}

#[test]
fn rounded_intervals_are_even_enough() {
    let trace = read("at_s,count\n0,3\n0.333,3\n0.667,3\n1,3\n");
    assert_eq!(trace.requests(), 12);
    assert_eq!(trace.end(), Duration::from_millis(1333));
}

#[test]
fn too_many_deployments_are_refused() {
    let rows: String = (0..=10_000).map(|index| format!("0,d{index}\n")).collect();
    let error = Trace::read(format!("at_s,deployment\n{rows}").as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "line 10002: more than 10000 deployments");
}

#[test]
fn a_failing_input_is_not_mistaken_for_its_end() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("disk on fire"))
        }
    }
    let error = Trace::read(b"at_s\n1\n".chain(Broken)).unwrap_err();
    assert_eq!(error.to_string(), "read the trace");
    assert!(error.source().unwrap().to_string().contains("disk on fire"));
}

#[test]
fn reasons_can_be_told_apart() {
    let error = Trace::read(&b"at_s\n1\n2,3\n"[..]).unwrap_err();
    let fields = Reason::Fields { found: 2, expected: 1 };
    assert!(matches!(error, TraceError::Line { line: 3, reason } if reason == fields));
}
