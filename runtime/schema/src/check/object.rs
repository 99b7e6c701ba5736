//! Keywords for objects.

use serde_json::{Map, Value};

use super::seen::Seen;
use super::{Place, Run, Stop};
use crate::equal;
use crate::node::{Node, ObjectRules};
use crate::text;

impl<'s> Run<'s> {
    pub(super) fn object<'v>(
        &mut self,
        node: &'s Node,
        rules: &'s ObjectRules,
        (value, members): (&'v Value, &'v Map<String, Value>),
        place: &Place<'_>,
        mut seen: Option<&mut Seen<'v>>,
    ) -> Result<bool, Stop> {
        let mut good = self.shape(node, rules, members, place)?;
        if !good && self.listed.is_none() {
            return Ok(false);
        }
        for (name, member) in members {
            good &= self.member(node, rules, (name, member), place, seen.as_deref_mut())?;
            if !good && self.listed.is_none() {
                return Ok(false);
            }
        }
        for (name, id) in &rules.dependents {
            self.spend(1)?;
            if members.contains_key(name) {
                good &= self.visit(*id, value, place, seen.as_deref_mut())?;
            }
        }
        Ok(good)
    }

    /// How many members there are, and which.
    fn shape(
        &mut self,
        node: &Node,
        rules: &ObjectRules,
        members: &Map<String, Value>,
        place: &Place<'_>,
    ) -> Result<bool, Stop> {
        let count = members.len() as u64;
        let (least, most) = (rules.min_properties, rules.max_properties);
        let mut good = self.amount(node, "minProperties", place, count, least, "members")?;
        good &= self.amount(node, "maxProperties", place, count, most, "members")?;
        for name in rules.required.iter().filter(|name| !members.contains_key(*name)) {
            let reason = || format!("`{}` is missing", text::short(name));
            good &= self.miss(node, "required", place, reason)?;
        }
        for (name, needed) in &rules.needs {
            self.spend(1)?;
            if !members.contains_key(name) {
                continue;
            }
            self.spend(needed.len() as u64)?;
            for other in needed.iter().filter(|other| !members.contains_key(*other)) {
                let (name, other) = (text::short(name), text::short(other));
                let reason = || format!("`{other}` is missing, which `{name}` needs");
                good &= self.miss(node, "dependentRequired", place, reason)?;
            }
        }
        Ok(good)
    }

    fn member<'v>(
        &mut self,
        node: &'s Node,
        rules: &'s ObjectRules,
        (name, value): (&'v String, &'v Value),
        place: &Place<'_>,
        seen: Option<&mut Seen<'v>>,
    ) -> Result<bool, Stop> {
        self.spend(equal::text_size(name))?;
        let mut good = true;
        let mut is_known = false;
        if let Some(id) = rules.names
            && !self.matches(id, &Value::from(name.as_str()), place, None)?
        {
            let reason = || format!("`{}` is not a name that is allowed", text::short(name));
            good &= self.miss(node, "propertyNames", place, reason)?;
        }
        let inside = Place::Member(place, name);
        if let Some(id) = rules.properties.get(name) {
            is_known = true;
            good &= self.visit(*id, value, &inside, None)?;
        }
        for (pattern, id) in &rules.patterns {
            if self.is_found(pattern, name)? {
                is_known = true;
                good &= self.visit(*id, value, &inside, None)?;
            }
        }
        if let Some(id) = rules.additional
            && !is_known
        {
            is_known = true;
            good &= self.visit(id, value, &inside, None)?;
        }
        if let Some(seen) = seen
            && is_known
        {
            seen.member(name);
        }
        Ok(good)
    }
}
