//! Why the store could not be opened, or could not do something.

use std::{
    any::Any,
    error::Error as StdError,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why an operation was refused or failed. The text is fit for a guest: it names no path.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `no-such-store` of `wasi:keyvalue`; every other one is its `other`.
    #[error("no bucket `{name}`: {why}")]
    NoSuchStore {
        /// At most [`BUCKET_NAME_CHARS_MAX`](crate::BUCKET_NAME_CHARS_MAX) characters of it.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Keys have at least one byte.
    #[error("key is empty")]
    KeyEmpty,
    /// Also when such a key is only looked up.
    #[error("key is {bytes} bytes, the limit is {limit}")]
    KeyTooLarge {
        /// Of the key.
        bytes: u64,
        /// [`Settings::key_bytes_max`](crate::Settings::key_bytes_max).
        limit: u64,
    },
    /// Nothing of the call was stored.
    #[error("value is {bytes} bytes, the limit is {limit}")]
    ValueTooLarge {
        /// Of the value.
        bytes: u64,
        /// [`Settings::value_bytes_max`](crate::Settings::value_bytes_max).
        limit: u64,
    },
    /// One call for many keys asks for, or brings, too much. Nothing of it was done.
    #[error("batch has {count} {what}, the limit is {limit}")]
    BatchTooLarge {
        /// `keys` or `bytes`.
        what: &'static str,
        /// How many there are.
        count: u64,
        /// [`BATCH_KEYS_MAX`](crate::BATCH_KEYS_MAX) or
        /// [`BATCH_BYTES_MAX`](crate::BATCH_BYTES_MAX).
        limit: u64,
    },
    /// Nothing of the call was stored. Expired values were removed before, as far as they help.
    #[error("quota of {quota} bytes exceeded: {used} are used, {needed} more are needed")]
    QuotaExceeded {
        /// By all buckets of the deployment, in bytes.
        used: u64,
        /// [`Settings::quota_bytes`](crate::Settings::quota_bytes).
        quota: u64,
        /// By which `used` would have grown.
        needed: u64,
    },
    /// The value stays as it was.
    #[error("value is no counter: only decimal digits up to 18446744073709551615 are")]
    NotCounter,
    /// The value stays as it was.
    #[error("counter would pass 18446744073709551615")]
    CounterOverflow,
    /// The deployment of this handle was removed, with all its values.
    #[error("the deployment was removed")]
    Removed,
    /// The store was closed.
    #[error("the key-value store is closed")]
    Closed,
    /// The disk, its quota or the limit for files is full. Reads go on, and writes do once there is
    /// room.
    #[error("no space left for key-values")]
    Full {
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The file could not be read or written. After a failed write reads go on.
    #[error("{act} failed")]
    Disk {
        /// What was being done.
        act: &'static str,
        /// What the database or the system said.
        source: Arc<dyn StdError + Send + Sync>,
    },
}

impl Error {
    pub(crate) fn disk(act: &'static str, error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::Io(error) => Self::io(act, Arc::new(error)),
            error => Self::Disk { act, source: Arc::new(error) },
        }
    }

    pub(crate) fn io(act: &'static str, source: Arc<io::Error>) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full { source },
            _ => Self::Disk { act, source },
        }
    }
}

/// Why the file could not be used. It is as it was, and the server can go on without it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another [`KeyValue`](crate::KeyValue), has it open.
    #[error("key-value store {} is in use", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It is something else, or of another version of this program.
    #[error("{} is no key-value store of this version: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// How it was seen.
        why: String,
    },
    /// It was one of ours, and is damaged.
    #[error("key-value store {} is damaged", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What the database found.
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// The system refused it.
    #[error("{act} {}", path.display())]
    Io {
        /// What was being done.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: Arc<dyn StdError + Send + Sync>,
    },
}

impl OpenError {
    pub(crate) fn io(act: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { act, path: path.to_owned(), source: Arc::new(source) }
    }

    /// Why a database could not be opened.
    pub(crate) fn database(path: &Path, error: Error) -> Self {
        let path = path.to_owned();
        let source = match error {
            Error::Disk { source, .. } => source,
            Error::Full { source } => return Self::Io { act: "open", path, source },
            other => Arc::new(other),
        };
        let kind = source.downcast_ref().map(io::Error::kind);
        match (kind, source.downcast_ref()) {
            (Some(io::ErrorKind::InvalidData), _) | (_, Some(redb::Error::UpgradeRequired(_))) => {
                Self::Foreign { path, why: source.to_string() }
            }
            // The file ends where more of it should be.
            (Some(io::ErrorKind::UnexpectedEof) | None, _) => Self::Corrupt { path, source },
            (Some(_), _) => Self::Io { act: "open", path, source },
        }
    }
}

/// A panic inside the database, which a damaged file can cause.
#[derive(Debug, thiserror::Error)]
#[error("the database panicked: {0}")]
pub(crate) struct Panicked(String);

/// Runs `work` on the database; a panic inside becomes an error, so that a damaged page costs the
/// calls that need it and nothing else.
pub(crate) fn contained<T>(
    act: &'static str,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Error::Disk { act, source: Arc::new(Panicked::new(panic)) }))
}

impl Panicked {
    fn new(panic: Box<dyn Any + Send>) -> Self {
        let text = panic.downcast_ref::<String>().cloned();
        Self(text.unwrap_or_else(|| {
            panic.downcast_ref::<&str>().map_or_else(String::new, ToString::to_string)
        }))
    }
}
