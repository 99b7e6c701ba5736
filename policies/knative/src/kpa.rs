//! The autoscaler on the host's observations.

use std::fmt::Write;

use samovar_sdk::{Decision, Limits, Observation};

use crate::{
    Activity, Autoscaler, Proxy, Revision, Rules, Scale, Settings, TICK_MS, UNKNOWN, Verdict,
    revision::ACTIVATION_SLACK_MS, samples::Samples,
};

/// Progress deadline where the revision sets none.
const PROGRESS_DEADLINE_MS: u64 = 600_000;

/// The pod autoscaler of Knative for one deployment.
///
/// Ask it in every tick. It takes a sample of each second and decides every two, or at once when a
/// request meets a wish of zero; in between it holds.
#[derive(Debug)]
pub struct Kpa {
    settings: Settings,
    rules: Rules,
    samples: Samples,
    /// None before the first observation.
    live: Option<Live>,
}

#[derive(Debug)]
struct Live {
    autoscaler: Autoscaler,
    revision: Revision,
    /// Number of the newest decision.
    tick: u64,
    /// Newest valid wish, and what it was made of.
    scale: Scale,
    averages: (f64, f64),
    /// Since when requests would go through the activator; none while they would not.
    proxied_since_ms: Option<u64>,
    /// A new revision gets its initial scale without being asked.
    is_new: bool,
}

impl Kpa {
    /// An autoscaler that has seen nothing.
    ///
    /// # Errors
    ///
    /// What [`Settings::validate`] says.
    pub fn new(settings: Settings) -> Result<Self, String> {
        settings.validate()?;
        let cluster = &settings.cluster;
        let retention = settings.scale_to_zero_pod_retention_period;
        let rules = Rules {
            min: 0,
            max: 0,
            initial: settings.initial_scale().into(),
            reachable: true,
            scale_to_zero: cluster.enable_scale_to_zero,
            stable_window_ms: settings.stable_window().as_millis() as u64,
            grace_ms: cluster.scale_to_zero_grace_period.as_millis() as u64,
            retention_ms: retention
                .unwrap_or(cluster.scale_to_zero_pod_retention_period)
                .as_millis() as u64,
            progress_deadline_ms: settings
                .progress_deadline
                .map_or(PROGRESS_DEADLINE_MS, |deadline| deadline.as_millis() as u64),
            always_proxied: settings.burst_capacity() == -1.0,
        };
        let samples = Samples::new(&settings);
        Ok(Self { settings, rules, samples, live: None })
    }

    /// One tick.
    pub fn scale(&mut self, seen: &Observation) -> Decision {
        self.bound(&seen.limits);
        self.samples.observe(seen);
        let tick = self.samples.now_ms() / TICK_MS;
        let live = match &mut self.live {
            Some(live) => {
                let is_woken = live.scale.desired == 0 && seen.requests() > 0;
                if tick <= live.tick && !is_woken {
                    return Decision::hold().because("sampled, decides every 2 s");
                }
                if is_woken {
                    self.samples.first_request();
                }
                live
            }
            none => none.insert(Live::start(&self.settings, &self.rules, seen)),
        };
        live.tick = tick;
        let averages = self.samples.averages();
        if let Some((stable, panic)) = averages {
            let now_ms = self.samples.now_ms();
            live.scale = live.autoscaler.scale(now_ms, stable, panic, seen.ready);
            live.averages = (stable, panic);
        }
        live.decide(&self.settings, &self.rules, averages.is_some(), seen)
    }

    /// Bounds that nobody set are the deployment's.
    fn bound(&mut self, limits: &Limits) {
        let first_set = |own: Option<u32>, cluster: u32, host: u32| match (own, cluster) {
            (Some(own), _) => own,
            (None, 0) => host,
            (None, cluster) => cluster,
        };
        let (settings, cluster) = (&self.settings, &self.settings.cluster);
        self.rules.min = first_set(settings.min_scale, cluster.min_scale, limits.min).into();
        self.rules.max = first_set(settings.max_scale, cluster.max_scale, limits.max).into();
    }
}

impl Live {
    fn start(settings: &Settings, rules: &Rules, seen: &Observation) -> Self {
        let spec = settings.spec();
        let delay = settings.scale_down_delay.unwrap_or(settings.cluster.scale_down_delay);
        let age_ms = seen.now_ms.saturating_sub(seen.created_ms);
        // What was used, or had its time, has been through its start.
        let is_new = seen.last_used_ms.is_none() && age_ms < rules.stable_window_ms;
        let activity = match (is_new, seen.ready, seen.replicas().max(seen.target)) {
            (true, _, _) | (false, 0, 1..) => Activity::Activating,
            (false, 0, 0) => Activity::Inactive,
            (false, 1.., _) => Activity::Active,
        };
        let excess_burst = match spec.burst {
            -1.0 | 0.0 => spec.burst as i64,
            burst => (rules.initial as f64 * spec.total - burst) as i64,
        };
        Self {
            autoscaler: Autoscaler::new(spec, delay.as_millis() as u64, seen.ready, 0),
            revision: Revision { activity, since_ms: seen.now_ms, initialized: !is_new },
            tick: 0,
            scale: Scale { desired: UNKNOWN, excess_burst, panicking: seen.ready > 1 },
            averages: (0.0, 0.0),
            proxied_since_ms: Some(seen.now_ms),
            is_new,
        }
    }

    fn decide(
        &mut self,
        settings: &Settings,
        rules: &Rules,
        has_data: bool,
        seen: &Observation,
    ) -> Decision {
        let now_ms = seen.now_ms;
        let proxied_ms = self.proxied_since_ms.map_or(0, |since| now_ms.saturating_sub(since));
        // The host's own queue is always in the path of requests.
        let proxy = Proxy { for_ms: proxied_ms, answers: true };
        let verdict = self.revision.scale(self.scale.desired, rules, proxy, now_ms);
        let is_starting = self.is_new
            && !self.revision.initialized
            && self.revision.activity == Activity::Activating;
        let answer = match verdict.replicas {
            // The original makes a new deployment with this many pods before it asks anybody.
            UNKNOWN if is_starting && rules.initial > 0 => {
                Verdict { replicas: rules.initial.max(rules.min), ordered: true }
            }
            _ => verdict,
        };
        let reason = self.reason(settings, rules, answer, has_data, now_ms);
        let is_served = verdict.replicas > 0 && self.scale.excess_burst >= 0;
        self.proxied_since_ms = match is_served {
            true => None,
            false => self.proxied_since_ms.or(Some(now_ms)),
        };
        self.revision.note(verdict.replicas, seen.ready, rules, now_ms);
        match answer.ordered {
            true => Decision::replicas(answer.replicas as f64).because(reason),
            false => Decision::hold().because(reason),
        }
    }

    fn reason(
        &self,
        settings: &Settings,
        rules: &Rules,
        verdict: Verdict,
        has_data: bool,
        now_ms: u64,
    ) -> String {
        let Scale { desired, excess_burst, panicking } = self.scale;
        let replicas = verdict.replicas;
        if desired == UNKNOWN {
            return match verdict.ordered {
                true => format!("no data yet, starts with {replicas}"),
                false => "no data yet".into(),
            };
        }
        let (stable, panic) = self.averages;
        let (metric, target) = (settings.metric.name(), settings.target().target);
        let mut text = String::with_capacity(160);
        // Writing to a string cannot fail.
        _ = write!(text, "{metric} {stable:.2}, panic {panic:.2}, target {target}: {desired}");
        if !has_data {
            text.push_str(" (no new data)");
        }
        if panicking {
            text.push_str(" in panic");
        }
        let waits_for_zero = desired == 0 && rules.min == 0 && replicas < 2;
        if replicas != desired && !waits_for_zero {
            _ = write!(text, ", limited to {replicas}");
        }
        if waits_for_zero {
            let (state, needs_ms) = match self.revision.activity {
                Activity::Activating => {
                    ("activating", rules.progress_deadline_ms + ACTIVATION_SLACK_MS)
                }
                Activity::Active => ("active", rules.stable_window_ms),
                Activity::Inactive => ("inactive", rules.grace_ms.max(rules.retention_ms)),
            };
            let for_s = self.revision.for_ms(now_ms) as f64 / 1000.0;
            _ = write!(text, ", {state} for {for_s:.1} of {} s", needs_ms as f64 / 1000.0);
        }
        _ = write!(text, "; excess burst {excess_burst}");
        text
    }
}
