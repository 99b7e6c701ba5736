//! Who takes part, and which programs that needs.

use std::path::PathBuf;

use crate::baselines::{self, Wasmtime};

use super::workload::{Workload, World};

/// A server that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// hyper and the work, compiled for this machine: what all others are compared with.
    Native,
    Samovar(World),
    Wasmtime(Wasmtime),
    Spin,
    Workerd,
    RayServe,
    LitServe,
}

impl Contender {
    /// In the order they are measured in. The first one is the yardstick.
    pub const ALL: [Self; 11] = [
        Self::Native,
        Self::Samovar(World::Wasi02),
        Self::Samovar(World::Wasi03),
        Self::Samovar(World::Batch),
        Self::Wasmtime(Wasmtime::Default02),
        Self::Wasmtime(Wasmtime::Reuse02),
        Self::Wasmtime(Wasmtime::Default03),
        Self::Spin,
        Self::Workerd,
        Self::RayServe,
        Self::LitServe,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "bare hyper",
            Self::Samovar(World::Wasi02) => "samovar, WASI 0.2",
            Self::Samovar(World::Wasi03) => "samovar, WASI 0.3",
            Self::Samovar(World::Batch) => "samovar, batches",
            Self::Wasmtime(variant) => variant.name(),
            Self::Spin => "Spin, WASI 0.2",
            Self::Workerd => "workerd, JavaScript",
            Self::RayServe => "Ray Serve, Python",
            Self::LitServe => "LitServe, Python",
        }
    }

    /// A server of somebody else: the run goes on without it when it fails.
    pub fn is_peer(self) -> bool {
        !matches!(self, Self::Native | Self::Samovar(_))
    }

    /// The guest it runs for `workload`.
    pub fn guest(self, workload: Workload) -> Option<&'static str> {
        let world = match self {
            Self::Samovar(world) => world,
            Self::Wasmtime(Wasmtime::Default02 | Wasmtime::Reuse02) | Self::Spin => World::Wasi02,
            Self::Wasmtime(Wasmtime::Default03) => World::Wasi03,
            _ => return None,
        };
        workload.guest(world)
    }

    /// Whether it can do `workload`.
    pub fn serves(self, workload: Workload) -> bool {
        use Workload::{Echo1k, Echo1m, Hello, Json};
        match self {
            Self::Native | Self::Workerd | Self::RayServe => {
                matches!(workload, Hello | Echo1k | Echo1m | Json)
            }
            // Its handlers are given JSON and nothing else.
            Self::LitServe => matches!(workload, Hello | Json),
            Self::Samovar(_) | Self::Wasmtime(_) | Self::Spin => self.guest(workload).is_some(),
        }
    }
}

/// Programs of others, where they are installed.
#[derive(Debug)]
pub struct Programs {
    pub wasmtime: Option<PathBuf>,
    pub spin: Option<PathBuf>,
    pub workerd: Option<PathBuf>,
    /// A Python that can import Ray Serve.
    pub ray: Option<PathBuf>,
    /// A Python that can import LitServe.
    pub lit: Option<PathBuf>,
}

impl Programs {
    /// Looks for all of them.
    pub fn find() -> Self {
        // As fast as it can be known: importing Ray takes seconds.
        let python = |package: &str| {
            let test = format!("import importlib.util as u; assert u.find_spec({package:?})");
            baselines::find("PEERS_PYTHON", "venv/bin/python", "python3", &["-c", &test])
        };
        let workerd = "npm/node_modules/.bin/workerd";
        Self {
            wasmtime: baselines::wasmtime(),
            spin: baselines::find("SPIN", "bin/spin", "spin", &["--version"]),
            workerd: baselines::find("WORKERD", workerd, "workerd", &["--version"]),
            ray: python("ray"),
            lit: python("litserve"),
        }
    }

    /// The program that `contender` needs, if it is there. Our own have none.
    pub fn of(&self, contender: Contender) -> Option<&PathBuf> {
        match contender {
            Contender::Native | Contender::Samovar(_) => None,
            Contender::Wasmtime(_) => self.wasmtime.as_ref(),
            Contender::Spin => self.spin.as_ref(),
            Contender::Workerd => self.workerd.as_ref(),
            Contender::RayServe => self.ray.as_ref(),
            Contender::LitServe => self.lit.as_ref(),
        }
    }

    /// Those that are not there, and how to get them.
    pub fn missing(&self) -> Vec<(&'static str, &'static str)> {
        let all = [
            ("wasmtime serve", &self.wasmtime, "`cargo xtask peers --wasmtime`, or WASMTIME"),
            ("Spin", &self.spin, "see https://spinframework.dev, then the path or SPIN"),
            ("workerd", &self.workerd, "`cargo xtask peers`, or WORKERD"),
            ("Ray Serve", &self.ray, "`cargo xtask peers`, or a Python with it in PEERS_PYTHON"),
            ("LitServe", &self.lit, "`cargo xtask peers`, or a Python with it in PEERS_PYTHON"),
        ];
        let missing = all.into_iter().filter(|(_, program, _)| program.is_none());
        missing.map(|(name, _, how)| (name, how)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_serve_the_greeting_and_one_world_each() {
        assert!(Contender::ALL.iter().all(|contender| contender.serves(Workload::Hello)));
        let serving = |workload| Contender::ALL.into_iter().filter(move |one| one.serves(workload));
        let sleeping: Vec<_> = serving(Workload::Sleep).map(Contender::name).collect();
        assert_eq!(sleeping, ["samovar, WASI 0.3", "wasmtime serve, WASI 0.3"]);
        assert_eq!(serving(Workload::Thumbnail).count(), 4);
    }

    #[test]
    fn what_is_missing_is_named() {
        let some = Some(PathBuf::from("x"));
        let programs = Programs {
            wasmtime: some.clone(),
            spin: None,
            workerd: some.clone(),
            ray: some,
            lit: None,
        };
        let names: Vec<_> = programs.missing().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Spin", "LitServe"]);
        assert!(programs.of(Contender::Workerd).is_some());
        assert!(programs.of(Contender::Native).is_none());
    }
}
