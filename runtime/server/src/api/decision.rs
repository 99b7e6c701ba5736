//! The decision log: what the policy of a deployment wanted, and what came of it.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::ShadowDecision;
use crate::spec::{Digest, PolicyName};

/// One tick of a deployment's policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    pub at_ms: u64,
    pub policy: PolicyName,
    pub digest: Digest,
    /// What the policy answered: `"hold"` or a number of replicas, which may have a fraction.
    #[schema(value_type = Object, example = json!(2.5))]
    pub wish: Wish,
    /// The wish rounded up; null when it was to hold or there was none.
    pub proposed: Option<u32>,
    /// What the server is trying to hold since then.
    pub target: u32,
    /// What kept the target from being the proposed number; null if nothing did.
    pub limited_by: Option<LimitedBy>,
    /// The policy's own words; may be empty.
    pub reason: String,
    /// Why there is no answer of the policy; the target is then the one before.
    pub error: Option<String>,
    /// Time the policy took, in microseconds.
    pub took_us: u64,
    /// Ready replicas the policy saw.
    pub ready: u32,
    /// Starting replicas the policy saw.
    pub starting: u32,
    /// Waiting requests the policy saw.
    pub queued: u64,
    /// Requests being served that the policy saw.
    pub ongoing: u64,
    /// What the policy in the shadow said; null if there was none or it has not answered.
    #[serde(default)]
    pub shadow: Option<Box<ShadowDecision>>,
}

/// Answer of `GET /v1/deployments/{name}/decisions`, newest last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecisionList {
    pub decisions: Vec<Decision>,
}

/// A bound that changed what a policy proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LimitedBy {
    /// The minimum of the deployment.
    Min,
    /// The maximum of the deployment.
    Max,
    /// What the machine can hold.
    Slots,
    /// The machine's accelerators.
    Devices,
}

impl LimitedBy {
    /// The word as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            LimitedBy::Min => "min",
            LimitedBy::Max => "max",
            LimitedBy::Slots => "slots",
            LimitedBy::Devices => "devices",
        }
    }
}

/// What a policy answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wish {
    /// Keep the target. Also stands for a failed call.
    Hold,
    /// This many replicas, rounded up.
    Replicas(f64),
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wish::Hold => f.write_str("hold"),
            Wish::Replicas(replicas) => replicas.fmt(f),
        }
    }
}

impl Serialize for Wish {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        match self {
            Wish::Hold => output.serialize_str("hold"),
            Wish::Replicas(replicas) => output.serialize_f64(*replicas),
        }
    }
}

impl<'de> Deserialize<'de> for Wish {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Wish, D::Error> {
        input.deserialize_any(WishVisitor)
    }
}

struct WishVisitor;

impl Visitor<'_> for WishVisitor {
    type Value = Wish;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"hold\" or a number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Wish, E> {
        match text {
            "hold" => Ok(Wish::Hold),
            other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_f64<E: de::Error>(self, replicas: f64) -> Result<Wish, E> {
        Ok(Wish::Replicas(replicas))
    }

    fn visit_u64<E: de::Error>(self, replicas: u64) -> Result<Wish, E> {
        Ok(Wish::Replicas(replicas as f64))
    }

    fn visit_i64<E: de::Error>(self, replicas: i64) -> Result<Wish, E> {
        Ok(Wish::Replicas(replicas as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_read_back() {
        for (text, wish) in [
            ("\"hold\"", Wish::Hold),
            ("2.5", Wish::Replicas(2.5)),
            ("3.0", Wish::Replicas(3.0)),
            ("-1.0", Wish::Replicas(-1.0)),
        ] {
            assert_eq!(serde_json::from_str::<Wish>(text).unwrap(), wish);
            assert_eq!(serde_json::to_string(&wish).unwrap(), text);
        }
        assert_eq!(serde_json::from_str::<Wish>("3").unwrap(), Wish::Replicas(3.0));
        assert!(serde_json::from_str::<Wish>("\"up\"").is_err());
    }
}
