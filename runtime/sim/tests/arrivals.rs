//! Workloads are read, refused and generated as described.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use expect_test::{Expect, expect};
use samovar_sim::arrivals::{Arrivals, Generator, Workload};
use samovar_sim::rng::stream;

fn generator(text: &str) -> Generator {
    text.parse::<Workload>().unwrap().arrivals(stream(42, text, "arrivals"))
}

/// Requests per stretch of `seconds`, for `stretches` of them.
fn counts(text: &str, seconds: u64, stretches: usize) -> Vec<u64> {
    let mut counts = vec![0; stretches];
    let mut arrivals = generator(text);
    let mut before = 0;
    while let Some(arrival) = arrivals.next() {
        let at = arrival.at.as_nanos();
        assert!(at >= before, "{text}: time goes back");
        before = at;
        match counts.get_mut((at / (seconds * 1_000_000_000)) as usize) {
            Some(count) => *count += 1,
            None => break,
        }
    }
    counts
}

/// What a Poisson process counts has the variance of its mean.
fn check_poisson(text: &str, seconds: u64, expected: &[f64]) {
    for (count, mean) in counts(text, seconds, expected.len()).into_iter().zip(expected) {
        let sigma = mean.sqrt();
        let off = (count as f64 - mean).abs();
        assert!(off <= 3.0 * sigma, "{text}: {count} is not {mean} ± {sigma}");
    }
}

#[test]
fn regular_streams_have_exactly_their_share_everywhere() {
    assert_eq!(counts("steady:50/s", 1, 1000), [50; 1000]);
    assert_eq!(counts("steady:600/m", 1, 100), [10; 100]);
    assert_eq!(counts("steady:7200/h", 1, 100), [2; 100]);
    assert_eq!(
        counts("steps:10/s@2s,30/s@1s,0/s@1s,5/s,jitter=regular", 1, 6),
        [10, 10, 30, 0, 5, 5]
    );
    assert_eq!(counts("steps:10/s@2s,30/s@1s,jitter=regular", 1, 5), [10, 10, 30, 0, 0]);
    assert_eq!(counts("ramp:0/s..4/s@2s,jitter=regular", 1, 4), [1, 3, 4, 4]);
    assert_eq!(counts("ramp:4/s..0/s@2s,jitter=regular", 1, 4), [3, 1, 0, 0]);
    let bursts = "bursts:base=1/s,burst=9/s,every=3s,for=1s,jitter=regular";
    assert_eq!(counts(bursts, 1, 7), [1, 1, 9, 1, 1, 9, 1]);
    assert_eq!(counts("steady:0/s", 1, 2), [0, 0]);
}

#[test]
fn poisson_streams_have_their_rates_within_three_sigma() {
    check_poisson("poisson:50/s", 100, &[5000.0; 10]);
    check_poisson("steady:50/s,jitter=poisson", 100, &[5000.0; 10]);
    check_poisson("steps:10/s@100s,300/s@50s,0/s", 50, &[500.0, 500.0, 15_000.0, 0.0]);
    check_poisson("ramp:0/s..200/s@100s", 50, &[2500.0, 7500.0, 10_000.0]);
    let bursts = "bursts:base=5/s,burst=200/s,every=60s,for=5s";
    check_poisson(bursts, 60, &[1275.0; 10]);
    check_poisson("diurnal:mean=50/s,peak=200/s,period=1h", 3600, &[180_000.0; 5]);
}

#[test]
fn poisson_counts_vary_as_they_should() {
    let counts = counts("poisson:50/s", 1, 10_000);
    let mean = counts.iter().sum::<u64>() as f64 / 1e4;
    let variance = counts.iter().map(|n| (*n as f64 - mean).powi(2)).sum::<f64>() / 1e4;
    // The ratio of variance to mean is 1 with a standard error of sqrt(2 / n).
    let ratio = variance / mean;
    assert!((ratio - 1.0).abs() < 3.0 * (2.0_f64 / 1e4).sqrt(), "{ratio}");
}

#[test]
fn a_day_is_busiest_at_noon() {
    let hours = counts("diurnal:mean=50/s,peak=200/s", 3600, 24);
    let noon = (hours[11] + hours[12]) as f64 / 7200.0;
    assert!((190.0..200.0).contains(&noon), "{noon}");
    let night = hours[0] as f64 / 3600.0;
    assert!(night < 5.0, "{night}");
    // Both halves are alike within three standard deviations of their difference.
    for (morning, evening) in hours.iter().zip(hours.iter().rev()).take(12) {
        let (morning, evening) = (*morning as f64, *evening as f64);
        assert!((morning - evening).abs() < 3.0 * (morning + evening).sqrt(), "{hours:?}");
    }
}

#[test]
fn heavy_tails_have_their_mean_and_are_uneven() {
    // Exponent 3: the time between requests has a variance of 3/4 of its squared mean.
    let count = counts("heavy:50/s,alpha=3", 10_000, 1)[0] as f64;
    let sigma = (500_000.0 * 0.75_f64 / 1.0).sqrt();
    assert!((count - 500_000.0).abs() < 3.0 * sigma, "{count}");
    // Against a Poisson stream, whose variance is its mean.
    let counts = counts("heavy:50/s,alpha=1.5", 1, 10_000);
    let mean = counts.iter().sum::<u64>() as f64 / 1e4;
    let variance = counts.iter().map(|n| (*n as f64 - mean).powi(2)).sum::<f64>() / 1e4;
    assert!(variance > 3.0 * mean, "{variance} {mean}");
}

#[test]
fn one_seed_gives_one_stream() {
    let first = |seed: u64| {
        let workload: Workload = "poisson:50/s".parse().unwrap();
        let mut arrivals = workload.arrivals(stream(seed, "x", "arrivals"));
        [(); 5].map(|()| arrivals.next().unwrap().at.as_nanos())
    };
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
    expect![[r#"
        [
            8134706,
            29421295,
            57988063,
            65572295,
            77513277,
        ]
    "#]]
    .assert_debug_eq(&first(1));
}

#[test]
fn serde_reads_and_writes_the_text() {
    let read: Workload = serde_json::from_str(r#"" poisson:50/s""#).unwrap();
    assert_eq!(read, "poisson:50/s".parse().unwrap());
    assert_eq!(serde_json::to_string(&read).unwrap(), r#""poisson:50/s""#);
    assert!(serde_json::from_str::<Workload>(r#""poisson""#).is_err());
}

fn check_refusals(texts: &[&str], expected: Expect) {
    let line = |text: &&str| format!("{}\n", text.parse::<Workload>().unwrap_err());
    expected.assert_eq(&texts.iter().map(line).collect::<String>());
}

#[test]
fn refusals_name_field_value_and_what_is_allowed() {
    check_refusals(
        &[
            "",
            "50/s",
            "wave:50/s",
            "steady:",
            "steady:50",
            "steady:50/d",
            "steady:-1/s",
            "steady:NaN/s",
            "steady:inf/s",
            "steady:2e9/s",
            "steady:1/s,2/s",
            "steady:1/s,jitter=some",
            "poisson:1/s,jitter=regular",
            "steps:",
            "steps:1/s,2/s@1s",
            "steps:1/s@0s",
            "steps:1@1s",
            "ramp:1/s..2/s",
            "ramp:1/s@1m",
            "ramp:1/s..x@1m",
            "ramp:1/s..2/s@never",
            "bursts:base=1/s,burst=0/s,every=1m,for=1s",
            "bursts:base=1/s,burst=9/s,every=1m",
            "bursts:base=1/s,burst=9/s,every=1m,for=2m",
            "bursts:1/s",
            "diurnal:mean=0/s,peak=1/s",
            "diurnal:mean=50/s,peak=10/s",
            "diurnal:mean=50/s,peak=9999/s",
            "diurnal:mean=50/s,peak=60/s,period=0s",
            "heavy:50/s",
            "heavy:0/s,alpha=1.5",
            "heavy:50/s,alpha=1",
        ],
        expect![[r#"
            kind is missing in ``; it is one of steady, poisson, steps, ramp, bursts, diurnal, heavy
            kind is missing in `50/s`; it is one of steady, poisson, steps, ramp, bursts, diurnal, heavy
            `wave` in `wave:50/s` is not a kind of workload; allowed: steady, poisson, steps, ramp, bursts, diurnal, heavy
            rate is missing in `steady:`; it is a rate like `50/s`, `600/m` or `10/h`, from 0 to 1000000000/s
            rate `50` in `steady:50` is not a rate like `50/s`, `600/m` or `10/h`, from 0 to 1000000000/s
            rate `50/d` in `steady:50/d` is not a rate like `50/s`, `600/m` or `10/h`, from 0 to 1000000000/s
            rate `-1/s` in `steady:-1/s` is not a rate like `50/s`, `600/m` or `10/h`, from 0 to 1000000000/s
            rate `NaN/s` in `steady:NaN/s` is not a rate like `50/s`, `600/m` or `10/h`, from 0 to 1000000000/s
            rate `inf/s` in `steady:inf/s` is not a rate like `50/s`, `600/m` or `10/h`, from 0 to 1000000000/s
            rate `2e9/s` in `steady:2e9/s` is not a rate like `50/s`, `600/m` or `10/h`, from 0 to 1000000000/s
            `2/s` in `steady:1/s,2/s` is not a field; allowed: jitter
            jitter `some` in `steady:1/s,jitter=some` is not `regular` or `poisson`
            `jitter` in `poisson:1/s,jitter=regular` is not a field; allowed: none
            step `` in `steps:` is not a rate like `50/s`, `600/m` or `10/h`, from 0 to 1000000000/s
            step `1/s` in `steps:1/s,2/s@1s` is not a rate with its time, like `10/s@60s`
            time of a step `0s` in `steps:1/s@0s` is not a duration above zero
            step `1` in `steps:1@1s` is not a rate like `50/s`, `600/m` or `10/h`, from 0 to 1000000000/s
            ramp `1/s..2/s` in `ramp:1/s..2/s` is not a ramp like `0/s..200/s@10m`
            ramp `1/s@1m` in `ramp:1/s@1m` is not a ramp like `0/s..200/s@10m`
            end of the ramp `x` in `ramp:1/s..x@1m` is not a rate like `50/s`, `600/m` or `10/h`, from 0 to 1000000000/s
            time of the ramp `never` in `ramp:1/s..2/s@never` is not a duration like `200ms`, `2s` or `1m 30s`, at most 10 years
            burst `0/s` in `bursts:base=1/s,burst=0/s,every=1m,for=1s` is not a rate above zero
            for is missing in `bursts:base=1/s,burst=9/s,every=1m`; it is how long a burst lasts
            for `2m` in `bursts:base=1/s,burst=9/s,every=1m,for=2m` is not a time of at most `every`, 1m
            `1/s` in `bursts:1/s` is not a field; allowed: base, burst, every, for, jitter
            mean `0/s` in `diurnal:mean=0/s,peak=1/s` is not a rate above zero
            peak `10/s` in `diurnal:mean=50/s,peak=10/s` is not a rate from the mean, 50/s, to 100 times the mean
            peak `9999/s` in `diurnal:mean=50/s,peak=9999/s` is not a rate from the mean, 50/s, to 100 times the mean
            period `0s` in `diurnal:mean=50/s,peak=60/s,period=0s` is not a duration above zero
            alpha is missing in `heavy:50/s`; it is a number from 1.01 to 100; the smaller, the heavier
            rate `0/s` in `heavy:0/s,alpha=1.5` is not a rate above zero
            alpha `1` in `heavy:50/s,alpha=1` is not a number from 1.01 to 100
        "#]],
    );
}
