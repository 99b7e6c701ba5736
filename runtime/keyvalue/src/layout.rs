//! How rows look on disk. Pure: bytes in, bytes out.
//!
//! ```text
//! row of a value   bucket id (8, big endian) | hash of the key (8, big endian) | key
//! value            expiry in Unix ms, 0 = never (8, little endian) | 0 | bytes, if few
//!                                                                  | 1 | length (8), else
//! row of an expiry bucket id (8) | expiry in Unix ms (8, big endian) | key
//! ```
//!
//! The hash makes the order of a listing, so that a cursor of 64 bits says where it goes on,
//! without state and however keys come and go. It is keyed by file, so that nobody can choose keys
//! with the same hash.

use siphasher::sip::SipHasher13;

/// Longer values are in a table of their own, so that listings and sizes don't read them.
pub(crate) const INLINE_BYTES_MAX: usize = 1024;

const INLINE: u8 = 0;
const APART: u8 = 1;
const KEY_AT: usize = 16;

/// The hash of keys of one file.
#[derive(Clone, Copy)]
pub(crate) struct KeyHash(SipHasher13);

impl KeyHash {
    pub(crate) fn new(keys: [u64; 2]) -> Self {
        Self(SipHasher13::new_with_keys(keys[0], keys[1]))
    }

    /// The row of the value of `key`.
    pub(crate) fn row(&self, bucket: u64, key: &[u8]) -> Vec<u8> {
        numbered(bucket, self.0.hash(key), key)
    }
}

/// The row in the table of expiries.
pub(crate) fn expiry_row(bucket: u64, expires_ms: u64, key: &[u8]) -> Vec<u8> {
    numbered(bucket, expires_ms, key)
}

fn numbered(bucket: u64, number: u64, key: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(KEY_AT + key.len());
    row.extend_from_slice(&bucket.to_be_bytes());
    row.extend_from_slice(&number.to_be_bytes());
    row.extend_from_slice(key);
    row
}

/// The first row a bucket can have, in both tables, from `number` on.
pub(crate) fn first_row(bucket: u64, number: u64) -> [u8; KEY_AT] {
    let mut row = [0; KEY_AT];
    row[..8].copy_from_slice(&bucket.to_be_bytes());
    row[8..].copy_from_slice(&number.to_be_bytes());
    row
}

/// Bucket, number (a hash or an expiry) and key of a row.
pub(crate) fn split(row: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (bucket, rest) = row.split_first_chunk()?;
    let (number, key) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*bucket), u64::from_be_bytes(*number), key))
}

/// A value as its row has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Unix ms; 0 is never.
    pub expires_ms: u64,
    pub body: Body<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    Inline(&'a [u8]),
    /// So many bytes in the table for long values.
    Apart(u64),
}

impl<'a> Entry<'a> {
    pub(crate) fn new(value: &'a [u8], expires_ms: u64) -> Self {
        let body = if value.len() > INLINE_BYTES_MAX {
            Body::Apart(value.len() as u64)
        } else {
            Body::Inline(value)
        };
        Self { expires_ms, body }
    }

    /// The length of the value.
    pub(crate) fn bytes(&self) -> u64 {
        match self.body {
            Body::Inline(value) => value.len() as u64,
            Body::Apart(bytes) => bytes,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(9 + INLINE_BYTES_MAX.min(self.bytes() as usize));
        out.extend_from_slice(&self.expires_ms.to_le_bytes());
        match self.body {
            Body::Inline(value) => {
                out.push(INLINE);
                out.extend_from_slice(value);
            }
            Body::Apart(bytes) => {
                out.push(APART);
                out.extend_from_slice(&bytes.to_le_bytes());
            }
        }
        out
    }

    /// None if no program of ours wrote it.
    pub(crate) fn decode(raw: &'a [u8]) -> Option<Self> {
        let (expires, rest) = raw.split_first_chunk()?;
        let (tag, rest) = rest.split_first()?;
        let body = match *tag {
            INLINE => Body::Inline(rest),
            APART => Body::Apart(u64::from_le_bytes(rest.try_into().ok()?)),
            _ => return None,
        };
        Some(Self { expires_ms: u64::from_le_bytes(*expires), body })
    }
}

/// The number that a value counts, if it is a counter: the shortest decimal text of a `u64`.
pub(crate) fn counter(value: &[u8]) -> Option<u64> {
    let is_plain = value == b"0" || value.first().is_some_and(|first| *first != b'0');
    let is_digits = value.iter().all(u8::is_ascii_digit);
    if !is_plain || !is_digits {
        return None;
    }
    str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_back_as_they_were_written() {
        for (length, expires_ms) in [(0, 0), (1, 1), (INLINE_BYTES_MAX, u64::MAX)] {
            let value = vec![7; length];
            let entry = Entry::new(&value, expires_ms);
            assert_eq!(entry.body, Body::Inline(&value));
            assert_eq!(Entry::decode(&entry.encode()), Some(entry));
        }
        let value = vec![7; INLINE_BYTES_MAX + 1];
        let entry = Entry::new(&value, 5);
        assert_eq!(entry.bytes(), 1025);
        assert_eq!(Entry::decode(&entry.encode()), Some(entry));
    }

    #[test]
    fn strange_entries_are_none() {
        for raw in [&b""[..], &[0; 8], &[2; 9], &[1; 9], &[1; 18]] {
            assert_eq!(Entry::decode(raw), None, "{raw:?}");
        }
        assert_eq!(split(&[0; 15]), None);
    }

    #[test]
    fn rows_have_their_parts_and_the_order_of_their_numbers() {
        let row = expiry_row(3, 258, b"key");
        assert_eq!(split(&row), Some((3, 258, &b"key"[..])));
        assert!(row > expiry_row(3, 257, b"other") && row < expiry_row(4, 0, b""));
        assert!(first_row(3, 258).as_slice() <= row.as_slice());
        let hash = KeyHash::new([1, 2]);
        assert_eq!(hash.row(1, b"a"), hash.row(1, b"a"));
        assert_ne!(hash.row(1, b"a"), KeyHash::new([1, 3]).row(1, b"a"));
    }

    #[test]
    fn only_plain_decimal_digits_are_counters() {
        assert_eq!(counter(b"0"), Some(0));
        assert_eq!(counter(b"18446744073709551615"), Some(u64::MAX));
        for other in ["", "00", "01", "+1", "-1", " 1", "1 ", "1.0", "18446744073709551616", "x"] {
            assert_eq!(counter(other.as_bytes()), None, "{other}");
        }
    }
}
