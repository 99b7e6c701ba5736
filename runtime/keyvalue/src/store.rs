//! The store itself.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
};

use crate::{
    bucket::Space,
    disk::Disk,
    error::{Error, OpenError},
    limits::Settings,
    registry::Usage,
    writer::{Op, Outcome, Shared, Swept, Writer},
};

/// One open file with the values of all deployments, and the thread that writes it.
///
/// Dropping it writes what is queued, closes the file and waits for that; handles that are still
/// there answer [`Error::Closed`] from then on.
pub struct KeyValue {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl KeyValue {
    /// Opens the file at `path`, or creates it if it is not there or empty. Its folder must be
    /// there. All of the file is read and checked once; blocks for as long as that takes.
    ///
    /// # Errors
    ///
    /// [`OpenError::Locked`] while somebody has it open, [`OpenError::Foreign`] and
    /// [`OpenError::Corrupt`] when it is not, or no longer, what it should be, else
    /// [`OpenError::Io`]. Nothing of the file is changed then.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let disk = Disk::open(path)?;
        let writer = Writer::new(disk).map_err(|error| OpenError::database(path, error))?;
        let shared = writer.shared();
        let thread = thread::Builder::new().name("keyvalue".into()).spawn(|| writer.run());
        let thread = thread.map_err(|error| OpenError::io("start a thread for", path, error))?;
        Ok(Self { shared, writer: Some(thread) })
    }

    /// What the deployment `name` has, and may have. From memory.
    ///
    /// Opening it again gives other limits to all its handles and keeps its values.
    pub fn deployment(&self, name: &str, settings: Settings) -> Space {
        let space = self.shared.registry.open(name, settings);
        *space.settings.write() = settings;
        Space::new(self.shared.clone(), space)
    }

    /// Names of deployments that are open or have values, in order: after a start, those whose
    /// values are there. From memory.
    pub fn deployments(&self) -> Vec<String> {
        self.shared.registry.all().iter().map(|space| space.name.clone()).collect()
    }

    /// What a deployment has stored; nothing for one that is not there. From memory.
    pub fn usage(&self, deployment: &str) -> Usage {
        self.shared.registry.get(deployment).map(|space| space.usage()).unwrap_or_default()
    }

    /// Removes a deployment and all its values. Its handles answer [`Error::Removed`] afterwards,
    /// and one of the same name starts empty. The room is free after the next sweeps.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] and [`Error::Disk`]; it may be there, still, then. [`Error::Closed`].
    pub async fn remove_deployment(&self, name: &str) -> Result<(), Error> {
        self.shared.write(Op::Remove { name: name.to_owned() }).await.map(drop)
    }

    /// Removes at most `max` values (at least one) that expired by `now_ms`, or whose deployment
    /// was removed. Call it now and then, and again soon until [`Swept::is_done`]; writes wait for
    /// one step, so 1000 is a good `max`. It also opens a file again that had failed.
    ///
    /// # Errors
    ///
    /// [`Error::Full`], [`Error::Disk`], [`Error::Closed`].
    pub async fn sweep(&self, now_ms: u64, max: usize) -> Result<Swept, Error> {
        match self.shared.write(Op::Sweep { now_ms, max: max.max(1) }).await? {
            Outcome::Swept(swept) => Ok(swept),
            Outcome::Done | Outcome::Count(_) => unreachable!("a sweep answers with what it did"),
        }
    }
}

impl Drop for KeyValue {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(writer) = self.writer.take() {
            // It only panics if our own bookkeeping is wrong, which it has reported then.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyValue").field("deployments", &self.deployments()).finish()
    }
}
