//! What survives a restart: uploaded artifacts, compiled code and the metadata about them.
//!
//! ```text
//! DATA/lock                    held while a process uses the folder
//! DATA/meta.redb               components, deployments, policies, checksums of compiled code
//! DATA/artifacts/<hex>.wasm    uploaded components, named by their sha256
//! DATA/code/<cache key>.cwasm  compiled components; can be made again at any time
//! DATA/tmp/                    files being written; emptied at every start
//! ```
//!
//! Everything here is synchronous and may wait for the disk, except what is answered from memory
//! (the documentation says which); async callers use `spawn_blocking`. The store reads no clock and
//! knows nothing about WebAssembly: times and descriptions come with the records.

mod artifacts;
mod digest;
mod error;
mod metadata;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::Mutex;

use crate::spec::Digest;

use self::{artifacts::Artifacts, metadata::Metadata};
pub use self::{
    artifacts::{Upload, Uploaded},
    error::{StoreError, is_full},
    metadata::{
        ComponentRecord, ComponentUser, DeploymentRecord, JsonText, PolicyRecord, PolicyUse,
        PolicyVersionRecord,
    },
};

/// How often, and how far apart, the lock of the data folder is tried: for half a second in all.
const LOCK_TRIES: u32 = 25;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// One data folder, opened by this process alone. Shared behind an `Arc`; all methods take `&self`.
pub struct Store {
    folder: PathBuf,
    artifacts: Artifacts,
    metadata: Metadata,
    /// Held while a file and its metadata change together, so that they cannot cross.
    pairing: Mutex<()>,
    /// Dropped last: the folder stays ours until everything else is closed.
    _lock: File,
}

impl Store {
    /// Opens `folder`, creating it if it is not there, and removes what a killed process left behind.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] when another process uses the folder, [`StoreError::Unreadable`] when
    /// it cannot be used at all (not a folder, read-only, no permission), [`StoreError::Full`] and
    /// [`StoreError::Database`] when the metadata cannot be opened. All of them name the folder or a
    /// file in it.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, StoreError> {
        let folder = folder.as_ref();
        let unreadable =
            |source: io::Error| StoreError::Unreadable { folder: folder.to_owned(), source };
        create_folder(folder).map_err(unreadable)?;
        // From here on every path is absolute, so that messages help and a later `chdir` is harmless.
        let folder = &folder.canonicalize().map_err(unreadable)?;
        let lock = lock(folder)?;
        for part in ["artifacts", "code", "tmp"] {
            create_folder(&folder.join(part)).map_err(unreadable)?;
        }
        empty_folder(&folder.join("tmp")).map_err(unreadable)?;
        let metadata = Metadata::open(folder.join("meta.redb"))?;
        artifacts::sync_folder(folder)?; // New files in it are only durable once the folder is.
        let artifacts = Artifacts::new(folder);
        artifacts.remove_unknown_code(|key| metadata.code_checksum(key).is_some());
        artifacts.remove_unknown_components(|hex| {
            metadata.get::<ComponentRecord>(&format!("sha256:{hex}")).is_some()
        });
        let folder = folder.clone();
        Ok(Self { folder, artifacts, metadata, pairing: Mutex::new(()), _lock: lock })
    }

    /// The data folder, as an absolute path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts an upload of at most `limit_bytes`. Dropping it removes what was written.
    pub fn begin_upload(&self, limit_bytes: u64) -> Result<Upload, StoreError> {
        self.artifacts.begin_upload(limit_bytes)
    }

    /// Makes an upload visible under `record`: the file first, then the metadata, both on disk when
    /// this returns. True if the component is new. A known one is written again, which repairs a
    /// damaged file, and keeps its first record.
    ///
    /// # Panics
    ///
    /// When `record.digest` is not the digest of the upload.
    pub fn commit_component(
        &self,
        upload: Uploaded,
        record: ComponentRecord,
    ) -> Result<bool, StoreError> {
        assert_eq!(upload.digest(), record.digest, "a record describes the upload it comes with");
        let digest = record.digest;
        let _pairing = self.pairing.lock();
        self.artifacts.commit_component(upload)?;
        let added = self.metadata.add_component(record);
        if added.is_err() && self.component(&digest).is_none() {
            self.artifacts.remove_component(&digest);
        }
        added
    }

    /// The bytes of a component, checked against its digest every time.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an unknown digest, [`StoreError::Corrupt`] when the file is gone,
    /// cut short or changed; uploading the component again repairs it.
    pub fn read_component(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        if self.component(digest).is_none() {
            return Err(StoreError::NotFound { kind: "component", name: digest.to_string() });
        }
        self.artifacts.read_component(digest)
    }

    /// What is known about a component. From memory.
    pub fn component(&self, digest: &Digest) -> Option<ComponentRecord> {
        self.metadata.get(&digest.to_string())
    }

    /// All components by digest. From memory.
    pub fn components(&self) -> Vec<ComponentRecord> {
        self.metadata.list()
    }

    /// Who needs a component: deployments that run it or are scaled by it, policies named after it.
    /// From memory.
    #[cfg(test)]
    pub fn component_users(&self, digest: &Digest) -> Vec<ComponentUser> {
        self.metadata.component_users(digest)
    }

    /// Forgets a component, its file and its compiled code.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] while anything refers to it, [`StoreError::NotFound`].
    pub fn delete_component(&self, digest: &Digest) -> Result<(), StoreError> {
        let _pairing = self.pairing.lock();
        let code_keys = self.metadata.delete_component(digest)?;
        self.artifacts.remove_component(digest);
        code_keys.iter().for_each(|key| self.artifacts.remove_code(key));
        Ok(())
    }

    /// Stores a deployment, replacing the one of the same name. On disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when its component is not (or no longer) there.
    pub fn put_deployment(&self, record: DeploymentRecord) -> Result<(), StoreError> {
        self.metadata.put_deployment(record)
    }

    /// From memory.
    #[cfg(test)]
    pub fn deployment(&self, name: &str) -> Option<DeploymentRecord> {
        self.metadata.get(name)
    }

    /// All deployments by name. From memory.
    pub fn deployments(&self) -> Vec<DeploymentRecord> {
        self.metadata.list()
    }

    /// [`StoreError::NotFound`] when there is no such deployment.
    pub fn delete_deployment(&self, name: &str) -> Result<(), StoreError> {
        self.metadata.delete::<DeploymentRecord>(name)
    }

    /// Gives a policy component a name, replacing what had the name. On disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when its component is not (or no longer) there.
    pub fn put_policy(&self, record: PolicyRecord) -> Result<(), StoreError> {
        self.metadata.put_policy(record)
    }

    /// From memory. Built-in policies are not in the store.
    pub fn policy(&self, name: &str) -> Option<PolicyRecord> {
        self.metadata.get(name)
    }

    /// All pushed policies by name. From memory.
    pub fn policies(&self) -> Vec<PolicyRecord> {
        self.metadata.list()
    }

    /// [`StoreError::NotFound`] when there is no such policy. Deployments that use it keep it: they
    /// hold its digest.
    pub fn delete_policy(&self, name: &str) -> Result<(), StoreError> {
        self.metadata.delete::<PolicyRecord>(name)
    }

    /// Where the compiled code for `key` is or would be; does not look whether it is there or whole.
    ///
    /// # Panics
    ///
    /// When `key` is not a plain file name of `[A-Za-z0-9._+-]`. Keys start with the component's hex
    /// digest, so that the code goes when the component goes.
    pub fn code_path(&self, key: &str) -> PathBuf {
        self.artifacts.code_path(key)
    }

    /// A path of its own in the same file system, to write compiled code to. The caller creates the
    /// file; what is never committed is removed at the next start. Panics as [`Store::code_path`].
    pub fn begin_code(&self, key: &str) -> PathBuf {
        self.artifacts.begin_code(key)
    }

    /// Makes the code written to `tmp` (from [`Store::begin_code`]) the code for `key` and notes its
    /// checksum. On disk when this returns; `tmp` is gone afterwards, also when this failed.
    pub fn commit_code(&self, key: &str, tmp: &Path) -> Result<PathBuf, StoreError> {
        let _pairing = self.pairing.lock();
        // The old checksum goes first: a crash in between leaves code without one, which is removed
        // at the next start, and never new code beside an old checksum.
        if self.metadata.code_checksum(key).is_some() {
            self.metadata.forget_code(key)?;
        }
        let checksum = self.artifacts.commit_code(key, tmp)?;
        if let Err(error) = self.metadata.put_code(key, checksum) {
            self.artifacts.remove_code(key);
            return Err(error);
        }
        Ok(self.code_path(key))
    }

    /// The compiled code for `key` if it is there and matches its checksum. Code that does not match
    /// is removed and logged, and the answer is `None`: the caller compiles again. The checksum is
    /// computed once per process and file, and again when the file looks different.
    pub fn load_code(&self, key: &str) -> Result<Option<PathBuf>, StoreError> {
        let Some(checksum) = self.metadata.code_checksum(key) else { return Ok(None) };
        if self.artifacts.code_is_whole(key, &checksum)? {
            return Ok(Some(self.code_path(key)));
        }
        let _pairing = self.pairing.lock();
        let path = self.code_path(key);
        tracing::warn!(path = %path.display(), "compiled code is missing or damaged, compiling again");
        self.artifacts.remove_code(key);
        Ok(None)
    }

    /// Removes the compiled code whose key is not wanted any more, for example that of another
    /// version of the engine. Returns how many were removed.
    pub fn sweep_code(&self, is_wanted: impl Fn(&str) -> bool) -> Result<usize, StoreError> {
        let _pairing = self.pairing.lock();
        let unwanted: Vec<_> =
            self.metadata.code_keys().into_iter().filter(|key| !is_wanted(key)).collect();
        for key in &unwanted {
            self.metadata.forget_code(key)?;
            self.artifacts.remove_code(key);
        }
        Ok(unwanted.len())
    }
}

/// Makes a write beyond the file size limit of the process (`ulimit -f`) fail with an error, as a
/// full disk does, instead of killing the process. Call it once, first thing in `main`.
#[expect(unsafe_code, reason = "there is no safe call to ignore a signal")]
pub fn ignore_sigxfsz() {
    // SAFETY: ignoring a signal installs no handler, so no code of ours runs in signal context.
    let previous = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    assert_ne!(previous, libc::SIG_ERR, "SIGXFSZ is a signal that can be ignored");
}

/// Only its owner may enter: compiled code is trusted as much as the program itself.
fn create_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let unreadable = |source| StoreError::Unreadable { folder: folder.to_owned(), source };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("lock"))
        .map_err(unreadable)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => pause(),
            Err(TryLockError::Error(source)) => return Err(unreadable(source)),
        }
    }
    Err(StoreError::Locked { folder: folder.to_owned() })
}

/// A process that was killed holds its lock until its memory is torn down, and so does a child it
/// was just starting.
#[expect(clippy::disallowed_methods, reason = "at start-up, before there is a runtime to wait in")]
fn pause() {
    std::thread::sleep(LOCK_PAUSE);
}

fn empty_folder(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
