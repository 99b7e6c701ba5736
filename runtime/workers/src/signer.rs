//! Signatures that workers of today believe.
//!
//! A worker fetches a public key from `{REPORT_ADDR}/pubkey/` and serves requests whose signature
//! fits it: RSA, PKCS#1 v1.5, SHA-256, over the address alone (`_fetch_pubkey` and
//! `__check_signature` of package `vastai` 1.9.1). A signature therefore stays good for as long as
//! the worker has the key, and is made once for each address.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use graviola::signing::rsa::{KeySize, SigningKey};

use crate::address::Address;

/// More than any encoding of a key of [`KEY`] needs, and enough for keys of twice that size.
const DER_BYTES_MAX: usize = 8192;

/// 2048 bits, as safe as it needs to be until 2030, and quick: a signature takes about 1 ms.
const KEY: KeySize = KeySize::Rsa2048;

const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// Why requests cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// The processor is too old for the library.
    #[error("this processor lacks instructions that signing needs; use UNSECURED=true")]
    Processor,
    /// No key could be made.
    #[error("make a key: {0}")]
    Make(String),
    /// The text is no private RSA key of PKCS#8 in PEM.
    #[error("the key is no RSA key of 2048 to 8192 bits in a PEM block `PRIVATE KEY`: {0}")]
    Read(String),
}

/// A private key that signs for one server.
pub struct Signer {
    key: SigningKey,
    public_pem: String,
}

impl Signer {
    /// A new key.
    ///
    /// # Errors
    ///
    /// [`BadKey`] if the processor or the source of random bytes does not suffice.
    pub fn generate() -> Result<Self, BadKey> {
        check_processor()?;
        let key = SigningKey::generate(KEY).map_err(|error| BadKey::Make(format!("{error:?}")))?;
        Self::of(key).map_err(BadKey::Make)
    }

    /// The key that [`Signer::to_pem`] wrote, or another tool as PKCS#8.
    ///
    /// # Errors
    ///
    /// [`BadKey`] says what is wrong with it.
    pub fn from_pem(pem: &str) -> Result<Self, BadKey> {
        check_processor()?;
        let der = from_pem(PRIVATE, pem).map_err(BadKey::Read)?;
        let key =
            SigningKey::from_pkcs8_der(&der).map_err(|error| BadKey::Read(format!("{error:?}")))?;
        Self::of(key).map_err(BadKey::Read)
    }

    fn of(key: SigningKey) -> Result<Self, String> {
        let mut buffer = [0; DER_BYTES_MAX];
        let public = key.public_key();
        let der = public.to_spki_der(&mut buffer).map_err(|error| format!("{error:?}"))?;
        let public_pem = to_pem(PUBLIC, der);
        Ok(Self { key, public_pem })
    }

    /// The private key as PKCS#8 in PEM, to be stored where only the server reads.
    pub fn to_pem(&self) -> String {
        let mut buffer = [0; DER_BYTES_MAX];
        let der = self.key.to_pkcs8_der(&mut buffer).expect("a key in use fits the buffer");
        to_pem(PRIVATE, der)
    }

    /// The public key in PEM: the answer to `GET {REPORT_ADDR}/pubkey/`.
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// The signature for requests to the worker at `address`, in base64. It takes about 1 ms and
    /// is the same every time, so it is worth keeping.
    pub fn sign(&self, address: &Address) -> String {
        let mut buffer = vec![0; self.key.modulus_len_bytes()];
        let signature = self.key.sign_pkcs1_sha256(&mut buffer, message(address).as_bytes());
        STANDARD.encode(signature.expect("the buffer has the size of a signature"))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Signer")
    }
}

/// What is signed: the address as Python's `json.dumps` writes it with an indent of 4. An address
/// has no character that JSON escapes.
fn message(address: &Address) -> String {
    format!("{{\n    \"url\": \"{address}\"\n}}")
}

fn check_processor() -> Result<(), BadKey> {
    match graviola::util::is_cpu_supported() {
        true => Ok(()),
        false => Err(BadKey::Processor),
    }
}

/// A PEM block (RFC 7468).
fn to_pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The bytes in a PEM block.
fn from_pem(label: &str, pem: &str) -> Result<Vec<u8>, String> {
    let text = pem.trim().strip_prefix(&format!("-----BEGIN {label}-----"));
    let text = text.and_then(|text| text.strip_suffix(&format!("-----END {label}-----")));
    let text = text.ok_or("there is no such block")?;
    let text: String = text.split_ascii_whitespace().collect();
    STANDARD.decode(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use graviola::signing::rsa::VerifyingKey;

    use super::*;

    #[test]
    fn the_message_is_what_python_writes() {
        let address = Address::parse("http://10.0.0.1:4000").unwrap();
        assert_eq!(message(&address), "{\n    \"url\": \"http://10.0.0.1:4000\"\n}");
    }

    #[test]
    fn a_stored_key_signs_the_same() {
        let signer = Signer::generate().unwrap();
        let again = Signer::from_pem(&signer.to_pem()).unwrap();
        assert_eq!(signer.public_pem(), again.public_pem());
        let address = Address::parse("http://10.0.0.1:4000").unwrap();
        assert_eq!(signer.sign(&address), again.sign(&address));
        let other = Address::parse("http://10.0.0.1:4001").unwrap();
        assert_ne!(signer.sign(&address), signer.sign(&other));

        let der = from_pem(PUBLIC, signer.public_pem()).unwrap();
        // The key inside of the public key's usual envelope of 24 bytes.
        let public = VerifyingKey::from_pkcs1_der(&der[24..]).unwrap();
        let signature = STANDARD.decode(signer.sign(&address)).unwrap();
        public.verify_pkcs1_sha256(&signature, message(&address).as_bytes()).unwrap();
        assert!(public.verify_pkcs1_sha256(&signature, message(&other).as_bytes()).is_err());
        assert_eq!(format!("{signer:?}"), "Signer");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let public = Signer::generate().unwrap().public_pem().to_owned();
        let broken = to_pem(PRIVATE, b"no key");
        let cut = "-----BEGIN PRIVATE KEY-----\nMIIB";
        for text in ["", "key", &public, &broken, cut] {
            assert!(matches!(Signer::from_pem(text), Err(BadKey::Read(_))), "{text}");
        }
    }
}
