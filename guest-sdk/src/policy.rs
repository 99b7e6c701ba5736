//! The trait a policy implements.

use serde::de::DeserializeOwned;

use crate::{Decision, Observation};

/// One policy's state for one deployment.
///
/// The host makes one value per deployment with [`Policy::new`], feeds it the observations of the
/// last minutes, and from then on asks it in every tick. One component serves many deployments,
/// so keep state in the value and never in statics.
///
/// A panic, an endless loop, too much memory or a number that is not finite costs nothing but that
/// one decision: the host keeps the last target, rebuilds the policy and replays.
pub trait Policy: Sized + 'static {
    /// How the policy calls itself, as in `describe`.
    const NAME: &'static str;

    /// Version of the policy; usually `env!("CARGO_PKG_VERSION")`. Default: none.
    const VERSION: &'static str = "";

    /// JSON Schema of the configuration. Default: empty, which means any object.
    const CONFIG_SCHEMA: &'static str = "";

    /// Whether [`Observation::replicas`] must be filled in. Default: no, it costs time.
    const NEEDS_REPLICAS: bool = false;

    /// The configuration, read from a JSON object. Use `()` when there is none.
    ///
    /// Put `#[serde(deny_unknown_fields)]` on the type: then a mistyped key is refused by name when
    /// the policy is configured, and never ignored. `#[serde(default)]` with an `impl Default`
    /// makes keys optional.
    type Config: DeserializeOwned;

    /// Makes the state for one deployment.
    ///
    /// # Errors
    ///
    /// When values of `config` make no sense. The text reaches the user as it is: name the key.
    fn new(config: Self::Config) -> Result<Self, String>;

    /// One tick: decides how many replicas the deployment should have.
    ///
    /// Bounds are in [`Observation::limits`]; the host applies them after the decision as well.
    fn scale(&mut self, seen: &Observation) -> Decision;
}

/// A port of another system's policy that can be compared with its original.
///
/// Name the type with `export_policy!(Type, conformance)`. The host never asks while it serves.
pub trait Conformance: Policy {
    /// Answers a question in the format of the original's recorded vectors, a JSON object, with the
    /// answer the original would give, as JSON. It must come out of the code that [`Policy::scale`]
    /// runs, or it proves nothing.
    ///
    /// # Errors
    ///
    /// Why the question makes no sense. An answer such as "this configuration is refused" is not an
    /// error.
    fn answer(question: &str) -> Result<String, String>;
}
