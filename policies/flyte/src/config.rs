//! The parameters, with the original's names, units and checks.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::pool::ZeroMinimum;
use crate::reuse::{ReusePolicy, Scope};
use crate::scaling::{self, Message, Metric, Scaling};

/// Parameters of the policy. Unknown keys are errors, and so are those of the other kind.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which of the two mechanisms. Default `pool`.
    pub kind: Kind,
    /// Both: one number, or the fewest and the most. The originals' defaults are 2 for a pool and
    /// 0 to 1 for an app; here they are the deployment's bounds.
    pub replicas: Option<Replicas>,
    /// Pool: idle seconds of the whole pool after which it goes, at least 30. Default 30.
    pub idle_ttl: Option<i64>,
    /// Pool: requests that one replica serves at a time, at least 1. The original's default is 1;
    /// here it is what the deployment says.
    pub concurrency: Option<i64>,
    /// Pool: idle seconds of one replica after which it goes, at least 30. Default 30.
    pub scaledown_ttl: Option<i64>,
    /// Pool: read and ignored, because a deployment has one pool. Default `global`.
    pub scope: Option<Scope>,
    /// Pool, extension: what a minimum of 0 means. Default `maximum`, which is faithful.
    pub zero_minimum: Option<ZeroMinimum>,
    /// Pool, extension: TTLs from 1 second on pass. Default false, which is faithful.
    pub allow_short_ttls: Option<bool>,
    /// App: what replicas are counted from. Default: Knative's, 100 requests inside a replica.
    pub metric: Option<Metric>,
    /// App: Knative's stable window in seconds, 6 to 3600; 0 is as good as nothing. Default 60.
    pub scaledown_after: Option<i64>,
    /// App, extension: what `replicas = 0` means. Default `unlimited`, which is faithful.
    pub zero_maximum: Option<ZeroMaximum>,
    /// App, extension: what `scaledown_after` becomes. Default `window`, which is faithful.
    pub scaledown_as: Option<ScaledownAs>,
    /// App, extension: percentage of the metric's value at which replicas are added. Default 70,
    /// which is Knative's and which Flyte leaves alone.
    pub target_utilization_percentage: Option<f64>,
}

/// Which mechanism of Flyte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `ReusePolicy`: a pool of warm replicas.
    #[default]
    Pool,
    /// `Scaling` of an app, which Knative carries out.
    App,
}

/// What a maximum of 0 means to an app.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZeroMaximum {
    /// No limit but the deployment's own, as Knative reads it.
    #[default]
    Unlimited,
    /// No replica at all.
    Zero,
}

/// What `scaledown_after` becomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScaledownAs {
    /// The stable window, which slows growth as well.
    #[default]
    Window,
    /// The delay before replicas are removed, and nothing else.
    Delay,
}

/// A number of replicas, or the fewest and the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replicas {
    /// Always this many.
    Fixed(i64),
    /// From the first to the second.
    Range(i64, i64),
}

impl Replicas {
    /// The fewest and the most.
    pub fn bounds(self) -> (i64, i64) {
        match self {
            Self::Fixed(count) => (count, count),
            Self::Range(min, max) => (min, max),
        }
    }
}

impl<'de> Deserialize<'de> for Replicas {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReplicasVisitor)
    }
}

struct ReplicasVisitor;

impl<'de> Visitor<'de> for ReplicasVisitor {
    type Value = Replicas;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an int or a list of two ints")
    }

    fn visit_i64<E: de::Error>(self, count: i64) -> Result<Replicas, E> {
        Ok(Replicas::Fixed(count))
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<Replicas, E> {
        let wrong = |_| E::invalid_value(de::Unexpected::Unsigned(count), &self);
        i64::try_from(count).map(Replicas::Fixed).map_err(wrong)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Replicas, A::Error> {
        let mut next =
            |at| list.next_element()?.ok_or_else(|| de::Error::invalid_length(at, &self));
        let (min, max) = (next(0)?, next(1)?);
        match list.next_element::<de::IgnoredAny>()? {
            None => Ok(Replicas::Range(min, max)),
            Some(_) => Err(de::Error::invalid_length(3, &self)),
        }
    }
}

impl Config {
    /// Checks the values as the original's constructors do.
    ///
    /// # Errors
    ///
    /// Names the key, the value and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        match self.kind {
            Kind::Pool => self.check_pool(),
            Kind::App => self.check_app(),
        }
    }

    fn check_pool(&self) -> Result<(), String> {
        let theirs = [
            ("metric", self.metric.is_some()),
            ("scaledown_after", self.scaledown_after.is_some()),
            ("zero_maximum", self.zero_maximum.is_some()),
            ("scaledown_as", self.scaledown_as.is_some()),
            ("target_utilization_percentage", self.target_utilization_percentage.is_some()),
        ];
        refuse(theirs, "app", "pool")?;
        let default = ReusePolicy::default();
        let policy = ReusePolicy {
            replicas: self.replicas.map_or(default.replicas, Replicas::bounds),
            idle_ttl: self.idle_ttl.map_or(default.idle_ttl, |ttl| ttl as f64),
            concurrency: self.concurrency.unwrap_or(default.concurrency),
            scaledown_ttl: self.scaledown_ttl.map_or(default.scaledown_ttl, |ttl| ttl as f64),
        };
        policy.check(self.allow_short_ttls.unwrap_or_default())
    }

    fn check_app(&self) -> Result<(), String> {
        let theirs = [
            ("idle_ttl", self.idle_ttl.is_some()),
            ("concurrency", self.concurrency.is_some()),
            ("scaledown_ttl", self.scaledown_ttl.is_some()),
            ("scope", self.scope.is_some()),
            ("zero_minimum", self.zero_minimum.is_some()),
            ("allow_short_ttls", self.allow_short_ttls.is_some()),
        ];
        refuse(theirs, "pool", "app")?;
        match self.replicas {
            None => {}
            Some(Replicas::Fixed(count)) => scaling::check_fixed(count as f64)?,
            Some(Replicas::Range(min, max)) => scaling::check_range(min as f64, max as f64)?,
        }
        if let Some(metric) = self.metric {
            metric.check()?;
            if metric.value().fract() != 0.0 {
                return Err(format!("metric must be a whole number, got {}", metric.value()));
            }
        }
        if let Some(percentage) = self.target_utilization_percentage
            && !(1.0..=100.0).contains(&percentage)
        {
            return Err(format!(
                "target_utilization_percentage must be 1 to 100, got {percentage}"
            ));
        }
        self.check_scaledown_after()
    }

    /// The original takes any number here, and Knative then refuses the service.
    fn check_scaledown_after(&self) -> Result<(), String> {
        let Some(seconds) = self.scaledown_after else {
            return Ok(());
        };
        let (least, what) = match self.scaledown_as.unwrap_or_default() {
            ScaledownAs::Window => (6, "a window"),
            ScaledownAs::Delay => (1, "a delay"),
        };
        if seconds == 0 || (least..=3600).contains(&seconds) {
            return Ok(());
        }
        Err(format!("scaledown_after must be 0, or {least} to 3600 s as {what}, got {seconds}"))
    }

    /// What the client would send for the app. Bounds that are not configured are not in it.
    pub fn message(&self) -> Message {
        let default = Scaling::default();
        let replicas = self.replicas.map(Replicas::bounds);
        let scaling = Scaling {
            replicas: replicas.map_or(default.replicas, |(min, max)| (min as f64, max as f64)),
            metric: self.metric,
            scaledown_after: self.scaledown_after.map(|seconds| seconds as f64),
        };
        Message { replicas, ..scaling.message() }
    }

    /// Whether an app is to have no replica at all.
    pub fn is_off(&self) -> bool {
        self.replicas.map(Replicas::bounds) == Some((0, 0))
            && self.zero_maximum == Some(ZeroMaximum::Zero)
    }
}

/// Refuses keys of the other kind by name.
fn refuse<const N: usize>(theirs: [(&str, bool); N], kind: &str, own: &str) -> Result<(), String> {
    match theirs.iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((key, _)) => Err(format!("`{key}` belongs to kind \"{kind}\", but kind is \"{own}\"")),
    }
}
