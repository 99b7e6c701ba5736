//! What callgrind writes, read.
//!
//! The format is described in the manual of valgrind, chapter "Callgrind Format Specification":
//! lines that set a name (`fn=(7) main`, later only `fn=(7)`), lines of a place in the source and
//! its cost, and `calls=` lines, whose next line has the cost of the calls with all below them.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};

/// Stands for all code that was compiled while the server ran: it has no names.
pub const GUEST_CODE: &str = "(compiled guest code)";

/// What the functions of a program did, by name. Functions that differ in their types only may
/// have the same name; they are one here.
#[derive(Debug, Default, PartialEq)]
pub struct Profile {
    pub functions: BTreeMap<String, Function>,
    /// Calls to the allocator for new or larger memory, from all that is not the allocator.
    pub allocations: u64,
}

/// What one function did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Function {
    /// How often others called it.
    pub calls: u64,
    /// Instructions of its own.
    pub own: u64,
    /// Instructions of its own and of all that it called. Who calls itself through others, or
    /// changes to another stack, is counted more than once.
    pub inclusive: u64,
}

impl Profile {
    /// Reads what one thread did.
    ///
    /// # Errors
    ///
    /// When it is not in callgrind's format.
    pub fn parse(text: &str) -> Result<Self> {
        let mut reader = Reader::default();
        for (number, line) in (1..).zip(text.lines()) {
            reader.line(line).with_context(|| format!("line {number}, `{line}`"))?;
        }
        Ok(reader.profile)
    }

    /// All instructions.
    pub fn instructions(&self) -> u64 {
        self.functions.values().map(|function| function.own).sum()
    }

    /// Takes over what another thread did.
    pub fn add(&mut self, other: Profile) {
        for (name, more) in other.functions {
            let function = self.functions.entry(name).or_default();
            function.calls += more.calls;
            function.own += more.own;
            function.inclusive += more.inclusive;
        }
        self.allocations += other.allocations;
    }

    /// The `count` functions with the most of something, most first.
    pub fn top(&self, count: usize, of: fn(&Function) -> u64) -> Vec<(&str, Function)> {
        let mut all: Vec<_> =
            self.functions.iter().map(|(name, function)| (name.as_str(), *function)).collect();
        all.sort_by_key(|(name, function)| (std::cmp::Reverse(of(function)), *name));
        all.truncate(count);
        all
    }
}

/// Where the reader is in the text.
#[derive(Default)]
struct Reader {
    profile: Profile,
    objects: Names,
    functions: Names,
    object: String,
    /// The function that the cost lines are about.
    function: String,
    /// Of the next `calls=` line; the object of the caller if it has none of its own.
    called_object: Option<String>,
    called: String,
    /// How many calls the next cost line is about; its function's own cost if none.
    calls: Option<u64>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<()> {
        if let Some(cost) = cost(line) {
            let cost = cost.context("a cost that is no number")?;
            self.cost(cost);
            return Ok(());
        }
        let Some((key, value)) = line.split_once('=') else { return Ok(()) };
        match key {
            "ob" => self.object = self.objects.get(value)?,
            "cob" => self.called_object = Some(self.objects.get(value)?),
            "fn" => self.function = known(self.functions.get(value)?, &self.object),
            "cfn" => {
                let object = self.called_object.take();
                let object = object.as_deref().unwrap_or(&self.object);
                self.called = known(self.functions.get(value)?, object);
            }
            "calls" => {
                let count = value.split(' ').next().and_then(|count| count.parse().ok());
                self.calls = Some(count.context("a number of calls that is none")?);
            }
            _ => {} // Files, and what the head says.
        }
        Ok(())
    }

    fn cost(&mut self, cost: u64) {
        let functions = &mut self.profile.functions;
        let Some(calls) = self.calls.take() else {
            let function = functions.entry(self.function.clone()).or_default();
            function.own += cost;
            function.inclusive += cost;
            return;
        };
        functions.entry(self.called.clone()).or_default().calls += calls;
        if self.called != self.function {
            functions.entry(self.function.clone()).or_default().inclusive += cost;
        }
        if is_allocating(&self.called) && !is_allocator(&self.function) {
            self.profile.allocations += calls;
        }
    }
}

/// Names that are written once and then called by their number.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn get(&mut self, value: &str) -> Result<String> {
        let (id, name) = value.split_once(')').context("a name without a number")?;
        match name.strip_prefix(' ') {
            Some(name) => {
                self.0.insert(id.to_owned(), name.to_owned());
                Ok(name.to_owned())
            }
            None => self.0.get(id).cloned().context("a number without a name"),
        }
    }
}

/// The instructions of a line such as `+3 17`; none if it is no line of a cost. Nothing stands
/// behind the place when there were none.
fn cost(line: &str) -> Option<Option<u64>> {
    let is_place = line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first));
    let cost = || line.split_once(' ').map_or(Some(0), |(_, cost)| cost.trim().parse().ok());
    is_place.then(cost)
}

/// The name of a function in a file; code that no file has is the guest's.
fn known(name: String, object: &str) -> String {
    if object == "???" && name.starts_with("0x") { GUEST_CODE.to_owned() } else { name }
}

/// The allocator of the C library; that of the servers has names that begin with `mi_`.
const LIBC: [&str; 6] =
    ["malloc", "calloc", "realloc", "memalign", "posix_memalign", "aligned_alloc"];

fn is_allocator(name: &str) -> bool {
    name.trim_start_matches('_').starts_with("mi_") || is_libc(name)
}

/// Whether a function of the allocator makes memory, or makes it larger.
fn is_allocating(name: &str) -> bool {
    is_libc(name) || (is_allocator(name) && name.contains("alloc"))
}

/// Recursive calls have `'2` behind the name.
fn is_libc(name: &str) -> bool {
    name.split('\'').next().is_some_and(|name| LIBC.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two functions of a program, one of a library and guest code that calls back.
    const SAMPLE: &str = "\
# callgrind format
version: 1
cmd: /bin/server --flag=1
positions: line
events: Ir
summary: 1162

ob=(1) /bin/server
fl=(1) ???
fn=(1) server::serve
0 100
cfn=(2) server::allocate
calls=3 0
0 60
cob=(2) ???
cfn=(3) 0x000000000641a540
calls=1 0
* 1000

fn=(2)
0 30
+4
cob=(3) /lib/libc.so
cfi=(2) malloc.c
cfn=(4) mi_malloc_aligned
calls=2 17
-2 20
cfn=(5) free
calls=1 0
* 10

ob=(3)
fn=(4)
7 12
cfn=(6) _mi_malloc_generic
calls=1 0
0 8

fn=(6)
0 8

ob=(2)
fn=(3)
0 700
cfn=(7) 0x000000000641b000
calls=1 0
0 2

fn=(7)
0 2
cob=(1)
cfn=(1)
calls=1 0
0 298

totals: 1162
";

    fn of(profile: &Profile, name: &str) -> (u64, u64, u64) {
        let Function { calls, own, inclusive } = profile.functions[name];
        (calls, own, inclusive)
    }

    #[test]
    fn costs_and_calls_belong_to_their_functions() {
        let profile = Profile::parse(SAMPLE).unwrap();
        assert_eq!(of(&profile, "server::serve"), (1, 100, 1160));
        assert_eq!(of(&profile, "server::allocate"), (3, 30, 60));
        assert_eq!(of(&profile, "mi_malloc_aligned"), (2, 12, 20));
        assert_eq!(of(&profile, "free"), (1, 0, 0));
        assert_eq!(profile.instructions(), 100 + 30 + 12 + 8 + 700 + 2);
    }

    #[test]
    fn guest_code_is_one_function() {
        let profile = Profile::parse(SAMPLE).unwrap();
        // What it calls of itself is not counted twice.
        assert_eq!(of(&profile, GUEST_CODE), (2, 702, 1000));
    }

    #[test]
    fn allocations_are_counted_where_they_are_asked_for() {
        // Twice the program, not once more by the allocator itself, and never `free`.
        assert_eq!(Profile::parse(SAMPLE).unwrap().allocations, 2);
        let all = ["mi_zalloc", "mi_realloc_aligned", "mi_theap_malloc_aligned", "calloc'2"];
        assert!(all.into_iter().all(is_allocating));
        let others = ["mi_free", "_mi_page_retire", "server::malloc", "__rust_alloc", "cfree"];
        assert!(!others.into_iter().any(is_allocating));
    }

    #[test]
    fn threads_add_up() {
        let mut both = Profile::default();
        both.add(Profile::parse(SAMPLE).unwrap());
        both.add(Profile::parse(SAMPLE).unwrap());
        assert_eq!((both.instructions(), both.allocations), (2 * 852, 4));
        let top: Vec<_> = both.top(2, |function| function.own).into_iter().collect();
        let names: Vec<_> = top.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [GUEST_CODE, "server::serve"]);
        assert_eq!(both.top(1, |function| function.calls)[0].0, "server::allocate");
    }

    #[test]
    fn nonsense_is_an_error() {
        let error = |text: &str| format!("{:#}", Profile::parse(text).unwrap_err());
        assert_eq!(error("fn=(1)\n"), "line 1, `fn=(1)`: a number without a name");
        assert_eq!(error("\ncalls=x 1"), "line 2, `calls=x 1`: a number of calls that is none");
        assert_eq!(error("12 many"), "line 1, `12 many`: a cost that is no number");
    }
}
