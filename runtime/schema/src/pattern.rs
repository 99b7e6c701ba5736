//! Regular expressions of schemas: as ECMA-262 writes them, matched in bounded time.
//!
//! A pattern is matched by an automaton that is built while it reads the text, some nanoseconds for
//! each byte. For patterns of which nearly each byte gives a new state that is slow work, so it is
//! given up, and a slower way is taken whose time is known beforehand: states times bytes.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

use regex_automata::Input;
use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::pool::Pool;

use crate::text;

/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// Most bytes of the states of one pattern.
const STATES_BYTES_MAX: usize = 4 << 20;

/// Bytes that an automaton may keep of what it built, if it needs no more to work at all.
const CACHE_BYTES: usize = 256 << 10;

/// How often an automaton is built anew before it has to prove its worth.
const REBUILDS: usize = 2;

/// Steps of any match: a search has to be set up.
const STEPS_BASE: u64 = 4;

/// Bytes that the automaton reads in one step.
const BYTES_PER_STEP: u64 = 4;

/// States that the slower way visits in one step.
const VISITS_PER_STEP: u64 = 8;

type NewCache = Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>;

/// A regular expression. It matches anywhere in a text, unless it says otherwise.
pub(crate) struct Pattern {
    source: String,
    automaton: DFA,
    caches: Pool<Cache, NewCache>,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.source)
    }
}

/// How a match went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// The pattern is in the text.
    Found,
    /// It is not.
    Absent,
    /// Too few steps are left to find out.
    TooSlow,
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
        let limits = thompson::Config::new()
            .nfa_size_limit(Some(STATES_BYTES_MAX))
            .which_captures(WhichCaptures::None);
        let states = NFA::compiler().configure(limits).build(&translated).map_err(|error| {
            if error.size_limit().is_some() {
                format!("the pattern `{shown}` needs more than {STATES_BYTES_MAX} bytes")
            } else {
                invalid()
            }
        })?;
        let automaton = automaton(states).ok_or_else(invalid)?;
        let model = automaton.clone();
        let new_cache: NewCache = Box::new(move || model.create_cache());
        Ok(Pattern { source: source.to_owned(), automaton, caches: Pool::new(new_cache) })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Bytes that it keeps, without what matching keeps.
    pub fn memory(&self) -> usize {
        self.source.len() + self.automaton.get_nfa().memory_usage()
    }

    /// Looks for it in the text, which takes some of the steps that are left.
    pub fn find(&self, text: &str, steps_left: &mut u64) -> Match {
        let bytes = text.len() as u64;
        let Some(left) = steps_left.checked_sub(STEPS_BASE + bytes / BYTES_PER_STEP) else {
            return Match::TooSlow;
        };
        *steps_left = left;
        let input = Input::new(text).earliest(true);
        let quick = self.automaton.try_search_fwd(&mut self.caches.get(), &input);
        if let Ok(found) = quick {
            return if found.is_some() { Match::Found } else { Match::Absent };
        }
        let states = self.automaton.get_nfa();
        let visits = (bytes + 1).saturating_mul(states.states().len() as u64);
        let Some(left) = steps_left.checked_sub(visits / VISITS_PER_STEP) else {
            return Match::TooSlow;
        };
        *steps_left = left;
        let Ok(machine) = PikeVM::new_from_nfa(states.clone()) else { return Match::TooSlow };
        let mut cache = machine.create_cache();
        if machine.is_match(&mut cache, input) { Match::Found } else { Match::Absent }
    }
}

/// An automaton that gives up when it reads fewer bytes for each state it builds than building one
/// takes steps.
fn automaton(states: NFA) -> Option<DFA> {
    let config = Config::new()
        .unicode_word_boundary(true)
        .cache_capacity(CACHE_BYTES)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(REBUILDS))
        .minimum_bytes_per_state(Some(states.states().len() + 16));
    DFA::builder().configure(config).build_from_nfa(states).ok()
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
            let found = Pattern::parse(source).unwrap().find(text, &mut 1000);
            assert_eq!(found == Match::Found, expected, "{source}");
            assert_ne!(found, Match::TooSlow);
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
            ("(((a{100}){100}){100}){9}", "bytes"),
            (&long, "4097 bytes"),
            (&nested, "not a regular expression"),
        ];
        for (source, expected) in cases {
            let error = Pattern::parse(source).unwrap_err();
            assert!(error.contains(expected), "{source}: {error}");
        }
    }

    #[test]
    fn the_slow_way_finds_the_same_and_is_taken_only_with_steps_for_it() {
        // Each byte gives another state, so the automaton gives up.
        let pattern = Pattern::parse("a[ab]{800}c").unwrap();
        let mut bits = 1_u32;
        let random = std::iter::repeat_with(|| {
            bits ^= bits << 13;
            bits ^= bits >> 17;
            bits ^= bits << 5;
            if bits & 1 == 0 { 'a' } else { 'b' }
        });
        let text: String = random.take(20_000).collect();
        assert_eq!(pattern.find(&text, &mut 100_000), Match::TooSlow);
        let mut steps = 100_000_000;
        assert_eq!(pattern.find(&text, &mut steps), Match::Absent);
        assert_eq!(pattern.find(&(text + "c"), &mut steps), Match::Found);
        assert!(steps < 98_000_000, "{steps}");
    }
}
