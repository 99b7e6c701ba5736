//! Handles: what a deployment has, and one bucket of it.

use std::{fmt, sync::Arc};

use crate::{
    error::Error,
    limits::{Settings, check_batch_bytes, check_batch_keys, entry_bytes, expires_ms},
    registry::{BucketState, SpaceState, Usage},
    view::Keys,
    writer::{Answer, Change, Op, Outcome, Shared},
};

/// A key and its value.
type Pair = (String, Vec<u8>);

/// The key-values of one deployment. Cheap to clone; clones are the same one.
#[derive(Clone)]
pub struct Space {
    shared: Arc<Shared>,
    state: Arc<SpaceState>,
}

/// One named store of a deployment. Cheap to clone; clones are the same one.
///
/// Reads return at once, from memory or from the file. All `now_ms` are Unix milliseconds. All
/// operations answer [`Error::KeyEmpty`] and [`Error::KeyTooLarge`] for such keys, and
/// [`Error::Removed`] and [`Error::Closed`] when deployment or store are gone. Reads can fail with
/// [`Error::Disk`], and writes with [`Error::Full`] too.
#[derive(Clone)]
pub struct Bucket {
    space: Space,
    state: Arc<BucketState>,
}

impl Space {
    pub(crate) fn new(shared: Arc<Shared>, state: Arc<SpaceState>) -> Self {
        Self { shared, state }
    }

    /// The bucket that `identifier` names; the empty name is that of `default`. It is there when it
    /// is first written to, and gone when its last value is.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchStore`] for a name that is longer than 64 characters, has others than
    /// letters, digits, `-`, `_` and `.`, or is one too many: at most
    /// [`BUCKETS_MAX`](crate::BUCKETS_MAX) can have values or be open. [`Error::Removed`].
    pub fn bucket(&self, identifier: &str) -> Result<Bucket, Error> {
        let state = self.state.bucket(identifier)?;
        Ok(Bucket { space: self.clone(), state })
    }

    /// What is stored in all buckets. From memory.
    pub fn usage(&self) -> Usage {
        self.state.usage()
    }

    /// The limits in force.
    pub fn settings(&self) -> Settings {
        *self.state.settings.read()
    }
}

impl Bucket {
    /// The value of `key`, if it is there and has not expired.
    ///
    /// # Errors
    ///
    /// As for all operations.
    pub fn get(&self, key: &str, now_ms: u64) -> Result<Option<Vec<u8>>, Error> {
        self.check_keys([key])?;
        let state = &self.state;
        self.space.shared.read(|view| view.get(state.id(), key, now_ms))
    }

    /// Whether [`Bucket::get`] would find a value.
    ///
    /// # Errors
    ///
    /// As for all operations.
    pub fn exists(&self, key: &str, now_ms: u64) -> Result<bool, Error> {
        self.check_keys([key])?;
        let state = &self.state;
        self.space.shared.read(|view| Ok(view.bytes(state.id(), key, now_ms)?.is_some()))
    }

    /// Milliseconds until the value is gone, at least 1; none if it stays, or is not there.
    ///
    /// # Errors
    ///
    /// As for all operations.
    pub fn ttl(&self, key: &str, now_ms: u64) -> Result<Option<u64>, Error> {
        self.check_keys([key])?;
        let state = &self.state;
        let expires = self.space.shared.read(|view| view.expires_ms(state.id(), key, now_ms))?;
        Ok(expires.filter(|expires| *expires != 0).map(|expires| expires - now_ms))
    }

    /// A page of the keys that have not expired: the first one, or the one after `cursor`, which is
    /// any number that an earlier page had, also before a restart.
    ///
    /// # Errors
    ///
    /// As for all operations.
    pub fn list_keys(&self, cursor: Option<u64>, now_ms: u64) -> Result<Keys, Error> {
        self.check_keys([])?;
        let state = &self.state;
        self.space.shared.read(|view| view.keys(state.id(), cursor, now_ms))
    }

    /// Key and value for each of `keys`, in their order, from one commit; none for those that are
    /// not there.
    ///
    /// # Errors
    ///
    /// [`Error::BatchTooLarge`] for more than [`BATCH_KEYS_MAX`](crate::BATCH_KEYS_MAX) keys or
    /// [`BATCH_BYTES_MAX`](crate::BATCH_BYTES_MAX) of values, and as for all operations.
    pub fn get_many(&self, keys: &[String], now_ms: u64) -> Result<Vec<Option<Pair>>, Error> {
        check_batch_keys(keys.len())?;
        self.check_keys(keys.iter().map(String::as_str))?;
        self.space.shared.read(|view| {
            let (id, mut bytes) = (self.state.id(), 0);
            for key in keys {
                bytes += view.bytes(id, key, now_ms)?.unwrap_or(0);
            }
            check_batch_bytes(bytes)?;
            let get = |key: &String| {
                let value = view.get(id, key, now_ms)?;
                Ok(value.map(|value| (key.clone(), value)))
            };
            keys.iter().map(get).collect()
        })
    }

    /// Sets a value, which lives as long as [`Settings::ttl`] says. On disk when this returns.
    ///
    /// # Errors
    ///
    /// [`Error::ValueTooLarge`], [`Error::QuotaExceeded`], and as for all operations.
    pub async fn set(&self, key: &str, value: Vec<u8>, now_ms: u64) -> Result<(), Error> {
        let expires_ms = self.space.settings().expires_ms(now_ms);
        self.set_until(vec![(key.to_owned(), value)], expires_ms, now_ms).await
    }

    /// Sets a value that is gone after `ttl_ms` milliseconds: at once for 0. On disk when this
    /// returns.
    ///
    /// # Errors
    ///
    /// As [`Bucket::set`].
    pub async fn set_for(
        &self,
        key: &str,
        value: Vec<u8>,
        ttl_ms: u64,
        now_ms: u64,
    ) -> Result<(), Error> {
        let items = vec![(key.to_owned(), value)];
        self.set_until(items, expires_ms(now_ms, ttl_ms), now_ms).await
    }

    /// Sets all values or none; of several for one key the last counts. On disk when this returns.
    ///
    /// # Errors
    ///
    /// [`Error::BatchTooLarge`], and as [`Bucket::set`].
    pub async fn set_many(&self, items: Vec<Pair>, now_ms: u64) -> Result<(), Error> {
        check_batch_keys(items.len())?;
        check_batch_bytes(items.iter().map(|(k, v)| entry_bytes(k.len(), v.len() as u64)).sum())?;
        let expires_ms = self.space.settings().expires_ms(now_ms);
        self.set_until(items, expires_ms, now_ms).await
    }

    /// Removes a value; nothing happens if there is none. On disk when this returns.
    ///
    /// # Errors
    ///
    /// As for all operations.
    pub async fn delete(&self, key: &str, now_ms: u64) -> Result<(), Error> {
        self.delete_many(vec![key.to_owned()], now_ms).await
    }

    /// Removes values, all at once. On disk when this returns.
    ///
    /// # Errors
    ///
    /// [`Error::BatchTooLarge`], and as for all operations.
    pub async fn delete_many(&self, keys: Vec<String>, now_ms: u64) -> Result<(), Error> {
        check_batch_keys(keys.len())?;
        self.check_keys(keys.iter().map(String::as_str))?;
        self.write(Change::Delete { keys }, now_ms).await.map(drop)
    }

    /// Adds `delta` to the counter `key` and answers with the sum. A counter that is not there
    /// begins at 0 and lives as long as [`Settings::ttl`] says; one that is there keeps its life.
    /// On disk when this returns, and never lost or done twice among concurrent ones.
    ///
    /// # Errors
    ///
    /// [`Error::NotCounter`] if the value is anything but the decimal digits of a `u64`,
    /// [`Error::CounterOverflow`], [`Error::QuotaExceeded`], and as for all operations.
    pub async fn increment(&self, key: &str, delta: u64, now_ms: u64) -> Result<u64, Error> {
        self.check_keys([key])?;
        match self.write(Change::Increment { key: key.to_owned(), delta }, now_ms).await? {
            Outcome::Count(count) => Ok(count),
            Outcome::Done | Outcome::Swept(_) => unreachable!("an increment answers with the sum"),
        }
    }

    async fn set_until(&self, items: Vec<Pair>, expires_ms: u64, now_ms: u64) -> Result<(), Error> {
        self.check_keys(items.iter().map(|(key, _)| key.as_str()))?;
        let settings = self.space.settings();
        items.iter().try_for_each(|(_, value)| settings.check_value(value))?;
        self.write(Change::Set { items, expires_ms }, now_ms).await.map(drop)
    }

    async fn write(&self, change: Change, now_ms: u64) -> Answer {
        let (space, bucket) = (self.space.state.clone(), self.state.clone());
        self.space.shared.write(Op::Write { space, bucket, change, now_ms }).await
    }

    fn check_keys<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> Result<(), Error> {
        self.space.state.check_there()?;
        let settings = self.space.settings();
        keys.into_iter().try_for_each(|key| settings.check_key(key))
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("deployment", &self.state.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Bucket");
        debug.field("deployment", &self.space.state.name).field("name", &self.state.name);
        debug.finish_non_exhaustive()
    }
}
