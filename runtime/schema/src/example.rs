//! An example of what a schema matches, to start from.
//!
//! It is a proposal: where keywords exclude each other in ways that take a search, it may be wrong.

use serde_json::{Map, Number, Value};

/// Most values of an example.
const VALUES_MAX: usize = 400;

/// Beyond this depth there is only what is required.
const DEPTH_SHOWN: usize = 5;

/// Beyond this depth there is nothing.
const DEPTH_MAX: usize = 24;

/// Most items or characters that are made to reach a minimum.
const COUNT_MAX: u64 = 64;

/// An example for a schema whose references are pointers from its root. `None` if there is none:
/// the schema matches nothing, or has no end.
pub(crate) fn of(schema: &Value) -> Option<Value> {
    Maker { root: schema, left: VALUES_MAX }.value(schema, 0)
}

struct Maker<'a> {
    root: &'a Value,
    left: usize,
}

impl<'a> Maker<'a> {
    fn value(&mut self, schema: &'a Value, depth: usize) -> Option<Value> {
        self.left = self.left.checked_sub(1)?;
        if depth > DEPTH_MAX {
            return None;
        }
        let Value::Object(map) = schema else {
            return (schema == &Value::Bool(true)).then(|| Value::Object(Map::new()));
        };
        if let Some(given) = given(map) {
            return Some(given);
        }
        if let Some(target) = map.get("$ref").and_then(Value::as_str) {
            let made = self.value(self.target(target)?, depth + 1)?;
            return Some(self.with_own(made, map, depth));
        }
        let mut made = self.alternative(map, depth);
        for part in list(map, "allOf") {
            let other = self.value(part, depth + 1)?;
            made = Some(match made {
                Some(made) => joined(made, other),
                None => other,
            });
        }
        match made {
            Some(made) => Some(self.with_own(made, map, depth)),
            None => self.of_type(type_of(map), map, depth),
        }
    }

    fn target(&self, reference: &str) -> Option<&'a Value> {
        let pointer = percent_encoding::percent_decode_str(reference.strip_prefix('#')?);
        self.root.pointer(&pointer.decode_utf8().ok()?)
    }

    /// The first alternative that has an example, if there are alternatives.
    fn alternative(&mut self, map: &'a Map<String, Value>, depth: usize) -> Option<Value> {
        let lists = list(map, "anyOf").iter().chain(list(map, "oneOf"));
        let mut made: Vec<Value> = Vec::new();
        for schema in lists {
            made.extend(self.value(schema, depth + 1));
            if made.last().is_some_and(|value| !value.is_null()) {
                return made.pop();
            }
        }
        made.pop()
    }

    /// What another schema gave, and the members that this one asks for.
    fn with_own(&mut self, made: Value, map: &'a Map<String, Value>, depth: usize) -> Value {
        if !made.is_object() || !(map.contains_key("properties") || map.contains_key("required")) {
            return made;
        }
        match self.object(map, depth) {
            Some(own) => joined(made, own),
            None => made,
        }
    }

    fn of_type(&mut self, name: &str, map: &'a Map<String, Value>, depth: usize) -> Option<Value> {
        match name {
            "null" => Some(Value::Null),
            "boolean" => Some(Value::Bool(true)),
            "integer" => Some(number(map, true)),
            "number" => Some(number(map, false)),
            "string" => Some(Value::String(string(map))),
            "array" => self.array(map, depth),
            _ => self.object(map, depth),
        }
    }

    fn object(&mut self, map: &'a Map<String, Value>, depth: usize) -> Option<Value> {
        let required: Vec<&str> = list(map, "required").iter().filter_map(Value::as_str).collect();
        let properties = map.get("properties").and_then(Value::as_object);
        let mut members = Map::new();
        for name in &required {
            let member = match properties.and_then(|properties| properties.get(*name)) {
                Some(schema) => self.value(schema, depth + 1)?,
                None => Value::from("…"),
            };
            members.insert((*name).to_owned(), member);
        }
        for (name, schema) in properties.into_iter().flatten() {
            if depth < DEPTH_SHOWN
                && !members.contains_key(name)
                && let Some(member) = self.value(schema, depth + 1)
            {
                members.insert(name.clone(), member);
            }
        }
        Some(Value::Object(members))
    }

    fn array(&mut self, map: &'a Map<String, Value>, depth: usize) -> Option<Value> {
        let first = match map.get("prefixItems").or_else(|| map.get("items")) {
            Some(Value::Array(first)) => first.as_slice(),
            _ => &[],
        };
        let mut items = Vec::new();
        for schema in first {
            items.push(self.value(schema, depth + 1)?);
        }
        let least = count(map, "minItems").unwrap_or(0);
        let shown = if depth < DEPTH_SHOWN { 1 } else { 0 };
        let most = count(map, "maxItems").unwrap_or(COUNT_MAX).min(COUNT_MAX);
        let wanted = least.max(shown).min(most) as usize;
        let rest = map.get("items").or_else(|| map.get("contains")).filter(|rest| rest.is_object());
        while items.len() < wanted {
            match rest {
                Some(schema) => match self.value(schema, depth + 1) {
                    Some(item) => items.push(item),
                    // Without a reason to have one, an empty list is an example too.
                    None if items.len() as u64 >= least => break,
                    None => return None,
                },
                None if items.len() as u64 >= least => break,
                None => items.push(Value::Null),
            }
        }
        Some(Value::Array(items))
    }
}

/// A value that the schema itself names.
fn given(map: &Map<String, Value>) -> Option<Value> {
    let first = |name| list(map, name).first();
    let direct = first("examples").or_else(|| map.get("default")).or_else(|| map.get("const"));
    direct.or_else(|| first("enum")).cloned()
}

fn list<'a>(map: &'a Map<String, Value>, keyword: &str) -> &'a [Value] {
    map.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn count(map: &Map<String, Value>, keyword: &str) -> Option<u64> {
    let value = map.get(keyword)?;
    value.as_u64().or_else(|| value.as_f64().map(|float| float as u64))
}

/// Members of both; of other values, the second.
fn joined(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(mut one), Value::Object(other)) => {
            one.extend(other);
            Value::Object(one)
        }
        (one, Value::Object(other)) if other.is_empty() => one,
        (_, other) => other,
    }
}

/// The type to make an example of: the first that is not `null`, or the one that the keywords are
/// about.
fn type_of(map: &Map<String, Value>) -> &str {
    match map.get("type") {
        Some(Value::String(name)) => return name,
        Some(Value::Array(names)) => {
            let mut names = names.iter().filter_map(Value::as_str);
            return names.find(|name| *name != "null").unwrap_or("null");
        }
        _ => {}
    }
    let about = [
        ("array", ["items", "prefixItems", "minItems", "contains"].as_slice()),
        ("string", &["pattern", "minLength", "maxLength", "format"]),
        ("number", &["minimum", "maximum", "exclusiveMinimum", "multipleOf"]),
    ];
    let has = |keywords: &[&str]| keywords.iter().any(|keyword| map.contains_key(*keyword));
    about.iter().find(|(_, keywords)| has(keywords)).map_or("object", |(name, _)| name)
}

fn number(map: &Map<String, Value>, is_whole: bool) -> Value {
    let bound = |keyword: &str| map.get(keyword).and_then(Value::as_f64);
    let step = bound("multipleOf").filter(|step| *step > 0.0);
    let step = step.unwrap_or(if is_whole { 1.0 } else { 0.0 });
    let low = bound("minimum").or_else(|| bound("exclusiveMinimum"));
    let high = bound("maximum").or_else(|| bound("exclusiveMaximum"));
    let is_open = |keyword: &str, edge: f64| match map.get(keyword) {
        Some(Value::Bool(is_open)) => *is_open,
        other => other.and_then(Value::as_f64) == Some(edge),
    };
    let mut chosen = match (low, high) {
        (Some(low), high) if low > 0.0 || is_open("exclusiveMinimum", low) && low == 0.0 => {
            let gap = if step > 0.0 { step } else { high.map_or(1.0, |high| (high - low) / 2.0) };
            if is_open("exclusiveMinimum", low) { low + gap } else { low }
        }
        (low, Some(high)) if high < 0.0 || is_open("exclusiveMaximum", high) && high == 0.0 => {
            let gap = if step > 0.0 { step } else { low.map_or(1.0, |low| (high - low) / 2.0) };
            if is_open("exclusiveMaximum", high) { high - gap } else { high }
        }
        _ => 0.0,
    };
    if step > 0.0 {
        let steps = chosen / step;
        chosen = step * if chosen < 0.0 { steps.floor() } else { steps.ceil() };
    }
    if chosen.fract() == 0.0 && chosen.abs() < 1e15 {
        // Exact: a whole number below 2^53.
        return Value::from(chosen as i64);
    }
    Number::from_f64(chosen).map_or(Value::from(0), Value::Number)
}

fn string(map: &Map<String, Value>) -> String {
    let word = |keyword: &str| map.get(keyword).and_then(Value::as_str);
    if let Some(found) = word("pattern").and_then(jsonschema_regex::pattern_witness) {
        return found;
    }
    let text = match word("format").unwrap_or("") {
        "date-time" => "2026-01-31T12:00:00Z",
        "date" => "2026-01-31",
        "time" => "12:00:00Z",
        "duration" => "PT1M",
        "email" | "idn-email" => "someone@example.com",
        "hostname" | "idn-hostname" => "example.com",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        "uri" | "iri" | "uri-reference" | "iri-reference" => "https://example.com/",
        "uuid" => "00000000-0000-4000-8000-000000000000",
        _ => "text",
    };
    let least = count(map, "minLength").unwrap_or(0).min(COUNT_MAX) as usize;
    let most = count(map, "maxLength").map_or(usize::MAX, |most| most as usize);
    text.chars().chain(std::iter::repeat('x')).take(text.len().max(least).min(most)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Schema;

    #[test]
    fn examples_match_the_schemas_they_are_made_for() {
        let tree = json!({
            "type": "object", "required": ["name"],
            "properties": {
                "name": {"type": "string", "minLength": 9},
                "children": {"type": "array", "items": {"$ref": "#"}},
            },
        });
        let schemas = [
            tree,
            json!(true),
            json!({"type": "integer", "minimum": 3, "multipleOf": 5}),
            json!({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}),
            json!({"type": "integer", "exclusiveMaximum": -3}),
            json!({"type": "number", "maximum": -1.5}),
            json!({"type": ["null", "string"], "maxLength": 2}),
            json!({"type": "string", "pattern": "^[a-f]{4}-[0-9]+$"}),
            json!({"anyOf": [
                {"type": "null"}, {"type": "array", "items": {"const": 7}, "minItems": 3},
            ]}),
            json!({"allOf": [{"$ref": "#/$defs/a"}, {"properties": {"b": {"enum": ["x", "y"]}}}],
                "$defs": {"a": {"required": ["a"], "properties": {"a": {"default": 1}}}}}),
            json!({"prefixItems": [{"type": "boolean"}, {"format": "uuid"}], "items": false}),
            json!({"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer",
                "minimum": 2, "exclusiveMinimum": true}),
            json!({"type": "object", "required": ["anything"]}),
        ];
        for document in schemas {
            let schema = Schema::compile(&document).unwrap();
            let example = schema.example().unwrap();
            assert_eq!(schema.check_value(&example, 0), Ok(()), "{document} {example}");
        }
    }

    #[test]
    fn schemas_without_an_end_have_no_example() {
        let endless =
            json!({"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}});
        for document in [json!(false), endless] {
            assert_eq!(Schema::compile(&document).unwrap().example(), None, "{document}");
        }
    }

    #[test]
    fn examples_of_wide_schemas_are_small() {
        let wide = json!({"type": "object", "properties": {
            "a": {"$ref": "#"}, "b": {"$ref": "#"}, "c": {"type": "array", "items": {"$ref": "#"}},
        }});
        let example = Schema::compile(&wide).unwrap().example().unwrap();
        assert!(example.to_string().len() < 8000, "{example}");
    }
}
