//! Names and digests: small strings whose form is checked once, where they enter.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::units::ParseError;

/// Longest name: the longest label of a host name, so that a name can become one.
pub const NAME_BYTES_MAX: usize = 63;

const DIGEST_PREFIX: &str = "sha256:";
const DIGEST_HEX_LEN: usize = 64;

macro_rules! name_type {
    ($(#[$meta:meta])* $type:ident, $what:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, Deserialize, ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String, example = "thumbnail")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<$type, ParseError> {
                check_name(text, $what).map(|()| $type(text.to_owned()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = ParseError;

            fn try_from(text: String) -> Result<$type, ParseError> {
                check_name(&text, $what).map(|()| $type(text))
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(
    /// The name of a deployment: 1 to 63 lower-case letters, digits and inner hyphens.
    DeploymentName,
    "deployment name"
);
name_type!(
    /// The name of a scaling policy, by the same rule as [`DeploymentName`].
    PolicyName,
    "policy name"
);

fn check_name(text: &str, what: &str) -> Result<(), ParseError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends_allowed = matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last))
        if allowed(first) && allowed(last));
    let inside_allowed = bytes.iter().all(|&byte| allowed(byte) || byte == b'-');
    if ends_allowed && inside_allowed && bytes.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    // A hostile name may be megabytes long; the message must not be.
    let shown: String = text.chars().take(NAME_BYTES_MAX + 1).collect();
    Err(ParseError(format!(
        "`{shown}` is not a {what}: use 1 to {NAME_BYTES_MAX} characters of a-z, 0-9 and `-`, \
         with a letter or digit at both ends"
    )))
}

/// The sha256 digest of an artifact, written `sha256:` and 64 lower-case hex digits.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schema(
    value_type = String,
    example = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        use sha2::Digest as _;
        Digest(sha2::Sha256::digest(bytes).into())
    }

    /// A digest that was computed elsewhere, for instance while a file was streamed.
    pub fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// The 32 raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hex digits without the prefix, for file names.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The prefix and the first 12 hex digits, for people.
    pub fn short(&self) -> String {
        format!("{DIGEST_PREFIX}{}", hex::encode(&self.0[..6]))
    }
}

impl FromStr for Digest {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Digest, ParseError> {
        let digits = text.strip_prefix(DIGEST_PREFIX);
        let lower = digits.filter(|digits| !digits.bytes().any(|byte| byte.is_ascii_uppercase()));
        let mut bytes = [0; 32];
        match lower.map(|digits| hex::decode_to_slice(digits, &mut bytes)) {
            Some(Ok(())) => Ok(Digest(bytes)),
            Some(Err(_)) | None => {
                let shown: String =
                    text.chars().take(DIGEST_PREFIX.len() + DIGEST_HEX_LEN).collect();
                Err(ParseError(format!(
                    "`{shown}` is not a digest: write `{DIGEST_PREFIX}` and {DIGEST_HEX_LEN} \
                     lower-case hex digits"
                )))
            }
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Digest, ParseError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DIGEST_PREFIX}{}", self.hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        let longest = "a".repeat(63);
        for good in ["a", "0", "thumbnail", "a-b", "a--b", "x1", longest.as_str()] {
            assert_eq!(good.parse::<DeploymentName>().unwrap().as_str(), good);
        }
        let too_long = "a".repeat(64);
        for bad in ["", "-", "-a", "a-", "A", "a_b", "a.b", "a/b", "ä", " a", "a\n", &too_long] {
            assert!(bad.parse::<DeploymentName>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn digests_are_read_and_printed() {
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let digest: Digest = text.parse().unwrap();
        assert_eq!(digest, Digest::of(b""));
        assert_eq!(digest.to_string(), text);
        assert_eq!(digest.short(), "sha256:e3b0c44298fc");
        let upper = text.to_uppercase();
        for bad in ["", "sha256:", "e3b0", "sha512:00", &text[..70], &upper, &format!("{text}0")] {
            assert!(bad.parse::<Digest>().is_err(), "{bad:?} was accepted");
        }
    }
}
