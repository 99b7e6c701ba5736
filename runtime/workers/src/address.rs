//! Where a worker listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name that the domain name system allows.
const HOST_CHARS_MAX: usize = 253;

/// Why a text is no address of a worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// TLS towards workers is not spoken.
    #[error("uses https, but workers are reached over plain http")]
    Tls,
    /// Not of the form `http://host:port`.
    #[error("is not of the form http://host:port")]
    Form,
    /// The port is missing or not 1 to 65535.
    #[error("has no port between 1 and 65535")]
    Port,
}

/// A host and a port that speak HTTP. Its text is `http://host:port`, the host in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The address of `host`, an IP address.
    pub fn of(host: IpAddr, port: u16) -> Self {
        let host = match host.to_canonical() {
            IpAddr::V4(host) => host.to_string(),
            IpAddr::V6(host) => format!("[{host}]"),
        };
        Self { host, port }
    }

    /// The address in `url`. One slash at the end is ignored; user, path and query are refused,
    /// because requests bring their own.
    ///
    /// # Errors
    ///
    /// [`BadAddress`] says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, BadAddress> {
        let lower = url.to_ascii_lowercase();
        if lower.starts_with("https:") {
            return Err(BadAddress::Tls);
        }
        let authority = lower.strip_prefix("http://").ok_or(BadAddress::Form)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = authority.rsplit_once(':').ok_or(BadAddress::Port)?;
        if host.starts_with('[') != host.ends_with(']') {
            return Err(BadAddress::Port);
        }
        let host = checked_host(host).ok_or(BadAddress::Form)?;
        // `parse` alone would take "+80".
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = is_number.then(|| port.parse().ok()).flatten().filter(|port| *port > 0);
        Ok(Self { host, port: port.ok_or(BadAddress::Port)? })
    }

    /// Name or IP address of the host; an address of version 6 is in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, at least 1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// The host in the one form that addresses are compared in.
fn checked_host(host: &str) -> Option<String> {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return Some(format!("[{}]", inner.parse::<Ipv6Addr>().ok()?));
    }
    if let Ok(host) = host.parse::<Ipv4Addr>() {
        return Some(host.to_string());
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_good = !host.is_empty() && host.len() <= HOST_CHARS_MAX && host.bytes().all(is_name);
    is_good.then(|| host.to_owned())
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form() {
        for (url, form) in [
            ("http://10.0.0.1:4000", "http://10.0.0.1:4000"),
            ("HTTP://GPU-1.Example.com:80/", "http://gpu-1.example.com:80"),
            ("http://[::1]:65535", "http://[::1]:65535"),
            ("http://[0:0::1]:1", "http://[::1]:1"),
        ] {
            assert_eq!(Address::parse(url).unwrap().to_string(), form);
        }
        let peer = Address::of("::ffff:10.0.0.1".parse().unwrap(), 3000);
        assert_eq!(peer.to_string(), "http://10.0.0.1:3000");
        assert_eq!(
            Address::of("::1".parse().unwrap(), 1),
            Address::parse("http://[::1]:1").unwrap()
        );
    }

    #[test]
    fn everything_else_is_refused() {
        for (url, why) in [
            ("https://10.0.0.1:4000", BadAddress::Tls),
            ("ftp://10.0.0.1:4000", BadAddress::Form),
            ("10.0.0.1:4000", BadAddress::Form),
            ("", BadAddress::Form),
            ("http://", BadAddress::Port),
            ("http://host", BadAddress::Port),
            ("http://:0", BadAddress::Form),
            ("http://:80", BadAddress::Form),
            ("http://host:0", BadAddress::Port),
            ("http://host:+80", BadAddress::Port),
            ("http://host:65536", BadAddress::Port),
            ("http://[::1]", BadAddress::Port),
            ("http://::1:80", BadAddress::Form),
            ("http://user@host:80", BadAddress::Form),
            ("http://host:80/path", BadAddress::Port),
            ("http://host:80?x", BadAddress::Port),
            ("http://ho st:80", BadAddress::Form),
            ("http://host\r\n:80", BadAddress::Form),
        ] {
            assert_eq!(Address::parse(url), Err(why), "{url:?}");
        }
        assert_eq!(
            Address::parse(&format!("http://{}:80", "a".repeat(254))),
            Err(BadAddress::Form)
        );
    }
}
