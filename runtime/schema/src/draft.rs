//! Versions of JSON Schema, and what the same keyword means in them.

use serde_json::Value;

use crate::error::SchemaError;

/// A version of JSON Schema, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Draft {
    Four,
    Six,
    Seven,
    Y2019,
    Y2020,
}

impl Draft {
    /// The version that the value of `$schema` names; the newest if it is not there.
    pub fn named(value: Option<&Value>) -> Result<Self, SchemaError> {
        let Some(named) = value else { return Ok(Draft::Y2020) };
        let unknown = || SchemaError::UnknownDraft {
            found: named.as_str().map_or_else(|| named.to_string(), str::to_owned),
        };
        let text = named.as_str().ok_or_else(unknown)?;
        let name = text.trim_end_matches('#');
        let name = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://"));
        match name.and_then(|name| name.strip_prefix("json-schema.org/")) {
            Some("draft-04/schema") => Ok(Draft::Four),
            Some("draft-06/schema") => Ok(Draft::Six),
            Some("draft-07/schema") => Ok(Draft::Seven),
            Some("draft/2019-09/schema") => Ok(Draft::Y2019),
            Some("draft/2020-12/schema") => Ok(Draft::Y2020),
            _ => Err(unknown()),
        }
    }

    /// The keyword that names a schema by a URI.
    pub fn id_keyword(self) -> &'static str {
        if self == Draft::Four { "id" } else { "$id" }
    }

    /// Whether keywords beside `$ref` are ignored.
    pub fn reference_is_alone(self) -> bool {
        self <= Draft::Seven
    }

    /// Whether a keyword of this version, or later ones, is known.
    pub fn knows(self, keyword: &str) -> bool {
        let since = match keyword {
            "const" | "contains" | "propertyNames" => Draft::Six,
            "if" | "then" | "else" => Draft::Seven,
            "$anchor"
            | "$recursiveRef"
            | "dependentRequired"
            | "dependentSchemas"
            | "maxContains"
            | "minContains"
            | "unevaluatedItems"
            | "unevaluatedProperties" => Draft::Y2019,
            "$dynamicAnchor" | "$dynamicRef" | "prefixItems" => Draft::Y2020,
            _ => Draft::Four,
        };
        let until = match keyword {
            "$recursiveRef" | "additionalItems" => Draft::Y2019,
            _ => Draft::Y2020,
        };
        since <= self && self <= until
    }
}
