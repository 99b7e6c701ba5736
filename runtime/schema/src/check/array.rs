//! Keywords for arrays.

use serde_json::Value;

use super::seen::Seen;
use super::{Place, Run, Stop};
use crate::equal;
use crate::node::{ArrayRules, Node, NodeId};

impl<'s> Run<'s> {
    pub(super) fn array<'v>(
        &mut self,
        node: &'s Node,
        rules: &'s ArrayRules,
        items: &'v [Value],
        place: &Place<'_>,
        mut seen: Option<&mut Seen<'v>>,
    ) -> Result<bool, Stop> {
        let count = items.len() as u64;
        let mut good = self.amount(node, "minItems", place, count, rules.min_items, "items")?;
        good &= self.amount(node, "maxItems", place, count, rules.max_items, "items")?;
        if !good && self.listed.is_none() {
            return Ok(false);
        }
        good &= self.items(rules, items, place)?;
        if let Some(seen) = seen.as_deref_mut() {
            seen.first_items(rules.first.len());
            if rules.rest.is_some() {
                seen.all_items();
            }
        }
        if rules.is_unique && (good || self.listed.is_some()) {
            self.spend(items.iter().map(equal::size).sum())?;
            if let Some((one, other)) = equal::twins(items) {
                let reason = || format!("items {one} and {other} are equal, all must differ");
                good &= self.miss(node, "uniqueItems", place, reason)?;
            }
        }
        if let Some(id) = rules.contains
            && (good || self.listed.is_some())
        {
            good &= self.contains(node, rules, id, items, place, seen)?;
        }
        Ok(good)
    }

    fn items(
        &mut self,
        rules: &ArrayRules,
        items: &[Value],
        place: &Place<'_>,
    ) -> Result<bool, Stop> {
        let mut good = true;
        for (index, item) in items.iter().enumerate() {
            let Some(id) = rules.first.get(index).copied().or(rules.rest) else { break };
            good &= self.visit(id, item, &Place::Item(place, index), None)?;
            if !good && self.listed.is_none() {
                break;
            }
        }
        Ok(good)
    }

    fn contains<'v>(
        &mut self,
        node: &'s Node,
        rules: &ArrayRules,
        id: NodeId,
        items: &'v [Value],
        place: &Place<'_>,
        mut seen: Option<&mut Seen<'v>>,
    ) -> Result<bool, Stop> {
        let mut found = 0;
        for (index, item) in items.iter().enumerate() {
            if !self.matches(id, item, &Place::Item(place, index), None)? {
                continue;
            }
            found += 1;
            if rules.contains_evaluates
                && let Some(seen) = seen.as_deref_mut()
            {
                seen.item(index);
            }
        }
        let least = rules.min_contains.unwrap_or(1);
        if found < least {
            let keyword = if rules.min_contains.is_some() { "minContains" } else { "contains" };
            let reason = || format!("has {found} items of the kind it must have {least} of");
            return self.miss(node, keyword, place, reason);
        }
        match rules.max_contains {
            Some(most) if found > most => self.miss(node, "maxContains", place, || {
                format!("has {found} items of the kind it must have at most {most} of")
            }),
            _ => Ok(true),
        }
    }
}
