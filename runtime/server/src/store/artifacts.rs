//! The files: uploads on their way in, components, compiled code. Knows no metadata.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata as FileMetadata},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tempfile::{NamedTempFile, TempPath};

use super::{StoreError, digest};
use crate::spec::Digest;

/// Longest cache key; with its ending it must fit into a file name (255 bytes).
const KEY_BYTES_MAX: usize = 200;

/// The folders for files.
pub(super) struct Artifacts {
    components: PathBuf,
    code: PathBuf,
    tmp: PathBuf,
    /// Tells files in `tmp` apart that belong to the same key.
    tmp_count: AtomicU64,
    /// Code whose checksum this process has verified, and how the file looked then.
    whole: Mutex<HashMap<String, Look>>,
}

/// What changes when somebody replaces or rewrites a file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    inode: u64,
    len_bytes: u64,
    modified: (i64, i64),
}

impl Artifacts {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            components: folder.join("artifacts"),
            code: folder.join("code"),
            tmp: folder.join("tmp"),
            tmp_count: AtomicU64::new(0),
            whole: Mutex::default(),
        }
    }

    pub(super) fn begin_upload(&self, limit_bytes: u64) -> Result<Upload, StoreError> {
        let file = tempfile::Builder::new()
            .prefix("upload-")
            .tempfile_in(&self.tmp)
            .map_err(|source| StoreError::io("create a file in", &self.tmp, source))?;
        Ok(Upload { file, hasher: Sha256::new(), size_bytes: 0, limit_bytes })
    }

    /// Moves the file into place; on disk when this returns.
    pub(super) fn commit_component(&self, upload: Uploaded) -> Result<(), StoreError> {
        let path = self.component_path(&upload.digest);
        upload
            .path
            .persist(&path)
            .map_err(|e| StoreError::io("store component at", &path, e.error))?;
        sync_folder(&self.components)
    }

    pub(super) fn read_component(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.component_path(digest);
        match fs::read(&path) {
            Ok(bytes) if Digest::of(&bytes) == *digest => Ok(bytes),
            Ok(_) => Err(StoreError::Corrupt { digest: *digest, path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::Corrupt { digest: *digest, path })
            }
            Err(error) => Err(StoreError::io("read component at", &path, error)),
        }
    }

    /// Best effort: a file that stays is only wasted space, since nothing refers to it any more.
    pub(super) fn remove_component(&self, digest: &Digest) {
        remove_file(&self.component_path(digest));
    }

    fn component_path(&self, digest: &Digest) -> PathBuf {
        self.components.join(format!("{}.wasm", digest.hex()))
    }

    pub(super) fn code_path(&self, key: &str) -> PathBuf {
        assert_key(key);
        self.code.join(format!("{key}.cwasm"))
    }

    pub(super) fn begin_code(&self, key: &str) -> PathBuf {
        assert_key(key);
        let count = self.tmp_count.fetch_add(1, Ordering::Relaxed);
        self.tmp.join(format!("{key}.{count}.cwasm"))
    }

    /// Moves compiled code into place; on disk when this returns. The answer is its checksum.
    pub(super) fn commit_code(&self, key: &str, tmp: &Path) -> Result<Digest, StoreError> {
        let path = self.code_path(key);
        let stored = hash_and_sync(tmp).and_then(|(checksum, look)| {
            fs::rename(tmp, &path)?;
            Ok((checksum, look))
        });
        let (checksum, look) = stored.map_err(|source| {
            remove_file(tmp);
            StoreError::io("store compiled code at", &path, source)
        })?;
        sync_folder(&self.code)?;
        self.whole.lock().insert(key.to_owned(), look);
        Ok(checksum)
    }

    /// Whether the code is there and matches `checksum`.
    pub(super) fn code_is_whole(&self, key: &str, checksum: &Digest) -> Result<bool, StoreError> {
        let path = self.code_path(key);
        let check = || -> io::Result<bool> {
            let mut file = File::open(&path)?;
            let look = Look::of(&file.metadata()?);
            if self.whole.lock().get(key) == Some(&look) {
                return Ok(true);
            }
            let is_whole = digest::of_file(&mut file)? == *checksum;
            if is_whole {
                self.whole.lock().insert(key.to_owned(), look);
            }
            Ok(is_whole)
        };
        match check() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            checked => {
                checked.map_err(|source| StoreError::io("read compiled code at", &path, source))
            }
        }
    }

    /// Best effort, as [`Artifacts::remove_component`].
    pub(super) fn remove_code(&self, key: &str) {
        self.whole.lock().remove(key);
        remove_file(&self.code_path(key));
    }

    /// Removes components that were moved into place but never written down.
    pub(super) fn remove_unknown_components(&self, is_known: impl Fn(&str) -> bool) {
        remove_unknown(&self.components, ".wasm", is_known);
    }

    /// Removes code that was moved into place but whose checksum was never written down.
    pub(super) fn remove_unknown_code(&self, is_known: impl Fn(&str) -> bool) {
        remove_unknown(&self.code, ".cwasm", is_known);
    }
}

/// Removes files with this ending whose name is not known.
fn remove_unknown(folder: &Path, ending: &str, is_known: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(ending));
        if name.is_some_and(|name| !is_known(name)) {
            remove_file(&path);
        }
    }
}

/// A component on its way in. Dropping it removes the file.
pub struct Upload {
    file: NamedTempFile,
    hasher: Sha256,
    size_bytes: u64,
    limit_bytes: u64,
}

impl Upload {
    /// Adds `chunk`.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLarge`] as soon as the limit is passed; `chunk` is not written then.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        let size_bytes = self.size_bytes + chunk.len() as u64;
        if size_bytes > self.limit_bytes {
            return Err(StoreError::TooLarge { limit_bytes: self.limit_bytes });
        }
        self.file
            .write_all(chunk)
            .map_err(|source| StoreError::io("write upload to", self.file.path(), source))?;
        self.hasher.update(chunk);
        self.size_bytes = size_bytes;
        Ok(())
    }

    /// Everything was written. On disk when this returns, but not visible yet.
    pub fn finish(self) -> Result<Uploaded, StoreError> {
        let (file, path) = self.file.into_parts();
        file.sync_all().map_err(|source| StoreError::io("write upload to", &path, source))?;
        let digest = digest::of_hasher(self.hasher);
        Ok(Uploaded { path, digest, size_bytes: self.size_bytes })
    }
}

/// A complete upload, to be checked by the caller before it becomes visible. Dropping it removes
/// the file.
pub struct Uploaded {
    path: TempPath,
    digest: Digest,
    size_bytes: u64,
}

impl Uploaded {
    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Where the bytes are until the upload is committed or dropped.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Look {
    fn of(file: &FileMetadata) -> Self {
        Self {
            inode: file.ino(),
            len_bytes: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
        }
    }
}

/// Cache keys become file names, so anything else could reach outside the folder.
fn assert_key(key: &str) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    assert!(
        !key.is_empty()
            && key.len() <= KEY_BYTES_MAX
            && !key.starts_with('.')
            && key.bytes().all(is_plain),
        "cache key `{key}` is no plain file name of at most {KEY_BYTES_MAX} bytes"
    );
}

fn hash_and_sync(path: &Path) -> io::Result<(Digest, Look)> {
    let mut file = File::open(path)?;
    let checksum = digest::of_file(&mut file)?;
    file.sync_all()?;
    Ok((checksum, Look::of(&file.metadata()?)))
}

/// A rename is only durable once the folder is.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| StoreError::io("sync folder", folder, source))
}

fn remove_file(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "could not remove a file");
        }
        _ => {}
    }
}
