//! Texts that only two sides know.

use std::fmt;
use std::fmt::Write as _;

use subtle::ConstantTimeEq;

/// Random bytes of a token of ours.
const RANDOM_BYTES: usize = 24;

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the system has no random bytes for a token")]
pub struct NoRandomness;

/// A token. It is never printed, and compared in a time that does not depend on where it differs.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// A token that was chosen by someone else.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A new token: 48 hexadecimal digits, so that it fits in URLs, headers and JSON as it is.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`] where the system has no source of random bytes.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = [0; RANDOM_BYTES];
        graviola::random::fill(&mut bytes).map_err(|_| NoRandomness)?;
        let mut text = String::with_capacity(2 * RANDOM_BYTES);
        for byte in bytes {
            write!(text, "{byte:02x}").expect("a text grows without errors");
        }
        Ok(Self(text))
    }

    /// The token itself, for whom it is meant.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `given` is this token. Only its length shows in the time this takes.
    pub fn admits(&self, given: &Secret) -> bool {
        self.0.as_bytes().ct_eq(given.0.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_admits_itself_only() {
        let token = Secret::new("abc");
        assert!(token.admits(&Secret::new("abc")));
        for other in ["", "ab", "abd", "abcd", "ABC"] {
            assert!(!token.admits(&Secret::new(other)), "{other}");
        }
    }

    #[test]
    fn tokens_differ_and_are_never_printed() {
        let (one, two) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_eq!(one.reveal().len(), 48);
        assert!(!one.admits(&two));
        assert_eq!(format!("{one:?}"), "Secret");
    }
}
