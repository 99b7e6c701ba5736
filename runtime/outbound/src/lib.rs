//! Samovar's HTTP client for handlers: what they may reach, and how.
//!
//! A [`Client`] belongs to one deployment. Each request passes two checks. [`AllowList`] decides
//! by the URL alone whether scheme, host and port may be reached. [`AddressPolicy`] decides about
//! every address that the host resolves to; the connection is made to an address that passed, so
//! that a name cannot resolve to something else between the check and the connection. Everything
//! about the destination is taken from one [`Target`], so that what is checked, looked up,
//! connected to, and named in `Host` and in TLS cannot differ.
//!
//! Connections are kept and used again, over HTTP/1.1 and, where TLS agrees on it, HTTP/2. TLS
//! trusts the system's authorities and those of the deployment. All waits and all sizes have
//! limits, and each limit has its [`Error`].
//!
//! What this crate does not do: follow redirects (handlers do, and each hop is checked), use
//! proxies, keep cookies, decompress, or open tunnels.

mod address;
mod body;
mod client;
mod connect;
mod error;
mod head;
mod host;
mod outgoing;
mod pool;
mod resolve;
mod rule;
mod settings;
mod target;
mod tls;
mod wire;

pub use address::{AddressPolicy, Denied, Kind, PolicyError};
pub use body::Body;
pub use client::Client;
pub use error::{BoxError, Error};
pub use host::{Host, HostFault};
pub use pool::Counts;
pub use resolve::{Resolve, SystemResolver};
pub use rule::{AllowList, Rule, RuleError, RuleFault};
pub use settings::{Bound, CallOptions, Settings, SettingsError};
pub use target::{Scheme, Target, UrlFault};
