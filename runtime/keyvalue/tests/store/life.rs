use samovar_keyvalue::{Error, Settings, Usage};

use crate::{Fixture, all_keys, text};

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket();
    bucket.set("a", text("1"), 1).await.unwrap();
    bucket.set("b", vec![9; 5000], 1).await.unwrap();
    bucket.increment("n", 7, 1).await.unwrap();
    let usage = fixture.store().usage("app");
    fixture.reopen();
    assert_eq!(fixture.store().usage("app"), usage, "before the deployment is open");
    assert_eq!(fixture.store().deployments(), ["app"]);
    let bucket = fixture.bucket();
    assert_eq!(bucket.get("a", 1).unwrap(), Some(text("1")));
    assert_eq!(bucket.get("b", 1).unwrap(), Some(vec![9; 5000]));
    assert_eq!(bucket.increment("n", 1, 1).await.unwrap(), 8);
}

#[tokio::test]
async fn dropping_the_store_writes_what_waits_and_ends_its_handles() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket();
    let writes: Vec<_> = (0..50)
        .map(|i| {
            let bucket = bucket.clone();
            tokio::spawn(async move { bucket.set(&format!("{i}"), text("x"), 1).await })
        })
        .collect();
    tokio::task::yield_now().await; // Each has sent its write.
    fixture.store = None;
    for write in writes {
        write.await.unwrap().unwrap();
    }
    assert!(matches!(bucket.get("0", 1), Err(Error::Closed)));
    assert!(matches!(bucket.list_keys(None, 1), Err(Error::Closed)));
    assert!(matches!(bucket.set("0", text("y"), 1).await, Err(Error::Closed)));
    fixture.reopen();
    assert_eq!(fixture.store().usage("app").keys, 50);
}

#[tokio::test]
async fn removed_deployment_is_gone_with_all_its_values() {
    let mut fixture = Fixture::new();
    let other = fixture.store().deployment("other", Settings::default()).bucket("").unwrap();
    other.set("a", text("other"), 1).await.unwrap();
    let old = fixture.bucket();
    for i in 0..20 {
        old.set(&i.to_string(), vec![1; 3000], 1).await.unwrap();
    }
    old.set_for("expires", text("x"), 5, 1).await.unwrap();
    fixture.store().remove_deployment("app").await.unwrap();
    fixture.store().remove_deployment("app").await.unwrap();
    fixture.store().remove_deployment("never there").await.unwrap();

    assert!(matches!(old.get("1", 1), Err(Error::Removed)));
    assert!(matches!(old.list_keys(None, 1), Err(Error::Removed)));
    assert!(matches!(old.set("1", text("x"), 1).await, Err(Error::Removed)));
    assert!(matches!(old.increment("1", 1, 1).await, Err(Error::Removed)));
    assert_eq!(fixture.store().usage("app"), Usage::default());
    assert_eq!(fixture.store().deployments(), ["other"]);

    let new = fixture.bucket();
    assert!(all_keys(&new, 1).unwrap().is_empty());
    new.set("1", text("new"), 1).await.unwrap();
    let swept = fixture.store().sweep(1, 15).await.unwrap();
    assert_eq!((swept.removed, swept.is_done), (15, false));
    fixture.reopen();
    let swept = fixture.store().sweep(1, 15).await.unwrap();
    assert_eq!((swept.removed, swept.is_done), (6, true));
    assert_eq!(fixture.bucket().get("1", 1).unwrap(), Some(text("new")));
    assert_eq!(fixture.store().usage("app").keys, 1);
    assert_eq!(fixture.store().usage("other").keys, 1);
}

#[tokio::test]
async fn removal_in_the_same_group_as_writes_wins_over_them() {
    let fixture = Fixture::new();
    let bucket = fixture.bucket();
    bucket.set("a", text("x"), 1).await.unwrap();
    let (first, removed, second) = tokio::join!(
        bucket.set("b", text("x"), 1),
        fixture.store().remove_deployment("app"),
        bucket.set("c", text("x"), 1),
    );
    first.unwrap();
    removed.unwrap();
    assert!(matches!(second, Err(Error::Removed)));
    let swept = fixture.store().sweep(1, 100).await.unwrap();
    assert_eq!((swept.removed, swept.is_done), (2, true));
}

#[tokio::test]
async fn bucket_is_gone_with_its_last_value_and_can_come_again() {
    let mut fixture = Fixture::new();
    let bucket = fixture.space(Settings::default()).bucket("x").unwrap();
    for round in 0..3 {
        bucket.set("a", text("1"), 1).await.unwrap();
        bucket.set_for("b", vec![0; 2000], 5, 1).await.unwrap();
        assert_eq!(fixture.store().usage("app").buckets, 1);
        bucket.delete("a", 1).await.unwrap();
        fixture.store().sweep(6, 100).await.unwrap();
        assert_eq!(fixture.store().usage("app"), Usage::default(), "round {round}");
        assert!(all_keys(&bucket, 1).unwrap().is_empty());
    }
    fixture.reopen();
    assert!(fixture.store().deployments().is_empty());
}
