//! Files that are not, or no longer, a store.

use std::{fs, path::Path};

use redb::{Database, TableDefinition};
use samovar_keyvalue::{KeyValue, OpenError};

use crate::{Fixture, all_keys, open_again, text};

fn open_error(path: &Path) -> OpenError {
    let before = fs::read(path).unwrap();
    let error = KeyValue::open(path).unwrap_err();
    assert!(fs::read(path).unwrap() == before, "nothing was changed: {error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    error
}

#[test]
fn foreign_files_are_refused_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyvalue.redb");
    for content in [b"x".to_vec(), b"some notes\n".to_vec(), vec![7; 1 << 16], vec![0; 9000]] {
        fs::write(&path, content).unwrap();
        let error = open_error(&path);
        assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    }
}

#[test]
fn databases_of_others_are_refused_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meta.redb");
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let table: TableDefinition<'_, &str, u64> = TableDefinition::new("format");
    transaction.open_table(table).unwrap().insert("version", 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open_error(&path);
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
}

#[test]
fn later_versions_are_refused_and_stay() {
    let mut fixture = Fixture::new();
    fixture.store = None;
    let database = Database::create(fixture.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    let table: TableDefinition<'_, &str, u64> = TableDefinition::new("samovar-keyvalue");
    transaction.open_table(table).unwrap().insert("version", 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open_error(&fixture.path());
    assert!(error.to_string().ends_with("its version is 2"), "{error}");
}

#[tokio::test]
async fn damaged_files_are_refused_or_whole() {
    let mut fixture = Fixture::new();
    let bucket = fixture.bucket();
    for i in 0..200 {
        bucket.set(&i.to_string(), vec![i; 1500], 1).await.unwrap();
    }
    fixture.store = None;
    let whole = fs::read(fixture.path()).unwrap();
    let path = fixture.folder.path().join("damaged.redb");
    let mut refused = 0;
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut damaged = whole.clone();
        for byte in damaged.iter_mut().skip(at).take(64) {
            *byte ^= 0x55;
        }
        fs::write(&path, &damaged).unwrap();
        let store = match KeyValue::open(&path) {
            Ok(store) => store,
            Err(error) => {
                assert!(fs::read(&path).unwrap() == damaged, "{at}: {error}");
                refused += 1;
                continue;
            }
        };
        let bucket = store.deployment("app", Default::default()).bucket("").unwrap();
        assert_eq!(all_keys(&bucket, 1).unwrap().len(), 200, "damage at {at}");
        for i in 0..200 {
            assert_eq!(bucket.get(&i.to_string(), 1).unwrap(), Some(vec![i; 1500]), "{at}");
        }
    }
    assert!(refused > 0, "some damage was in the way");
}

#[tokio::test]
async fn cut_files_are_refused_and_stay() {
    let mut fixture = Fixture::new();
    fixture.bucket().set("a", vec![1; 100_000], 1).await.unwrap();
    fixture.store = None;
    let whole = fs::read(fixture.path()).unwrap();
    for part in [10, 100, 5000, whole.len() / 2] {
        fs::write(fixture.path(), &whole[..part]).unwrap();
        let error = open_error(&fixture.path());
        assert!(matches!(error, OpenError::Corrupt { .. }), "{part}: {error:?}");
    }
}

#[tokio::test]
async fn file_is_open_once() {
    let mut fixture = Fixture::new();
    let error = KeyValue::open(fixture.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    fixture.bucket().set("a", text("x"), 1).await.unwrap();
    fixture.reopen();
    assert_eq!(fixture.bucket().get("a", 1).unwrap(), Some(text("x")));
}

#[test]
fn paths_that_cannot_be_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("none/keyvalue.redb")] {
        let error = KeyValue::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn leftovers_of_a_creation_and_empty_files_are_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyvalue.redb");
    fs::write(&path, b"").unwrap();
    fs::write(folder.path().join("keyvalue.redb.new"), vec![7; 5000]).unwrap();
    let store = KeyValue::open(&path).unwrap();
    let bucket = store.deployment("app", Default::default()).bucket("").unwrap();
    bucket.set("a", text("x"), 1).await.unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "one file with the name");
    drop(store);
    assert_eq!(open_again(&path).usage("app").keys, 1);
}
