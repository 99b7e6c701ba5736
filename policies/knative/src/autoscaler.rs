//! The decision of the autoscaler, from the averages of the two windows.

use samovar_sdk::blocks::SlidingMax;

/// Time between two decisions, and so between two values of the scale-down delay.
pub const TICK_MS: u64 = 2_000;

/// The numbers a decision is made with.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// What a pod is meant to hold.
    pub target: f64,
    /// What a pod can hold at most.
    pub total: f64,
    /// Requests to be ready for without queueing; -1 for no limit.
    pub burst: f64,
    /// Panic starts when the panic window asks for this many times the ready pods.
    pub panic_threshold: f64,
    /// The largest factor in one decision.
    pub max_up: f64,
    /// The largest divisor in one decision.
    pub max_down: f64,
    /// Panic ends when the threshold was not reached for longer.
    pub stable_window_ms: u64,
    /// Fewest pods unless there are none. Up to 1: without effect.
    pub activation: i64,
    /// Whether requests can reach the revision. If not, it shrinks without limit or delay.
    pub reachable: bool,
}

/// A decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Pods wanted, before the bounds.
    pub desired: i64,
    /// What the ready pods could take beyond the present load and the burst capacity. Below 0 the
    /// original keeps its activator in the path of requests.
    pub excess_burst: i64,
    /// Whether the decision was made in panic.
    pub panicking: bool,
}

/// The state between decisions.
///
/// A rule by rule copy of `pkg/autoscaler/scaling/autoscaler.go` of knative/serving at 98e5ef90.
#[derive(Debug, Clone)]
pub struct Autoscaler {
    spec: Spec,
    delay: Option<SlidingMax<i64>>,
    panic_since_ms: Option<u64>,
    /// Panic never wants fewer.
    panic_floor: i64,
}

impl Autoscaler {
    /// Starts with `ready` pods. More than one means that a predecessor was lost together with its
    /// history, so panic keeps them until there is enough data.
    pub fn new(spec: Spec, scale_down_delay_ms: u64, ready: u32, now_ms: u64) -> Self {
        let ticks = scale_down_delay_ms.div_ceil(TICK_MS);
        Self {
            spec,
            delay: (ticks > 0).then(|| SlidingMax::new(ticks.try_into().unwrap_or(u32::MAX))),
            panic_since_ms: (ready > 1).then_some(now_ms),
            panic_floor: ready.into(),
        }
    }

    /// Goes on in a panic that started at `since_ms` and has wanted `floor` pods.
    pub fn panicking_since(mut self, since_ms: u64, floor: i64) -> Self {
        self.panic_since_ms = Some(since_ms);
        self.panic_floor = floor;
        self
    }

    /// Decides with another spec from now on. The delay stays what it was.
    pub fn update(&mut self, spec: Spec) {
        self.spec = spec;
    }

    /// Decides from the averages of the stable and the panic window over all pods, which must be
    /// finite. Time must not go back.
    pub fn scale(&mut self, now_ms: u64, stable: f64, panic: f64, ready: u32) -> Scale {
        let spec = &self.spec;
        let pods = f64::from(ready.max(1));
        let up = (spec.max_up * pods).ceil();
        let down = if spec.reachable { (pods / spec.max_down).floor() } else { 0.0 };
        let bounded = |raw: f64| {
            let wish = raw.max(down).min(up) as i64;
            if raw > 0.0 && spec.activation > 1 { wish.max(spec.activation) } else { wish }
        };
        let raw_panic = (panic / spec.target).ceil();
        let by_stable = bounded((stable / spec.target).ceil());
        let by_panic = bounded(raw_panic);
        let stable_window_ms = spec.stable_window_ms;
        if raw_panic / pods >= spec.panic_threshold {
            self.panic_since_ms = Some(now_ms);
        } else if self.panic_since_ms.is_some_and(|since| since + stable_window_ms < now_ms) {
            self.panic_since_ms = None;
            self.panic_floor = 0;
        }
        let mut desired = by_stable;
        if self.panic_since_ms.is_some() {
            self.panic_floor = self.panic_floor.max(by_stable).max(by_panic);
            desired = self.panic_floor;
        }
        if let Some(delay) = self.delay.as_mut().filter(|_| spec.reachable) {
            desired = delay.record(now_ms / TICK_MS, desired);
        }
        Scale {
            desired,
            excess_burst: self.excess_burst(panic, ready),
            panicking: self.panic_since_ms.is_some(),
        }
    }

    fn excess_burst(&self, panic: f64, ready: u32) -> i64 {
        let spec = &self.spec;
        if spec.burst == 0.0 {
            0
        } else if spec.burst > 0.0 {
            (f64::from(ready) * spec.total - spec.burst - panic).floor() as i64
        } else {
            -1
        }
    }
}
