//! The records, kept in memory and in an embedded database.
//!
//! Reads are answered from memory: they cannot fail, and go on when the disk is full. A write goes
//! to the database first, is on disk when it returns, and only then shows in memory. After a failed
//! write the database refuses all further ones, so it is closed and the next write opens it again.
//! Whether a failed write reached the disk is unknown; the next one therefore also writes what
//! memory says about the same rows.

mod records;

use std::{collections::BTreeMap, path::PathBuf};

use parking_lot::{Mutex, RwLock};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

pub use self::records::{
    CodeRecord, ComponentRecord, ComponentUser, DeploymentRecord, JsonText, PolicyRecord,
    PolicyUse, PolicyVersionRecord,
};
use self::records::{Record, Rows, Table};
use super::StoreError;
use crate::spec::Digest;

/// Rises when older versions of the program could not read what this one writes.
const FORMAT_VERSION: u64 = 1;
const FORMAT: TableDefinition<'static, &str, u64> = TableDefinition::new("format");
/// The records are small and already in memory; the default would be a gigabyte.
const CACHE_BYTES: usize = 4 << 20;

pub(super) struct Metadata {
    rows: RwLock<Rows>,
    /// Locked for the whole of a write, so that checks made under it stay true.
    disk: Mutex<Disk>,
}

struct Disk {
    path: PathBuf,
    /// None after a failed write, until the next one.
    database: Option<Database>,
    /// Rows of failed writes, to be written again as they are in memory.
    unsettled: Vec<(Table, String)>,
}

/// A row to write; None removes it.
type Change = (Table, String, Option<Vec<u8>>);

impl Metadata {
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let mut disk = Disk { path, database: None, unsettled: Vec::new() };
        disk.reopen()?;
        let rows = RwLock::new(disk.load()?);
        Ok(Self { rows, disk: Mutex::new(disk) })
    }

    pub(super) fn get<R: Record>(&self, key: &str) -> Option<R> {
        R::rows(&self.rows.read()).get(key).cloned()
    }

    pub(super) fn list<R: Record>(&self) -> Vec<R> {
        R::rows(&self.rows.read()).values().cloned().collect()
    }

    pub(super) fn delete<R: Record>(&self, key: &str) -> Result<(), StoreError> {
        let mut disk = self.disk.lock();
        if !R::rows(&self.rows.read()).contains_key(key) {
            return Err(StoreError::NotFound { kind: R::KIND, name: key.to_owned() });
        }
        disk.write(&self.rows, vec![(R::TABLE, key.to_owned(), None)])?;
        R::rows_mut(&mut self.rows.write()).remove(key);
        Ok(())
    }

    /// True if the component was not known; a known one keeps its record.
    pub(super) fn add_component(&self, record: ComponentRecord) -> Result<bool, StoreError> {
        let mut disk = self.disk.lock();
        if self.rows.read().components.contains_key(&record.key()) {
            return Ok(false);
        }
        self.put(&mut disk, record)?;
        Ok(true)
    }

    pub(super) fn put_deployment(&self, record: DeploymentRecord) -> Result<(), StoreError> {
        let mut disk = self.disk.lock();
        if let Some(component) = &record.component {
            self.assert_known(component)?;
        }
        self.put(&mut disk, record)
    }

    pub(super) fn put_policy(&self, record: PolicyRecord) -> Result<(), StoreError> {
        let mut disk = self.disk.lock();
        self.assert_known(&record.digest)?;
        self.put(&mut disk, record)
    }

    #[cfg(test)]
    pub(super) fn component_users(&self, digest: &Digest) -> Vec<ComponentUser> {
        self.rows.read().users(digest)
    }

    /// Removes the record and the checksums of its compiled code; the answer is the code's keys.
    pub(super) fn delete_component(&self, digest: &Digest) -> Result<Vec<String>, StoreError> {
        let mut disk = self.disk.lock();
        let component = digest.to_string();
        let (users, code_keys) = {
            let rows = self.rows.read();
            if !rows.components.contains_key(&component) {
                return Err(StoreError::NotFound { kind: "component", name: component });
            }
            let is_code_of = |key: &&String| key.starts_with(&digest.hex());
            (rows.users(digest), rows.code.keys().filter(is_code_of).cloned().collect::<Vec<_>>())
        };
        if !users.is_empty() {
            return Err(StoreError::InUse { digest: *digest, users });
        }
        let mut changes = vec![(Table::Components, component.clone(), None)];
        changes.extend(code_keys.iter().map(|key| (Table::Code, key.clone(), None)));
        disk.write(&self.rows, changes)?;
        let mut rows = self.rows.write();
        rows.components.remove(&component);
        code_keys.iter().for_each(|key| {
            rows.code.remove(key);
        });
        Ok(code_keys)
    }

    pub(super) fn code_checksum(&self, key: &str) -> Option<Digest> {
        self.rows.read().code.get(key).map(|code| code.checksum)
    }

    pub(super) fn code_keys(&self) -> Vec<String> {
        self.rows.read().code.keys().cloned().collect()
    }

    pub(super) fn put_code(&self, key: &str, checksum: Digest) -> Result<(), StoreError> {
        self.put(&mut self.disk.lock(), CodeRecord { key: key.to_owned(), checksum })
    }

    pub(super) fn forget_code(&self, key: &str) -> Result<(), StoreError> {
        self.delete::<CodeRecord>(key)
    }

    fn put<R: Record>(&self, disk: &mut Disk, record: R) -> Result<(), StoreError> {
        disk.write(&self.rows, vec![(R::TABLE, record.key(), Some(record.to_json()))])?;
        R::rows_mut(&mut self.rows.write()).insert(record.key(), record);
        Ok(())
    }

    fn assert_known(&self, digest: &Digest) -> Result<(), StoreError> {
        let name = digest.to_string();
        if self.rows.read().components.contains_key(&name) {
            return Ok(());
        }
        Err(StoreError::NotFound { kind: "component", name })
    }
}

impl Disk {
    /// Writes `changes` in one transaction, which is on disk when this returns. `rows` are the rows
    /// as they were before.
    fn write(&mut self, rows: &RwLock<Rows>, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut all: Vec<Change> = {
            let rows = rows.read();
            let settle = |(table, key): &(Table, String)| {
                (*table, key.clone(), rows.to_json(*table, key)) // What was acknowledged last.
            };
            self.unsettled.iter().map(settle).collect()
        };
        all.extend(changes);
        let written = self.reopen().and_then(|()| self.commit(&all));
        if written.is_ok() {
            self.unsettled.clear();
        } else {
            self.database = None;
            self.unsettled = all.into_iter().map(|(table, key, _)| (table, key)).collect();
            self.unsettled.sort();
            self.unsettled.dedup();
        }
        written
    }

    fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        let database = self.database.as_ref().expect("opened before every commit");
        let run = || -> Result<(), redb::Error> {
            let transaction = database.begin_write()?; // Durable on commit unless told otherwise.
            for (table, key, value) in changes {
                let mut table = transaction.open_table(definition(*table))?;
                match value {
                    Some(value) => table.insert(key.as_str(), value.as_slice())?,
                    None => table.remove(key.as_str())?,
                };
            }
            Ok(transaction.commit()?)
        };
        run().map_err(|error| StoreError::database("write metadata", &self.path, error))
    }

    /// Opens the database if it is not open, and makes sure that all tables are there.
    fn reopen(&mut self) -> Result<(), StoreError> {
        if self.database.is_some() {
            return Ok(());
        }
        let open = || -> Result<(Database, u64), redb::Error> {
            let database = Database::builder().set_cache_size(CACHE_BYTES).create(&self.path)?;
            if let Some(version) = format_version(&database)? {
                return Ok((database, version)); // Nothing is written by merely starting.
            }
            let transaction = database.begin_write()?;
            transaction.open_table(FORMAT)?.insert("version", FORMAT_VERSION)?;
            for table in Table::ALL {
                transaction.open_table(definition(table))?;
            }
            transaction.commit()?;
            Ok((database, FORMAT_VERSION))
        };
        let (database, version) =
            open().map_err(|error| StoreError::database("open metadata", &self.path, error))?;
        if version != FORMAT_VERSION {
            return Err(self.unreadable(format!(
                "format version is {version}, this program reads version {FORMAT_VERSION}"
            )));
        }
        self.database = Some(database);
        Ok(())
    }

    fn load(&self) -> Result<Rows, StoreError> {
        let database = self.database.as_ref().expect("opened just before");
        let read = |table| -> Result<BTreeMap<String, Vec<u8>>, redb::Error> {
            let table = database.begin_read()?.open_table(definition(table))?;
            table
                .iter()?
                .map(|row| row.map(|(key, value)| (key.value().to_owned(), value.value().to_vec())))
                .collect::<Result<_, _>>()
                .map_err(redb::Error::from)
        };
        let mut rows = Rows::default();
        for table in Table::ALL {
            let raw = read(table)
                .map_err(|error| StoreError::database("read metadata", &self.path, error))?;
            for (key, json) in raw {
                rows.insert_json(table, &key, &json).map_err(|error| {
                    self.unreadable(format!("{} `{key}`: {error}", table.name()))
                })?;
            }
        }
        Ok(rows)
    }

    fn unreadable(&self, why: String) -> StoreError {
        StoreError::Database { act: "read metadata", path: self.path.clone(), source: why.into() }
    }
}

fn definition(table: Table) -> TableDefinition<'static, &'static str, &'static [u8]> {
    TableDefinition::new(table.name())
}

/// None for a database that was only just created.
fn format_version(database: &Database) -> Result<Option<u64>, redb::Error> {
    match database.begin_read()?.open_table(FORMAT) {
        Ok(table) => Ok(table.get("version")?.map(|version| version.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
