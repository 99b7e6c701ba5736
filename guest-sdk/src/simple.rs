//! The simplest form of a policy: one function of plain numbers.

use serde::de::DeserializeOwned;

use crate::{Decision, Observation, Policy};

/// A policy that is one function: how many replicas, given how many there are and what was
/// measured.
///
/// The type holds the settings and the state at once. It is read from the configuration, so its
/// fields are the keys of `--set`; fields with `#[serde(skip)]` are state and start with their
/// default. `#[serde(deny_unknown_fields)]` refuses mistyped keys by name.
///
/// ```
/// use samovar_sdk::{Metrics, SimplePolicy, export_policy, serde};
///
/// #[derive(serde::Deserialize)]
/// #[serde(crate = "samovar_sdk::serde", deny_unknown_fields)]
/// struct Share {
///     requests_per_replica: f64,
/// }
/// export_policy!(Share);
///
/// impl SimplePolicy for Share {
///     const NAME: &'static str = "share";
///
///     fn scale(&mut self, _replicas: f64, metrics: &Metrics) -> f64 {
///         metrics.pending_requests / self.requests_per_replica
///     }
/// }
///
/// let mut rule = Share { requests_per_replica: 4.0 };
/// let metrics = Metrics { pending_requests: 10.0, ..Metrics::default() };
/// assert_eq!(rule.scale(2.0, &metrics), 2.5); // The host rounds up.
/// ```
///
/// Each such type is a [`Policy`] too, so [`export_policy!`](crate::export_policy) and the
/// [harness](crate::harness) take it as it is. What holds for policies holds here: a panic, or an
/// answer that is NaN or infinite, costs that one decision, and the last target stays. Implement
/// [`Policy`] instead to hold on purpose, to choose which replicas go, or to be asked earlier.
pub trait SimplePolicy: DeserializeOwned + 'static {
    /// How the policy calls itself, as in `describe`.
    const NAME: &'static str;

    /// Version of the policy; usually `env!("CARGO_PKG_VERSION")`. Default: none.
    const VERSION: &'static str = "";

    /// JSON Schema of the configuration. Default: empty, which means any object.
    const CONFIG_SCHEMA: &'static str = "";

    /// Looks at the settings before the first decision. Default: all are fine.
    ///
    /// # Errors
    ///
    /// When they make no sense. The text reaches the user as it is: name the key.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// One tick: how many replicas the deployment should have.
    ///
    /// `replicas` are those that serve or soon will: starting and ready ones. The answer may be a
    /// fraction or negative; the host rounds up and clamps. All numbers are floats, so that
    /// `replicas - 1.0` is always fine and nothing needs a conversion.
    fn scale(&mut self, replicas: f64, metrics: &Metrics) -> f64;
}

impl<S: SimplePolicy> Policy for S {
    const NAME: &'static str = S::NAME;
    const VERSION: &'static str = S::VERSION;
    const CONFIG_SCHEMA: &'static str = S::CONFIG_SCHEMA;
    type Config = S;

    fn new(config: S) -> Result<S, String> {
        config.check()?;
        Ok(config)
    }

    fn scale(&mut self, seen: &Observation) -> Decision {
        let replicas = f64::from(seen.replicas());
        let wish = SimplePolicy::scale(self, replicas, &Metrics::from(seen));
        let requests = seen.requests();
        Decision::replicas(wish)
            .because(format!("{requests} requests, {replicas} replicas: wants {wish}"))
    }
}

/// What a [`SimplePolicy`] is told: the numbers most wanted, and the whole [`Observation`].
///
/// In tests fill in what matters and leave the rest to `Metrics::default()`, or make one from an
/// observation:
///
/// ```
/// use samovar_sdk::{Metrics, Observation};
///
/// let counts = Observation { queued: 3, ongoing: 2, arrived: 8, ..Observation::default() };
/// let seen = Observation { since_ms: 2000, ..counts };
/// let metrics = Metrics::from(&seen);
/// assert_eq!(metrics.pending_requests, 5.0);
/// assert_eq!(metrics.arrivals_per_second, Some(4.0));
/// assert_eq!(metrics.series("gpu_load"), None); // Nothing reported it.
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// Requests inside: waiting and being served. Lightning's `pending_requests`.
    pub pending_requests: f64,
    /// Replicas that are starting. Lightning's `pending_works`.
    pub pending_works: f64,
    /// Replicas that can serve, busy or not.
    pub running_works: f64,
    /// Requests waiting for a replica.
    pub queued: f64,
    /// Requests being served.
    pub ongoing: f64,
    /// Requests one replica serves at a time.
    pub concurrency: f64,
    /// Requests that arrived per second since the last tick; none in the first one.
    pub arrivals_per_second: Option<f64>,
    /// How long the request that waits longest has waited, in seconds; 0 when none waits.
    pub wait_seconds: f64,
    /// The time, in seconds on a clock that starts at an arbitrary point.
    pub now_seconds: f64,
    /// Everything the host measured: latency, averages, limits, failures and more.
    pub seen: Observation,
}

impl Metrics {
    /// The newest value of the series `name`, if a handler or worker reported it.
    pub fn series(&self, name: &str) -> Option<f64> {
        self.seen.custom(name)
    }
}

impl From<&Observation> for Metrics {
    fn from(seen: &Observation) -> Self {
        let seconds = |ms: u64| ms as f64 / 1000.0;
        let since = seconds(seen.since_ms);
        Self {
            pending_requests: f64::from(seen.requests()),
            pending_works: f64::from(seen.starting),
            running_works: f64::from(seen.ready),
            queued: f64::from(seen.queued),
            ongoing: f64::from(seen.ongoing),
            concurrency: f64::from(seen.limits.concurrency),
            arrivals_per_second: (since > 0.0).then(|| seen.arrived as f64 / since),
            wait_seconds: seen.oldest_wait_ms.map_or(0.0, seconds),
            now_seconds: seconds(seen.now_ms),
            seen: seen.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Wish, parse_config};

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Steps {
        step: f64,
        #[serde(skip)]
        asked: u32,
    }

    impl SimplePolicy for Steps {
        const NAME: &'static str = "steps";

        fn check(&self) -> Result<(), String> {
            if self.step > 0.0 { Ok(()) } else { Err("`step` must be above 0".into()) }
        }

        fn scale(&mut self, replicas: f64, _: &Metrics) -> f64 {
            self.asked += 1;
            replicas + self.step * f64::from(self.asked)
        }
    }

    fn made(config: &str) -> Result<Steps, String> {
        Policy::new(parse_config::<Steps>(config)?)
    }

    #[test]
    fn fields_are_settings_and_skipped_ones_are_state() {
        let mut policy = made(r#"{"step": 0.5}"#).unwrap();
        let seen = Observation { ready: 2, starting: 1, ongoing: 4, ..Observation::default() };
        let first = Policy::scale(&mut policy, &seen);
        assert_eq!(first.wish, Wish::Replicas(3.5));
        assert_eq!(first.reason, "4 requests, 3 replicas: wants 3.5");
        assert_eq!(Policy::scale(&mut policy, &seen).wish, Wish::Replicas(4.0));
        assert_eq!(<Steps as Policy>::NAME, "steps");
    }

    #[test]
    fn bad_settings_are_refused() {
        assert_eq!(made(r#"{"step": 0}"#).err().unwrap(), "`step` must be above 0");
        assert_eq!(
            made(r#"{"asked": 1}"#).err().unwrap(),
            "unknown field `asked`, expected `step`"
        );
    }

    #[derive(serde::Deserialize)]
    struct Broken;

    impl SimplePolicy for Broken {
        const NAME: &'static str = "broken";

        fn scale(&mut self, replicas: f64, metrics: &Metrics) -> f64 {
            metrics.pending_requests / replicas
        }
    }

    #[test]
    fn policies_without_settings_need_no_fields_and_nan_reaches_the_host() {
        let mut policy: Broken = Policy::new(parse_config("{}").unwrap()).unwrap();
        let decision = Policy::scale(&mut policy, &Observation::default());
        assert!(matches!(decision.wish, Wish::Replicas(wish) if wish.is_nan()));
    }

    #[test]
    fn metrics_hold_the_observation() {
        let latency = Some(crate::Latency { p50_ms: 1.0, p90_ms: 2.0, p99_ms: 3.0 });
        let custom = vec![crate::Sample { name: "load".into(), value: 0.5 }];
        let seen = Observation {
            now_ms: 1500,
            starting: 1,
            ready: 2,
            queued: 3,
            ongoing: 4,
            oldest_wait_ms: Some(250),
            latency,
            custom,
            ..Observation::default()
        };
        let metrics = Metrics::from(&seen);
        assert_eq!((metrics.pending_works, metrics.running_works), (1.0, 2.0));
        assert_eq!((metrics.queued, metrics.ongoing, metrics.pending_requests), (3.0, 4.0, 7.0));
        assert_eq!((metrics.now_seconds, metrics.wait_seconds), (1.5, 0.25));
        assert_eq!(metrics.arrivals_per_second, None);
        assert_eq!(metrics.series("load"), Some(0.5));
        assert_eq!(metrics.seen, seen);
    }
}
