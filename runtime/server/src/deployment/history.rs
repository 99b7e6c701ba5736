//! The policies a deployment has had.

use crate::api::{PolicyVersion, Via};
use crate::clock;
use crate::deployment::Scaling;

/// Versions kept. Older ones are forgotten, their components can then be deleted.
const VERSIONS_MAX: usize = 50;

/// Policies of one deployment, oldest first. The last one is live.
#[derive(Clone, Debug)]
pub struct History {
    versions: Vec<PolicyVersion>,
}

impl History {
    /// The first policy of a new deployment.
    pub fn new(scaling: &Scaling) -> Self {
        History { versions: vec![version(1, scaling, Via::Deploy)] }
    }

    /// A history that was stored. An empty one, from before histories were kept, starts with what
    /// is live.
    pub fn restored(versions: Vec<PolicyVersion>, live: &Scaling) -> Self {
        if versions.is_empty() { History::new(live) } else { History { versions } }
    }

    /// This history after `scaling` went live.
    pub fn with(&self, scaling: &Scaling, via: Via) -> Self {
        let number = self.live().version + 1;
        let excess = (self.versions.len() + 1).saturating_sub(VERSIONS_MAX);
        let mut versions = self.versions[excess..].to_vec();
        versions.push(version(number, scaling, via));
        History { versions }
    }

    /// The policy that is live.
    pub fn live(&self) -> &PolicyVersion {
        self.versions.last().expect("a history starts with a version and never shrinks to none")
    }

    /// The version with this number, or the one before the live one.
    pub fn get(&self, number: Option<u64>) -> Option<&PolicyVersion> {
        match number {
            Some(number) => self.versions.iter().find(|version| version.version == number),
            None => self.versions.iter().rev().nth(1),
        }
    }

    /// All versions, oldest first.
    pub fn versions(&self) -> &[PolicyVersion] {
        &self.versions
    }
}

fn version(number: u64, scaling: &Scaling, via: Via) -> PolicyVersion {
    PolicyVersion {
        version: number,
        name: scaling.policy.clone(),
        digest: scaling.digest(),
        config: scaling.config.clone(),
        since_ms: clock::unix_ms(),
        via,
    }
}
