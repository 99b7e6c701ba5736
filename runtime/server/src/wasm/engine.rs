//! The three engines: two for handlers, one for policies.
//!
//! Handlers are interrupted by epochs, which cost little and give fairness between busy guests. Those
//! that know nothing of asynchronous calls have an engine without: wasmtime's bookkeeping of tasks
//! costs them a fifth of a request. Policies run on fuel, which is deterministic: the same inputs
//! always stop at the same place.

use crate::spec::World;
use std::num::NonZeroUsize;
use std::time::Duration;
use wasmtime::{Config, Engine, ModuleVersionStrategy, PoolingAllocationConfig, Strategy};

/// The wasmtime this binary was built with. Precompiled code is never shared between versions: a
/// later one may fix a miscompilation, and wasmtime itself only compares major versions.
pub const WASMTIME_VERSION: &str = env!("SAMOVAR_WASMTIME_VERSION");

/// How often a running handler is interrupted to let others run and to look at its budget.
pub const EPOCH: Duration = Duration::from_millis(5);

/// Room for trial starts beside the replicas.
const TRIALS: u32 = 16;
/// Tables of Python and JavaScript guests hold tens of thousands of functions.
const TABLE_ELEMENTS_MAX: usize = 100_000;
/// A component is several core instances: its modules, adapters and shims.
const CORE_INSTANCES_PER_SLOT: u32 = 4;
/// Linear memories of one component; most have one, those with an adapter two.
const MEMORIES_PER_SLOT: u32 = 2;
/// Tables of one component.
const TABLES_PER_SLOT: u32 = 3;
/// Calls of one instance that may be suspended at once, each on a stack of its own, on average.
const STACKS_PER_SLOT: u32 = 4;
/// A Python component has a data section of 12 MB, which should be mapped and not copied.
const DENSE_IMAGE_MAX: u64 = 64 << 20;

/// What code is compiled for. Each has its own configuration, and so its own engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Purpose {
    /// A handler that knows nothing of asynchronous calls.
    Handler,
    /// A handler that makes asynchronous calls, or is called in this way.
    AsyncHandler,
    /// A policy.
    Policy,
}

impl Purpose {
    /// As in the names of files with code.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Handler => "handler",
            Purpose::AsyncHandler => "async-handler",
            Purpose::Policy => "policy",
        }
    }

    /// What the code of a component can have been compiled for, likely ones first.
    pub fn of_world(world: World) -> &'static [Purpose] {
        match world {
            World::HttpProxy02 | World::Batch01 => &[Purpose::Handler, Purpose::AsyncHandler],
            World::HttpService03 => &[Purpose::AsyncHandler],
            World::Policy01 => &[Purpose::Policy],
        }
    }

    /// The configuration. Code that was compiled under it runs whatever the engine's allocator.
    fn config(self) -> anyhow::Result<Config> {
        match self {
            Purpose::Handler | Purpose::AsyncHandler => {
                let mut config = common_config(self.as_str())?;
                config.epoch_interruption(true);
                config.concurrency_support(self == Purpose::AsyncHandler);
                Ok(config)
            }
            Purpose::Policy => policy_config(),
        }
    }
}

/// The configuration for policies: deterministic, and stopped by fuel.
fn policy_config() -> anyhow::Result<Config> {
    let mut config = common_config(Purpose::Policy.as_str())?;
    config.consume_fuel(true);
    config.cranelift_nan_canonicalization(true);
    config.relaxed_simd_deterministic(true);
    config.concurrency_support(false);
    Ok(config)
}

fn common_config(purpose: &str) -> anyhow::Result<Config> {
    let mut config = Config::new();
    config.strategy(Strategy::Cranelift);
    config.wasm_backtrace_max_frames(NonZeroUsize::new(20));
    config.memory_init_cow(true);
    config.memory_guaranteed_dense_image_size(DENSE_IMAGE_MAX);
    let version = format!("{WASMTIME_VERSION}-{purpose}");
    config.module_version(ModuleVersionStrategy::Custom(version))?;
    Ok(config)
}

/// An engine that only compiles. It reserves no address space.
pub fn compiler(purpose: Purpose) -> anyhow::Result<Engine> {
    Ok(Engine::new(&purpose.config()?)?)
}

/// An engine that handlers run in, with room for `slots` instances. Falls back to allocation on
/// demand where the address space is too small for the pool.
///
/// # Errors
///
/// When wasmtime refuses the configuration on this machine.
pub fn handlers(purpose: Purpose, slots: u32) -> anyhow::Result<Engine> {
    let mut config = purpose.config()?;
    config.allocation_strategy(pooling(slots));
    match Engine::new(&config) {
        Ok(engine) => Ok(engine),
        Err(error) => {
            tracing::warn!("no pooling allocator, instances start slower: {error:#}");
            Ok(Engine::new(&purpose.config()?)?)
        }
    }
}

/// The engine policies run in.
///
/// # Errors
///
/// When wasmtime refuses the configuration on this machine.
pub fn policies() -> anyhow::Result<Engine> {
    Ok(Engine::new(&policy_config()?)?)
}

fn pooling(slots: u32) -> PoolingAllocationConfig {
    let slots = slots.saturating_add(TRIALS);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots);
    pool.total_core_instances(slots.saturating_mul(CORE_INSTANCES_PER_SLOT));
    pool.total_memories(slots.saturating_mul(MEMORIES_PER_SLOT));
    pool.total_tables(slots.saturating_mul(TABLES_PER_SLOT));
    pool.total_stacks(slots.saturating_mul(STACKS_PER_SLOT));
    pool.total_gc_heaps(slots);
    pool.table_elements(TABLE_ELEMENTS_MAX);
    pool.max_tables_per_module(20);
    pool.max_memories_per_module(4);
    pool.max_core_instance_size(8 << 20);
    pool.max_component_instance_size(8 << 20);
    pool
}

/// Advances the epoch of these engines until they are dropped. One thread for all instances.
///
/// # Errors
///
/// When the thread cannot be started.
#[expect(clippy::disallowed_methods, reason = "a thread of its own that does nothing but tick")]
pub fn start_ticker(engines: &[&Engine]) -> std::io::Result<()> {
    let mut engines: Vec<_> = engines.iter().map(|engine| engine.weak()).collect();
    std::thread::Builder::new().name("epoch".into()).spawn(move || {
        while !engines.is_empty() {
            engines.retain(|engine| {
                engine.upgrade().is_some_and(|engine| {
                    engine.increment_epoch();
                    true
                })
            });
            std::thread::sleep(EPOCH);
        }
    })?;
    Ok(())
}

/// Everything precompiled code depends on: wasmtime's full version, its settings and the machine.
pub fn code_fingerprint(engine: &Engine) -> String {
    use sha2::Digest as _;
    use std::hash::{Hash as _, Hasher};

    struct Sha(sha2::Sha256);
    impl Hasher for Sha {
        fn finish(&self) -> u64 {
            0 // Not used: the whole digest is.
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut hasher = Sha(sha2::Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let digest = hex::encode(hasher.0.finalize());
    format!("{WASMTIME_VERSION}-{}-{}", std::env::consts::ARCH, &digest[..16])
}
