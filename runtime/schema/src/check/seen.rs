//! What the keywords of a schema looked at, for `unevaluatedItems` and `unevaluatedProperties`.

use std::collections::{BTreeSet, HashSet};

/// Parts of one value that were looked at.
#[derive(Debug, Default)]
pub(super) struct Seen<'v> {
    has_all_members: bool,
    members: HashSet<&'v str>,
    has_all_items: bool,
    /// The first items, this many.
    first: usize,
    items: BTreeSet<usize>,
}

impl<'v> Seen<'v> {
    pub fn member(&mut self, name: &'v str) {
        self.members.insert(name);
    }

    pub fn all_members(&mut self) {
        self.has_all_members = true;
    }

    pub fn item(&mut self, index: usize) {
        self.items.insert(index);
    }

    pub fn first_items(&mut self, count: usize) {
        self.first = self.first.max(count);
    }

    pub fn all_items(&mut self) {
        self.has_all_items = true;
    }

    pub fn has_member(&self, name: &str) -> bool {
        self.has_all_members || self.members.contains(name)
    }

    pub fn has_item(&self, index: usize) -> bool {
        self.has_all_items || index < self.first || self.items.contains(&index)
    }

    /// Steps that adding it to another takes.
    pub fn weight(&self) -> u64 {
        (self.members.len() + self.items.len()) as u64
    }

    pub fn add(&mut self, other: Seen<'v>) {
        self.has_all_members |= other.has_all_members;
        self.has_all_items |= other.has_all_items;
        self.first = self.first.max(other.first);
        self.members.extend(other.members);
        self.items.extend(other.items);
    }
}
