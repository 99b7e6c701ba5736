//! Bounds, initial scale, and the way to zero.
//!
//! ```text
//!              pods are ready
//!   activating ──────────────► active
//!    ▲     │                     │ wants zero, was active for the stable window
//!    │     │ not ready in time   ▼
//!    └─────┴──────────────── inactive    pods stay for the grace and the retention period
//!      wants pods
//! ```
//!
//! Sources: `pkg/reconciler/autoscaling/kpa/{scaler,kpa}.go` of knative/serving at 98e5ef90.

/// Time on top of the progress deadline after which a revision that is not ready goes to zero.
pub(crate) const ACTIVATION_SLACK_MS: u64 = 30_000;
/// The wish while nothing is known.
pub const UNKNOWN: i64 = -1;

/// Whether a revision serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Pods are wanted and not enough are ready.
    Activating,
    /// Enough pods are ready.
    Active,
    /// No pods are wanted. Some may still be there.
    Inactive,
}

/// What the step from a wish to a number of pods depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Fewest pods.
    pub min: i64,
    /// Most pods; 0 is no limit.
    pub max: i64,
    /// Pods a new revision starts with.
    pub initial: i64,
    /// Whether requests can reach the revision. If not, minimum, initial scale and retention do
    /// not count.
    pub reachable: bool,
    /// Whether the last pod may go.
    pub scale_to_zero: bool,
    /// How long a revision must have been active before it may become inactive.
    pub stable_window_ms: u64,
    /// Longest time that putting the activator into the path of requests takes.
    pub grace_ms: u64,
    /// Least time the last pod stays after the revision became inactive.
    pub retention_ms: u64,
    /// How long a revision may take to become ready, before some slack.
    pub progress_deadline_ms: u64,
    /// Whether the activator is always in the path of requests (burst capacity -1).
    pub always_proxied: bool,
}

/// What is known about the path of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proxy {
    /// How long requests have been going through the activator.
    pub for_ms: u64,
    /// Whether the activator answers.
    pub answers: bool,
}

/// A number of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Pods wanted after the bounds; [`UNKNOWN`] to leave everything as it is.
    pub replicas: i64,
    /// Whether they are ordered. A zero that is not only makes the revision inactive.
    pub ordered: bool,
}

/// The state of one revision.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Whether it serves.
    pub activity: Activity,
    /// Since when.
    pub since_ms: u64,
    /// Whether it has once had as many ready pods as its initial scale.
    pub initialized: bool,
}

impl Revision {
    /// Turns the wish of the decision into a number of pods.
    pub fn scale(&self, desired: i64, rules: &Rules, proxy: Proxy, now_ms: u64) -> Verdict {
        if desired < 0 && self.activity != Activity::Activating {
            return Verdict { replicas: desired, ordered: false };
        }
        let mut min = if rules.reachable { rules.min } else { 0 };
        if rules.initial > 1 && !self.initialized && rules.reachable {
            min = min.max(rules.initial);
        }
        let wanted = match desired {
            few if few < min => min,
            many if rules.max != 0 && many > rules.max => rules.max,
            fine => fine,
        };
        match wanted {
            0 => self.scale_to_zero(rules, proxy, now_ms),
            replicas => Verdict { replicas, ordered: true },
        }
    }

    fn scale_to_zero(&self, rules: &Rules, proxy: Proxy, now_ms: u64) -> Verdict {
        let order = |replicas| Verdict { replicas, ordered: true };
        let wait = |replicas| Verdict { replicas, ordered: false };
        if !rules.scale_to_zero {
            return order(1);
        }
        let for_ms = self.for_ms(now_ms);
        match self.activity {
            Activity::Activating => {
                match for_ms > rules.progress_deadline_ms + ACTIVATION_SLACK_MS {
                    true => order(0),
                    false => wait(UNKNOWN),
                }
            }
            Activity::Active if for_ms >= rules.stable_window_ms => wait(0),
            Activity::Active => order(1),
            Activity::Inactive if !rules.always_proxied && !proxy.answers => wait(0),
            Activity::Inactive => {
                let retention_ms = if rules.reachable { rules.retention_ms } else { 0 };
                let is_over = for_ms >= rules.grace_ms.max(retention_ms)
                    || (for_ms >= retention_ms && proxy.for_ms >= rules.grace_ms);
                if is_over { order(0) } else { wait(0) }
            }
        }
    }

    /// Notes what is wanted now and how many pods are ready.
    pub fn note(&mut self, wanted: i64, ready: u32, rules: &Rules, now_ms: u64) {
        let ready = i64::from(ready);
        let min = if rules.reachable { rules.min } else { 0 };
        let enough = min.max(if self.initialized { 1 } else { rules.initial });
        self.initialized |= ready >= enough;
        let stays_inactive = wanted < 0 && self.activity == Activity::Inactive;
        let next = if wanted == 0 || enough == 0 || stays_inactive {
            Activity::Inactive
        } else if ready < enough {
            Activity::Activating
        } else {
            Activity::Active
        };
        if next != self.activity {
            self.activity = next;
            self.since_ms = now_ms;
        }
    }

    /// How long it has been active, or inactive, or activating.
    pub fn for_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.since_ms)
    }
}
