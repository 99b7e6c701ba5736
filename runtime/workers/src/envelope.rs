//! Requests in the form that an unmodified worker of today wants them.
//!
//! It takes `{"auth_data": {…}, "payload": {…}}` and gives the payload to the model.
//! Of `auth_data` it checks that six fields are there and that the signature fits `url`; `reqnum`
//! and `request_idx` name the request in its reports.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::address::Address;

/// Why a body cannot be sent to such a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body must be a JSON object, because the worker takes nothing else")]
pub struct NotAnObject;

/// The numbers of a deployment's requests. They grow, also when requests are sent from several
/// threads; two live requests of one number would hide each other in the worker's reports.
#[derive(Debug)]
pub struct Numbers(AtomicU64);

impl Numbers {
    /// The next number is `first`. Workers outlive a server, so it has to be above what an earlier
    /// server gave out: microseconds since 1970 are, and fit in a double for 250 years.
    pub fn starting_at(first: u64) -> Self {
        Self(AtomicU64::new(first))
    }

    /// A number that was not given out before.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// What is said about a request besides its body.
#[derive(Debug, Clone, Copy)]
pub struct Ticket<'a> {
    /// The deployment's name.
    pub endpoint: &'a str,
    /// The request's number.
    pub number: u64,
    /// Its work in units. The worker measures its own, but takes this for a session.
    pub cost: f64,
    /// Where the worker listens. Any text would do; it is what the signature is about.
    pub url: &'a Address,
    /// [`Signer::sign`](crate::signer::Signer::sign) of `url`; empty for workers that run with
    /// `UNSECURED=true`.
    pub signature: &'a str,
}

#[derive(Serialize)]
struct AuthData<'a> {
    cost: f64,
    endpoint: &'a str,
    reqnum: u64,
    request_idx: u64,
    signature: &'a str,
    url: String,
}

/// The body to send to the worker: `body` as the payload, byte for byte, or `None` if the client
/// made an envelope itself, so that `body` goes as it is. Who does that signs itself, too.
///
/// # Errors
///
/// [`NotAnObject`] if the worker would refuse any envelope with this body.
pub fn wrap(body: &[u8], ticket: &Ticket<'_>) -> Result<Option<Vec<u8>>, NotAnObject> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let is_wrapped = json.deserialize_map(LooksForAuthData).map_err(|_| NotAnObject)?;
    json.end().map_err(|_| NotAnObject)?;
    if is_wrapped {
        return Ok(None);
    }
    let auth_data = AuthData {
        cost: ticket.cost,
        endpoint: ticket.endpoint,
        reqnum: ticket.number,
        request_idx: ticket.number,
        signature: ticket.signature,
        url: ticket.url.to_string(),
    };
    let auth_data = serde_json::to_vec(&auth_data).expect("numbers and texts can be written");
    let parts = [b"{\"auth_data\":", auth_data.as_slice(), b",\"payload\":", body, b"}"];
    Ok(Some(parts.concat()))
}

/// Reads an object and says whether it has `auth_data`.
struct LooksForAuthData;

impl<'de> Visitor<'de> for LooksForAuthData {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<bool, A::Error> {
        let mut is_wrapped = false;
        while let Some(name) = fields.next_key::<std::borrow::Cow<'_, str>>()? {
            is_wrapped |= name == "auth_data";
            fields.next_value::<IgnoredAny>()?;
        }
        Ok(is_wrapped)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn wrapped(body: &str) -> Result<Option<Value>, NotAnObject> {
        let url = Address::parse("http://10.0.0.1:4000").unwrap();
        let ticket =
            Ticket { endpoint: "chat", number: 12, cost: 2.5, url: &url, signature: "c2ln" };
        let bytes = wrap(body.as_bytes(), &ticket)?;
        Ok(bytes.map(|bytes| serde_json::from_slice(&bytes).unwrap()))
    }

    #[test]
    fn the_body_becomes_the_payload() {
        let expected = json!({
            "auth_data": {
                "cost": 2.5, "endpoint": "chat", "reqnum": 12, "request_idx": 12,
                "signature": "c2ln", "url": "http://10.0.0.1:4000",
            },
            "payload": {"prompt": "a\u{e9}\"", "n": 1},
        });
        assert_eq!(wrapped(r#" {"prompt":"aé\"","n":1} "#), Ok(Some(expected)));
        assert_eq!(wrapped("{}").unwrap().unwrap()["payload"], json!({}));
    }

    #[test]
    fn an_envelope_is_not_wrapped_again() {
        assert_eq!(wrapped(r#"{"payload":{},"auth_data":{},"session_id":"x"}"#), Ok(None));
        assert!(wrapped(r#"{"in":{"auth_data":{}}}"#).unwrap().is_some());
    }

    #[test]
    fn what_the_worker_would_refuse_is_refused() {
        for body in ["", "[]", "5", "\"x\"", "null", "{", "{}x", "{\"a\":NaN}", "{\"a\":1}{"] {
            assert_eq!(wrapped(body), Err(NotAnObject), "{body}");
        }
        assert_eq!(wrapped(&"{\"a\":".repeat(100_000)), Err(NotAnObject));
    }

    #[test]
    fn numbers_grow() {
        let numbers = Numbers::starting_at(5);
        assert_eq!([numbers.next(), numbers.next(), numbers.next()], [5, 6, 7]);
    }
}
