//! Hosts as they are compared: one text for each name and each address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// Bytes of a DNS name at most, and of one of its labels (RFC 1035, section 2.3.4).
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// The host of a URL or of a rule, in the one form in which it is compared, looked up and sent.
///
/// Names are in lower case, in ASCII (other letters as IDNA says) and without a dot at their end.
/// Addresses have the shortest form.
///
/// An IPv4 address has to be written as four decimal numbers. URLs know many other ways to write
/// one (`2130706433`, `0x7f.1`, `0177.0.0.1`, `127.1`), which all mean the same to browsers and
/// to the system's resolver. They are refused, and the error says which address they mean: honest
/// guests do not need them, and what is refused cannot be understood in two ways.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A DNS name.
    Name(String),
    /// An IP address.
    Address(IpAddr),
}

/// Why a text is not a [`Host`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostFault {
    /// There is no host.
    #[error("it has no host")]
    Empty,
    /// It is neither a name nor an address.
    #[error("`{0}` is neither a name nor an IP address")]
    Invalid(String),
    /// It has a label that is empty or too long, or is too long itself.
    #[error("`{0}` is not a DNS name: labels have 1 to 63 bytes, names at most 253")]
    Length(String),
    /// Another way to write an IPv4 address.
    #[error("`{text}` is another way to write the address {address}: write it so")]
    Disguised {
        /// As it was written.
        text: String,
        /// What it means.
        address: Ipv4Addr,
    },
}

impl Host {
    /// Reads a host as it is in a URL: a name, an IPv4 address, or an IPv6 address in brackets.
    ///
    /// # Errors
    ///
    /// [`HostFault`] for anything else, for names that DNS cannot have, and for an IPv4 address
    /// that is not written as four decimal numbers.
    pub fn parse(text: &str) -> Result<Host, HostFault> {
        let undotted = text.strip_suffix('.').unwrap_or(text);
        if undotted.is_empty() {
            return Err(HostFault::Empty);
        }
        // URLs may have bytes of a host as `%61`. No honest one does.
        if text.contains('%') {
            return Err(HostFault::Invalid(text.to_owned()));
        }
        match url::Host::parse(text) {
            Ok(url::Host::Domain(name)) => named(name),
            Ok(url::Host::Ipv4(address)) if address.to_string() == undotted => {
                Ok(Host::Address(address.into()))
            }
            Ok(url::Host::Ipv4(address)) => {
                Err(HostFault::Disguised { text: text.to_owned(), address })
            }
            Ok(url::Host::Ipv6(address)) => Ok(Host::Address(address.into())),
            Err(_) => Err(HostFault::Invalid(text.to_owned())),
        }
    }

    /// Whether this is a name below `parent`, at any depth; a name is not below itself.
    pub fn is_below(&self, parent: &str) -> bool {
        match self {
            Host::Name(name) => {
                let rest = name.strip_suffix(parent).and_then(|rest| rest.strip_suffix('.'));
                rest.is_some_and(|rest| !rest.is_empty())
            }
            Host::Address(_) => false,
        }
    }
}

/// The name, if DNS can have it. It is in lower case and in ASCII already.
fn named(mut name: String) -> Result<Host, HostFault> {
    if name.ends_with('.') {
        name.pop();
    }
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !name.bytes().all(is_usual) {
        return Err(HostFault::Invalid(name));
    }
    let has_labels = name.split('.').all(|label| (1..=LABEL_BYTES_MAX).contains(&label.len()));
    if !has_labels || name.len() > NAME_BYTES_MAX {
        return Err(HostFault::Length(name));
    }
    Ok(Host::Name(name))
}

/// As it is in a URL: an IPv6 address has brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V4(address)) => address.fmt(f),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The host as it is compared, or what is wrong with it.
    fn read(text: &str) -> String {
        Host::parse(text).map_or_else(|fault| fault.to_string(), |host| host.to_string())
    }

    #[test]
    fn hosts_have_one_form() {
        for (text, form) in [
            ("example.com", "example.com"),
            ("Example.COM.", "example.com"),
            ("m\u{fc}nchen.example", "xn--mnchen-3ya.example"),
            ("M\u{dc}NCHEN.example", "xn--mnchen-3ya.example"),
            ("ex\u{ad}ample\u{3002}com\u{3002}", "example.com"),
            ("a_b.example", "a_b.example"),
            ("10.0.0.5", "10.0.0.5"),
            ("10.0.0.5.", "10.0.0.5"),
            ("[::1]", "[::1]"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("[::FFFF:127.0.0.1]", "[::ffff:127.0.0.1]"),
            ("1.example", "1.example"),
            ("0x7f.example", "0x7f.example"),
        ] {
            assert_eq!(read(text), form, "{text}");
        }
    }

    #[test]
    fn addresses_in_disguise_are_refused() {
        for (text, address) in [
            ("2130706433", "127.0.0.1"),
            ("2130706433.", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("0x7f.1", "127.0.0.1"),
            ("0X7F.0.0.1", "127.0.0.1"),
            ("017700000001", "127.0.0.1"),
            ("0177.0.0.1", "127.0.0.1"),
            ("127.0.0.01", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("0", "0.0.0.0"),
            ("169.254.43518", "169.254.169.254"),
            ("\u{ff11}27.0.0.1", "127.0.0.1"),
            ("127\u{3002}0.0.1", "127.0.0.1"),
            ("\u{2460}27.0.0.1", "127.0.0.1"),
        ] {
            let fault = Host::parse(text).expect_err(text);
            let HostFault::Disguised { address: meant, .. } = fault else { panic!("{fault:?}") };
            assert_eq!(meant.to_string(), address, "{text}");
        }
        let said = "`0x7f.1` is another way to write the address 127.0.0.1: write it so";
        assert_eq!(read("0x7f.1"), said);
    }

    #[test]
    fn other_texts_are_no_hosts() {
        for text in [
            "1.2.3.4.5",
            "256.1.1.1",
            "0x100000000",
            "a.1",
            "09.1.1.1",
            "::1",
            "[::1",
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
            "%6cocalhost",
            "a b",
            "a/b",
            "a@b",
            "a:80",
            "a\0b",
            "*",
            "a!b",
            "xn--a",
        ] {
            assert!(matches!(Host::parse(text), Err(HostFault::Invalid(_))), "{text}");
        }
        assert_eq!(Host::parse(""), Err(HostFault::Empty));
        assert_eq!(Host::parse("."), Err(HostFault::Empty));
        let long_label = "a".repeat(64);
        let long_name = ["a"; 128].join(".");
        for text in ["a..b", ".a", "a..", &long_label, &long_name] {
            assert!(matches!(Host::parse(text), Err(HostFault::Length(_))), "{text}");
        }
    }

    #[test]
    fn names_below_a_name() {
        let is_below = |text| Host::parse(text).unwrap().is_below("example.com");
        assert!(is_below("a.example.com") && is_below("a.b.c.example.com"));
        for text in ["example.com", "badexample.com", "example.com.evil.example", "10.0.0.1"] {
            assert!(!is_below(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_form_of_a_host_is_its_own_form(text in "\\PC{0,40}") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert!(host.to_string().is_ascii());
                prop_assert_eq!(Host::parse(&host.to_string()), Ok(host));
            }
        }

        #[test]
        fn hosts_of_digits_are_addresses_as_they_are_written(text in "[0-9a-fxX.]{1,20}") {
            if let Ok(Host::Name(name)) = Host::parse(&text) {
                let last = name.rsplit('.').next().unwrap();
                let hex = last.strip_prefix("0x").is_some_and(|rest| {
                    rest.bytes().all(|byte| byte.is_ascii_hexdigit())
                });
                prop_assert!(!hex && !last.bytes().all(|byte| byte.is_ascii_digit()), "{}", name);
            }
        }

        #[test]
        fn addresses_stay_what_they_are(v4: [u8; 4], v6: [u8; 16]) {
            let address = IpAddr::from(v4);
            prop_assert_eq!(Host::parse(&address.to_string()), Ok(Host::Address(address)));
            let address = IpAddr::from(v6);
            prop_assert_eq!(Host::parse(&format!("[{address}]")), Ok(Host::Address(address)));
        }
    }
}
