//! The header that tells which request a process acts for: its id and a signature.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderName, HeaderValue};
use samovar_core::calls::CallId;
use sha2::Sha256;

/// Names a request among those under way. A process that calls the data plane sends it on.
pub const CALL_HEADER: HeaderName = HeaderName::from_static("samovar-call");

/// Digits of an id, and of a signature: half of what SHA-256 gives is more than can be guessed.
const ID_DIGITS: usize = 16;
const SIGNATURE_DIGITS: usize = 32;

/// Signs ids with a key that only this server process has: what it signed before a restart names
/// requests that are gone.
pub struct Signer(Hmac<Sha256>);

impl Signer {
    /// With a new key.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn new() -> anyhow::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| anyhow::anyhow!("random bytes: {error}"))?;
        Ok(Signer::with_key(&key))
    }

    fn with_key(key: &[u8]) -> Self {
        Signer(Hmac::new_from_slice(key).expect("a key may have any length"))
    }

    /// The value for a request.
    pub fn write(&self, id: CallId) -> HeaderValue {
        let text = format!("{:016x}.{}", id.get(), hex::encode(&self.signature(id)[..16]));
        HeaderValue::from_str(&text).expect("digits and a point")
    }

    /// The request that is named. The reason why not completes a sentence about the header.
    pub fn read(&self, values: &[HeaderValue]) -> Result<CallId, String> {
        let [value] = values else {
            return Err(format!("is there {} times", values.len()));
        };
        let malformed = || {
            format!("has {} bytes and is not `ID.SIGNATURE` as this server sends it", value.len())
        };
        let text = value.to_str().map_err(|_| malformed())?;
        let (id, signature) = text.split_once('.').ok_or_else(malformed)?;
        if id.len() != ID_DIGITS || signature.len() != SIGNATURE_DIGITS {
            return Err(malformed());
        }
        let mut number = [0; ID_DIGITS / 2];
        let mut given = [0; SIGNATURE_DIGITS / 2];
        hex::decode_to_slice(id, &mut number).map_err(|_| malformed())?;
        hex::decode_to_slice(signature, &mut given).map_err(|_| malformed())?;
        let mac = self.0.clone().chain_update(number);
        mac.verify_truncated_left(&given).map_err(|_| {
            "is not signed by this server, or was before it was restarted".to_owned()
        })?;
        Ok(CallId::from_u64(u64::from_be_bytes(number)))
    }

    fn signature(&self, id: CallId) -> [u8; 32] {
        self.0.clone().chain_update(id.get().to_be_bytes()).finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(values: &[&str]) -> String {
        let values: Vec<_> = values.iter().map(|text| text.parse().unwrap()).collect();
        Signer::with_key(b"key").read(&values).unwrap_err()
    }

    #[test]
    fn what_was_written_is_read() {
        let signer = Signer::with_key(b"key");
        for id in [0, 1, 77, u64::MAX] {
            let value = signer.write(CallId::from_u64(id));
            assert_eq!(signer.read(&[value]).unwrap(), CallId::from_u64(id));
        }
    }

    #[test]
    fn whatever_else_is_refused() {
        let signer = Signer::with_key(b"key");
        let good = signer.write(CallId::from_u64(7));
        let good = good.to_str().unwrap();
        let foreign = Signer::with_key(b"another").write(CallId::from_u64(7));
        let foreign = foreign.to_str().unwrap();
        assert!(refused(&[foreign]).starts_with("is not signed by this server"));
        let other_id = good.replacen("0000000000000007", "0000000000000008", 1);
        assert!(refused(&[&other_id]).starts_with("is not signed by this server"));
        assert_eq!(refused(&[good, good]), "is there 2 times");
        for length in 0..good.len() {
            let cut = refused(&[&good[..length]]);
            assert!(cut.contains(&format!("has {length} bytes")), "{cut}");
        }
        assert!(refused(&[&"a".repeat(10_000)]).contains("has 10000 bytes"));
        assert!(refused(&[&good.replace('.', ":")]).contains("is not `ID.SIGNATURE`"));
        assert!(refused(&[&format!("{good}0")]).contains("is not `ID.SIGNATURE`"));
        let digits = good.replacen("0000000000000007", "00000000000000zz", 1);
        assert!(refused(&[&digits]).contains("is not `ID.SIGNATURE`"));
    }
}
