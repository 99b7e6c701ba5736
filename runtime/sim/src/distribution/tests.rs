use expect_test::{Expect, expect};

use super::*;
use crate::rng::stream;

const DRAWS: u32 = 100_000;

fn draw(text: &str) -> Vec<f64> {
    let distribution: Distribution = text.parse().unwrap();
    let mut rng = stream(42, text, "test");
    (0..DRAWS).map(|_| distribution.sample(&mut rng).as_secs_f64() * 1e3).collect()
}

/// The sample mean lies within three standard errors of `mean`, all in milliseconds.
fn check_mean(text: &str, mean: f64, deviation: f64) {
    let drawn = draw(text).iter().sum::<f64>() / f64::from(DRAWS);
    let error = deviation / f64::from(DRAWS).sqrt();
    assert!((drawn - mean).abs() <= 3.0 * error, "{text}: {drawn} is not {mean} ± {error}");
}

/// A share `below` of what is drawn is at most `limit` milliseconds, within three standard errors.
fn check_quantile(text: &str, limit: f64, below: f64) {
    let share = draw(text).iter().filter(|ms| **ms <= limit).count() as f64 / f64::from(DRAWS);
    let error = (below * (1.0 - below) / f64::from(DRAWS)).sqrt();
    assert!((share - below).abs() <= 3.0 * error, "{text}: {share} is not {below} ± {error}");
}

#[test]
fn means_are_as_written() {
    check_mean("200ms", 200.0, 1e-9);
    check_mean("exp:200ms", 200.0, 200.0);
    check_mean("uniform:100ms..300ms", 200.0, 200.0 / 12.0_f64.sqrt());
    check_mean("normal:200ms,sd=20ms", 200.0, 20.0);
    check_mean("pareto:100ms,alpha=3", 150.0, (1e4_f64 * 3.0 / 4.0).sqrt());
    check_mean("list:10ms,20ms,60ms", 30.0, (1400.0_f64 / 3.0).sqrt());
}

#[test]
fn quantiles_are_as_written() {
    check_quantile("lognormal:200ms,p99=2s", 200.0, 0.5);
    check_quantile("lognormal:200ms,p99=2s", 2000.0, 0.99);
    check_quantile("normal:200ms,sd=50ms", 250.0, 0.841_344_746);
    check_quantile("exp:200ms", 200.0, 1.0 - (-1.0_f64).exp());
    check_quantile("pareto:100ms,alpha=1.5,max=60s", 400.0, 1.0 - 4.0_f64.powf(-1.5));
}

#[test]
fn nothing_is_outside_of_the_bounds() {
    let within = |text: &str, least: f64, most: f64| {
        assert!(draw(text).iter().all(|ms| (least..=most).contains(ms)), "{text}");
    };
    within("uniform:100ms..300ms", 100.0, 300.0);
    within("pareto:100ms,alpha=0.5,max=1s", 100.0, 1000.0);
    within("normal:10ms,sd=100ms", 0.0, 1e4);
    within("pareto:9years,alpha=0.1", 0.0, DURATION_MAX.as_secs_f64() * 1e3);
    // Half of what is cut off at zero is zero.
    check_quantile("normal:0s,sd=100ms", 0.0, 0.5);
}

#[test]
fn texts_come_back() {
    let check = |text: &str, shown: &str| {
        let parsed: Distribution = text.parse().unwrap();
        assert_eq!(parsed.to_string(), shown);
        assert_eq!(shown.parse(), Ok(parsed));
    };
    check(" 1500ms ", "1s 500ms");
    check("0s", "0s");
    check("exp:200ms", "exp:200ms");
    check("uniform: 100ms .. 300ms", "uniform:100ms..300ms");
    check("normal:200ms, sd=0s", "normal:200ms,sd=0s");
    check("lognormal:200ms,p99=2s", "lognormal:200ms,p99=2s");
    check("pareto:100ms,max=60s,alpha=1.5", "pareto:100ms,alpha=1.5,max=1m");
    check("pareto:100ms,alpha=2", "pareto:100ms,alpha=2");
    check("list:10ms,1m 30s", "list:10ms,1m 30s");
}

#[test]
fn serde_reads_and_writes_the_text() {
    let read: Distribution = serde_json::from_str(r#""exp:200ms""#).unwrap();
    assert_eq!(read, Distribution::exponential(Duration::from_millis(200)));
    assert_eq!(serde_json::to_string(&read).unwrap(), r#""exp:200ms""#);
    let refused = serde_json::from_str::<Distribution>(r#""exp:soon""#).unwrap_err().to_string();
    assert!(refused.starts_with("mean `soon` in `exp:soon` is not a duration"), "{refused}");
}

/// These numbers must never change: recorded results depend on them.
#[test]
fn seed_decides_every_bit() {
    let mut rng = stream(1, "pinned", "test");
    let shown: Vec<_> = [
        "exp:1s",
        "uniform:1s..2s",
        "normal:1s,sd=100ms",
        "lognormal:1s,p99=2s",
        "pareto:1s,alpha=2",
    ]
    .iter()
    .map(|text| text.parse::<Distribution>().unwrap().sample(&mut rng).as_nanos())
    .collect();
    expect![[r#"
        [
            321365054,
            1473329466,
            970258147,
            840467164,
            1711441335,
        ]
    "#]]
    .assert_debug_eq(&shown);
}

#[test]
fn a_list_needs_a_value() {
    assert_eq!(Distribution::of(Vec::new()), None);
    let one = Distribution::of(vec![Duration::from_secs(1)]).unwrap();
    assert_eq!(one.sample(&mut stream(1, "one", "test")), Duration::from_secs(1));
}

fn check_refusals(texts: &[&str], expected: Expect) {
    let line = |text: &&str| format!("{}\n", text.parse::<Distribution>().unwrap_err());
    expected.assert_eq(&texts.iter().map(line).collect::<String>());
}

#[test]
fn refusals_name_field_value_and_what_is_allowed() {
    check_refusals(
        &[
            "",
            "soon",
            "-1s",
            "NaN",
            "99years",
            "1s,2s",
            "gauss:1s",
            "exp:",
            "exp:0s",
            "exp:1s,a=2",
            "uniform:1s",
            "uniform:2s..1s",
            "uniform:1s..x",
            "normal:1s",
            "normal:1s,sd=-1s",
            "lognormal:1s",
            "lognormal:1s,p99=0.1s",
            "lognormal:1s,p99=100ms",
            "lognormal:0s,p99=1s",
            "pareto:1s",
            "pareto:1s,alpha=0",
            "pareto:1s,alpha=NaN",
            "pareto:1s,alpha=inf",
            "pareto:1s,alpha=2,max=1ms",
            "pareto:1s,alpha=2,alpha=3",
            "list:",
            "list:1s,,2s",
        ],
        expect![[r#"
            duration is missing in ``; it is one like `2s`
            duration `soon` in `soon` is not a duration like `200ms`, `2s` or `1m 30s`, at most 10 years
            duration `-1s` in `-1s` is not a duration like `200ms`, `2s` or `1m 30s`, at most 10 years
            duration `NaN` in `NaN` is not a duration like `200ms`, `2s` or `1m 30s`, at most 10 years
            duration `99years` in `99years` is not a duration like `200ms`, `2s` or `1m 30s`, at most 10 years
            `2s` in `1s,2s` is not a field; allowed: none
            `gauss` in `gauss:1s` is not a kind of distribution; allowed: a plain duration, exp, uniform, normal, lognormal, pareto, list
            mean is missing in `exp:`; it is a duration
            mean `0s` in `exp:0s` is not a duration above zero
            `a` in `exp:1s,a=2` is not a field; allowed: none
            range `1s` in `uniform:1s` is not a range like `100ms..300ms`
            range `2s..1s` in `uniform:2s..1s` is not a range from the smaller to the larger duration
            most `x` in `uniform:1s..x` is not a duration like `200ms`, `2s` or `1m 30s`, at most 10 years
            sd is missing in `normal:1s`; it is a duration
            sd `-1s` in `normal:1s,sd=-1s` is not a duration like `200ms`, `2s` or `1m 30s`, at most 10 years
            p99 is missing in `lognormal:1s`; it is a duration, at least the median
            p99 `0.1s` in `lognormal:1s,p99=0.1s` is not a duration of at least the median, 1s
            p99 `100ms` in `lognormal:1s,p99=100ms` is not a duration of at least the median, 1s
            median `0s` in `lognormal:0s,p99=1s` is not a duration above zero
            alpha is missing in `pareto:1s`; it is a number from 0.1 to 100
            alpha `0` in `pareto:1s,alpha=0` is not a number from 0.1 to 100
            alpha `NaN` in `pareto:1s,alpha=NaN` is not a number from 0.1 to 100
            alpha `inf` in `pareto:1s,alpha=inf` is not a number from 0.1 to 100
            max `1ms` in `pareto:1s,alpha=2,max=1ms` is not a duration of at least the least value, 1s
            alpha is given twice in `pareto:1s,alpha=2,alpha=3`
            value `` in `list:` is not a duration like `200ms`, `2s` or `1m 30s`, at most 10 years
            value `` in `list:1s,,2s` is not a duration like `200ms`, `2s` or `1m 30s`, at most 10 years
        "#]],
    );
}
