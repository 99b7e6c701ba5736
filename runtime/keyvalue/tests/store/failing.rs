//! Full disks. A file size limit stands in for them: the error is of the same class, and the tests
//! need no rights. It holds for a whole process, so each test runs in one of its own.

use std::{
    env,
    fs::{self, File},
    path::Path,
};

use samovar_keyvalue::{Bucket, Error, KeyValue, Settings};
use tempfile::TempDir;

use crate::{Fixture, all_keys, killed::child, text};

fn limit_file_size(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    #[expect(unsafe_code, reason = "there is no safe call for this")]
    // SAFETY: the pointer is to a live value; the limit concerns this test's own process.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) };
    assert_eq!(result, 0);
}

fn ignore_sigxfsz() {
    #[expect(unsafe_code, reason = "there is no safe call for this")]
    // SAFETY: ignoring a signal installs no handler, so no code of ours runs in signal context.
    let previous = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    assert_ne!(previous, libc::SIG_ERR);
}

/// Runs the test `name` in a process of its own; the answer is its folder.
fn in_child(name: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let output = child(name, folder.path()).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
    folder
}

fn open(folder: &Path) -> (KeyValue, Bucket) {
    let store = KeyValue::open(folder.join("keyvalue.redb")).unwrap();
    let settings = Settings { quota_bytes: 1 << 30, ..Settings::default() };
    let bucket = store.deployment("app", settings).bucket("").unwrap();
    (store, bucket)
}

#[tokio::test]
async fn full_disk_fails_writes_but_not_reads() {
    let Some(folder) = env::var_os("CHILD") else {
        let folder = in_child("failing::full_disk_fails_writes_but_not_reads");
        let (store, bucket) = open(folder.path());
        assert_eq!(bucket.get("a", 1).unwrap(), Some(text("4")));
        assert_eq!(store.usage("app").keys, 1001);
        return;
    };
    ignore_sigxfsz();
    let (store, bucket) = open(folder.as_ref());
    bucket.set("a", text("1"), 1).await.unwrap();
    let many = (0..1000).map(|i| (format!("k{i}"), vec![3; 1200]));
    bucket.set_many(many.collect(), 1).await.unwrap();
    let usage = store.usage("app");

    limit_file_size(0);
    for _ in 0..3 {
        let error = bucket.set("a", text("2"), 1).await.unwrap_err();
        assert!(matches!(error, Error::Full { .. }), "{error:?}");
        assert!(bucket.increment("n", 1, 1).await.is_err());
        assert!(store.sweep(1, 10).await.is_err());
        assert!(store.remove_deployment("app").await.is_err());
        assert_eq!(bucket.get("a", 1).unwrap(), Some(text("1")));
        assert_eq!(bucket.get("n", 1).unwrap(), None);
        assert_eq!(all_keys(&bucket, 1).unwrap().len(), 1001);
        for i in 0..1000 {
            assert_eq!(bucket.get(&format!("k{i}"), 1).unwrap(), Some(vec![3; 1200]));
        }
        assert_eq!(store.usage("app"), usage);
    }

    limit_file_size(libc::RLIM_INFINITY);
    bucket.set("a", text("3"), 1).await.unwrap();
    assert_eq!(bucket.get("a", 1).unwrap(), Some(text("3")));
    assert_eq!(store.usage("app"), usage);
    bucket.set("a", text("4"), 1).await.unwrap();
}

/// The limit lies at many places inside what a write needs; reads go on in other threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failure_at_any_point_leaves_a_store_that_goes_on() {
    let Some(folder) = env::var_os("CHILD") else {
        in_child("failing::failure_at_any_point_leaves_a_store_that_goes_on");
        return;
    };
    ignore_sigxfsz();
    let path = Path::new(&folder).join("keyvalue.redb");
    let (mut store, mut bucket) = open(folder.as_ref());
    bucket.set("fixed", vec![8; 100_000], 1).await.unwrap();
    let value = |round: u64| round.to_string().repeat(40_000).into_bytes();
    let (mut acknowledged, mut failed, mut recovered) = (None, 0, 0);
    for round in 0..80 {
        let reader = bucket.clone();
        let reading = tokio::task::spawn_blocking(move || {
            for _ in 0..50 {
                assert_eq!(reader.get("fixed", 1).unwrap(), Some(vec![8; 100_000]));
            }
        });
        limit_file_size(fs::metadata(&path).unwrap().len() + (round % 12) * 400_000);
        let items = (0..8).map(|i| (format!("{i}"), value(round))).collect();
        let written = bucket.set_many(items, 1).await;
        recovered += u32::from(written.is_ok() && failed > 0);
        match written {
            Ok(()) => acknowledged = Some(round),
            Err(error) => {
                assert!(matches!(error, Error::Full { .. }), "{round}: {error:?}");
                failed += 1;
            }
        }
        // Until the file is opened again, exactly what was acknowledged is there.
        assert_eq!(bucket.get("5", 1).unwrap(), acknowledged.map(value), "{round}");
        reading.await.unwrap();
        limit_file_size(libc::RLIM_INFINITY);
        if round % 3 == 0 {
            drop(store);
            (store, bucket) = open(folder.as_ref());
        } else if round % 3 == 1 {
            store.sweep(1, 1).await.unwrap(); // Opens the file again.
        } else {
            continue;
        }
        let there = bucket.get("5", 1).unwrap();
        // The outcome of an unacknowledged write is open until then.
        assert!(there == acknowledged.map(value) || there == Some(value(round)), "{round}");
        if there == Some(value(round)) {
            acknowledged = Some(round);
        }
        let expected = 100_069 + there_bytes(&bucket);
        assert_eq!(store.usage("app").bytes, expected, "{round}");
    }
    assert!(failed > 0 && recovered > 0, "{failed} failed, {recovered} went through later");
}

/// Somebody cuts the file while it is open.
#[tokio::test]
async fn lost_file_costs_errors_and_no_more() {
    let mut fixture = Fixture::new();
    let settings = Settings { quota_bytes: 1 << 30, ..Settings::default() };
    let bucket = fixture.space(settings).bucket("").unwrap();
    for part in 0..2 {
        let fill = (0..50).map(|i| ((50 * part + i).to_string(), vec![i; 1 << 20]));
        bucket.set_many(fill.collect(), 1).await.unwrap();
    }
    fixture.reopen();
    let bucket = fixture.bucket();
    File::options().write(true).open(fixture.path()).unwrap().set_len(8192).unwrap();
    let read_all = || {
        let all = (0..100).map(|i| bucket.get(&i.to_string(), 1));
        all.filter(|read| matches!(read, Err(Error::Disk { .. }))).count()
    };
    assert!(read_all() > 0, "not all of it is in memory");
    for _ in 0..2 {
        let error = bucket.set("a", text("x"), 1).await.unwrap_err();
        assert!(matches!(error, Error::Disk { .. }), "{error:?}");
        assert_eq!(read_all(), 100);
    }
    assert!(fixture.store().sweep(1, 10).await.is_err());
    fixture.store = None;
    assert!(KeyValue::open(fixture.path()).is_err());
}

fn there_bytes(bucket: &Bucket) -> u64 {
    let keys: Vec<_> = (0..8).map(|i| i.to_string()).collect();
    let found = bucket.get_many(&keys, 1).unwrap();
    found.into_iter().flatten().map(|(_, value)| 1 + value.len() as u64 + 64).sum()
}
