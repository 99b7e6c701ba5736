//! Text that must not end up in a log.

use std::fmt;

/// A token. It is not printed, not even for debugging.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a token.
    pub fn new(token: impl Into<String>) -> Secret {
        Secret(token.into())
    }

    /// The token itself, for the header of a request.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `presented` is the token, in a time that depends on the lengths only, so that it
    /// cannot be guessed byte by byte.
    pub fn is_equal(&self, presented: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let difference = own.iter().zip(presented).fold(0, |sum, (a, b)| sum | (a ^ b));
        own.len() == presented.len() && std::hint::black_box(difference) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_print_it() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
    }

    #[test]
    fn only_the_same_bytes_are_equal() {
        let secret = Secret::new("hunter2");
        assert!(secret.is_equal(b"hunter2"));
        for wrong in ["", "h", "hunter", "hunter22", "Hunter2"] {
            assert!(!secret.is_equal(wrong.as_bytes()), "{wrong}");
        }
    }
}
