//! Why the store could not do something, in the classes the admin API tells apart.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

use super::ComponentUser;
use crate::spec::Digest;

/// What the store could not do. The text says the act and the object; the cause is the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No space, quota or file size left. Reads go on working, and writes do once there is space.
    #[error("no space left to {act} {}", path.display())]
    Full { act: &'static str, path: PathBuf, source: io::Error },
    #[error("data folder {} is in use by another samovar process", folder.display())]
    Locked { folder: PathBuf },
    #[error("cannot use data folder {}", folder.display())]
    Unreadable { folder: PathBuf, source: io::Error },
    #[error("upload is larger than the limit of {limit_bytes} bytes")]
    TooLarge { limit_bytes: u64 },
    /// The file is gone or is not what was uploaded. It is never served.
    #[error("component {digest} at {} is damaged; upload it again to repair it", path.display())]
    Corrupt { digest: Digest, path: PathBuf },
    #[error("no {kind} {name}")]
    NotFound { kind: &'static str, name: String },
    /// Never empty.
    #[error("component {digest} is in use by {}", list(users))]
    InUse { digest: Digest, users: Vec<ComponentUser> },
    #[error("{act} {}", path.display())]
    Io { act: &'static str, path: PathBuf, source: io::Error },
    #[error("{act} in {}", path.display())]
    Database { act: &'static str, path: PathBuf, source: Box<dyn Error + Send + Sync> },
}

impl StoreError {
    /// A failed file operation: [`StoreError::Full`] when there was no room, else [`StoreError::Io`].
    pub(super) fn io(act: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if is_full(&source) {
            Self::Full { act, path, source }
        } else {
            Self::Io { act, path, source }
        }
    }

    /// A failed database operation, told apart in the same way.
    pub(super) fn database(
        act: &'static str,
        path: &Path,
        source: impl Error + Send + Sync + Into<redb::Error> + 'static,
    ) -> Self {
        match source.into() {
            redb::Error::Io(source) => Self::io(act, path, source),
            source => Self::Database { act, path: path.to_owned(), source: source.into() },
        }
    }
}

/// Whether there was no room: on the disk, in the quota, or under the limit for files.
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn list(users: &[ComponentUser]) -> String {
    users.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
