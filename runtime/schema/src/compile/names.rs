//! Names inside a schema: URIs of its parts, anchors, and what references to them mean.

use std::collections::HashMap;
use std::rc::Rc;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use url::Url;

use crate::draft::Draft;
use crate::error::SchemaError;
use crate::node::NodeId;
use crate::text;

/// The URI of a schema that does not say its own. No reference can name it from outside.
const ROOT_BASE: &str = "schema:///";

/// A reference that is not resolved yet.
pub(super) struct Reference {
    pub from: NodeId,
    pub keyword: &'static str,
    pub target: String,
    pub base: Rc<str>,
}

/// All names that were found so far.
pub(super) struct Names {
    /// Pointers of what has a URI.
    resources: HashMap<String, String>,
    /// Pointers of anchors, by the URI they belong to.
    anchors: HashMap<(String, String), String>,
    /// Pointers of anchors that references find from elsewhere. One place each: which of several
    /// is meant would depend on how a check came there.
    dynamic: HashMap<String, String>,
}

/// Where references start from that are not below an `$id`.
pub(super) fn root_base() -> Rc<str> {
    ROOT_BASE.into()
}

impl Names {
    pub fn new() -> Self {
        let root = HashMap::from([(ROOT_BASE.to_owned(), String::new())]);
        Names { resources: root, anchors: HashMap::new(), dynamic: HashMap::new() }
    }

    /// Takes up the names of a schema, and says what its references start from.
    pub fn enter(
        &mut self,
        draft: Draft,
        map: &Map<String, Value>,
        pointer: &str,
        base: &Rc<str>,
    ) -> Result<Rc<str>, SchemaError> {
        if draft.reference_is_alone() && map.contains_key("$ref") {
            return Ok(base.clone());
        }
        let mut own = base.clone();
        if let Some(id) = word(map, draft.id_keyword(), pointer)? {
            let (uri, anchor) = split(id);
            if !uri.is_empty() {
                let place = || text::below(pointer, draft.id_keyword());
                let uri = resolve(uri, base)
                    .ok_or_else(|| wrong(place(), "must be a URI, or one relative to another"))?;
                own = Rc::from(uri.as_str());
                insert(&mut self.resources, uri, pointer)?;
            }
            if !anchor.is_empty() && draft >= Draft::Y2019 {
                let place = text::below(pointer, draft.id_keyword());
                return Err(wrong(place, "must have no fragment"));
            }
            if !anchor.is_empty() {
                self.anchor(&own, anchor, pointer)?;
            }
        }
        for keyword in ["$anchor", "$dynamicAnchor"] {
            let Some(name) = word(map, keyword, pointer)?.filter(|_| draft.knows(keyword)) else {
                continue;
            };
            if !is_anchor(name) {
                let reason =
                    "must start with a letter, and have only letters, digits, `-`, `_`, `.`";
                return Err(wrong(text::below(pointer, keyword), reason));
            }
            self.anchor(&own, name, pointer)?;
            if keyword == "$dynamicAnchor" {
                insert(&mut self.dynamic, name.to_owned(), pointer)?;
            }
        }
        if draft == Draft::Y2019 && map.get("$recursiveAnchor") == Some(&Value::Bool(true)) {
            insert(&mut self.dynamic, "$recursiveAnchor".to_owned(), pointer)?;
        }
        Ok(own)
    }

    fn anchor(&mut self, base: &str, name: &str, pointer: &str) -> Result<(), SchemaError> {
        let key = (base.to_owned(), name.to_owned());
        match self.anchors.insert(key, pointer.to_owned()) {
            Some(former) if former != pointer => Err(taken(name, pointer)),
            _ => Ok(()),
        }
    }

    /// The pointer that a reference from `pointer` means. It may lead to nothing.
    pub fn target(&self, reference: &Reference, pointer: &str) -> Result<String, SchemaError> {
        let place = || text::below(pointer, reference.keyword);
        let target = || reference.target.clone();
        let remote = || SchemaError::RemoteReference { pointer: place(), target: target() };
        let missing = || SchemaError::NoTarget { pointer: place(), target: target() };
        let (uri, fragment) = split(&reference.target);
        let uri = match uri {
            "" => reference.base.to_string(),
            uri => resolve(uri, &reference.base)
                .ok_or_else(|| wrong(place(), "must be a URI, or one relative to another"))?,
        };
        let resource = self.resources.get(&uri).ok_or_else(remote)?;
        let fragment = percent_decode_str(fragment).decode_utf8().map_err(|_| missing())?;
        if fragment.is_empty() || fragment.starts_with('/') {
            return Ok(format!("{resource}{fragment}"));
        }
        self.anchors.get(&(uri, fragment.into_owned())).cloned().ok_or_else(missing)
    }
}

fn insert(
    names: &mut HashMap<String, String>,
    name: String,
    pointer: &str,
) -> Result<(), SchemaError> {
    match names.get(&name) {
        Some(former) if former != pointer => Err(taken(&name, pointer)),
        Some(_) => Ok(()),
        None => {
            names.insert(name, pointer.to_owned());
            Ok(())
        }
    }
}

fn taken(name: &str, pointer: &str) -> SchemaError {
    SchemaError::NameTaken { pointer: pointer.to_owned(), name: name.to_owned() }
}

fn wrong(pointer: String, reason: &str) -> SchemaError {
    SchemaError::Keyword { pointer, reason: reason.to_owned() }
}

fn word<'a>(
    map: &'a Map<String, Value>,
    keyword: &str,
    pointer: &str,
) -> Result<Option<&'a str>, SchemaError> {
    match map.get(keyword) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(text::below(pointer, keyword), "must be a string")),
    }
}

fn is_anchor(name: &str) -> bool {
    let is_more = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_more)
}

fn split(reference: &str) -> (&str, &str) {
    reference.split_once('#').unwrap_or((reference, ""))
}

fn resolve(reference: &str, base: &str) -> Option<String> {
    let resolved = Url::parse(base).ok()?.join(reference).ok()?;
    Some(resolved.into())
}
