//! Values that all replicas of a deployment share, and that outlive them: `wasi:keyvalue`.
//!
//! ```no_run
//! use samovar_sdk::keyvalue::{self, Error};
//! use std::time::Duration;
//!
//! # fn example() -> Result<(), Error> {
//! let store = keyvalue::open("default")?;
//! let visits = store.increment("visits", 1)?;
//! store.set_for("last", format!("visit {visits}"), Duration::from_secs(60))?;
//! for key in store.keys() {
//!     println!("{}", key?);
//! }
//! # Ok(())
//! # }
//! ```

use std::{fmt, time::Duration, vec};

use crate::host::{
    samovar::handler::expiry,
    wasi::keyvalue::{
        atomics, batch,
        store::{self, Bucket},
    },
};

/// A store that was opened. Opening costs a call to the host: keep it where that counts.
#[derive(Debug)]
pub struct Store(Bucket);

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// There is no store of this name.
    NoSuchStore,
    /// This deployment may not use it.
    AccessDenied,
    /// Anything else, such as a quota that is used up.
    Other(String),
}

/// Opens the store called `name`.
///
/// # Errors
///
/// [`Error::NoSuchStore`] and [`Error::AccessDenied`].
pub fn open(name: &str) -> Result<Store, Error> {
    Ok(Store(store::open(name)?))
}

/// All operations fail with [`Error::Other`] when the host cannot read or write its storage. Those
/// that write also fail so when a value is too large or the store is full.
impl Store {
    /// The value of `key`, if there is one.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.get(key)?)
    }

    /// Sets `key`, for as long as values last by default.
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(self.0.set(key, value.as_ref())?)
    }

    /// Sets `key` to a value that is gone after `life`, counted in whole milliseconds.
    pub fn set_for(&self, key: &str, value: impl AsRef<[u8]>, life: Duration) -> Result<(), Error> {
        let ttl_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        Ok(expiry::set(&self.0, key, value.as_ref(), ttl_ms)?)
    }

    /// How long the value of `key` lasts yet; none if it stays, or is not there.
    pub fn life(&self, key: &str) -> Result<Option<Duration>, Error> {
        Ok(expiry::ttl(&self.0, key)?.map(Duration::from_millis))
    }

    /// Deletes `key`. That it is not there is no error.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        Ok(self.0.delete(key)?)
    }

    /// Whether `key` is there.
    pub fn exists(&self, key: &str) -> Result<bool, Error> {
        Ok(self.0.exists(key)?)
    }

    /// All keys, asked for in pages while they are taken.
    pub fn keys(&self) -> Keys<'_> {
        Keys { store: self, page: Vec::new().into_iter(), next: Next::First }
    }

    /// Adds `delta` to the number at `key` in one step that no other replica can come between, and
    /// answers the sum. A key that is not there counts as 0.
    pub fn increment(&self, key: &str, delta: u64) -> Result<u64, Error> {
        Ok(atomics::increment(&self.0, key, delta)?)
    }

    /// The values of those of `keys` that are there, with their keys.
    pub fn get_many(&self, keys: &[&str]) -> Result<Vec<(String, Vec<u8>)>, Error> {
        Ok(batch::get_many(&self.0, &owned(keys))?.into_iter().flatten().collect())
    }

    /// Sets several keys in one call.
    pub fn set_many(&self, pairs: &[(String, Vec<u8>)]) -> Result<(), Error> {
        Ok(batch::set_many(&self.0, pairs)?)
    }

    /// Deletes several keys in one call.
    pub fn delete_many(&self, keys: &[&str]) -> Result<(), Error> {
        Ok(batch::delete_many(&self.0, &owned(keys))?)
    }
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

/// The keys of a [`Store`]. It ends after the first error.
#[derive(Debug)]
pub struct Keys<'s> {
    store: &'s Store,
    page: vec::IntoIter<String>,
    next: Next,
}

/// Which page follows.
#[derive(Debug)]
enum Next {
    First,
    After(u64),
    End,
}

impl Iterator for Keys<'_> {
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(key) = self.page.next() {
                return Some(Ok(key));
            }
            let cursor = match self.next {
                Next::First => None,
                Next::After(cursor) => Some(cursor),
                Next::End => return None,
            };
            match self.store.0.list_keys(cursor) {
                Ok(found) => {
                    self.page = found.keys.into_iter();
                    self.next = found.cursor.map_or(Next::End, Next::After);
                }
                Err(error) => {
                    self.next = Next::End;
                    return Some(Err(error.into()));
                }
            }
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NoSuchStore => Self::NoSuchStore,
            store::Error::AccessDenied => Self::AccessDenied,
            store::Error::Other(reason) => Self::Other(reason),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchStore => out.write_str("there is no store of this name"),
            Self::AccessDenied => out.write_str("the store may not be used"),
            Self::Other(reason) => out.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}
