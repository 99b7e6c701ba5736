//! Reads: the database as one commit left it.

use std::sync::mpsc;

use redb::{Database, ReadOnlyTable, ReadableDatabase};

use crate::{
    error::{Error, contained},
    layout::{Body, Entry, KeyHash, first_row, split},
    limits::{KEYS_PER_PAGE, is_expired},
    tables::{ENTRIES, LONG, decode, malformed},
};

/// Rows that one page of a listing looks at, so that many expired values cannot stall it.
const ROWS_PER_PAGE: usize = 10 * KEYS_PER_PAGE;
const READ: &str = "read of key-values";

/// One page of the keys of a bucket, in no order of note.
///
/// A key that is there all along is in exactly one page, whatever else comes and goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// At most [`KEYS_PER_PAGE`]; may be fewer, even none, when `cursor` is there.
    pub keys: Vec<String>,
    /// Ask with it for the next page; none after the last one.
    pub cursor: Option<u64>,
}

pub(crate) struct View {
    entries: ReadOnlyTable<&'static [u8], &'static [u8]>,
    long: ReadOnlyTable<&'static [u8], &'static [u8]>,
    hash: KeyHash,
    /// Its other end learns when nobody uses this view any more.
    _in_use: mpsc::Sender<()>,
}

/// A value that was found alive.
struct Found<T> {
    expires_ms: u64,
    value: T,
}

impl View {
    /// The last commit of `database`.
    pub(crate) fn new(
        database: &Database,
        hash: KeyHash,
        in_use: mpsc::Sender<()>,
    ) -> Result<Self, Error> {
        contained(READ, || {
            let read = database.begin_read().map_err(|error| Error::disk(READ, error))?;
            let entries = read.open_table(ENTRIES).map_err(|error| Error::disk(READ, error))?;
            let long = read.open_table(LONG).map_err(|error| Error::disk(READ, error))?;
            Ok(Self { entries, long, hash, _in_use: in_use })
        })
    }

    pub(crate) fn get(
        &self,
        bucket: u64,
        key: &str,
        now_ms: u64,
    ) -> Result<Option<Vec<u8>>, Error> {
        let found = self.find(bucket, key, now_ms, |row, entry| match entry.body {
            Body::Inline(value) => Ok(value.to_vec()),
            Body::Apart(_) => {
                let long = self.long.get(row)?.ok_or_else(malformed)?;
                Ok(long.value().to_vec())
            }
        })?;
        Ok(found.map(|found| found.value))
    }

    /// The length of a value.
    pub(crate) fn bytes(&self, bucket: u64, key: &str, now_ms: u64) -> Result<Option<u64>, Error> {
        let found = self.find(bucket, key, now_ms, |_, entry| Ok(entry.bytes()))?;
        Ok(found.map(|found| found.value))
    }

    /// Unix ms, 0 for a value that stays; none if it is not there.
    pub(crate) fn expires_ms(
        &self,
        bucket: u64,
        key: &str,
        now_ms: u64,
    ) -> Result<Option<u64>, Error> {
        let found = self.find(bucket, key, now_ms, |_, _| Ok(()))?;
        Ok(found.map(|found| found.expires_ms))
    }

    fn find<T>(
        &self,
        bucket: u64,
        key: &str,
        now_ms: u64,
        take: impl FnOnce(&[u8], Entry<'_>) -> Result<T, redb::StorageError>,
    ) -> Result<Option<Found<T>>, Error> {
        let row = self.hash.row(bucket, key.as_bytes());
        let find = || -> Result<_, redb::StorageError> {
            let Some(raw) = self.entries.get(row.as_slice())? else { return Ok(None) };
            let entry = decode(raw.value())?;
            if is_expired(entry.expires_ms, now_ms) {
                return Ok(None);
            }
            Ok(Some(Found { expires_ms: entry.expires_ms, value: take(&row, entry)? }))
        };
        contained(READ, || find().map_err(|error| Error::disk(READ, error)))
    }

    /// The page after `cursor`, the first one without.
    pub(crate) fn keys(
        &self,
        bucket: u64,
        cursor: Option<u64>,
        now_ms: u64,
    ) -> Result<Keys, Error> {
        let from = match cursor {
            None => 0,
            Some(u64::MAX) => return Ok(Keys::default()),
            Some(last) => last + 1,
        };
        contained(READ, || {
            self.page(bucket, from, now_ms).map_err(|error| Error::disk(READ, error))
        })
    }

    /// Keys of the same hash are never on two pages: the cursor could not say where between them.
    fn page(&self, bucket: u64, from: u64, now_ms: u64) -> Result<Keys, redb::StorageError> {
        let (start, end) = (first_row(bucket, from), first_row(bucket + 1, 0));
        let mut keys = Vec::new();
        let mut last = None;
        for (looked_at, row) in self.entries.range(start.as_slice()..end.as_slice())?.enumerate() {
            let (row, raw) = row?;
            let (_, hash, key) = split(row.value()).ok_or_else(malformed)?;
            let is_full = keys.len() >= KEYS_PER_PAGE || looked_at >= ROWS_PER_PAGE;
            if is_full && last != Some(hash) {
                return Ok(Keys { keys, cursor: last });
            }
            last = Some(hash);
            if !is_expired(decode(raw.value())?.expires_ms, now_ms) {
                keys.push(str::from_utf8(key).map_err(|_| malformed())?.to_owned());
            }
        }
        Ok(Keys { keys, cursor: None })
    }
}
