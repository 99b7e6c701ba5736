use std::collections::BTreeSet;

use samovar_keyvalue::Settings;

use crate::Fixture;

const TASKS: u64 = 40;
const EACH: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn increments_of_many_tasks_are_never_lost_or_doubled() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let bucket = bucket.clone();
            tokio::spawn(async move {
                let mut counts = Vec::new();
                for _ in 0..EACH {
                    let count = bucket.increment("n", 1, 1).await.unwrap();
                    let read = String::from_utf8(bucket.get("n", 1).unwrap().unwrap()).unwrap();
                    assert!(read.parse::<u64>().unwrap() >= count, "a read sees the write");
                    counts.push(count);
                }
                assert!(counts.is_sorted());
                counts
            })
        })
        .collect();
    let mut counts = BTreeSet::new();
    for task in tasks {
        counts.extend(task.await.unwrap());
    }
    assert_eq!(counts, (1..=TASKS * EACH).collect());
    fixture.reopen();
    assert_eq!(fixture.bucket().increment("n", 0, 1).await.unwrap(), TASKS * EACH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_read_is_of_one_commit() {
    let fixture = Fixture::new();
    let bucket = fixture.bucket();
    let pair = |i: u64| ["a", "b"].map(|key| (key.to_owned(), i.to_le_bytes().to_vec()));
    bucket.set_many(pair(0).to_vec(), 1).await.unwrap();
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let bucket = bucket.clone();
            tokio::task::spawn_blocking(move || {
                let keys = ["a", "b"].map(String::from);
                let mut reads = 0_u64;
                loop {
                    let found = bucket.get_many(&keys, 1).unwrap();
                    let values: Vec<_> = found.into_iter().map(|found| found.unwrap().1).collect();
                    assert_eq!(values[0], values[1]);
                    reads += 1;
                    if values[0] == 200_u64.to_le_bytes() {
                        return reads;
                    }
                }
            })
        })
        .collect();
    for i in 1..=200 {
        bucket.set_many(pair(i).to_vec(), 1).await.unwrap();
    }
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn quota_holds_under_concurrent_writes() {
    let fixture = Fixture::new();
    let settings = Settings { quota_bytes: 10 * (2 + 64), ..Settings::default() };
    let space = fixture.space(settings);
    let tasks: Vec<_> = (10..40)
        .map(|i| {
            let bucket = space.bucket(&format!("b{}", i % 3)).unwrap();
            tokio::spawn(async move { bucket.set(&i.to_string(), vec![], 1).await.is_ok() })
        })
        .collect();
    let mut stored = 0;
    for task in tasks {
        stored += u32::from(task.await.unwrap());
    }
    assert_eq!(stored, 10);
    assert_eq!(space.usage().bytes, settings.quota_bytes);
}

/// More than the queue holds: callers wait for room, and all get through.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writes_beyond_the_queue_wait_for_room() {
    let fixture = Fixture::new();
    let settings = Settings { quota_bytes: 1 << 30, ..Settings::default() };
    let bucket = fixture.space(settings).bucket("").unwrap();
    let tasks: Vec<_> = (0..150)
        .map(|i| {
            let bucket = bucket.clone();
            tokio::spawn(async move { bucket.set(&format!("{i}"), vec![1; 1 << 20], 1).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(space_keys(&fixture), 150);
}

fn space_keys(fixture: &Fixture) -> u64 {
    fixture.store().usage("app").keys
}
