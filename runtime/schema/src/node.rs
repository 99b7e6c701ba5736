//! A compiled schema: subschemas as nodes that name each other by number, so that loops are no
//! trouble and nothing is compiled twice.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Number, Value};

use crate::number;
use crate::pattern::Pattern;

/// Which subschema.
pub(crate) type NodeId = usize;

/// One subschema. What it does not say anything about is empty.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Where it is in the schema.
    pub pointer: String,
    /// Of the schemas `true` and `false`.
    pub verdict: Option<bool>,
    pub types: Option<Types>,
    pub options: Option<Vec<Value>>,
    pub constant: Option<Value>,
    pub number: Option<NumberRules>,
    pub string: Option<StringRules>,
    pub array: Option<ArrayRules>,
    pub object: Option<ObjectRules>,
    pub logic: Option<Box<Logic>>,
    /// Steps that a visit costs beside those that depend on the value.
    pub weight: u64,
    /// Whether it has `unevaluatedItems` or `unevaluatedProperties`.
    pub is_last_word: bool,
}

/// A set of types, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Types(u8);

/// The names of types, in the order of their bits.
const TYPE_NAMES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

impl Types {
    /// Adds a type. `false` if there is none of this name.
    pub fn add(&mut self, name: &str) -> bool {
        let bit = TYPE_NAMES.iter().position(|known| *known == name);
        if let Some(bit) = bit {
            self.0 |= 1 << bit;
        }
        bit.is_some()
    }

    /// Types of either.
    pub fn or(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    /// Whether the value has one of these types.
    pub fn contain(self, value: &Value) -> bool {
        let bits = match value {
            Value::Null => 1,
            Value::Bool(_) => 2,
            Value::Number(number) if number::is_whole(number) => 4 | 8,
            Value::Number(_) => 8,
            Value::String(_) => 16,
            Value::Array(_) => 32,
            Value::Object(_) => 64,
        };
        self.0 & bits != 0
    }

    /// The names of these types.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let bits = self.0;
        TYPE_NAMES
            .iter()
            .enumerate()
            .filter(move |(bit, _)| bits & (1 << bit) != 0)
            .map(|(_, n)| *n)
    }
}

#[derive(Debug, Default)]
pub(crate) struct NumberRules {
    pub multiple_of: Option<Number>,
    pub maximum: Option<Number>,
    pub exclusive_maximum: Option<Number>,
    pub minimum: Option<Number>,
    pub exclusive_minimum: Option<Number>,
}

#[derive(Debug, Default)]
pub(crate) struct StringRules {
    pub max_length: Option<u64>,
    pub min_length: Option<u64>,
    pub pattern: Option<Pattern>,
}

#[derive(Debug, Default)]
pub(crate) struct ArrayRules {
    /// Schemas of the first items, one each.
    pub first: Vec<NodeId>,
    /// The schema of the items after those.
    pub rest: Option<NodeId>,
    pub max_items: Option<u64>,
    pub min_items: Option<u64>,
    pub is_unique: bool,
    pub contains: Option<NodeId>,
    pub max_contains: Option<u64>,
    pub min_contains: Option<u64>,
    /// Whether items that `contains` matches count as evaluated.
    pub contains_evaluates: bool,
    pub unevaluated: Option<NodeId>,
}

#[derive(Debug, Default)]
pub(crate) struct ObjectRules {
    pub properties: HashMap<String, NodeId>,
    pub patterns: Vec<(Pattern, NodeId)>,
    pub additional: Option<NodeId>,
    pub names: Option<NodeId>,
    pub required: Vec<String>,
    pub max_properties: Option<u64>,
    pub min_properties: Option<u64>,
    /// Members that need others.
    pub needs: BTreeMap<String, Vec<String>>,
    /// Schemas of the whole object, if it has this member.
    pub dependents: BTreeMap<String, NodeId>,
    pub unevaluated: Option<NodeId>,
}

/// Schemas for the same value.
#[derive(Debug, Default)]
pub(crate) struct Logic {
    pub references: Vec<NodeId>,
    pub all_of: Vec<NodeId>,
    pub any_of: Vec<NodeId>,
    pub one_of: Vec<NodeId>,
    pub not: Option<NodeId>,
    pub condition: Option<NodeId>,
    pub then: Option<NodeId>,
    pub otherwise: Option<NodeId>,
}

impl Node {
    /// The nodes that see the same value as this one.
    pub fn beside(&self) -> impl Iterator<Item = NodeId> {
        let logic = self.logic.iter().flat_map(|logic| {
            let lists = [&logic.references, &logic.all_of, &logic.any_of, &logic.one_of];
            let single = [logic.not, logic.condition, logic.then, logic.otherwise];
            lists.into_iter().flatten().copied().chain(single.into_iter().flatten())
        });
        let dependents = self.object.iter().flat_map(|object| object.dependents.values().copied());
        logic.chain(dependents)
    }
}
