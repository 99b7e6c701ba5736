//! The store against real files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod buckets;
mod concurrent;
mod counters;
mod expiry;
mod failing;
mod files;
mod killed;
mod life;
mod limits;
mod model;

use std::path::{Path, PathBuf};
use std::time::Duration;

use samovar_keyvalue::{Bucket, Error, KeyValue, OpenError, Settings, Space};
use tempfile::TempDir;

/// A store in a folder of its own.
struct Fixture {
    folder: TempDir,
    store: Option<KeyValue>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyValue::open(folder.path().join("keyvalue.redb")).unwrap();
        Self { folder, store: Some(store) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keyvalue.redb")
    }

    fn store(&self) -> &KeyValue {
        self.store.as_ref().unwrap()
    }

    fn space(&self, settings: Settings) -> Space {
        self.store().deployment("app", settings)
    }

    fn bucket(&self) -> Bucket {
        self.space(Settings::default()).bucket("").unwrap()
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(open_again(&self.path()));
    }
}

/// Opens a store that was closed just now. Another test may be starting a process in this moment,
/// which holds all files, and their locks, until it has become its program.
fn open_again(path: &Path) -> KeyValue {
    for _ in 0..5000 {
        match KeyValue::open(path) {
            Err(OpenError::Locked { .. }) => std::thread::park_timeout(Duration::from_millis(1)),
            opened => return opened.unwrap(),
        }
    }
    panic!("{} stays locked", path.display());
}

fn text(value: &str) -> Vec<u8> {
    value.as_bytes().to_vec()
}

fn pair(key: &str, value: &str) -> (String, Vec<u8>) {
    (key.to_owned(), text(value))
}

/// All keys of a bucket, page by page.
fn all_keys(bucket: &Bucket, now_ms: u64) -> Result<Vec<String>, Error> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = bucket.list_keys(cursor, now_ms)?;
        all.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}
