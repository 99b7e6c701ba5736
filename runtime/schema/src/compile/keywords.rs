//! The keywords of one schema object, each checked for what it may be.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Number, Value};

use super::Builder;
use super::names::Reference;
use crate::draft::Draft;
use crate::error::SchemaError;
use crate::node::{ArrayRules, Logic, Node, NodeId, NumberRules, ObjectRules, StringRules, Types};
use crate::pattern::Pattern;
use crate::text;

type Read<T> = Result<T, SchemaError>;

/// Reads one schema object.
pub(super) struct Reader<'b, 'a> {
    pub builder: &'b mut Builder<'a>,
    pub map: &'a Map<String, Value>,
    pub id: NodeId,
    pub pointer: String,
    pub base: Rc<str>,
}

impl<'a> Reader<'_, 'a> {
    /// The node, without where it is and without targets of references.
    pub fn node(mut self) -> Read<Node> {
        self.check_annotations()?;
        self.schema_map("definitions")?;
        self.schema_map("$defs")?;
        if self.builder.draft.reference_is_alone() && self.map.contains_key("$ref") {
            self.references()?;
            return Ok(Node { weight: 1, ..Node::default() });
        }
        self.references()?;
        let mut node = Node {
            types: self.types()?,
            options: self.options()?,
            constant: self.get("const").cloned(),
            number: self.number_rules()?,
            string: self.string_rules()?,
            array: self.array_rules()?,
            object: self.object_rules()?,
            logic: self.logic()?,
            ..Node::default()
        };
        node.weight = 1 + node.options.as_ref().map_or(0, |options| options.len() as u64);
        node.weight += node.object.as_ref().map_or(0, |object| object.required.len() as u64);
        node.is_last_word = node.array.as_ref().is_some_and(|array| array.unevaluated.is_some())
            || node.object.as_ref().is_some_and(|object| object.unevaluated.is_some());
        Ok(node)
    }

    fn check_annotations(&self) -> Read<()> {
        let wrong = |keyword, what| Err(self.wrong(keyword, what));
        for keyword in ["title", "description", "format", "$comment"] {
            if self.map.get(keyword).is_some_and(|value| !value.is_string()) {
                return wrong(keyword, "must be a string");
            }
        }
        for keyword in ["deprecated", "readOnly", "writeOnly"] {
            if self.map.get(keyword).is_some_and(|value| !value.is_boolean()) {
                return wrong(keyword, "must be a boolean");
            }
        }
        let version = self.map.get("$schema");
        if version.is_some() && Draft::named(version)? != self.builder.draft {
            return wrong("$schema", "must be the version of the whole schema");
        }
        if self.map.get("examples").is_some_and(|value| !value.is_array()) {
            return wrong("examples", "must be an array");
        }
        Ok(())
    }

    fn references(&mut self) -> Read<()> {
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            let Some(value) = self.get(keyword) else { continue };
            let Value::String(target) = value else {
                return Err(self.wrong(keyword, "must be a string"));
            };
            if keyword == "$recursiveRef" && target != "#" {
                return Err(self.wrong(keyword, "must be `#`"));
            }
            let target = target.clone();
            let base = self.base.clone();
            self.builder.open.push(Reference { from: self.id, keyword, target, base });
        }
        Ok(())
    }

    fn types(&self) -> Read<Option<Types>> {
        let Some(value) = self.get("type") else { return Ok(None) };
        let names = match value {
            Value::Array(names) if !names.is_empty() => names.as_slice(),
            Value::String(_) => std::slice::from_ref(value),
            _ => return Err(self.wrong("type", "must be the name of a type, or a list of them")),
        };
        let mut types = Types::default();
        for name in names {
            if !name.as_str().is_some_and(|name| types.add(name)) {
                let reason = format!("{} is not a type", text::value(name));
                return Err(self.wrong("type", &reason));
            }
        }
        if types.names().count() != names.len() {
            return Err(self.wrong("type", "names a type twice"));
        }
        Ok(Some(types))
    }

    fn options(&self) -> Read<Option<Vec<Value>>> {
        match self.get("enum") {
            None => Ok(None),
            Some(Value::Array(options)) => Ok(Some(options.clone())),
            Some(_) => Err(self.wrong("enum", "must be an array")),
        }
    }

    fn number_rules(&self) -> Read<Option<NumberRules>> {
        let mut rules = NumberRules {
            multiple_of: self.number("multipleOf")?,
            maximum: self.number("maximum")?,
            minimum: self.number("minimum")?,
            ..NumberRules::default()
        };
        if rules.multiple_of.as_ref().is_some_and(|of| of.as_f64().is_none_or(|of| of <= 0.0)) {
            return Err(self.wrong("multipleOf", "must be above zero"));
        }
        if self.builder.draft == Draft::Four {
            // Here they say how the other one is meant.
            if self.flag("exclusiveMaximum")? {
                rules.exclusive_maximum = rules.maximum.take();
            }
            if self.flag("exclusiveMinimum")? {
                rules.exclusive_minimum = rules.minimum.take();
            }
        } else {
            rules.exclusive_maximum = self.number("exclusiveMaximum")?;
            rules.exclusive_minimum = self.number("exclusiveMinimum")?;
        }
        let keywords = ["multipleOf", "maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum"];
        Ok(self.has_any(&keywords).then_some(rules))
    }

    fn string_rules(&mut self) -> Read<Option<StringRules>> {
        let pattern = match self.get("pattern") {
            None => None,
            Some(Value::String(source)) => {
                Some(self.builder.pattern(source, &text::below(&self.pointer, "pattern"))?)
            }
            Some(_) => return Err(self.wrong("pattern", "must be a string")),
        };
        let rules = StringRules {
            max_length: self.count("maxLength")?,
            min_length: self.count("minLength")?,
            pattern,
        };
        Ok(self.has_any(&["maxLength", "minLength", "pattern"]).then_some(rules))
    }

    fn array_rules(&mut self) -> Read<Option<ArrayRules>> {
        let (first, rest) = if self.builder.draft >= Draft::Y2020 {
            (self.schemas("prefixItems")?, self.schema("items")?)
        } else if self.get("items").is_some_and(Value::is_array) {
            (self.schemas("items")?, self.schema("additionalItems")?)
        } else {
            // Without a list of items the other keyword is checked, and means nothing.
            self.schema("additionalItems")?;
            (Vec::new(), self.schema("items")?)
        };
        let rules = ArrayRules {
            first,
            rest,
            max_items: self.count("maxItems")?,
            min_items: self.count("minItems")?,
            is_unique: self.flag("uniqueItems")?,
            contains: self.schema("contains")?,
            max_contains: self.count("maxContains")?,
            min_contains: self.count("minContains")?,
            contains_evaluates: self.builder.draft >= Draft::Y2020,
            unevaluated: self.schema("unevaluatedItems")?,
        };
        let keywords = [
            "prefixItems",
            "items",
            "additionalItems",
            "maxItems",
            "minItems",
            "uniqueItems",
            "contains",
            "unevaluatedItems",
        ];
        Ok(self.has_any(&keywords).then_some(rules))
    }

    fn object_rules(&mut self) -> Read<Option<ObjectRules>> {
        let mut rules = ObjectRules {
            properties: self.schema_map("properties")?.into_iter().collect(),
            patterns: self.pattern_properties()?,
            additional: self.schema("additionalProperties")?,
            names: self.schema("propertyNames")?,
            required: self.words("required")?,
            max_properties: self.count("maxProperties")?,
            min_properties: self.count("minProperties")?,
            needs: self.needs()?,
            dependents: self.schema_map("dependentSchemas")?.into_iter().collect(),
            unevaluated: self.schema("unevaluatedProperties")?,
        };
        self.dependencies(&mut rules)?;
        let keywords = [
            "properties",
            "patternProperties",
            "additionalProperties",
            "propertyNames",
            "required",
            "maxProperties",
            "minProperties",
            "dependentRequired",
            "dependentSchemas",
            "dependencies",
            "unevaluatedProperties",
        ];
        Ok(self.has_any(&keywords).then_some(rules))
    }

    fn pattern_properties(&mut self) -> Read<Vec<(Pattern, NodeId)>> {
        let mut patterns = Vec::new();
        for (source, id) in self.schema_map("patternProperties")? {
            let place = text::below(&self.pointer, "patternProperties");
            let pattern = self.builder.pattern(&source, &text::below(&place, &source))?;
            patterns.push((pattern, id));
        }
        Ok(patterns)
    }

    fn needs(&self) -> Read<BTreeMap<String, Vec<String>>> {
        let mut needs = BTreeMap::new();
        for (name, value) in self.object("dependentRequired")? {
            let words = words_of(value).ok_or_else(|| {
                self.wrong("dependentRequired", "must name lists of different names")
            })?;
            needs.insert(name.clone(), words);
        }
        Ok(needs)
    }

    /// The older form of two keywords in one.
    fn dependencies(&mut self, rules: &mut ObjectRules) -> Read<()> {
        for (name, value) in self.object("dependencies")? {
            if value.is_array() {
                let words = words_of(value)
                    .ok_or_else(|| self.wrong("dependencies", "must list different names"))?;
                rules.needs.insert(name.clone(), words);
            } else {
                let place = text::below(&self.pointer, "dependencies");
                let id = self.builder.node(text::below(&place, name), &self.base)?;
                rules.dependents.insert(name.clone(), id);
            }
        }
        Ok(())
    }

    fn logic(&mut self) -> Read<Option<Box<Logic>>> {
        let logic = Logic {
            references: Vec::new(),
            all_of: self.schemas("allOf")?,
            any_of: self.schemas("anyOf")?,
            one_of: self.schemas("oneOf")?,
            not: self.schema("not")?,
            condition: self.schema("if")?,
            then: self.schema("then")?,
            otherwise: self.schema("else")?,
        };
        let keywords = ["allOf", "anyOf", "oneOf", "not", "if"];
        Ok(self.has_any(&keywords).then(|| Box::new(logic)))
    }

    fn get(&self, keyword: &str) -> Option<&'a Value> {
        self.map.get(keyword).filter(|_| self.builder.draft.knows(keyword))
    }

    fn has_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.get(keyword).is_some())
    }

    fn wrong(&self, keyword: &str, reason: &str) -> SchemaError {
        let pointer = text::below(&self.pointer, keyword);
        SchemaError::Keyword { pointer, reason: reason.to_owned() }
    }

    fn number(&self, keyword: &str) -> Read<Option<Number>> {
        match self.get(keyword) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number.clone())),
            Some(_) => Err(self.wrong(keyword, "must be a number")),
        }
    }

    fn count(&self, keyword: &str) -> Read<Option<u64>> {
        let Some(value) = self.get(keyword) else { return Ok(None) };
        let whole = value.as_f64().filter(|float| *float >= 0.0 && float.fract() == 0.0);
        // Beyond 2^64 the cast gives the largest count, which means the same.
        let count = value.as_u64().or(whole.map(|float| float as u64));
        count.map(Some).ok_or_else(|| self.wrong(keyword, "must be a whole number, not below zero"))
    }

    fn flag(&self, keyword: &str) -> Read<bool> {
        match self.get(keyword) {
            None => Ok(false),
            Some(Value::Bool(is_set)) => Ok(*is_set),
            Some(_) => Err(self.wrong(keyword, "must be a boolean")),
        }
    }

    fn words(&self, keyword: &str) -> Read<Vec<String>> {
        let Some(value) = self.get(keyword) else { return Ok(Vec::new()) };
        words_of(value).ok_or_else(|| self.wrong(keyword, "must be a list of different names"))
    }

    fn object(
        &self,
        keyword: &str,
    ) -> Read<impl Iterator<Item = (&'a String, &'a Value)> + use<'a>> {
        match self.get(keyword) {
            None => Ok(None.into_iter().flatten()),
            Some(Value::Object(members)) => Ok(Some(members).into_iter().flatten()),
            Some(_) => Err(self.wrong(keyword, "must be an object")),
        }
    }

    fn schema(&mut self, keyword: &str) -> Read<Option<NodeId>> {
        if self.get(keyword).is_none() {
            return Ok(None);
        }
        self.builder.node(text::below(&self.pointer, keyword), &self.base).map(Some)
    }

    fn schemas(&mut self, keyword: &str) -> Read<Vec<NodeId>> {
        let schemas = match self.get(keyword) {
            None => return Ok(Vec::new()),
            Some(Value::Array(schemas)) if !schemas.is_empty() => schemas,
            Some(_) => return Err(self.wrong(keyword, "must be a list of schemas, not empty")),
        };
        let place = text::below(&self.pointer, keyword);
        let indexes = 0..schemas.len();
        indexes.map(|index| self.builder.node(format!("{place}/{index}"), &self.base)).collect()
    }

    fn schema_map(&mut self, keyword: &str) -> Read<Vec<(String, NodeId)>> {
        let place = text::below(&self.pointer, keyword);
        let mut ids = Vec::new();
        for (name, _) in self.object(keyword)? {
            let id = self.builder.node(text::below(&place, name), &self.base)?;
            ids.push((name.clone(), id));
        }
        Ok(ids)
    }
}

/// A list of names, none twice.
fn words_of(value: &Value) -> Option<Vec<String>> {
    let words: Vec<String> = value
        .as_array()?
        .iter()
        .map(|word| word.as_str().map(str::to_owned))
        .collect::<Option<_>>()?;
    let mut sorted: Vec<&String> = words.iter().collect();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1]).then_some(words)
}
