//! The rows of the database, within one write transaction.

use redb::{ReadableTable, StorageError, Table, TableDefinition, TableError, WriteTransaction};

use crate::layout::{Body, Entry, KeyHash, expiry_row, first_row, split};

type Bytes = &'static [u8];

/// What the file is: its version, the next number of a bucket, the keys of the hash.
pub(crate) const META: TableDefinition<'static, &str, u64> =
    TableDefinition::new("samovar-keyvalue");
/// Deployment and bucket, with its number, bytes and keys.
pub(crate) const BUCKETS: TableDefinition<'static, (&str, &str), (u64, u64, u64)> =
    TableDefinition::new("buckets");
pub(crate) const ENTRIES: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("entries");
/// Long values, by the row of their entry.
pub(crate) const LONG: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("long");
pub(crate) const EXPIRIES: TableDefinition<'static, Bytes, ()> = TableDefinition::new("expiries");
/// Numbers of buckets that are gone, and whose rows are still to be removed.
pub(crate) const REMOVED: TableDefinition<'static, u64, ()> = TableDefinition::new("removed");

pub(crate) const NEXT_BUCKET: &str = "next-bucket";

/// All tables of a write transaction. Rows of a value are only changed together.
pub(crate) struct Tables<'t> {
    meta: Table<'t, &'static str, u64>,
    buckets: Table<'t, (&'static str, &'static str), (u64, u64, u64)>,
    entries: Table<'t, Bytes, Bytes>,
    long: Table<'t, Bytes, Bytes>,
    expiries: Table<'t, Bytes, ()>,
    removed: Table<'t, u64, ()>,
    hash: KeyHash,
}

/// What is known of a stored value without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub expires_ms: u64,
    pub bytes: u64,
    is_apart: bool,
}

impl From<Entry<'_>> for Known {
    fn from(entry: Entry<'_>) -> Self {
        let (expires_ms, bytes) = (entry.expires_ms, entry.bytes());
        Self { expires_ms, bytes, is_apart: matches!(entry.body, Body::Apart(_)) }
    }
}

impl<'t> Tables<'t> {
    pub(crate) fn open(
        transaction: &'t WriteTransaction,
        hash: KeyHash,
    ) -> Result<Self, TableError> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            buckets: transaction.open_table(BUCKETS)?,
            entries: transaction.open_table(ENTRIES)?,
            long: transaction.open_table(LONG)?,
            expiries: transaction.open_table(EXPIRIES)?,
            removed: transaction.open_table(REMOVED)?,
            hash,
        })
    }

    pub(crate) fn find(&self, bucket: u64, key: &str) -> Result<Option<Known>, StorageError> {
        let raw = self.entries.get(self.hash.row(bucket, key.as_bytes()).as_slice())?;
        raw.map(|raw| Ok(decode(raw.value())?.into())).transpose()
    }

    /// A value that is short enough to stand in its row; none for others.
    pub(crate) fn short(&self, bucket: u64, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let raw = self.entries.get(self.hash.row(bucket, key.as_bytes()).as_slice())?;
        let Some(raw) = raw else { return Ok(None) };
        Ok(match decode(raw.value())?.body {
            Body::Inline(value) => Some(value.to_vec()),
            Body::Apart(_) => None,
        })
    }

    /// Stores a value; the answer is what it replaces.
    pub(crate) fn put(
        &mut self,
        bucket: u64,
        key: &str,
        value: &[u8],
        expires_ms: u64,
    ) -> Result<Option<Known>, StorageError> {
        let row = self.hash.row(bucket, key.as_bytes());
        let entry = Entry::new(value, expires_ms);
        let old = match self.entries.insert(row.as_slice(), entry.encode().as_slice())? {
            Some(raw) => Some(Known::from(decode(raw.value())?)),
            None => None,
        };
        match entry.body {
            Body::Apart(_) => drop(self.long.insert(row.as_slice(), value)?),
            Body::Inline(_) if old.is_some_and(|old| old.is_apart) => {
                self.long.remove(row.as_slice())?;
            }
            Body::Inline(_) => {}
        }
        let old_expires_ms = old.map_or(0, |old| old.expires_ms);
        if old_expires_ms != expires_ms {
            self.forget_expiry(bucket, old_expires_ms, key.as_bytes())?;
            if expires_ms != 0 {
                let row = expiry_row(bucket, expires_ms, key.as_bytes());
                self.expiries.insert(row.as_slice(), ())?;
            }
        }
        Ok(old)
    }

    /// Removes a value; the answer is what it was.
    pub(crate) fn remove(
        &mut self,
        bucket: u64,
        key: &[u8],
    ) -> Result<Option<Known>, StorageError> {
        let row = self.hash.row(bucket, key);
        let known = match self.entries.remove(row.as_slice())? {
            Some(raw) => Known::from(decode(raw.value())?),
            None => return Ok(None),
        };
        if known.is_apart {
            self.long.remove(row.as_slice())?;
        }
        self.forget_expiry(bucket, known.expires_ms, key)?;
        Ok(Some(known))
    }

    fn forget_expiry(
        &mut self,
        bucket: u64,
        expires_ms: u64,
        key: &[u8],
    ) -> Result<(), StorageError> {
        if expires_ms != 0 {
            self.expiries.remove(expiry_row(bucket, expires_ms, key).as_slice())?;
        }
        Ok(())
    }

    /// The keys of a bucket that expired by now, the oldest first, at most `max` of them.
    pub(crate) fn expired(
        &self,
        bucket: u64,
        now_ms: u64,
        max: usize,
    ) -> Result<Vec<Vec<u8>>, StorageError> {
        let end = match now_ms.checked_add(1) {
            Some(after) => first_row(bucket, after),
            None => first_row(bucket + 1, 0),
        };
        let rows = self.expiries.range(first_row(bucket, 0).as_slice()..end.as_slice())?;
        rows.take(max).map(|row| key_of(row?.0.value())).collect()
    }

    /// When the next value of a bucket expires; `u64::MAX` if none does.
    pub(crate) fn earliest(&self, bucket: u64) -> Result<u64, StorageError> {
        earliest(&self.expiries, bucket)
    }

    /// The keys of a bucket, in no order of note, at most `max` of them.
    pub(crate) fn keys(&self, bucket: u64, max: usize) -> Result<Vec<Vec<u8>>, StorageError> {
        let (start, end) = (first_row(bucket, 0), first_row(bucket + 1, 0));
        let rows = self.entries.range(start.as_slice()..end.as_slice())?;
        rows.take(max).map(|row| key_of(row?.0.value())).collect()
    }

    pub(crate) fn next_bucket(&self) -> Result<u64, StorageError> {
        Ok(self.meta.get(NEXT_BUCKET)?.map_or(1, |next| next.value()))
    }

    pub(crate) fn set_next_bucket(&mut self, next: u64) -> Result<(), StorageError> {
        self.meta.insert(NEXT_BUCKET, next)?;
        Ok(())
    }

    pub(crate) fn put_bucket(
        &mut self,
        name: (&str, &str),
        row: (u64, u64, u64),
    ) -> Result<(), StorageError> {
        self.buckets.insert(name, row)?;
        Ok(())
    }

    pub(crate) fn forget_bucket(&mut self, name: (&str, &str)) -> Result<(), StorageError> {
        self.buckets.remove(name)?;
        Ok(())
    }

    pub(crate) fn mark_removed(&mut self, bucket: u64) -> Result<(), StorageError> {
        self.removed.insert(bucket, ())?;
        Ok(())
    }

    pub(crate) fn first_removed(&self) -> Result<Option<u64>, StorageError> {
        Ok(self.removed.first()?.map(|(bucket, _)| bucket.value()))
    }

    pub(crate) fn forget_removed(&mut self, bucket: u64) -> Result<(), StorageError> {
        self.removed.remove(bucket)?;
        Ok(())
    }
}

/// When the next value of a bucket expires; `u64::MAX` if none does.
pub(crate) fn earliest(
    expiries: &impl ReadableTable<Bytes, ()>,
    bucket: u64,
) -> Result<u64, StorageError> {
    let (start, end) = (first_row(bucket, 0), first_row(bucket + 1, 0));
    let first = expiries.range(start.as_slice()..end.as_slice())?.next().transpose()?;
    let Some((row, _)) = first else { return Ok(u64::MAX) };
    split(row.value()).map(|(_, expires_ms, _)| expires_ms).ok_or_else(malformed)
}

pub(crate) fn decode(raw: &[u8]) -> Result<Entry<'_>, StorageError> {
    Entry::decode(raw).ok_or_else(malformed)
}

pub(crate) fn key_of(row: &[u8]) -> Result<Vec<u8>, StorageError> {
    split(row).map(|(_, _, key)| key.to_vec()).ok_or_else(malformed)
}

pub(crate) fn malformed() -> StorageError {
    StorageError::Corrupted("a row of the key-value store is malformed".into())
}
