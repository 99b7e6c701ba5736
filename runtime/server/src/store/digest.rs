//! Digests of what is being written or read.

use crate::spec::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read};

/// The digest of all that `hasher` has seen.
pub(super) fn of_hasher(hasher: Sha256) -> Digest {
    Digest::from_bytes(hasher.finalize().into())
}

/// Reads `file` to its end, without holding more than a buffer of it.
pub(super) fn of_file(file: &mut File) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(of_hasher(hasher)),
            len => hasher.update(&buffer[..len]),
        }
    }
}
