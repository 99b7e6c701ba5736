//! What the guests of one revision may reach beside computing.

use crate::deployment::Gauges;
use crate::dispatch::Dispatch;
use crate::logs::{DeploymentLog, LogStream};
use crate::spec::CallAllow;
use samovar_keyvalue::Space;
use samovar_outbound::{CallOptions, Client};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// What the guests of one revision may reach.
pub struct Surroundings {
    /// Serves calls to other deployments.
    pub dispatch: Weak<Dispatch>,
    /// Deployments they may call.
    pub calls: CallAllow,
    /// Sends requests to elsewhere; none if that is not allowed.
    pub outbound: Option<Outbound>,
    /// Values of `wasi:config`.
    pub config: BTreeMap<String, String>,
    /// Values of `wasi:keyvalue`; none if the store could not be opened.
    pub keyvalue: Option<Space>,
    /// Numbers they report.
    pub gauges: Arc<Gauges>,
    /// What they print, and why something was denied.
    pub log: Arc<DeploymentLog>,
}

/// Sends requests to elsewhere.
pub struct Outbound {
    /// Where to, and over which connections.
    pub client: Client,
    /// The longest waits; a guest may ask for shorter ones.
    pub longest: CallOptions,
}

/// A bucket that a guest has opened.
pub struct Bucket(pub samovar_keyvalue::Bucket);

impl Surroundings {
    /// A line in the deployment's log.
    pub fn note(&self, text: &str) {
        self.log.push_text(None, LogStream::System, text);
    }
}
