//! What reads and writes cost here: `cargo run --release -p samovar-keyvalue --example costs`.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement reads the clock, prints, and stops at what goes wrong"
)]

use std::{sync::Arc, time::Instant};

use samovar_keyvalue::{Bucket, KeyValue, Settings};

const NOW_MS: u64 = 1;
const READS: u32 = 1_000_000;

fn key(number: usize) -> String {
    format!("session-{number:08}")
}

async fn fill(bucket: &Bucket, keys: usize, value: usize) {
    for start in (0..keys).step_by(10_000) {
        let items = (start..keys.min(start + 10_000)).map(|i| (key(i), vec![7; value]));
        bucket.set_many(items.collect(), NOW_MS).await.unwrap();
    }
}

fn reads(bucket: &Bucket, keys: usize, hot: usize, what: &str) {
    let names: Vec<_> = (0..hot).map(|i| key(i * 7919 % keys)).collect();
    for warm_up in [true, false] {
        let count = if warm_up { names.len() as u32 } else { READS };
        let start = Instant::now();
        for i in 0..count as usize {
            assert!(bucket.get(&names[i % names.len()], NOW_MS).unwrap().is_some());
        }
        if !warm_up {
            println!("get, {what}: {:?}", start.elapsed() / count);
        }
    }
}

async fn writes(bucket: &Bucket, tasks: usize) {
    let each = 2000 / tasks.min(200);
    let start = Instant::now();
    let tasks: Vec<_> = (0..tasks)
        .map(|task| {
            let bucket = bucket.clone();
            tokio::spawn(async move {
                for i in 0..each {
                    bucket.set(&key(task * each + i), vec![8; 64], NOW_MS).await.unwrap();
                }
            })
        })
        .collect();
    let count = tasks.len() * each;
    for task in tasks {
        task.await.unwrap();
    }
    let (took, each) = (start.elapsed(), each as u32);
    println!(
        "set, {} tasks: {:?} each call, {:?} per write",
        count as u32 / each,
        took / each,
        took / count as u32
    );
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyvalue.redb");
    let store = KeyValue::open(&path).unwrap();
    let settings = Settings { quota_bytes: 8 << 30, ..Settings::default() };
    let space = store.deployment("costs", settings);
    for (name, keys, value) in [("small", 1000, 64), ("many", 100_000, 64), ("long", 1000, 16_384)]
    {
        let bucket = space.bucket(name).unwrap();
        fill(&bucket, keys, value).await;
        reads(&bucket, keys, keys.min(1000), &format!("1000 of {keys} keys, {value} B"));
        let start = Instant::now();
        assert!(!bucket.exists("nothing", NOW_MS).unwrap());
        println!("exists, missing, once: {:?}", start.elapsed());
    }
    let many = space.bucket("many").unwrap();
    reads(&many, 100_000, 100_000, "all of 100000 keys, 64 B");
    let many = Arc::new(many);
    let start = Instant::now();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let many = many.clone();
            std::thread::spawn(move || reads(&many, 100_000, 1000, "2 threads"))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    println!("2 threads: {:?} in all", start.elapsed());
    let start = Instant::now();
    assert_eq!(many.list_keys(None, NOW_MS).unwrap().keys.len(), 1000);
    println!("list_keys, 1000 of 100000: {:?}", start.elapsed());
    for tasks in [1, 10, 100, 1000] {
        writes(&many, tasks).await;
    }
    let start = Instant::now();
    for _ in 0..500 {
        many.increment("counter", 1, NOW_MS).await.unwrap();
    }
    println!("increment, one by one: {:?}", start.elapsed() / 500);
    let start = Instant::now();
    drop(store);
    println!("close: {:?}", start.elapsed());
    let bytes = std::fs::metadata(&path).unwrap().len();
    let start = Instant::now();
    drop(KeyValue::open(&path).unwrap());
    println!("open and close {} MiB: {:?}", bytes >> 20, start.elapsed());
}
