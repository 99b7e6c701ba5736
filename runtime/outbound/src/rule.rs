//! Rules of what may be reached, by scheme, host and port.

use crate::host::{Host, HostFault};
use crate::target::{Scheme, Target, parse_port, split_port};
use std::fmt;
use std::str::FromStr;

/// One rule of an [`AllowList`].
///
/// It is written `[scheme://]host[:port]`:
///
/// - `scheme` is `http`, `https`, or `*` for both, which is also the default.
/// - `host` is a name, an IPv4 address, an IPv6 address in brackets, `*.` before a name for all
///   names below it at any depth (not for the name itself), or `*` for all names and addresses.
///   Names are compared as [`Host`] says: letters of both cases are the same, and so are a name
///   with and without a dot at its end, and the two forms of an international name.
/// - `port` is a number or `*` for all. Default: the usual one of the scheme, 80 or 443.
///
/// So `example.com` is the same as `*://example.com`, and allows `http://example.com:80` and
/// `https://example.com:443`; `example.com:8443` allows both schemes on that port. A rule says
/// nothing about what a name resolves to; [`AddressPolicy`](crate::AddressPolicy) does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// As it was written.
    text: String,
    /// None: both.
    scheme: Option<Scheme>,
    hosts: Hosts,
    ports: Ports,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    Below(String),
    One(Host),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    All,
    Usual,
    One(u16),
}

/// A rule that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{rule}` is no rule for outbound requests: {fault}")]
pub struct RuleError {
    /// As it was written.
    pub rule: String,
    /// What is wrong with it.
    pub fault: RuleFault,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleFault {
    /// The scheme is another one.
    #[error("the scheme has to be `http`, `https` or `*`, it is `{0}`")]
    Scheme(String),
    /// There is something behind host and port.
    #[error("a rule ends with the host or the port; `{0}` is too much")]
    Path(String),
    /// There is a user name.
    #[error("a rule has no user name; remove what is before `@`")]
    User,
    /// The port is not one.
    #[error("the port has to be a number from 1 to 65535, or `*`; it is `{0}`")]
    Port(String),
    /// `*` is in the middle of a name or before an address.
    #[error("`*` stands alone for all hosts, or as `*.` before a name; it cannot be `{0}`")]
    Wildcard(String),
    /// The host is not one.
    #[error(transparent)]
    Host(#[from] HostFault),
}

impl Rule {
    /// Whether the rule allows this scheme, host and port.
    pub fn allows(&self, scheme: Scheme, host: &Host, port: u16) -> bool {
        self.scheme.is_none_or(|allowed| allowed == scheme)
            && match &self.hosts {
                Hosts::All => true,
                Hosts::Below(parent) => host.is_below(parent),
                Hosts::One(allowed) => allowed == host,
            }
            && match self.ports {
                Ports::All => true,
                Ports::Usual => port == scheme.default_port(),
                Ports::One(allowed) => port == allowed,
            }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Rule, RuleError> {
        parse(text).map_err(|fault| RuleError { rule: text.to_owned(), fault })
    }
}

fn parse(text: &str) -> Result<Rule, RuleFault> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (parse_scheme(scheme)?, rest),
        None => (None, text),
    };
    if let Some(end) = rest.find(['/', '?', '#', '\\']) {
        return Err(RuleFault::Path(rest[end..].to_owned()));
    }
    if rest.contains('@') {
        return Err(RuleFault::User);
    }
    let (host, port) = split_port(rest);
    let ports = match port {
        None => Ports::Usual,
        Some("*") => Ports::All,
        Some(port) => Ports::One(parse_port(port).ok_or_else(|| RuleFault::Port(port.to_owned()))?),
    };
    Ok(Rule { text: text.to_owned(), scheme, hosts: parse_hosts(host)?, ports })
}

fn parse_scheme(text: &str) -> Result<Option<Scheme>, RuleFault> {
    match text.to_ascii_lowercase().as_str() {
        "*" => Ok(None),
        "http" => Ok(Some(Scheme::Http)),
        "https" => Ok(Some(Scheme::Https)),
        _ => Err(RuleFault::Scheme(text.to_owned())),
    }
}

fn parse_hosts(text: &str) -> Result<Hosts, RuleFault> {
    if text == "*" {
        return Ok(Hosts::All);
    }
    let parent = text.strip_prefix("*.");
    if parent.unwrap_or(text).contains('*') {
        return Err(RuleFault::Wildcard(text.to_owned()));
    }
    match (parent, Host::parse(parent.unwrap_or(text))?) {
        (None, host) => Ok(Hosts::One(host)),
        (Some(_), Host::Name(parent)) => Ok(Hosts::Below(parent)),
        (Some(_), Host::Address(_)) => Err(RuleFault::Wildcard(text.to_owned())),
    }
}

/// As it was written.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What may be reached: whatever one of the rules allows. Without rules: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList(Vec<Rule>);

impl AllowList {
    /// Reads rules, as [`Rule`] says.
    ///
    /// # Errors
    ///
    /// [`RuleError`] for the first that is not one.
    pub fn parse<T: AsRef<str>>(rules: impl IntoIterator<Item = T>) -> Result<Self, RuleError> {
        rules.into_iter().map(|rule| rule.as_ref().parse()).collect::<Result<_, _>>().map(AllowList)
    }

    /// Whether one of the rules allows this scheme, host and port.
    pub fn allows(&self, scheme: Scheme, host: &Host, port: u16) -> bool {
        self.0.iter().any(|rule| rule.allows(scheme, host, port))
    }

    /// Whether one of the rules allows requests to `target`.
    pub fn allows_target(&self, target: &Target) -> bool {
        self.allows(target.scheme, &target.host, target.port)
    }

    /// The rules, in the order in which they were given.
    pub fn rules(&self) -> &[Rule] {
        &self.0
    }
}

#[cfg(test)]
mod tests;
