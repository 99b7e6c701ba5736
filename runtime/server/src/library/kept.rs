//! Loaded code that is kept although nothing runs it, so that the next first request finds it.

use crate::spec::{Digest, World};
use crate::wasm::component::HandlerCode;
use lru::LruCache;
use parking_lot::Mutex;
use std::sync::Arc;

/// Which code: a component may be called in more than one way.
type Key = (Digest, World);

/// The code that was needed last, up to a number of bytes. What replicas run is loaded anyway,
/// whether it is among them or not.
pub struct Kept {
    bytes_max: u64,
    codes: Mutex<Codes>,
}

struct Codes {
    by_use: LruCache<Key, Arc<HandlerCode>>,
    bytes: u64,
}

impl Kept {
    /// Keeps at most so many bytes of code, counted as they are on disk.
    pub fn new(bytes_max: u64) -> Self {
        Kept { bytes_max, codes: Mutex::new(Codes { by_use: LruCache::unbounded(), bytes: 0 }) }
    }

    /// This code was needed just now. What was not needed for longest is forgotten for it.
    pub fn keep(&self, key: Key, code: &Arc<HandlerCode>) {
        let mut forgotten = Vec::new();
        let mut codes = self.codes.lock();
        if codes.by_use.get(&key).is_none_or(|kept| !Arc::ptr_eq(kept, code)) {
            codes.bytes += code.bytes;
            if let Some(old) = codes.by_use.put(key, Arc::clone(code)) {
                codes.bytes -= old.bytes;
                forgotten.push(old);
            }
        }
        while codes.bytes > self.bytes_max
            && let Some((_, old)) = codes.by_use.pop_lru()
        {
            codes.bytes -= old.bytes;
            forgotten.push(old);
        }
        // Giving memory back takes time.
        drop(codes);
        drop(forgotten);
    }

    /// Bytes of the code that is kept.
    pub fn bytes(&self) -> u64 {
        self.codes.lock().bytes
    }
}
