use std::time::Duration;

use samovar_keyvalue::{Error, Settings};

use crate::{Fixture, text};

#[tokio::test]
async fn counter_begins_at_zero_and_reads_as_decimal_text() {
    let fixture = Fixture::new();
    let bucket = fixture.bucket();
    assert_eq!(bucket.increment("n", 0, 1).await.unwrap(), 0);
    assert_eq!(bucket.increment("n", 41, 1).await.unwrap(), 41);
    assert_eq!(bucket.increment("n", 1, 1).await.unwrap(), 42);
    assert_eq!(bucket.get("n", 1).unwrap(), Some(text("42")));
    bucket.set("n", text("99"), 1).await.unwrap();
    assert_eq!(bucket.increment("n", 1, 1).await.unwrap(), 100);
    assert_eq!(fixture.store().usage("app").bytes, 1 + 3 + 64);
}

#[tokio::test]
async fn other_values_are_no_counters_and_stay() {
    let fixture = Fixture::new();
    let bucket = fixture.bucket();
    for value in ["", "x", "-1", "007", "1.5", "18446744073709551616", &"1".repeat(5000)] {
        bucket.set("n", text(value), 1).await.unwrap();
        let error = bucket.increment("n", 1, 1).await.unwrap_err();
        assert!(matches!(error, Error::NotCounter), "{value}: {error}");
        assert_eq!(bucket.get("n", 1).unwrap(), Some(text(value)));
    }
}

#[tokio::test]
async fn counter_does_not_wrap() {
    let fixture = Fixture::new();
    let bucket = fixture.bucket();
    assert_eq!(bucket.increment("n", u64::MAX, 1).await.unwrap(), u64::MAX);
    let error = bucket.increment("n", 1, 1).await.unwrap_err();
    assert!(matches!(error, Error::CounterOverflow), "{error}");
    assert_eq!(bucket.get("n", 1).unwrap(), Some(text("18446744073709551615")));
}

#[tokio::test]
async fn counter_keeps_its_life_and_begins_again_after_it() {
    let fixture = Fixture::new();
    let settings = Settings { ttl: Some(Duration::from_millis(100)), ..Settings::default() };
    let bucket = fixture.space(settings).bucket("").unwrap();
    bucket.increment("n", 5, 1000).await.unwrap();
    assert_eq!(bucket.increment("n", 5, 1060).await.unwrap(), 10);
    assert_eq!(bucket.ttl("n", 1060).unwrap(), Some(40), "its life is that of its begin");
    assert_eq!(bucket.increment("n", 5, 1100).await.unwrap(), 5);
    assert_eq!(bucket.ttl("n", 1100).unwrap(), Some(100));
}
