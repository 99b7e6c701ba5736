use std::collections::BTreeSet;

use samovar_keyvalue::{Error, Keys, Settings};

use crate::{Fixture, all_keys, pair, text};

#[tokio::test]
async fn values_are_set_replaced_and_deleted() {
    let fixture = Fixture::new();
    let bucket = fixture.bucket();
    assert_eq!(bucket.get("a", 1).unwrap(), None);
    for value in ["one", "", &"long".repeat(1000), "short again"] {
        bucket.set("a", text(value), 1).await.unwrap();
        assert_eq!(bucket.get("a", 1).unwrap(), Some(text(value)));
        assert!(bucket.exists("a", 1).unwrap());
        let usage = fixture.store().usage("app");
        assert_eq!((usage.bytes, usage.keys), (1 + value.len() as u64 + 64, 1));
    }
    bucket.delete("a", 1).await.unwrap();
    bucket.delete("a", 1).await.unwrap();
    assert_eq!(bucket.get("a", 1).unwrap(), None);
    assert!(!bucket.exists("a", 1).unwrap());
    assert_eq!(fixture.store().usage("app"), Default::default());
}

#[tokio::test]
async fn buckets_and_deployments_are_apart() {
    let fixture = Fixture::new();
    let settings = Settings::default();
    let (app, other) = (fixture.space(settings), fixture.store().deployment("other", settings));
    let buckets =
        [app.bucket("default").unwrap(), app.bucket("x").unwrap(), other.bucket("x").unwrap()];
    for (i, bucket) in buckets.iter().enumerate() {
        bucket.set("key", vec![i as u8], 1).await.unwrap();
    }
    for (i, bucket) in buckets.iter().enumerate() {
        assert_eq!(bucket.get("key", 1).unwrap(), Some(vec![i as u8]));
        assert_eq!(all_keys(bucket, 1).unwrap(), ["key"]);
    }
    assert_eq!(app.bucket("").unwrap().get("key", 1).unwrap(), Some(vec![0]), "the default one");
    assert_eq!((app.usage().buckets, other.usage().buckets), (2, 1));
    assert!(matches!(app.bucket("no such"), Err(Error::NoSuchStore { .. })));
}

#[tokio::test]
async fn batches_keep_their_order_and_say_what_is_missing() {
    let fixture = Fixture::new();
    let bucket = fixture.bucket();
    let items = vec![pair("a", "1"), pair("b", "2"), pair("a", "3")];
    bucket.set_many(items, 1).await.unwrap();
    let keys = ["b", "none", "a", "a"].map(String::from);
    let found = bucket.get_many(&keys, 1).unwrap();
    let (a, b) = (Some(pair("a", "3")), Some(pair("b", "2")));
    assert_eq!(found, [b, None, a.clone(), a]);
    assert_eq!(fixture.store().usage("app").keys, 2);

    bucket.delete_many(["a", "none", "b", "a"].map(String::from).to_vec(), 1).await.unwrap();
    assert_eq!(fixture.store().usage("app"), Default::default());
    bucket.set_many(Vec::new(), 1).await.unwrap();
    assert_eq!(bucket.get_many(&[], 1).unwrap(), []);
}

#[tokio::test]
async fn pages_have_each_key_once_whatever_comes_and_goes() {
    let fixture = Fixture::new();
    let bucket = fixture.bucket();
    let name = |i| format!("key-{i:04}");
    bucket.set_many((0..3500).map(|i| (name(i), Vec::new())).collect(), 1).await.unwrap();
    let (mut seen, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let page = bucket.list_keys(cursor, 1).unwrap();
        assert!(page.keys.len() <= 1000);
        seen.extend(page.keys);
        pages += 1;
        // Keys 0 to 2999 stay; those behind go, and others come.
        bucket.delete(&name(3000 + pages), 1).await.unwrap();
        bucket.set(&name(5000 + pages), Vec::new(), 1).await.unwrap();
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, 4);
    let unique: BTreeSet<_> = seen.iter().collect();
    assert_eq!(unique.len(), seen.len(), "no key twice");
    assert!((0..3000).all(|i| unique.contains(&name(i))), "no key missing");
    assert_eq!(bucket.list_keys(Some(u64::MAX), 1).unwrap(), Keys::default());
}

#[tokio::test]
async fn cursor_goes_on_after_a_restart() {
    let mut fixture = Fixture::new();
    let keys = (0..1500).map(|i| (i.to_string(), Vec::new()));
    fixture.bucket().set_many(keys.collect(), 1).await.unwrap();
    let first = fixture.bucket().list_keys(None, 1).unwrap();
    fixture.reopen();
    let second = fixture.bucket().list_keys(first.cursor, 1).unwrap();
    assert_eq!((first.keys.len(), second.keys.len(), second.cursor), (1000, 500, None));
    let unique: BTreeSet<_> = first.keys.iter().chain(&second.keys).collect();
    assert_eq!(unique.len(), 1500);
}
