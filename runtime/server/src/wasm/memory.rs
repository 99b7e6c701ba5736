//! How much memory one instance may take.

use wasmtime::ResourceLimiter;

/// Linear memories and tables of one instance, each kind counted together. Growing beyond a limit
/// fails in the guest, which most languages answer with a trap.
pub struct MemoryLimit {
    bytes_max: usize,
    bytes: usize,
    table_elements_max: usize,
    table_elements: usize,
    parts: Parts,
}

/// Most parts an instance may be made of.
#[derive(Clone, Copy)]
pub struct Parts {
    /// Core instances of its component.
    pub instances: usize,
    /// Tables of all of them.
    pub tables: usize,
    /// Linear memories of all of them.
    pub memories: usize,
}

impl MemoryLimit {
    /// At most so many bytes of linear memory and elements of tables, in so many parts.
    pub fn new(bytes_max: usize, table_elements_max: usize, parts: Parts) -> Self {
        MemoryLimit { bytes_max, bytes: 0, table_elements_max, table_elements: 0, parts }
    }

    /// Bytes of linear memory in use.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Adds what `current` grows by to `sum` if that stays within `most`.
fn grow(sum: &mut usize, most: usize, current: usize, desired: usize) -> bool {
    let grown = sum.saturating_add(desired.saturating_sub(current));
    let fits = grown <= most;
    if fits {
        *sum = grown;
    }
    fits
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(grow(&mut self.bytes, self.bytes_max, current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(grow(&mut self.table_elements, self.table_elements_max, current, desired))
    }

    fn instances(&self) -> usize {
        self.parts.instances
    }

    fn tables(&self) -> usize {
        self.parts.tables
    }

    fn memories(&self) -> usize {
        self.parts.memories
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_count_together() {
        let parts = Parts { instances: 1, tables: 1, memories: 2 };
        let mut limit = MemoryLimit::new(100, 10, parts);
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(!limit.memory_growing(0, 41, None).unwrap());
        assert!(limit.memory_growing(0, 40, None).unwrap());
        assert!(!limit.memory_growing(60, 61, None).unwrap());
        assert!(limit.table_growing(0, 10, None).unwrap());
        assert!(!limit.table_growing(10, 11, None).unwrap());
    }
}
