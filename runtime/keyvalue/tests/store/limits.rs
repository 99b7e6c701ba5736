use samovar_keyvalue::{BATCH_KEYS_MAX, ENTRY_OVERHEAD_BYTES, Error, Settings};

use crate::{Fixture, pair, text};

/// For keys of one byte and values of ten.
const ENTRY: u64 = 1 + 10 + ENTRY_OVERHEAD_BYTES;

fn quota(quota_bytes: u64) -> Settings {
    Settings { quota_bytes, ..Settings::default() }
}

#[tokio::test]
async fn sizes_of_keys_and_values_are_bounded() {
    let fixture = Fixture::new();
    let settings = Settings { key_bytes_max: 4, value_bytes_max: 8, ..Settings::default() };
    let bucket = fixture.space(settings).bucket("").unwrap();
    bucket.set("éé", vec![0; 8], 1).await.unwrap();
    let error = bucket.set("a", vec![0; 9], 1).await.unwrap_err();
    assert_eq!(error.to_string(), "value is 9 bytes, the limit is 8");
    let error = bucket.set("12345", vec![], 1).await.unwrap_err();
    assert_eq!(error.to_string(), "key is 5 bytes, the limit is 4");
    let error = bucket.set_many(vec![pair("a", "1"), pair("", "2")], 1).await.unwrap_err();
    assert_eq!(error.to_string(), "key is empty");
    assert!(!bucket.exists("a", 1).unwrap(), "nothing of a refused batch is there");
    for key in ["", "12345"] {
        assert!(bucket.get(key, 1).is_err() && bucket.exists(key, 1).is_err());
        assert!(bucket.ttl(key, 1).is_err() && bucket.get_many(&[key.into()], 1).is_err());
        assert!(bucket.delete(key, 1).await.is_err());
        assert!(bucket.increment(key, 1, 1).await.is_err());
        assert!(bucket.set_for(key, vec![], 1, 1).await.is_err());
    }
}

#[tokio::test]
async fn batches_are_bounded() {
    let fixture = Fixture::new();
    let settings = Settings { quota_bytes: 1 << 40, ..Settings::default() };
    let bucket = fixture.space(settings).bucket("").unwrap();
    let keys = vec!["a".to_owned(); BATCH_KEYS_MAX + 1];
    let error = bucket.get_many(&keys, 1).unwrap_err();
    assert_eq!(error.to_string(), "batch has 10001 keys, the limit is 10000");
    let is_refused = |error: Error| matches!(error, Error::BatchTooLarge { what: "keys", .. });
    let items = keys.iter().map(|key| pair(key, "x")).collect();
    assert!(is_refused(bucket.set_many(items, 1).await.unwrap_err()));
    assert!(is_refused(bucket.delete_many(keys, 1).await.unwrap_err()));

    let value = vec![0; 1 << 20];
    let items = (0..64).map(|i| (i.to_string(), value.clone())).collect();
    let error = bucket.set_many(items, 1).await.unwrap_err();
    assert!(matches!(error, Error::BatchTooLarge { what: "bytes", .. }), "{error}");
    bucket.set("a", value, 1).await.unwrap();
    let error = bucket.get_many(&vec!["a".to_owned(); 65], 1).unwrap_err();
    assert!(matches!(error, Error::BatchTooLarge { what: "bytes", .. }), "{error}");
    assert_eq!(bucket.get_many(&vec!["a".to_owned(); 64], 1).unwrap().len(), 64);
}

#[tokio::test]
async fn quota_is_exact_and_counts_all_buckets() {
    let fixture = Fixture::new();
    let space = fixture.space(quota(3 * ENTRY));
    let (x, y) = (space.bucket("x").unwrap(), space.bucket("y").unwrap());
    x.set("a", vec![0; 10], 1).await.unwrap();
    x.set("b", vec![0; 10], 1).await.unwrap();
    let error = y.set("c", vec![0; 11], 1).await.unwrap_err();
    assert_eq!(error.to_string(), "quota of 225 bytes exceeded: 150 are used, 76 more are needed");
    y.set("c", vec![0; 10], 1).await.unwrap();
    assert_eq!(space.usage().bytes, 3 * ENTRY);
    x.set("a", vec![1; 10], 1).await.unwrap();
    assert!(matches!(
        x.set("a", vec![0; 11], 1).await,
        Err(Error::QuotaExceeded { used: 225, quota: 225, needed: 1 })
    ));
    x.set("a", vec![], 1).await.unwrap();
    x.set("b", vec![0; 20], 1).await.unwrap();
    assert_eq!(space.usage().bytes, 3 * ENTRY);
    assert_eq!(x.get("a", 1).unwrap(), Some(vec![]), "a replacement counts the difference");
}

#[tokio::test]
async fn batch_over_quota_stores_nothing() {
    let fixture = Fixture::new();
    let bucket = fixture.space(quota(2 * ENTRY)).bucket("").unwrap();
    let ten = "0123456789";
    let items = vec![pair("a", ten), pair("b", ten), pair("c", ten)];
    assert!(matches!(
        bucket.set_many(items, 1).await,
        Err(Error::QuotaExceeded { used: 0, needed: 225, .. })
    ));
    assert_eq!(fixture.store().usage("app"), Default::default());
    let items = vec![pair("a", ten), pair("b", ten), pair("a", "x")];
    bucket.set_many(items, 1).await.unwrap();
    assert!(bucket.increment("n", 1, 1).await.is_err(), "a counter needs room as well");
}

#[tokio::test]
async fn smaller_quota_keeps_values_and_takes_what_frees() {
    let fixture = Fixture::new();
    let bucket = fixture.bucket();
    for key in ["a", "b", "c"] {
        bucket.set(key, vec![0; 10], 1).await.unwrap();
    }
    fixture.space(quota(ENTRY));
    assert_eq!(bucket.get("c", 1).unwrap(), Some(vec![0; 10]));
    assert!(bucket.set("d", vec![], 1).await.is_err());
    assert!(bucket.set("a", vec![0; 11], 1).await.is_err());
    bucket.set("a", vec![1; 10], 1).await.unwrap();
    bucket.set("a", vec![1; 9], 1).await.unwrap();
    fixture.space(quota(4 * ENTRY));
    bucket.set("d", vec![0; 10], 1).await.unwrap();
}

#[tokio::test]
async fn expired_values_make_room_before_a_write_is_refused() {
    let fixture = Fixture::new();
    let space = fixture.space(quota(3 * ENTRY));
    let (x, y) = (space.bucket("x").unwrap(), space.bucket("y").unwrap());
    x.set_for("a", vec![0; 10], 50, 1000).await.unwrap();
    y.set_for("b", vec![0; 10], 60, 1000).await.unwrap();
    y.set("c", vec![0; 10], 1000).await.unwrap();
    assert!(x.set("d", vec![0; 10], 1049).await.is_err());
    assert_eq!(space.usage().keys, 3);
    x.set("d", vec![0; 10], 1050).await.unwrap();
    assert_eq!(space.usage().keys, 3);
    assert!(matches!(
        x.set_many(vec![pair("e", "0123456789"), pair("f", "")], 1060).await,
        Err(Error::QuotaExceeded { used: 150, needed: 140, .. })
    ));
    assert_eq!(space.usage().keys, 2, "what expired is gone, though it was not enough");
    assert_eq!(y.get("c", 1060).unwrap(), Some(vec![0; 10]));
}

#[tokio::test]
async fn value_larger_than_the_queue_is_taken_alone() {
    let fixture = Fixture::new();
    let value_bytes_max = 100 << 20;
    let settings = Settings { value_bytes_max, quota_bytes: 1 << 30, ..Settings::default() };
    let bucket = fixture.space(settings).bucket("").unwrap();
    bucket.set("a", vec![5; 80 << 20], 1).await.unwrap();
    bucket.set("b", text("x"), 1).await.unwrap();
    assert_eq!(bucket.get("a", 1).unwrap().unwrap().len(), 80 << 20);
}
