//! Where a request goes: the scheme, host and port of its URL.

use crate::host::{Host, HostFault};
use http::Uri;
use http::uri::Authority;
use std::fmt;

/// The scheme of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// The port if a URL names none.
    pub const fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }

    /// As it is in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// Where a request goes. Everything that concerns it is taken from here: what is checked, looked
/// up, connected to, and named in the request itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// With or without TLS.
    pub scheme: Scheme,
    /// The host, in the form in which hosts are compared.
    pub host: Host,
    /// The TCP port.
    pub port: u16,
}

/// Why a URL has no [`Target`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// It has neither `http` nor `https` before it.
    #[error("its scheme has to be http or https")]
    Scheme,
    /// It has a user name before its host, which could be taken for the host.
    #[error("it has a user name or `@` before its host; use the header `authorization`")]
    User,
    /// Its port is not one.
    #[error("its port has to be a number from 1 to 65535")]
    Port,
    /// Its host is not one.
    #[error(transparent)]
    Host(#[from] HostFault),
}

impl Target {
    /// Where the URL points.
    ///
    /// # Errors
    ///
    /// [`UrlFault`] if it is not absolute, not of HTTP, or can be understood in two ways.
    pub fn of(url: &Uri) -> Result<Target, UrlFault> {
        let scheme = match url.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(_) | None => return Err(UrlFault::Scheme),
        };
        let authority = url.authority().map(Authority::as_str).unwrap_or_default();
        if authority.contains('@') {
            return Err(UrlFault::User);
        }
        let (host, port) = split_port(authority);
        let port = match port {
            None | Some("") => scheme.default_port(),
            Some(port) => parse_port(port).ok_or(UrlFault::Port)?,
        };
        Ok(Target { scheme, host: Host::parse(host)?, port })
    }

    /// What goes into `Host` and `:authority`: the host, and the port unless it is the usual one.
    pub(crate) fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The host and what follows the colon behind it.
pub(crate) fn split_port(authority: &str) -> (&str, Option<&str>) {
    let after_brackets = authority.rfind(']').map_or(0, |end| end + 1);
    match authority[after_brackets..].find(':') {
        Some(colon) => {
            let colon = after_brackets + colon;
            (&authority[..colon], Some(&authority[colon + 1..]))
        }
        None => (authority, None),
    }
}

/// A port from 1 on, in digits only.
pub(crate) fn parse_port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| is_number && port != 0)
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the URL points, or what is wrong with it.
    fn read(url: &str) -> String {
        let url: Uri = url.parse().unwrap();
        Target::of(&url).map_or_else(|fault| fault.to_string(), |target| target.to_string())
    }

    #[test]
    fn urls_point_somewhere() {
        for (url, target) in [
            ("http://example.com/", "http://example.com"),
            ("HTTP://Example.COM./a?b", "http://example.com"),
            ("http://example.com:80/", "http://example.com"),
            ("http://example.com:/", "http://example.com"),
            ("https://example.com:80/", "https://example.com:80"),
            ("https://example.com:443/", "https://example.com"),
            ("http://[::1]:8080/", "http://[::1]:8080"),
            ("https://[0:0::1]/", "https://[::1]"),
            ("http://10.0.0.5:00080/", "http://10.0.0.5"),
        ] {
            assert_eq!(read(url), target, "{url}");
        }
    }

    #[test]
    fn urls_that_could_point_elsewhere_are_refused() {
        for (url, fault) in [
            ("http://allowed.example@evil.example/", UrlFault::User.to_string()),
            ("http://a:b@evil.example/", UrlFault::User.to_string()),
            ("http://@evil.example/", UrlFault::User.to_string()),
            ("http://example.com:0/", UrlFault::Port.to_string()),
            ("http://0x7f.1/", read("http://0x7f.1")),
            ("/path", UrlFault::Scheme.to_string()),
            ("example.com:80", UrlFault::Scheme.to_string()),
            ("ftp://example.com/", UrlFault::Scheme.to_string()),
            ("http://a..b/", HostFault::Length("a..b".into()).to_string()),
        ] {
            assert_eq!(read(url), fault, "{url}");
        }
        let said = "`0x7f.1` is another way to write the address 127.0.0.1: write it so";
        assert_eq!(read("http://0x7f.1/"), said);
    }

    #[test]
    fn ports_are_numbers() {
        assert_eq!((parse_port("1"), parse_port("65535")), (Some(1), Some(65535)));
        for text in ["0", "65536", "+80", "-1", " 80", "8o", ""] {
            assert_eq!(parse_port(text), None, "{text}");
        }
    }
}
