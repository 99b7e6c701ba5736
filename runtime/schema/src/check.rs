//! Checking a value against a compiled schema, with bounds on time, stack and the answer's size.
//!
//! A check counts steps: one for each subschema that sees a value, more for long strings, patterns
//! and comparisons. When they are used up the body is refused. So schemas whose checks would grow
//! exponentially do no harm, and are found out only by bodies that make them grow.
//!
//! First there is only the question whether all is well, which ends at the first fault. Only for a
//! body with faults they are listed, in a second run.

mod array;
mod object;
mod seen;
mod several;

use std::cmp::Ordering;

use serde_json::Value;

use crate::equal;
use crate::fault::{FAULTS_MAX, Fault};
use crate::node::{Node, NodeId, NumberRules, StringRules, Types};
use crate::pattern::{Match, Pattern};
use crate::{number, text};
use seen::Seen;

/// Steps of any check.
const STEPS_BASE: u64 = 200_000;

/// Steps for each byte of a body.
const STEPS_PER_BYTE: u64 = 64;

/// Most steps of a check, however large the body is.
pub const STEPS_MAX: u64 = 10_000_000;

/// Most subschemas that are inside of each other during a check; bounds the stack.
const LEVELS_MAX: usize = 1024;

/// How many steps a body of this many bytes may take.
pub(crate) fn steps_for(bytes: usize) -> u64 {
    (bytes as u64).saturating_mul(STEPS_PER_BYTE).saturating_add(STEPS_BASE).min(STEPS_MAX)
}

/// The faults of a value, none if it matches the first node.
pub(crate) fn check(nodes: &[Node], value: &Value, steps_max: u64) -> Vec<Fault> {
    let mut quick = Run { nodes, steps_left: steps_max, levels: 0, listed: None };
    match quick.visit(0, value, &Place::Top, None) {
        Ok(true) => return Vec::new(),
        Ok(false) => {}
        Err(stop) => return vec![stop.fault(steps_max)],
    }
    let mut thorough = Run { nodes, steps_left: steps_max, levels: 0, listed: Some(Vec::new()) };
    let end = thorough.visit(0, value, &Place::Top, None);
    let mut faults = thorough.listed.unwrap_or_default();
    if faults.is_empty() {
        let unsaid = Fault::of_body("does not match the schema, and where took too long to find");
        faults.push(end.err().map_or(unsaid, |stop| stop.fault(steps_max)));
    }
    faults
}

/// Why a check ends early.
#[derive(Debug, Clone, Copy)]
enum Stop {
    /// Enough faults are listed.
    Listed,
    /// It took too many steps.
    Steps,
    /// Too many subschemas are inside of each other.
    Levels,
}

impl Stop {
    fn fault(self, steps_max: u64) -> Fault {
        match self {
            Stop::Listed | Stop::Steps => {
                Fault::of_body(&format!("takes more than {steps_max} steps to check"))
            }
            Stop::Levels => Fault::of_body("is nested too deeply to be checked with this schema"),
        }
    }
}

/// Where in the body a value is.
#[derive(Clone, Copy)]
enum Place<'p> {
    Top,
    Member(&'p Place<'p>, &'p str),
    Item(&'p Place<'p>, usize),
}

impl Place<'_> {
    fn pointer(&self) -> String {
        match self {
            Place::Top => String::new(),
            Place::Member(above, name) => {
                let mut pointer = above.pointer();
                text::push_step(&mut pointer, name);
                pointer
            }
            Place::Item(above, index) => format!("{}/{index}", above.pointer()),
        }
    }
}

struct Run<'s> {
    nodes: &'s [Node],
    steps_left: u64,
    levels: usize,
    /// `None` if only the verdict is wanted.
    listed: Option<Vec<Fault>>,
}

impl<'s> Run<'s> {
    fn spend(&mut self, steps: u64) -> Result<(), Stop> {
        self.steps_left = self.steps_left.checked_sub(steps).ok_or(Stop::Steps)?;
        Ok(())
    }

    fn is_found(&mut self, pattern: &Pattern, text: &str) -> Result<bool, Stop> {
        match pattern.find(text, &mut self.steps_left) {
            Match::Found => Ok(true),
            Match::Absent => Ok(false),
            Match::TooSlow => Err(Stop::Steps),
        }
    }

    /// A keyword is not met. Always `false`, the verdict.
    fn miss(
        &mut self,
        node: &Node,
        keyword: &str,
        place: &Place<'_>,
        reason: impl FnOnce() -> String,
    ) -> Result<bool, Stop> {
        let Some(listed) = &mut self.listed else { return Ok(false) };
        let schema_pointer = match keyword {
            "" => node.pointer.clone(),
            keyword => text::below(&node.pointer, keyword),
        };
        listed.push(Fault::new(&place.pointer(), &reason(), &schema_pointer));
        if listed.len() == FAULTS_MAX { Err(Stop::Listed) } else { Ok(false) }
    }

    /// Whether a subschema matches, without listing anything.
    fn matches<'v>(
        &mut self,
        id: NodeId,
        value: &'v Value,
        place: &Place<'_>,
        seen: Option<&mut Seen<'v>>,
    ) -> Result<bool, Stop> {
        let listed = self.listed.take();
        let verdict = self.visit(id, value, place, seen);
        self.listed = listed;
        verdict
    }

    /// Whether the value matches a subschema. `seen` gets what its keywords looked at.
    fn visit<'v>(
        &mut self,
        id: NodeId,
        value: &'v Value,
        place: &Place<'_>,
        seen: Option<&mut Seen<'v>>,
    ) -> Result<bool, Stop> {
        let node = &self.nodes[id];
        self.spend(node.weight)?;
        self.levels += 1;
        if self.levels > LEVELS_MAX {
            return Err(Stop::Levels);
        }
        let verdict = self.visit_keywords(node, value, place, seen)?;
        self.levels -= 1;
        Ok(verdict)
    }

    fn visit_keywords<'v>(
        &mut self,
        node: &'s Node,
        value: &'v Value,
        place: &Place<'_>,
        seen: Option<&mut Seen<'v>>,
    ) -> Result<bool, Stop> {
        if let Some(verdict) = node.verdict {
            return if verdict {
                Ok(true)
            } else {
                self.miss(node, "", place, || "is not allowed here".to_owned())
            };
        }
        let mut own = (node.is_last_word || seen.is_some()).then(Seen::default);
        let mut good = self.simple(node, value, place)?;
        if good || self.listed.is_some() {
            good &= self.inside(node, value, place, own.as_mut())?;
        }
        if let Some(logic) = &node.logic
            && (good || self.listed.is_some())
        {
            good &= self.logic(node, logic, value, place, own.as_mut())?;
        }
        if good
            && node.is_last_word
            && let Some(own) = own.as_mut()
        {
            good &= self.unevaluated(node, value, place, own)?;
        }
        if good && let (Some(seen), Some(own)) = (seen, own) {
            self.spend(own.weight())?;
            seen.add(own);
        }
        Ok(good)
    }

    /// Keywords that look at the value alone.
    fn simple(&mut self, node: &Node, value: &Value, place: &Place<'_>) -> Result<bool, Stop> {
        let mut good = true;
        if let Some(types) = node.types
            && !types.contain(value)
        {
            good &= self.miss(node, "type", place, || wrong_type(value, types))?;
        }
        if let Some(options) = &node.options
            && !options.iter().any(|option| equal::equal(option, value))
        {
            let reason = || format!("must be one of {}", text::values(options));
            good &= self.miss(node, "enum", place, reason)?;
        }
        if let Some(constant) = &node.constant
            && !equal::equal(constant, value)
        {
            let reason = || format!("must be {}", text::value(constant));
            good &= self.miss(node, "const", place, reason)?;
        }
        if good || self.listed.is_some() {
            match (value, &node.number, &node.string) {
                (Value::Number(number), Some(rules), _) => {
                    good &= self.number(node, rules, number, place)?;
                }
                (Value::String(string), _, Some(rules)) => {
                    good &= self.string(node, rules, string, place)?;
                }
                _ => {}
            }
        }
        Ok(good)
    }

    fn number(
        &mut self,
        node: &Node,
        rules: &NumberRules,
        found: &serde_json::Number,
        place: &Place<'_>,
    ) -> Result<bool, Stop> {
        let mut good = true;
        if let Some(of) = &rules.multiple_of
            && !number::is_multiple(found, of)
        {
            let reason = || format!("is {found}, must be a multiple of {of}");
            good &= self.miss(node, "multipleOf", place, reason)?;
        }
        let bounds = [
            ("minimum", &rules.minimum, "at least", [Ordering::Greater, Ordering::Equal]),
            ("maximum", &rules.maximum, "at most", [Ordering::Less, Ordering::Equal]),
            ("exclusiveMinimum", &rules.exclusive_minimum, "above", [Ordering::Greater; 2]),
            ("exclusiveMaximum", &rules.exclusive_maximum, "below", [Ordering::Less; 2]),
        ];
        for (keyword, bound, side, allowed) in bounds {
            if let Some(bound) = bound
                && !allowed.contains(&number::compare(found, bound))
            {
                let reason = || format!("is {found}, must be {side} {bound}");
                good &= self.miss(node, keyword, place, reason)?;
            }
        }
        Ok(good)
    }

    fn string(
        &mut self,
        node: &Node,
        rules: &StringRules,
        string: &str,
        place: &Place<'_>,
    ) -> Result<bool, Stop> {
        let mut good = true;
        self.spend(equal::text_size(string))?;
        if rules.min_length.is_some() || rules.max_length.is_some() {
            let chars = string.chars().count() as u64;
            good &= self.amount(node, "minLength", place, chars, rules.min_length, "characters")?;
            good &= self.amount(node, "maxLength", place, chars, rules.max_length, "characters")?;
        }
        if let Some(pattern) = &rules.pattern
            && (good || self.listed.is_some())
            && !self.is_found(pattern, string)?
        {
            let reason = || format!("must match `{}`", pattern.source());
            good &= self.miss(node, "pattern", place, reason)?;
        }
        Ok(good)
    }

    /// Keywords that start with `min` or `max` and count something.
    fn amount(
        &mut self,
        node: &Node,
        keyword: &str,
        place: &Place<'_>,
        found: u64,
        bound: Option<u64>,
        unit: &str,
    ) -> Result<bool, Stop> {
        let is_minimum = keyword.starts_with("min");
        match bound {
            Some(bound) if is_minimum && found < bound => self.miss(node, keyword, place, || {
                format!("has {found} {unit}, must have at least {bound}")
            }),
            Some(bound) if !is_minimum && found > bound => self.miss(node, keyword, place, || {
                format!("has {found} {unit}, must have at most {bound}")
            }),
            _ => Ok(true),
        }
    }

    /// Keywords for what is inside of the value.
    fn inside<'v>(
        &mut self,
        node: &'s Node,
        value: &'v Value,
        place: &Place<'_>,
        seen: Option<&mut Seen<'v>>,
    ) -> Result<bool, Stop> {
        match (value, &node.array, &node.object) {
            (Value::Array(items), Some(rules), _) => self.array(node, rules, items, place, seen),
            (Value::Object(members), _, Some(rules)) => {
                self.object(node, rules, (value, members), place, seen)
            }
            _ => Ok(true),
        }
    }

    /// Keywords for what no other keyword looked at.
    fn unevaluated<'v>(
        &mut self,
        node: &'s Node,
        value: &'v Value,
        place: &Place<'_>,
        seen: &mut Seen<'v>,
    ) -> Result<bool, Stop> {
        let mut good = true;
        match value {
            Value::Array(items) => {
                let Some(id) = node.array.as_ref().and_then(|rules| rules.unevaluated) else {
                    return Ok(true);
                };
                for (index, item) in items.iter().enumerate() {
                    if !seen.has_item(index) {
                        good &= self.visit(id, item, &Place::Item(place, index), None)?;
                    }
                }
                seen.all_items();
            }
            Value::Object(members) => {
                let Some(id) = node.object.as_ref().and_then(|rules| rules.unevaluated) else {
                    return Ok(true);
                };
                for (name, member) in members {
                    if !seen.has_member(name) {
                        good &= self.visit(id, member, &Place::Member(place, name), None)?;
                    }
                }
                seen.all_members();
            }
            _ => {}
        }
        Ok(good)
    }
}

fn wrong_type(value: &Value, types: Types) -> String {
    let names: Vec<String> = types.names().map(text::with_article).collect();
    let found = match value {
        // The only case in which the kind does not tell.
        Value::Number(number) if !number::is_whole(number) => format!("the number {number}"),
        other => text::kind(other).to_owned(),
    };
    format!("is {found}, must be {}", text::alternatives(&names))
}
