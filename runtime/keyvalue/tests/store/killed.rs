//! Processes that end in the middle of writing.

use std::{
    env,
    io::{self, BufRead, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use samovar_keyvalue::{KeyValue, Settings};
use tempfile::TempDir;

use crate::text;

const TASKS: u64 = 8;

/// Runs the test `name` in a process of its own, which finds `folder` in `CHILD`.
pub fn child(name: &str, folder: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("CHILD", folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Writes until it is killed, and says of each write that it is acknowledged.
async fn write_until_killed(folder: &Path) {
    let store = KeyValue::open(folder.join("keyvalue.redb")).unwrap();
    let space = store.deployment("app", Settings::default());
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let bucket = space.bucket(&format!("b{}", task % 2)).unwrap();
            tokio::spawn(async move {
                let key = task.to_string();
                let before = bucket.get(&key, 1).unwrap().map_or(0, |value| number(&value));
                for i in before + 1.. {
                    bucket.set(&key, padded(i), 1).await.unwrap();
                    let total = bucket.increment("total", 1, 1).await.unwrap();
                    let bucket = task % 2;
                    // One write, so that the line is either there or not.
                    let line = format!("{task} {i} {bucket} {total}\n");
                    io::stderr().write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Some are long enough for a table of their own.
fn padded(number: u64) -> Vec<u8> {
    text(&format!("{number:0width$}", width = 20 + (number % 3) as usize * 900))
}

fn number(value: &[u8]) -> u64 {
    str::from_utf8(value).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_process_loses_nothing_it_acknowledged() {
    if let Some(folder) = env::var_os("CHILD") {
        return write_until_killed(folder.as_ref()).await;
    }
    let folder = TempDir::new().unwrap();
    let mut acknowledged = [0; TASKS as usize];
    let mut totals = [0; 2];
    for round in 1..=5 {
        let name = "killed::killed_process_loses_nothing_it_acknowledged";
        let mut child = child(name, folder.path());
        let lines = io::BufReader::new(child.stderr.take().unwrap()).lines();
        for (count, line) in lines.map(Result::unwrap).enumerate() {
            if count == 30 * round {
                child.kill().unwrap();
            }
            let numbers: Vec<_> = line.split(' ').map(|word| word.parse::<u64>()).collect();
            let [Ok(task), Ok(i), Ok(bucket), Ok(total)] = numbers[..] else {
                panic!("the child failed: {line}");
            };
            acknowledged[task as usize] = i;
            totals[bucket as usize] = total.max(totals[bucket as usize]);
        }
        child.wait().unwrap();

        let store = crate::open_again(&folder.path().join("keyvalue.redb"));
        let space = store.deployment("app", Settings::default());
        let mut bytes = 0;
        for task in 0..TASKS {
            let bucket = space.bucket(&format!("b{}", task % 2)).unwrap();
            let value = bucket.get(&task.to_string(), 1).unwrap().unwrap();
            let known = acknowledged[task as usize];
            // The kill may fall between a write and its line.
            let i = number(&value);
            assert!(i == known || i == known + 1, "round {round}: {i}, {known}");
            assert_eq!(value, padded(i));
            bytes += 1 + value.len() as u64 + 64;
        }
        for (index, known) in totals.iter().enumerate() {
            let bucket = space.bucket(&format!("b{index}")).unwrap();
            let total = bucket.get("total", 1).unwrap().unwrap();
            let count = number(&total);
            assert!((*known..=known + TASKS).contains(&count), "round {round}: {count}, {known}");
            bytes += 5 + total.len() as u64 + 64;
        }
        assert_eq!((space.usage().bytes, space.usage().keys), (bytes, TASKS + 2));
    }
}
