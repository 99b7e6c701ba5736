//! What a deployment may store, and what one call may ask for.

use std::time::Duration;

use crate::error::Error;

/// Counted for each value beside its key and its bytes: about what a row costs on disk.
pub const ENTRY_OVERHEAD_BYTES: u64 = 64;
/// Buckets of one deployment, so that names cannot be used as unbounded storage.
pub const BUCKETS_MAX: usize = 64;
/// Characters of a bucket's name.
pub const BUCKET_NAME_CHARS_MAX: usize = 64;
/// Keys in one page of a listing.
pub const KEYS_PER_PAGE: usize = 1000;
/// Keys of one batch call: others wait while it is written.
pub const BATCH_KEYS_MAX: usize = 10_000;
/// Bytes of keys and values of one batch call, and of all writes that wait.
pub const BATCH_BYTES_MAX: u64 = 64 << 20;

/// The bucket that the empty name stands for.
const DEFAULT_BUCKET: &str = "default";

/// The limits of one deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of all keys and values together, with [`ENTRY_OVERHEAD_BYTES`] for each value.
    /// Default 64 MiB. What is stored stays when the quota becomes smaller; then only writes that
    /// need no more room than they free are taken.
    pub quota_bytes: u64,
    /// Bytes of one value. Default 1 MiB.
    pub value_bytes_max: u64,
    /// Bytes of one key. Default 1 KiB.
    pub key_bytes_max: u64,
    /// How long a value lives that is set without a time of its own. Default: it stays.
    pub ttl: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { quota_bytes: 64 << 20, value_bytes_max: 1 << 20, key_bytes_max: 1 << 10, ttl: None }
    }
}

impl Settings {
    pub(crate) fn check_key(&self, key: &str) -> Result<(), Error> {
        let bytes = key.len() as u64;
        if bytes == 0 {
            return Err(Error::KeyEmpty);
        }
        if bytes > self.key_bytes_max {
            return Err(Error::KeyTooLarge { bytes, limit: self.key_bytes_max });
        }
        Ok(())
    }

    pub(crate) fn check_value(&self, value: &[u8]) -> Result<(), Error> {
        let bytes = value.len() as u64;
        if bytes > self.value_bytes_max {
            return Err(Error::ValueTooLarge { bytes, limit: self.value_bytes_max });
        }
        Ok(())
    }

    /// When a value set now expires without a time of its own; 0 is never.
    pub(crate) fn expires_ms(&self, now_ms: u64) -> u64 {
        self.ttl
            .map_or(0, |ttl| expires_ms(now_ms, u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// When a value expires that is set now for `ttl_ms`; never 0, which stands for values that stay.
pub(crate) fn expires_ms(now_ms: u64, ttl_ms: u64) -> u64 {
    now_ms.saturating_add(ttl_ms).max(1)
}

pub(crate) fn is_expired(expires_ms: u64, now_ms: u64) -> bool {
    expires_ms != 0 && expires_ms <= now_ms
}

/// What a value counts towards the quota.
pub(crate) fn entry_bytes(key_bytes: usize, value_bytes: u64) -> u64 {
    key_bytes as u64 + value_bytes + ENTRY_OVERHEAD_BYTES
}

pub(crate) fn check_batch_keys(count: usize) -> Result<(), Error> {
    if count > BATCH_KEYS_MAX {
        let (count, limit) = (count as u64, BATCH_KEYS_MAX as u64);
        return Err(Error::BatchTooLarge { what: "keys", count, limit });
    }
    Ok(())
}

pub(crate) fn check_batch_bytes(count: u64) -> Result<(), Error> {
    if count > BATCH_BYTES_MAX {
        return Err(Error::BatchTooLarge { what: "bytes", count, limit: BATCH_BYTES_MAX });
    }
    Ok(())
}

/// The bucket that `name` means, if it can be one.
pub(crate) fn bucket_name(name: &str) -> Result<&str, Error> {
    let refuse = |why| Err(Error::NoSuchStore { name: shown(name), why });
    if name.is_empty() {
        return Ok(DEFAULT_BUCKET);
    }
    if name.len() > BUCKET_NAME_CHARS_MAX {
        return refuse("a name has at most 64 characters");
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return refuse("a name has only letters, digits, `-`, `_` and `.`");
    }
    Ok(name)
}

/// A name of a guest in a message: not longer than a name may be.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(BUCKET_NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_name_is_the_default_bucket() {
        assert_eq!(bucket_name("").unwrap(), "default");
        assert_eq!(bucket_name("default").unwrap(), "default");
        assert_eq!(bucket_name("A-z_0.9").unwrap(), "A-z_0.9");
    }

    #[test]
    fn strange_names_are_no_stores() {
        for name in ["a b", "a/b", "é", "\0", "redis://x", &"x".repeat(65)] {
            let error = bucket_name(name).unwrap_err();
            assert!(matches!(error, Error::NoSuchStore { .. }), "{name}: {error}");
            assert!(error.to_string().len() < 200);
        }
        assert!(bucket_name(&"x".repeat(64)).is_ok());
    }

    #[test]
    fn life_is_never_zero_and_never_wraps() {
        assert_eq!(expires_ms(0, 0), 1);
        assert_eq!(expires_ms(u64::MAX, 5), u64::MAX);
        assert_eq!(Settings::default().expires_ms(7), 0);
        let settings = Settings { ttl: Some(Duration::MAX), ..Settings::default() };
        assert_eq!(settings.expires_ms(7), u64::MAX);
        assert!(is_expired(7, 7) && !is_expired(8, 7) && !is_expired(0, 7));
    }
}
