//! Keywords that ask several schemas about the same value.

use serde_json::Value;

use super::seen::Seen;
use super::{Place, Run, Stop, wrong_type};
use crate::node::{Logic, Node, NodeId, Types};

impl<'s> Run<'s> {
    pub(super) fn logic<'v>(
        &mut self,
        node: &'s Node,
        logic: &'s Logic,
        value: &'v Value,
        place: &Place<'_>,
        mut seen: Option<&mut Seen<'v>>,
    ) -> Result<bool, Stop> {
        let mut good = true;
        for id in logic.references.iter().chain(&logic.all_of) {
            good &= self.visit(*id, value, place, seen.as_deref_mut())?;
            if !good && self.listed.is_none() {
                return Ok(false);
            }
        }
        if !logic.any_of.is_empty() {
            good &= self.any_of(node, &logic.any_of, value, place, seen.as_deref_mut())?;
        }
        if !logic.one_of.is_empty() && (good || self.listed.is_some()) {
            good &= self.one_of(node, &logic.one_of, value, place, seen.as_deref_mut())?;
        }
        if let Some(id) = logic.not
            && self.matches(id, value, place, None)?
        {
            let reason = || "matches what it must not match".to_owned();
            good &= self.miss(node, "not", place, reason)?;
        }
        if let Some(id) = logic.condition
            && (good || self.listed.is_some())
        {
            let is_met = self.attempt(id, value, place, seen.as_deref_mut())?;
            if let Some(id) = if is_met { logic.then } else { logic.otherwise } {
                good &= self.visit(id, value, place, seen)?;
            }
        }
        Ok(good)
    }

    /// Whether a schema matches; what it looked at counts only then.
    fn attempt<'v>(
        &mut self,
        id: NodeId,
        value: &'v Value,
        place: &Place<'_>,
        seen: Option<&mut Seen<'v>>,
    ) -> Result<bool, Stop> {
        let Some(seen) = seen else { return self.matches(id, value, place, None) };
        let mut own = Seen::default();
        let is_match = self.matches(id, value, place, Some(&mut own))?;
        if is_match {
            self.spend(own.weight())?;
            seen.add(own);
        }
        Ok(is_match)
    }

    fn any_of<'v>(
        &mut self,
        node: &'s Node,
        ids: &[NodeId],
        value: &'v Value,
        place: &Place<'_>,
        mut seen: Option<&mut Seen<'v>>,
    ) -> Result<bool, Stop> {
        let mut is_any = false;
        for id in ids {
            is_any |= self.attempt(*id, value, place, seen.as_deref_mut())?;
            // The others matter only for what they look at.
            if is_any && seen.is_none() {
                return Ok(true);
            }
        }
        if is_any { Ok(true) } else { self.none_of(node, "anyOf", ids, value, place) }
    }

    fn one_of<'v>(
        &mut self,
        node: &'s Node,
        ids: &[NodeId],
        value: &'v Value,
        place: &Place<'_>,
        mut seen: Option<&mut Seen<'v>>,
    ) -> Result<bool, Stop> {
        let mut first = None;
        for (index, id) in ids.iter().enumerate() {
            if !self.attempt(*id, value, place, seen.as_deref_mut())? {
                continue;
            }
            if let Some(first) = first {
                let reason = || format!("matches alternatives {first} and {index}, must match one");
                return self.miss(node, "oneOf", place, reason);
            }
            first = Some(index);
        }
        if first.is_some() { Ok(true) } else { self.none_of(node, "oneOf", ids, value, place) }
    }

    /// No alternative matches. If only one of them is for values of this type, its faults are the
    /// ones that help.
    fn none_of(
        &mut self,
        node: &'s Node,
        keyword: &str,
        ids: &[NodeId],
        value: &Value,
        place: &Place<'_>,
    ) -> Result<bool, Stop> {
        if self.listed.is_none() {
            return Ok(false);
        }
        self.spend(ids.len() as u64)?;
        let nodes = self.nodes;
        let types = |id: &NodeId| types_of(nodes, *id);
        let mut fitting =
            ids.iter().filter(|id| types(id).is_none_or(|types| types.contain(value)));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => {
                self.visit(*only, value, place, None)?;
                Ok(false)
            }
            (None, _) => {
                let all = ids.iter().filter_map(types).fold(Types::default(), Types::or);
                self.miss(node, keyword, place, || wrong_type(value, all))
            }
            (Some(_), Some(_)) => self.miss(node, keyword, place, || {
                format!("matches none of the {} alternatives", ids.len())
            }),
        }
    }
}

/// The types that a schema asks for, by itself or where its only reference leads.
fn types_of(nodes: &[Node], mut id: NodeId) -> Option<Types> {
    // References do not form loops.
    loop {
        let node = &nodes[id];
        match (node.types, node.logic.as_ref().map(|logic| logic.references.as_slice())) {
            (None, Some([only])) => id = *only,
            (types, _) => return types,
        }
    }
}
