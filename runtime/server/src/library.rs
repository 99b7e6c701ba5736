//! Compiled code: from an uploaded artifact to something that can be started.
//!
//! Code is compiled once, at upload, and kept on disk under the component's digest and everything
//! the code depends on. It is loaded when a replica first needs it, and forgotten when no replica runs
//! it and others were needed since. Code that is damaged or was made by another version is compiled
//! again from the artifact.

mod kept;

use crate::api::{ApiError, ErrorCode};
use crate::policy::{PolicyHost, Program};
use crate::spec::{Digest, World};
use crate::store::{Store, StoreError};
use crate::warm_pool::CodeSource;
use crate::wasm::compile::{CompileLimits, Compilers};
use crate::wasm::component::{self, HandlerCode};
use crate::wasm::engine::{self, Purpose};
use crate::wasm::guest::Guest;
use crate::wasm::inspect::{self, Kind};
use anyhow::Context as _;
use kept::Kept;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::Mutex;
use wasmtime::Engine;
use wasmtime::component::Linker;

/// A policy that is part of the binary.
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// Its component.
    pub wasm: &'static [u8],
}

/// The policies inside.
pub const BUILTINS: &[Builtin] = &[
    Builtin { name: "flyte", wasm: include_bytes!(concat!(env!("OUT_DIR"), "/flyte.wasm")) },
    Builtin {
        name: "kubetorch",
        wasm: include_bytes!(concat!(env!("OUT_DIR"), "/kubetorch.wasm")),
    },
    Builtin {
        name: "lightning",
        wasm: include_bytes!(concat!(env!("OUT_DIR"), "/lightning.wasm")),
    },
    Builtin {
        name: "ray-serve",
        wasm: include_bytes!(concat!(env!("OUT_DIR"), "/ray-serve.wasm")),
    },
    Builtin { name: "vast", wasm: include_bytes!(concat!(env!("OUT_DIR"), "/vast.wasm")) },
];

/// What handlers run in, and what they can be linked to there.
struct Handlers {
    plain: (Engine, Linker<Guest>),
    asynchronous: (Engine, Linker<Guest>),
}

impl Handlers {
    fn new(slots: u32) -> anyhow::Result<Self> {
        let plain = engine::handlers(Purpose::Handler, slots)?;
        let asynchronous = engine::handlers(Purpose::AsyncHandler, slots)?;
        Ok(Handlers {
            plain: (plain.clone(), component::plain_linker(&plain)?),
            asynchronous: (asynchronous.clone(), component::async_linker(&asynchronous)?),
        })
    }

    fn engines(&self) -> [&Engine; 2] {
        [&self.plain.0, &self.asynchronous.0]
    }
}

/// Code on disk.
struct Code {
    file: PathBuf,
    /// What it was compiled for.
    purpose: Purpose,
}

/// Loads and keeps code.
pub struct Library {
    store: Arc<Store>,
    compilers: Compilers,
    handlers: Handlers,
    policies: PolicyHost,
    builtins: BTreeMap<Digest, &'static Builtin>,
    compilations: AtomicU64,
    handlers_known: parking_lot::Mutex<HashMap<(Digest, World), Weak<LazyCode>>>,
    kept: Kept,
    programs: Mutex<BTreeMap<Digest, Weak<Program>>>,
}

impl Library {
    /// A library over `store`, with room for `slots` instances. It keeps at most `code_bytes_max`
    /// of the code of handlers that no replica runs, counted as it is on disk.
    ///
    /// # Errors
    ///
    /// When wasmtime cannot run on this machine.
    pub fn new(
        store: Arc<Store>,
        limits: CompileLimits,
        slots: u32,
        code_bytes_max: u64,
    ) -> anyhow::Result<Arc<Self>> {
        let handlers = Handlers::new(slots).context("set up the engines for handlers")?;
        engine::start_ticker(&handlers.engines()).context("start the epoch thread")?;
        let policies = engine::policies().context("set up the engine for policies")?;
        let [plain, asynchronous] = handlers.engines();
        let wanted = [plain, asynchronous, &policies].map(engine::code_fingerprint);
        let swept = store.sweep_code(|key| wanted.iter().any(|engine| key.ends_with(engine)));
        match swept.context("remove compiled code of other versions")? {
            0 => {}
            count => tracing::info!("removed {count} pieces of code compiled by another version"),
        }
        Ok(Arc::new(Library {
            store,
            compilers: Compilers::new(limits),
            policies: PolicyHost::new(policies)?,
            handlers,
            builtins: BUILTINS.iter().map(|builtin| (Digest::of(builtin.wasm), builtin)).collect(),
            compilations: AtomicU64::new(0),
            handlers_known: parking_lot::Mutex::default(),
            kept: Kept::new(code_bytes_max),
            programs: Mutex::default(),
        }))
    }

    /// The engines of handlers, for their metrics.
    pub fn handler_engines(&self) -> [&Engine; 2] {
        self.handlers.engines()
    }

    /// How often the compiler ran since the server started.
    pub fn compilations(&self) -> u64 {
        self.compilations.load(Ordering::Relaxed)
    }

    /// Bytes of code that stay in memory whether a replica runs it or not.
    pub fn kept_bytes(&self) -> u64 {
        self.kept.bytes()
    }

    /// A built-in policy's component.
    pub fn builtin(&self, name: &str) -> Option<(Digest, &'static Builtin)> {
        let found = self.builtins.iter().find(|(_, builtin)| builtin.name == name);
        found.map(|(digest, builtin)| (*digest, *builtin))
    }

    /// Compiles a component that is not stored yet, and checks that it links and starts to run.
    ///
    /// # Errors
    ///
    /// Everything that can be wrong with it.
    pub async fn admit(&self, digest: Digest, world: World, wasm: &Path) -> Result<(), ApiError> {
        let code = match self.stored_code(digest, world).await? {
            Some(code) => code,
            None => self.compile(digest, world, wasm).await?,
        };
        match Kind::from(world) {
            Kind::Handler => drop(self.link(code, world).await?),
            Kind::Policy => drop(self.start_program(digest, code).await?),
        }
        Ok(())
    }

    /// A handler's code, loaded when it is first needed. The same for all that use it.
    pub fn handler(self: &Arc<Self>, digest: Digest, world: World) -> Arc<LazyCode> {
        let mut known = self.handlers_known.lock();
        if let Some(code) = known.get(&(digest, world)).and_then(Weak::upgrade) {
            return code;
        }
        // Now and then, so that making many deployments takes no longer for each one.
        if known.len() == known.capacity() {
            known.retain(|_, code| code.strong_count() > 0);
        }
        let code = Arc::new(LazyCode {
            library: Arc::clone(self),
            digest,
            world,
            loaded: Mutex::default(),
        });
        known.insert((digest, world), Arc::downgrade(&code));
        code
    }

    /// A running policy. The same for all that use it.
    ///
    /// # Errors
    ///
    /// When its artifact is damaged, or it cannot be started.
    pub async fn program(&self, digest: Digest) -> Result<Arc<Program>, ApiError> {
        let mut programs = self.programs.lock().await;
        if let Some(program) = programs.get(&digest).and_then(Weak::upgrade) {
            return Ok(program);
        }
        programs.retain(|_, program| program.strong_count() > 0);
        let code = self.code(digest, World::Policy01).await?;
        let program = self.start_program(digest, code).await?;
        programs.insert(digest, Arc::downgrade(&program));
        Ok(program)
    }

    /// The file with the code of a known component; compiled if it is not there.
    async fn code(&self, digest: Digest, world: World) -> Result<Code, ApiError> {
        if let Some(code) = self.stored_code(digest, world).await? {
            return Ok(code);
        }
        let wasm = match self.builtins.get(&digest) {
            Some(builtin) => builtin.wasm.to_vec(),
            None => {
                let store = Arc::clone(&self.store);
                blocking(move || store.read_component(&digest)).await??
            }
        };
        // The compiler reads a copy that was checked, not the artifact itself.
        let copy = self.store.begin_code(&format!("{}-source", digest.hex()));
        let written = copy.clone();
        blocking(move || std::fs::write(written, wasm)).await?.map_err(|error| {
            ApiError::new(ErrorCode::StorageFailed, format!("copy component {digest}: {error}"))
        })?;
        let compiled = self.compile(digest, world, &copy).await;
        _ = std::fs::remove_file(&copy);
        compiled
    }

    async fn stored_code(&self, digest: Digest, world: World) -> Result<Option<Code>, ApiError> {
        for purpose in Purpose::of_world(world) {
            let store = Arc::clone(&self.store);
            let key = self.code_key(digest, *purpose);
            if let Some(file) = blocking(move || store.load_code(&key)).await?? {
                return Ok(Some(Code { file, purpose: *purpose }));
            }
        }
        Ok(None)
    }

    async fn compile(&self, digest: Digest, world: World, wasm: &Path) -> Result<Code, ApiError> {
        let source = wasm.to_owned();
        let purpose = blocking(move || {
            let wasm = std::fs::read(source).map_err(|error| {
                let message = format!("read component {digest}: {error}");
                ApiError::new(ErrorCode::StorageFailed, message)
            })?;
            Ok::<_, ApiError>(inspect::purpose(world, &wasm))
        });
        let purpose = purpose.await??;
        let key = self.code_key(digest, purpose);
        let written = self.store.begin_code(&key);
        self.compilations.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.compilers.compile(purpose, wasm, &written).await {
            _ = std::fs::remove_file(&written);
            return Err(error);
        }
        let store = Arc::clone(&self.store);
        let file = blocking(move || store.commit_code(&key, &written)).await??;
        Ok(Code { file, purpose })
    }

    fn code_key(&self, digest: Digest, purpose: Purpose) -> String {
        let engine = match purpose {
            Purpose::Handler => &self.handlers.plain.0,
            Purpose::AsyncHandler => &self.handlers.asynchronous.0,
            Purpose::Policy => self.policies.engine(),
        };
        format!("{}-{}-{}", digest.hex(), purpose.as_str(), engine::code_fingerprint(engine))
    }

    async fn link(&self, code: Code, world: World) -> Result<HandlerCode, ApiError> {
        let (engine, linker) = match code.purpose {
            Purpose::AsyncHandler => &self.handlers.asynchronous,
            Purpose::Handler | Purpose::Policy => &self.handlers.plain,
        };
        let engine = engine.clone();
        let component = blocking(move || {
            let component = component::load(&engine, &code.file)?;
            // Now, not in the first request's way.
            _ = component.initialize_copy_on_write_image();
            Ok::<_, ApiError>(component)
        });
        component::link_handler(linker, &component.await??, world)
    }

    async fn start_program(&self, digest: Digest, code: Code) -> Result<Arc<Program>, ApiError> {
        let engine = self.policies.engine().clone();
        let component = blocking(move || component::load(&engine, &code.file)).await??;
        // Its first call is bounded by fuel.
        tokio::task::block_in_place(|| self.policies.start(digest, &component))
    }
}

/// Runs what waits for the disk, or computes for long, where it holds up nobody.
pub async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        ApiError::new(ErrorCode::StorageFailed, format!("a working thread failed: {error}"))
    })
}

/// A handler's code, loaded when it is needed.
pub struct LazyCode {
    library: Arc<Library>,
    digest: Digest,
    world: World,
    /// Kept alive by its replicas, and by the library for a while. Locked while it is being loaded.
    loaded: Mutex<Weak<HandlerCode>>,
}

impl LazyCode {
    /// The code.
    ///
    /// # Errors
    ///
    /// When the artifact is damaged or does not link any more. The next call tries again.
    pub async fn get(&self) -> Result<Arc<HandlerCode>, ApiError> {
        let mut loaded = self.loaded.lock().await;
        let code = match loaded.upgrade() {
            Some(code) => code,
            None => {
                let code = self.library.code(self.digest, self.world).await?;
                let code = Arc::new(self.library.link(code, self.world).await?);
                *loaded = Arc::downgrade(&code);
                code
            }
        };
        drop(loaded);
        self.library.kept.keep((self.digest, self.world), &code);
        Ok(code)
    }
}

impl CodeSource for LazyCode {
    fn code(&self) -> Pin<Box<dyn Future<Output = Result<Arc<HandlerCode>, String>> + Send + '_>> {
        Box::pin(async { self.get().await.map_err(|error| error.message) })
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        let code = match &error {
            StoreError::Full { .. } => ErrorCode::StorageFull,
            StoreError::TooLarge { .. } => ErrorCode::ComponentTooLarge,
            StoreError::NotFound { .. } => ErrorCode::NotFound,
            StoreError::InUse { .. } => ErrorCode::ComponentInUse,
            StoreError::Locked { .. }
            | StoreError::Unreadable { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Io { .. }
            | StoreError::Database { .. } => ErrorCode::StorageFailed,
        };
        ApiError::new(code, format!("{:#}", anyhow::Error::from(error)))
    }
}
