use std::time::Duration;

use samovar_keyvalue::{KEYS_PER_PAGE, Settings, Swept};

use crate::{Fixture, all_keys, text};

#[tokio::test]
async fn value_is_gone_when_its_time_is_over() {
    let fixture = Fixture::new();
    let bucket = fixture.bucket();
    bucket.set_for("a", text("x"), 50, 1000).await.unwrap();
    assert_eq!(bucket.ttl("a", 1000).unwrap(), Some(50));
    assert_eq!(bucket.ttl("a", 1049).unwrap(), Some(1));
    assert!(bucket.exists("a", 1049).unwrap());
    assert_eq!(bucket.get("a", 1050).unwrap(), None);
    assert_eq!(bucket.get_many(&["a".into()], 1050).unwrap(), [None]);
    assert!(!bucket.exists("a", 1050).unwrap());
    assert_eq!(bucket.ttl("a", 1050).unwrap(), None);
    assert!(all_keys(&bucket, 1050).unwrap().is_empty());
    assert_eq!(bucket.ttl("never", 1050).unwrap(), None);
}

#[tokio::test]
async fn own_life_wins_over_that_of_the_deployment() {
    let fixture = Fixture::new();
    let settings = Settings { ttl: Some(Duration::from_millis(10)), ..Settings::default() };
    let bucket = fixture.space(settings).bucket("").unwrap();
    bucket.set("a", text("x"), 1000).await.unwrap();
    bucket.set_for("b", text("x"), 99, 1000).await.unwrap();
    bucket.set_for("c", text("x"), 0, 1000).await.unwrap();
    bucket.set_for("d", text("x"), u64::MAX, 1000).await.unwrap();
    assert_eq!(bucket.ttl("a", 1000).unwrap(), Some(10));
    assert_eq!(bucket.ttl("b", 1000).unwrap(), Some(99));
    assert_eq!(bucket.get("c", 1000).unwrap(), None, "a life of 0 is over at once");
    assert!(bucket.exists("d", u64::MAX - 1).unwrap());

    fixture.space(Settings::default());
    bucket.set("a", text("x"), 1000).await.unwrap();
    assert_eq!(bucket.ttl("a", 1000).unwrap(), None, "set again, it stays");
    assert!(bucket.exists("a", 5000).unwrap());
}

#[tokio::test]
async fn expiry_survives_a_restart() {
    let mut fixture = Fixture::new();
    fixture.bucket().set_for("a", text("x"), 50, 1000).await.unwrap();
    fixture.reopen();
    assert_eq!(fixture.bucket().ttl("a", 1020).unwrap(), Some(30));
    assert_eq!(fixture.bucket().get("a", 1050).unwrap(), None);
    let swept = fixture.store().sweep(1050, 10).await.unwrap();
    assert_eq!(swept, Swept { removed: 1, is_done: true });
}

#[tokio::test]
async fn sweep_removes_what_expired_in_bounded_steps() {
    let fixture = Fixture::new();
    for (deployment, bucket) in [("app", "x"), ("app", "y"), ("other", "x")] {
        let space = fixture.store().deployment(deployment, Settings::default());
        let bucket = space.bucket(bucket).unwrap();
        for i in 0..5 {
            bucket.set_for(&i.to_string(), vec![7; 2000], 10 + i, 1000).await.unwrap();
        }
        bucket.set("stays", text("x"), 1000).await.unwrap();
    }
    let sweep = async |now_ms, max| {
        let swept = fixture.store().sweep(now_ms, max).await.unwrap();
        (swept.removed, swept.is_done)
    };
    assert_eq!(sweep(1009, 100).await, (0, true));
    assert_eq!(sweep(1011, 100).await, (6, true), "two in each bucket");
    assert_eq!(sweep(1014, 4).await, (4, false));
    assert_eq!(sweep(1014, 4).await, (4, false));
    assert_eq!(sweep(1014, 4).await, (1, true));
    assert_eq!(sweep(1014, 0).await, (0, true));
    assert_eq!(fixture.store().usage("app").keys, 2);
    assert_eq!(fixture.store().usage("other").bytes, 5 + 1 + 64);
}

#[tokio::test]
async fn page_is_not_stalled_by_expired_values() {
    let fixture = Fixture::new();
    let bucket = fixture.bucket();
    let settings = Settings { ttl: Some(Duration::from_millis(10)), ..Settings::default() };
    fixture.space(settings);
    for part in 0..3 {
        let keys = (0..5000).map(|i| (format!("{part}-{i}"), Vec::new()));
        bucket.set_many(keys.collect(), 1000).await.unwrap();
    }
    bucket.set_for("alive", text("x"), 1000, 1000).await.unwrap();
    let page = bucket.list_keys(None, 1010).unwrap();
    assert!(page.cursor.is_some(), "15001 rows are more than one page looks at");
    assert!(page.keys.len() <= KEYS_PER_PAGE);
    assert_eq!(all_keys(&bucket, 1010).unwrap(), ["alive"]);
}
