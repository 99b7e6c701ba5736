//! What the admin API can do, behind HTTP: components, deployments, policies.
//!
//! Changes of one name go one after the other. Each change is on disk before it is live, and live
//! before it is answered.

mod components;
mod deployments;
mod invoke;
mod live_policy;
pub mod manual;
mod policies;
mod revisions;
mod surroundings;
mod trial;

use crate::api::{ApiError, ErrorCode};
use crate::calls::Registry;
use crate::deployment::{Deployment, Deployments};
use crate::dispatch::Dispatch;
use crate::driver::Loops;
use crate::keyvalue::Values;
use crate::library::{Library, blocking};
use crate::native::Native;
use crate::slots::Slots;
use crate::spec::DeploymentName;
use crate::store::Store;
use crate::wasm::replica::heavy::Heavy;
use dashmap::DashMap;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// Locks kept before those nobody holds are thrown away.
const LOCKS_MAX: usize = 1024;

/// Everything the server manages.
pub struct Control {
    /// What survives a restart.
    store: Arc<Store>,
    /// Compiled code.
    pub library: Arc<Library>,
    /// What runs.
    pub deployments: Arc<Deployments>,
    /// Serves its requests.
    pub dispatch: Arc<Dispatch>,
    /// Instances that are saying goodbye.
    pub farewells: TaskTracker,
    /// What the machine holds.
    pub slots: Arc<Slots>,
    /// Processes and workers.
    pub native: Arc<Native>,
    /// What handlers store.
    pub keyvalue: Values,
    /// Where the control loops run.
    loops: Loops,
    /// Bytes of one upload.
    component_bytes_max: u64,
    /// Whether guests may make the host panic.
    fault_injection: bool,
    heavy: Heavy,
    /// One lock per name that is being changed, of deployments and policies alike.
    changing: DashMap<String, Arc<tokio::sync::Mutex<()>>>,
}

/// How a [`Control`] is set up.
pub struct Setup {
    /// What survives a restart.
    pub store: Arc<Store>,
    /// Compiled code.
    pub library: Arc<Library>,
    /// Processes and workers.
    pub native: Arc<Native>,
    /// Instances the machine may hold.
    pub slots: u32,
    /// Bytes of one upload.
    pub component_bytes_max: u64,
    /// Whether guests may make the host panic; for tests.
    pub fault_injection: bool,
    /// The threads of guests that compute for long.
    pub heavy: Heavy,
}

impl Control {
    /// Manages nothing yet; see [`Control::restore`].
    ///
    /// # Errors
    ///
    /// When the system gives no thread for the control loops.
    pub fn new(setup: Setup) -> anyhow::Result<Arc<Self>> {
        let deployments: Arc<Deployments> = Arc::default();
        let calls = Registry::new()?;
        let dispatch = Dispatch { deployments: Arc::clone(&deployments), calls };
        Ok(Arc::new(Control {
            loops: Loops::start()?,
            keyvalue: Values::open(setup.store.folder()),
            store: setup.store,
            library: setup.library,
            deployments,
            dispatch: Arc::new(dispatch),
            farewells: TaskTracker::new(),
            slots: Arc::new(Slots::new(setup.slots, setup.native.device_count())),
            native: setup.native,
            component_bytes_max: setup.component_bytes_max,
            fault_injection: setup.fault_injection,
            heavy: setup.heavy,
            changing: DashMap::new(),
        }))
    }

    /// One deployment.
    ///
    /// # Errors
    ///
    /// `not-found`.
    pub fn deployment(&self, name: &DeploymentName) -> Result<Arc<Deployment>, ApiError> {
        self.deployments.get(name).ok_or_else(|| not_found("deployment", name))
    }

    /// Waits until nobody else changes what has this name.
    async fn change(&self, kind: &str, name: &str) -> tokio::sync::OwnedMutexGuard<()> {
        if self.changing.len() > LOCKS_MAX {
            self.changing.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        let lock = Arc::clone(&self.changing.entry(format!("{kind}/{name}")).or_default());
        lock.lock_owned().await
    }

    /// Runs a change of the store where it holds up nobody.
    async fn stored<R: Send + 'static>(
        &self,
        change: impl FnOnce(&Store) -> Result<R, crate::store::StoreError> + Send + 'static,
    ) -> Result<R, ApiError> {
        let store = Arc::clone(&self.store);
        Ok(blocking(move || change(&store)).await??)
    }
}

/// The error for a name nothing has.
fn not_found(kind: &str, name: impl std::fmt::Display) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("there is no {kind} `{name}`"))
}
