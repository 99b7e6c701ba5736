//! Regular expressions of schemas: as ECMA-262 writes them, matched in linear time.

use regex_automata::meta::{Config, Regex};

use crate::text;

/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// Most bytes of the automaton of one pattern.
const AUTOMATON_BYTES_MAX: usize = 4 << 20;

/// Most bytes that matching keeps of what it found out about one pattern, per thread.
const CACHE_BYTES_MAX: usize = 256 << 10;

/// Bytes of an automaton that make matching a stretch of text cost one step more. When its cache
/// is of no use, the engine walks all states for each byte of the text.
const STEP_BYTES: usize = 4 << 10;

/// A regular expression. It matches anywhere in a text, unless it says otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    source: String,
    regex: Regex,
}

impl Pattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn parse(source: &str) -> Result<Self, String> {
        if source.len() > PATTERN_BYTES_MAX {
            let bytes = source.len();
            return Err(format!("the pattern has {bytes} bytes, the limit is {PATTERN_BYTES_MAX}"));
        }
        let shown = text::short(source);
        let invalid = || {
            format!(
                "`{shown}` is not a regular expression that can be used here; look-around and \
                 back-references cannot be matched in bounded time"
            )
        };
        let translated = jsonschema_regex::to_rust_regex(source).map_err(|()| invalid())?;
        let config = Config::new()
            .nfa_size_limit(Some(AUTOMATON_BYTES_MAX))
            .onepass_size_limit(Some(AUTOMATON_BYTES_MAX))
            .hybrid_cache_capacity(CACHE_BYTES_MAX);
        let built = Regex::builder().configure(config).build(&translated);
        let regex = built.map_err(|error| {
            if error.size_limit().is_some() {
                format!("the pattern `{shown}` needs more than {AUTOMATON_BYTES_MAX} bytes")
            } else {
                invalid()
            }
        })?;
        Ok(Pattern { source: source.to_owned(), regex })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Bytes that it keeps.
    pub fn memory(&self) -> usize {
        self.source.len() + self.regex.memory_usage()
    }

    /// Steps that a match in this text may take.
    pub fn steps(&self, text: &str) -> u64 {
        let stretches = 1 + text.len() as u64 / 16;
        stretches * (1 + self.regex.memory_usage() as u64 / STEP_BYTES as u64)
    }

    /// Whether it is found in the text.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_ecma() {
        let cases = [
            ("^a+$", "aaa", true),
            ("b", "abc", true),
            (r"^\d+$", "١", false),
            (r"^\cA$", "\u{1}", true),
            (r"^\w$", "é", false),
            (r"^[\w-]{1,64}$", "resnet-50", true),
            (r"^\p{L}{1,64}$", "été", true),
        ];
        for (source, text, expected) in cases {
            assert_eq!(Pattern::parse(source).unwrap().is_match(text), expected, "{source}");
        }
    }

    #[test]
    fn patterns_without_a_bound_on_their_time_or_memory_are_refused() {
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        let nested = "(".repeat(2000) + &")".repeat(2000);
        let cases = [
            (r"(a)\1", "back-references"),
            ("(?=a)b", "look-around"),
            ("(?<!a)b", "look-around"),
            ("[", "not a regular expression"),
            ("((a{100}){100}){100}", "bytes"),
            (&long, "4097 bytes"),
            (&nested, "not a regular expression"),
        ];
        for (source, expected) in cases {
            let error = Pattern::parse(source).unwrap_err();
            assert!(error.contains(expected), "{source}: {error}");
        }
    }
}
