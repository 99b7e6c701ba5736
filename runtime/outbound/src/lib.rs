//! Samovar's HTTP client for handlers.

mod host;
mod rule;
mod target;

pub use host::{Host, HostFault};
pub use rule::{AllowList, Rule, RuleError, RuleFault};
pub use target::{Scheme, Target, UrlFault};
