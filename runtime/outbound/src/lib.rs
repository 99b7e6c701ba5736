//! Samovar's HTTP client for handlers.

mod address;
mod host;
mod rule;
mod target;

pub use address::{AddressPolicy, Denied, Kind, PolicyError};
pub use host::{Host, HostFault};
pub use rule::{AllowList, Rule, RuleError, RuleFault};
pub use target::{Scheme, Target, UrlFault};
