//! Which addresses a name may resolve to.

mod classify;

use classify::{embedded, is_metadata, kind};
use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;

/// What an address is for, in the words of settings and errors.
///
/// From the registries of special-purpose addresses of IANA (RFC 6890) and the documentation of
/// cloud providers, as of 2026.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Of the internet.
    Public,
    /// This machine: 127.0.0.0/8, ::1.
    Loopback,
    /// A network of one's own: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7.
    Private,
    /// The neighbours on one link: 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// Where clouds hand out credentials to whoever asks from the machine: 169.254.169.254 and
    /// the like, wherever they are.
    Metadata,
    /// No address, or this machine: 0.0.0.0/8, ::.
    Unspecified,
    /// Everyone on the network: 255.255.255.255.
    Broadcast,
    /// Groups: 224.0.0.0/4, ff00::/8.
    Multicast,
    /// Networks of providers, behind which many share an address (RFC 6598): 100.64.0.0/10.
    Shared,
    /// Examples in texts: 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32, 3fff::/20.
    Documentation,
    /// Measurements of networks: 198.18.0.0/15, 2001:2::/48.
    Benchmarking,
    /// All the rest that is not, or not yet, of the internet.
    Reserved,
}

/// Which resolved addresses may be connected to.
///
/// Public addresses always may. `loopback`, `private`, `link-local` and `metadata` may if they are
/// named. All other kinds may only if a network, such as `100.64.0.0/10`, includes them, which
/// allows the four as well.
///
/// Metadata addresses are a kind of their own, although they lie in networks of other kinds. They
/// are allowed by `metadata`, or by a network that is that one address (`169.254.169.254/32`), and
/// by nothing else: neither `link-local` nor `169.254.0.0/16` gives away a machine's credentials
/// by accident.
///
/// IPv6 addresses that stand for an IPv4 address are judged as that: mapped (`::ffff:127.0.0.1`),
/// compatible (`::127.0.0.1`), translated (`::ffff:0:127.0.0.1`), 6to4 (2002::/16) and NAT64
/// (64:ff9b::/96). A network may name either of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    kinds: Vec<Kind>,
    networks: Vec<IpNet>,
}

/// An address that may not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} ({kind})")]
pub struct Denied {
    /// The address.
    pub address: IpAddr,
    /// What it is for.
    pub kind: Kind,
}

/// A text in the list of allowed addresses that cannot be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It is neither a kind nor a network.
    #[error(
        "`{0}` is no kind of address; there are `loopback`, `private`, `link-local`, `metadata`, \
         and networks such as `10.0.0.0/8`"
    )]
    Unknown(String),
    /// The network has bits behind its prefix.
    #[error("`{text}` is an address inside of a network: write `{network}` or `{address}`")]
    HostBits {
        /// As it was written.
        text: String,
        /// The network that it is in.
        network: IpNet,
        /// The address alone.
        address: IpAddr,
    },
}

impl AddressPolicy {
    /// Reads what is allowed beside public addresses: `loopback`, `private`, `link-local`,
    /// `metadata`, networks as `10.0.0.0/8`, and single addresses.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] for the first that is none of these.
    pub fn parse<T: AsRef<str>>(allowed: impl IntoIterator<Item = T>) -> Result<Self, PolicyError> {
        let mut policy = AddressPolicy::default();
        for text in allowed {
            match text.as_ref() {
                "loopback" => policy.kinds.push(Kind::Loopback),
                "private" => policy.kinds.push(Kind::Private),
                "link-local" => policy.kinds.push(Kind::LinkLocal),
                "metadata" => policy.kinds.push(Kind::Metadata),
                other => policy.networks.push(parse_network(other)?),
            }
        }
        Ok(policy)
    }

    /// Whether `address` may be connected to.
    ///
    /// # Errors
    ///
    /// [`Denied`] with what the address is for.
    pub fn check(&self, address: IpAddr) -> Result<(), Denied> {
        let meant = embedded(address);
        let is_in = |network: &IpNet| network.contains(&meant) || network.contains(&address);
        let is_allowed = if is_metadata(meant) {
            let is_alone = |network: &IpNet| network.prefix_len() == network.max_prefix_len();
            self.kinds.contains(&Kind::Metadata)
                || self.networks.iter().any(|network| is_alone(network) && is_in(network))
        } else {
            let kind = kind(meant);
            kind == Kind::Public || self.kinds.contains(&kind) || self.networks.iter().any(is_in)
        };
        if is_allowed { Ok(()) } else { Err(Denied { address, kind: Kind::of(address) }) }
    }
}

fn parse_network(text: &str) -> Result<IpNet, PolicyError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let network: IpNet = text.parse().map_err(|_| PolicyError::Unknown(text.to_owned()))?;
    if network.addr() != network.network() {
        let address = network.addr();
        return Err(PolicyError::HostBits {
            text: text.to_owned(),
            network: network.trunc(),
            address,
        });
    }
    Ok(network)
}

impl Kind {
    /// What an address is for; of the IPv4 address if it stands for one.
    pub fn of(address: IpAddr) -> Kind {
        let meant = embedded(address);
        if is_metadata(meant) { Kind::Metadata } else { kind(meant) }
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Public => "public",
            Kind::Loopback => "loopback",
            Kind::Private => "private",
            Kind::LinkLocal => "link-local",
            Kind::Metadata => "metadata",
            Kind::Unspecified => "unspecified",
            Kind::Broadcast => "broadcast",
            Kind::Multicast => "multicast",
            Kind::Shared => "shared",
            Kind::Documentation => "documentation",
            Kind::Benchmarking => "benchmarking",
            Kind::Reserved => "reserved",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
