//! Reports say what the runs say, in every format.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::time::Duration;

use expect_test::expect;
use samovar_sim::outcome::{DeploymentRun, Quantiles, Row, Run, Summary};
use samovar_sim::report::{self, Decided, PlotError};

/// A made-up course: the load swings once in ten minutes, and replicas follow it `lag` seconds
/// late, ten requests each.
fn deployment(name: &str, policy: &str, seconds: u64, lag: u64) -> DeploymentRun {
    let load = |second: u64| {
        let phase = second as f64 / 600.0 * std::f64::consts::TAU;
        100.0 - 90.0 * phase.cos() + if second % 300 < 20 { 150.0 } else { 0.0 }
    };
    let row = |second: u64| {
        let (now, then) = (load(second), load(second.saturating_sub(lag)));
        let ready = (then / 10.0).ceil();
        let queued = (now - 10.0 * ready).max(0.0);
        let p50_ms = 20.0 + 10.0 * queued;
        let quantiles = Quantiles { p50_ms, p95_ms: 3.0 * p50_ms, p99_ms: 8.0 * p50_ms };
        Row {
            at: Duration::from_secs(second + 1),
            target: (load(second.saturating_sub(lag / 2)) / 10.0).ceil() as u32,
            ready: ready as u32,
            queued: queued as u32,
            ongoing: (now - queued) as u32,
            arrived: now as u64,
            completed: (now - queued) as u64,
            latency: (second % 100 > 4).then_some(quantiles),
            ..Row::default()
        }
    };
    let rows: Vec<Row> = (0..seconds).map(row).collect();
    let summary = Summary {
        arrived: rows.iter().map(|row| row.arrived).sum(),
        completed: rows.iter().map(|row| row.completed).sum(),
        rejected: lag,
        latency: Some(Quantiles { p50_ms: 20.0, p95_ms: 345.6, p99_ms: 1234.0 }),
        wait: Some(Quantiles { p50_ms: 0.0, p95_ms: 12.0, p99_ms: 345.0 }),
        replica_seconds: rows.iter().map(|row| f64::from(row.ready)).sum(),
        busy_seconds: rows.iter().map(|row| f64::from(row.ongoing)).sum(),
        replicas_max: rows.iter().map(|row| row.ready).max().unwrap_or(0),
        ..Summary::default()
    };
    DeploymentRun { name: name.into(), policy: policy.into(), rows, summary }
}

fn run(label: &str, seconds: u64, deployments: Vec<DeploymentRun>) -> Run {
    let (duration, interval) = (Duration::from_secs(seconds), Duration::from_secs(1));
    Run { label: label.into(), seed: 7, duration, interval, deployments }
}

/// Runs of `seconds` with one deployment, one for each lag.
fn runs(seconds: u64, lags: &[u64]) -> Vec<Run> {
    let one = |lag: &u64| {
        let label = format!("lag-{lag}");
        run(&label, seconds, vec![deployment("web", &label, seconds, *lag)])
    };
    lags.iter().map(one).collect()
}

fn small() -> Vec<Run> {
    let mut runs = runs(2, &[0, 5]);
    runs[0].label = "quick, \"now\"".into();
    runs[1].deployments[0].rows[1].latency =
        Some(Quantiles { p50_ms: 1.5, p95_ms: 20.25, p99_ms: 1000.0 });
    runs[1].deployments[0].summary = Summary {
        arrived: 320,
        completed: 300,
        failed: 12,
        rejected: 8,
        timed_out: 3,
        replica_seconds: 40.5,
        busy_seconds: 162.0,
        replicas_max: 17,
        replicas_started: 16,
        replicas_failed: 1,
        target_changes: 4,
        policy_errors: 2,
        ..Summary::default()
    };
    runs
}

#[test]
fn the_table_is_aligned() {
    let concurrency = BTreeMap::from([("web".to_owned(), 10)]);
    expect![[r#"
        run           deployment  requests  failed  rejected      p50     p95     p99  wait p95  replica-s  used  max  changes
        quick, "now"  web              320       0         0  20.0 ms  346 ms  1.23 s   12.0 ms       33.0   97%   17        0
        lag-5         web              320      12         8        -       -       -         -       40.5   40%   17        4
        lag-5, web: lag-5 left 2 ticks unanswered
    "#]].assert_eq(&report::table(&small(), &concurrency));
}

#[test]
fn without_concurrency_use_is_not_guessed() {
    let table = report::table(&small()[1..], &BTreeMap::new());
    let cells: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(cells[10], "-");
}

#[test]
fn json_is_complete() {
    let mut json = Vec::new();
    report::json(&small(), &mut json).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
    expect![[r#"
        {
          "deployments": [
            {
              "name": "web",
              "policy": "lag-5",
              "rows": [
                {
                  "arrived": 160,
                  "at_s": 1.0,
                  "completed": 160,
                  "draining": 0,
                  "failed": 0,
                  "latency": null,
                  "ongoing": 160,
                  "queued": 0,
                  "ready": 16,
                  "rejected": 0,
                  "starting": 0,
                  "target": 16
                },
                {
                  "arrived": 160,
                  "at_s": 2.0,
                  "completed": 160,
                  "draining": 0,
                  "failed": 0,
                  "latency": {
                    "p50_ms": 1.5,
                    "p95_ms": 20.25,
                    "p99_ms": 1000.0
                  },
                  "ongoing": 160,
                  "queued": 0,
                  "ready": 16,
                  "rejected": 0,
                  "starting": 0,
                  "target": 16
                }
              ],
              "summary": {
                "arrived": 320,
                "busy_seconds": 162.0,
                "completed": 300,
                "failed": 12,
                "latency": null,
                "policy_errors": 2,
                "rejected": 8,
                "replica_seconds": 40.5,
                "replicas_failed": 1,
                "replicas_max": 17,
                "replicas_started": 16,
                "target_changes": 4,
                "timed_out": 3,
                "wait": null
              }
            }
          ],
          "duration_s": 2.0,
          "interval_s": 1.0,
          "label": "lag-5",
          "seed": 7
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&value["runs"][1]).unwrap());
    assert!(json.starts_with(br#"{"runs":[{"label":"quick, \"now\"","seed":7,"duration_s":2.0,"#));
}

#[test]
fn csv_has_a_row_per_interval() {
    let mut csv = Vec::new();
    report::csv(&small(), &mut csv).unwrap();
    expect![[r#"
        run,deployment,policy,at_s,target,starting,ready,draining,queued,ongoing,arrived,completed,failed,rejected,p50_ms,p95_ms,p99_ms
        "quick, ""now""",web,lag-0,1,16,0,16,0,0,160,160,160,0,0,,,
        "quick, ""now""",web,lag-0,2,17,0,17,0,0,160,160,160,0,0,,,
        lag-5,web,lag-5,1,16,0,16,0,0,160,160,160,0,0,,,
        lag-5,web,lag-5,2,16,0,16,0,0,160,160,160,0,0,1.5,20.25,1000
    "#]].assert_eq(&String::from_utf8(csv).unwrap());
}

/// Parses a plot and returns all its texts.
fn texts(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).unwrap();
    let root = document.root_element();
    assert_eq!((root.tag_name().name(), root.attribute("width")), ("svg", Some("1200")));
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    texts.map(|node| node.text().unwrap_or("").trim().to_owned()).collect()
}

/// How many lines are drawn in `color`.
fn lines(svg: &str, color: &str) -> usize {
    let document = roxmltree::Document::parse(svg).unwrap();
    let lines = document.descendants().filter(|node| node.has_tag_name("polyline"));
    lines.filter(|node| node.attribute("stroke") == Some(color)).count()
}

#[test]
fn a_plot_shows_all_runs() {
    let svg = report::svg("Three policies & <one> load", &runs(600, &[0, 20, 60])).unwrap();
    let texts = texts(&svg);
    let has = |text: &str| texts.iter().any(|found| found == text);
    for text in ["Three policies & <one> load", "lag-0", "lag-20", "lag-60", "replica-seconds"] {
        assert!(has(text), "{text}: {texts:?}");
    }
    assert!(has("Latency p99, logarithmic") && has("time in minutes") && !has("Deployment web"));
    // Ready, target and waiting, and six stretches of each latency; target is dashed.
    for color in ["#0072B2", "#D55E00", "#009E73"] {
        assert!(lines(&svg, color) > 20, "{color}");
    }
    assert_eq!(svg, report::svg("Three policies & <one> load", &runs(600, &[0, 20, 60])).unwrap());
}

#[test]
fn each_deployment_has_its_section() {
    let pair = vec![deployment("web", "p", 100, 5), deployment("batch", "q", 100, 9)];
    let alone = vec![deployment("batch", "q", 100, 30)];
    let texts = texts(&report::svg("Two", &[run("a", 100, pair), run("b", 100, alone)]).unwrap());
    let count = |text: &str| texts.iter().filter(|found| *found == text).count();
    assert_eq!((count("Deployment web"), count("Deployment batch")), (1, 1));
    assert_eq!((count("a"), count("b")), (2, 1));
}

#[test]
fn a_long_run_stays_small_and_keeps_its_peak() {
    let mut runs = runs(86_400, &[0, 20, 60, 120]);
    let before = report::svg("A day", &runs).unwrap();
    assert!(before.len() < 1_000_000, "{}", before.len());
    texts(&before);
    runs[0].deployments[0].rows[12_345].queued = 5000;
    assert!(texts(&report::svg("A day", &runs).unwrap()).contains(&"6000".to_owned()));
}

#[test]
fn strange_names_do_not_break_a_plot() {
    let mut runs = runs(10, &[1]);
    runs[0].label = "]]><&\"'\u{0}\u{1b}\u{ffff}\n".repeat(100);
    let texts = texts(&report::svg("\u{0}ok", &runs).unwrap());
    assert!(texts.contains(&"ok".to_owned()));
    assert!(texts.iter().any(|text| text.starts_with("]]><&\"']]><") && text.ends_with('…')));
}

#[test]
fn runs_without_rows_are_plotted() {
    texts(&report::svg("Nothing happened", &runs(0, &[0])).unwrap());
    assert_eq!(report::svg("None", &[]), Err(PlotError::Nothing));
}

#[test]
fn a_png_has_the_size_that_was_asked_for() {
    let svg = report::svg("Pixels", &runs(60, &[0, 20])).unwrap();
    let png = report::png(&svg, 600).unwrap();
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    let size = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    let document = roxmltree::Document::parse(&svg).unwrap();
    let height: u32 = document.root_element().attribute("height").unwrap().parse().unwrap();
    assert_eq!((size(16), size(20)), (600, height.div_ceil(2)));
    assert_eq!(png, report::png(&svg, 600).unwrap());
    assert_eq!(report::png(&svg, 0), Err(PlotError::Width { width: 0, most: 4800 }));
    assert!(matches!(report::png("<svg", 100), Err(PlotError::Read(_))));
}

#[test]
fn text_is_drawn_without_fonts_of_the_system() {
    let letters = r#"<svg width="100" height="20" xmlns="http://www.w3.org/2000/svg"><text
        x="5" y="15" font-family="sans-serif">Samovar</text></svg>"#;
    let empty = r#"<svg width="100" height="20" xmlns="http://www.w3.org/2000/svg"></svg>"#;
    assert_ne!(report::png(letters, 100).unwrap(), report::png(empty, 100).unwrap());
}

fn decided(targets: &[u32]) -> Vec<Decided> {
    let one = |(index, target): (u64, &u32)| Decided {
        at: Duration::from_secs(index),
        load: 7 * *target,
        wish: (*target > 1).then(|| f64::from(*target) - 0.25),
        target: *target,
    };
    (0..).zip(targets).map(one).collect()
}

#[test]
fn decisions_are_compared_where_they_differ() {
    let (now, candidate) = (decided(&[1, 1, 2, 2, 4, 4, 1]), decided(&[1, 2, 2, 3, 3, 3, 1, 9]));
    expect![[r#"
         from     to  ticks  load  now  wish  candidate  wish  difference
        1.0 s  1.0 s      1     7    1  hold          2  1.75          +1
        3.0 s  3.0 s      1    14    2  1.75          3  2.75          +1
        4.0 s  5.0 s      2    28    4  3.75          3  2.75          -1
        the targets differ in 4 of 7 ticks; replica-seconds wanted: 14.0 now, 14.0 with the candidate
    "#]].assert_eq(&report::decisions_table(&now, &candidate));
    let same = report::decisions_table(&now, &now);
    expect![[r#"
        the targets differ in 0 of 7 ticks; replica-seconds wanted: 14.0 now, 14.0 with the candidate
    "#]].assert_eq(&same);
}

#[test]
fn many_differences_are_cut_off() {
    let wild: Vec<u32> = (0..200).map(|index| index % 2).collect();
    let table = report::decisions_table(&decided(&wild), &decided(&[5; 200]));
    assert_eq!(table.lines().count(), 1 + 50 + 2);
    assert!(table.contains("and 150 more stretches\n"), "{table}");
}

#[test]
fn decisions_are_drawn() {
    let (now, candidate) = (decided(&[1, 1, 2, 2, 4, 4, 1]), decided(&[1, 2, 2, 3, 3, 3, 1]));
    let svg = report::decisions_svg("A candidate", &now, &candidate).unwrap();
    assert!(texts(&svg).contains(&"candidate (dashed)".to_owned()));
    assert!(lines(&svg, "#0072B2") == 1 && lines(&svg, "#D55E00") > 10);
    assert_eq!(report::decisions_svg("None", &[], &[]), Err(PlotError::Nothing));
}
