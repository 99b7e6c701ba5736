//! Flyte's rules for `ReusePolicy`, as executed against `flyte` 2.12.1; the numbers are those of the
//! cases there. Where ours differ on purpose, the comment says so.

use super::*;

#[test]
fn bounds_are_read_as_flyte_reads_them() {
    let replicas = |written: &str| {
        let spec = parse(&with(&format!(r#""replicas": {written}"#)), World::HttpService03);
        spec.unwrap().replicas
    };
    assert_eq!(replicas("2"), Replicas { min: 2, max: 2 });
    assert_eq!(replicas("[1, 5]"), Replicas { min: 1, max: 5 });
    assert_eq!(replicas("[0, 1]"), Replicas { min: 0, max: 1 });
    // Ours: text with a number or a range (F12 is refused there), and null for the default (F13).
    assert_eq!(replicas(r#""2""#), Replicas { min: 2, max: 2 });
    assert_eq!(replicas(r#""1..5""#), Replicas { min: 1, max: 5 });
    assert_eq!(replicas("null"), Replicas { min: 0, max: 4 });
    let spec = read_toml::<RawSpec>("replicas = [1, 5]", "spec").unwrap();
    assert_eq!(spec.replicas, Some(RawReplicas { min: 1, max: 5 }));
}

#[test]
fn bounds_that_flyte_refuses_are_refused() {
    check_errors(
        &[
            r#""replicas": [5, 2]"#,     // F09
            r#""replicas": -1"#,         // F10
            r#""replicas": [-1, 2]"#,    // F10, in a list
            r#""replicas": [1, 2, 3]"#,  // F11
            r#""replicas": [1]"#,        // F11
            r#""replicas": []"#,         // F11
            r#""replicas": "two""#,      // F12, of what is no number
            r#""replicas": ["1", "2"]"#, // F12, in a list
            r#""replicas": [1, 2.5]"#,   // F14
            r#""replicas": 2.5"#,        // F14, alone
            r#""replicas": 0"#,          // F05: allowed there, a pool that never serves
            r#""replicas": [0, 0]"#,     // F05
            r#""concurrency": 0"#,       // F22
            r#""concurrency": 1.5"#,
            r#""concurrency": null, "replicas": true"#,
        ],
        expect![[r#"
            "replicas": [5, 2]
              spec.replicas: the minimum, 5, is above the maximum, 2
            "replicas": -1
              spec.replicas: invalid value: integer `-1`, expected a range such as "0..8" or [0, 8], a number, or an object with `min` and `max`
            "replicas": [-1, 2]
              spec.replicas[0]: invalid value: integer `-1`, expected a whole number of 0 or more
            "replicas": [1, 2, 3]
              spec.replicas: a list must be the minimum and the maximum, like [0, 8]
            "replicas": [1]
              spec.replicas: a list must be the minimum and the maximum, like [0, 8]
            "replicas": []
              spec.replicas: a list must be the minimum and the maximum, like [0, 8]
            "replicas": "two"
              spec.replicas: `two` is not a number of replicas; write a range like `0..8` or a number like `3`
            "replicas": ["1", "2"]
              spec.replicas[0]: invalid type: string "1", expected a whole number of 0 or more
            "replicas": [1, 2.5]
              spec.replicas[1]: invalid type: floating point `2.5`, expected a whole number of 0 or more
            "replicas": 2.5
              spec.replicas: invalid type: floating point `2.5`, expected a range such as "0..8" or [0, 8], a number, or an object with `min` and `max`
            "replicas": 0
              spec.replicas.max: `0` is not allowed, use 1 to 100000
            "replicas": [0, 0]
              spec.replicas.max: `0` is not allowed, use 1 to 100000
            "concurrency": 0
              spec.concurrency: `0` is not allowed, use 1 to 10000
            "concurrency": 1.5
              spec.concurrency: invalid type: floating point `1.5`, expected a whole number of 0 or more
            "concurrency": null, "replicas": true
              spec.replicas: invalid type: boolean `true`, expected a range such as "0..8" or [0, 8], a number, or an object with `min` and `max`
        "#]],
    );
}

#[test]
fn times_are_texts_or_whole_seconds() {
    let spec = parse(&with(r#""idle_ttl": 60, "scaledown_ttl": 45"#), World::HttpService03);
    let spec = spec.unwrap();
    assert_eq!(spec.idle_ttl, Ttl::After(Duration::from_secs(60)));
    assert_eq!(spec.scaledown_ttl, Duration::from_secs(45));
    // F48: seconds and a length of time are the same.
    let same = parse(&with(r#""idle_ttl": "1m", "scaledown_ttl": "45s""#), World::HttpService03);
    assert_eq!(same.unwrap(), spec);
    // F17: exactly 30 s. F16, F18: below is refused there; here it warns.
    for settings in [r#""idle_ttl": 30"#, r#""idle_ttl": 29"#, r#""scaledown_ttl": 10"#] {
        parse(&with(settings), World::HttpService03).expect(settings);
    }
    check_errors(
        &[
            r#""idle_ttl": 30.5"#,      // F20
            r#""scaledown_ttl": "30""#, // F21
            r#""idle_ttl": -30"#,
            r#""scaledown_ttl": -30"#,
            r#""scaledown_ttl": 30.5"#,
            r#""idle_ttl": 2592001"#,
            r#""scaledown_ttl": 18446744073709551615"#,
            r#""idle_ttl": true"#,
        ],
        expect![[r#"
            "idle_ttl": 30.5
              spec.idle_ttl: invalid type: floating point `30.5`, expected a duration such as "5m", a whole number of seconds, or "off"
            "scaledown_ttl": "30"
              spec.scaledown_ttl: `30` is not a duration (time unit needed, for example 30sec or 30ms); write it like `250ms`, `30s` or `5m`
            "idle_ttl": -30
              spec.idle_ttl: invalid value: integer `-30`, expected a duration such as "5m", a whole number of seconds, or "off"
            "scaledown_ttl": -30
              spec.scaledown_ttl: invalid value: integer `-30`, expected a duration such as "30s", or a whole number of seconds
            "scaledown_ttl": 30.5
              spec.scaledown_ttl: invalid type: floating point `30.5`, expected a duration such as "30s", or a whole number of seconds
            "idle_ttl": 2592001
              spec.idle_ttl: `30d 1s` is not allowed, use 0s to 30d, or `off`
            "scaledown_ttl": 18446744073709551615
              spec.scaledown_ttl: `213503982334601d 7h 15s` is not allowed, use 0s to 30d
            "idle_ttl": true
              spec.idle_ttl: invalid type: boolean `true`, expected a duration such as "5m", a whole number of seconds, or "off"
        "#]],
    );
}

#[test]
fn several_requests_at_a_time_need_a_handler_that_can() {
    // F26, F27: there a task that is not async.
    let concurrency =
        |count: u32| parse(&with(&format!(r#""concurrency": {count}"#)), World::HttpProxy02);
    assert_eq!(concurrency(1).unwrap().concurrency, 1);
    assert_eq!(concurrency(2).unwrap_err().kind, SpecErrorKind::ConcurrencyUnsupported);
}

#[test]
fn starvation_warns_only_where_one_request_fits() {
    let name: DeploymentName = "thumbnail".parse().unwrap();
    let warns = |settings: &str| {
        let spec = parse(&with(settings), World::HttpService03).unwrap();
        spec.warnings(&name).iter().any(|warning| warning.contains("one request at a time"))
    };
    assert!(warns(r#""replicas": [0, 1], "concurrency": 1"#));
    assert!(!warns(r#""replicas": 1, "concurrency": 2"#)); // F07
    assert!(!warns(r#""replicas": [0, 2], "concurrency": 1"#));
}
