//! Scales like the AutoScaler component of Lightning (`lightning-app` 2.3.0).
//!
//! In every tick the rule asks for one replica more or one less, from the requests per replica.
//! The loop around it clamps the answer and lets it through when more than an interval has passed
//! since the last change, whichever direction that had: both intervals look at one timestamp.
//!
//! How the original's words map to the host's:
//!
//! | original | here |
//! | --- | --- |
//! | works, `replicas` | starting and ready replicas |
//! | `pending_works` | starting replicas, or the series named by `pending_works_series` |
//! | `pending_requests` | queued and ongoing requests |
//! | construction of the AutoScaler | `created-ms`: when the pool was made |
//! | a user's own `scale()` | the series named by `target_series` |
//!
//! Not here: batching, the endpoint and the proxy belong to the host. Their keys are checked like
//! in the original and then ignored. Models of them answer the original's vectors, nothing else.

mod config;
mod conformance;
mod rule;

use std::borrow::Cow;

use samovar_sdk::blocks::{Cooldown, Direction};
use samovar_sdk::{Decision, Limits, Observation, Policy, export_policy};

pub use config::Config;
pub use rule::scale;

/// The state for one deployment.
pub struct Lightning {
    config: Config,
    /// Since replicas were last added or removed. None before the first observation.
    cooldown: Option<Cooldown>,
    /// Whether any change has been let through.
    has_changed: bool,
}

export_policy!(Lightning, conformance);

impl Policy for Lightning {
    const NAME: &'static str = "lightning";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const CONFIG_SCHEMA: &'static str = include_str!("schema.json");
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        config.validate()?;
        Ok(Self { config, cooldown: None, has_changed: false })
    }

    fn scale(&mut self, seen: &Observation) -> Decision {
        let replicas = f64::from(seen.replicas());
        let (wish, why) = self.wish(seen);
        if wish.is_nan() {
            return Decision::hold().because(why);
        }
        let wanted = self.clamp(wish, &seen.limits);
        let bound = if wanted == wish { "" } else { ", limited" };
        if wanted == replicas {
            return Decision::hold().because(format!("{why}: {replicas} will do{bound}"));
        }
        let direction = if wanted > replicas { Direction::Out } else { Direction::In };
        let may_start = self.config.start_at_once && !self.has_changed;
        let Config { scale_out_interval, scale_in_interval, .. } = self.config;
        let cooldown = self.cooldown.get_or_insert_with(|| {
            Cooldown::new(scale_out_interval, scale_in_interval, seen.created_ms)
        });
        if !cooldown.is_over(direction, seen.now_ms) && !may_start {
            let since = (cooldown.since_s(seen.now_ms) * 1000.0).round() / 1000.0;
            let interval = cooldown.interval_s(direction);
            let text = format!(
                "{why}: wants {wanted}{bound}; {since} s since the last change, \
                 needs more than {interval} s"
            );
            return Decision::hold().because(text);
        }
        cooldown.restart(seen.now_ms);
        self.has_changed = true;
        Decision::replicas(wanted).because(format!("{why}: {replicas} to {wanted}{bound}"))
    }
}

impl Lightning {
    /// What the rule, or the series in its place, asks for before clamping, and why.
    fn wish(&self, seen: &Observation) -> (f64, Cow<'static, str>) {
        let series = self.config.target_series.as_deref();
        if let Some((name, value)) = series.and_then(|name| Some((name, seen.custom(name)?))) {
            return (value.ceil(), format!("series {name} = {value}").into());
        }
        let series = self.config.pending_works_series.as_deref();
        let pending_works = series.and_then(|name| seen.custom(name));
        rule::explained(
            i64::from(seen.replicas()),
            i64::from(seen.requests()),
            pending_works.map_or(i64::from(seen.starting), |works| works as i64),
            self.config.max_batch_size,
        )
    }

    /// Bounds that are not configured are the deployment's. The lower bound wins over the upper.
    fn clamp(&self, wish: f64, limits: &Limits) -> f64 {
        let bound = |own: Option<i64>, hosts: u32| own.map_or(f64::from(hosts), |own| own as f64);
        let max = bound(self.config.max_replicas, limits.max);
        let min = bound(self.config.min_replicas, limits.min);
        wish.min(max).max(min)
    }
}
