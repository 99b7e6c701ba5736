//! The target per pod, the way to zero, and admission.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{millis, rounded};
use crate::{
    Activity, Cluster, Metric, Proxy, Revision, Rules, Settings, Target, Verdict, annotations,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TargetQuestion {
    metric: String,
    target: Option<f64>,
    container_concurrency: u32,
    rps_default: f64,
    utilization: f64,
    cc_default: f64,
    cc_fraction: f64,
    utilization_percentage: Option<f64>,
}

impl Default for TargetQuestion {
    fn default() -> Self {
        let cluster = Cluster::default();
        Self {
            metric: Metric::default().name().into(),
            target: None,
            container_concurrency: 0,
            rps_default: cluster.rps_target_default,
            utilization: cluster.target_utilization,
            cc_default: cluster.container_concurrency_target_default,
            cc_fraction: cluster.container_concurrency_target_fraction,
            utilization_percentage: None,
        }
    }
}

pub(super) fn target(asked: TargetQuestion) -> Result<Value, String> {
    let metric = match asked.metric.as_str() {
        "concurrency" => Metric::Concurrency,
        "rps" => Metric::Rps,
        other => return Err(format!("metric {other} has no target here")),
    };
    let settings = Settings {
        metric,
        target: asked.target,
        target_utilization: asked.utilization_percentage,
        container_concurrency: asked.container_concurrency,
        cluster: Cluster {
            rps_target_default: asked.rps_default,
            target_utilization: asked.utilization,
            container_concurrency_target_default: asked.cc_default,
            container_concurrency_target_fraction: asked.cc_fraction,
            ..Cluster::default()
        },
        ..Settings::default()
    };
    let Target { target, total } = settings.target();
    Ok(json!({"target": rounded(target, 6), "total": total}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScalerQuestion {
    case: Case,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Case {
    desired: i64,
    current: i64,
    min: i64,
    max: i64,
    initial: i64,
    initial_attained: bool,
    state: State,
    state_for: f64,
    reachability: Reachability,
    proxy_for: f64,
    probe: bool,
    tbc: f64,
    stable_window: f64,
    grace: f64,
    retention: f64,
    progress_deadline: f64,
    enable_scale_to_zero: bool,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum State {
    Activating,
    Active,
    Inactive,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Reachability {
    #[serde(alias = "")]
    Unknown,
    Reachable,
    Unreachable,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            desired: 0,
            current: 1,
            min: 0,
            max: 0,
            initial: 1,
            initial_attained: false,
            state: State::Activating,
            state_for: 0.0,
            reachability: Reachability::Unknown,
            proxy_for: 0.0,
            probe: true,
            tbc: 211.0,
            stable_window: 60.0,
            grace: 30.0,
            retention: 0.0,
            progress_deadline: 600.0,
            enable_scale_to_zero: true,
        }
    }
}

pub(super) fn scaler(ScalerQuestion { case }: ScalerQuestion) -> Result<Value, String> {
    let rules = Rules {
        min: case.min,
        max: case.max,
        initial: case.initial,
        reachable: case.reachability != Reachability::Unreachable,
        scale_to_zero: case.enable_scale_to_zero,
        stable_window_ms: millis(case.stable_window)?,
        grace_ms: millis(case.grace)?,
        retention_ms: millis(case.retention)?,
        progress_deadline_ms: millis(case.progress_deadline)?,
        always_proxied: case.tbc == -1.0,
    };
    let activity = match case.state {
        State::Activating => Activity::Activating,
        State::Active => Activity::Active,
        State::Inactive => Activity::Inactive,
    };
    let revision = Revision { activity, since_ms: 0, initialized: case.initial_attained };
    let proxy = Proxy { for_ms: millis(case.proxy_for)?, answers: case.probe };
    let Verdict { replicas, ordered } =
        revision.scale(case.desired, &rules, proxy, millis(case.state_for)?);
    Ok(json!({"replicas": replicas, "applied": ordered && replicas != case.current}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnnotationsQuestion {
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    config: ClusterQuestion,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ClusterQuestion {
    allow_zero_initial_scale: bool,
    max_scale_limit: u32,
    max_scale: u32,
    class: String,
}

impl Default for ClusterQuestion {
    fn default() -> Self {
        let cluster = Cluster::default();
        Self {
            allow_zero_initial_scale: cluster.allow_zero_initial_scale,
            max_scale_limit: cluster.max_scale_limit,
            max_scale: cluster.max_scale,
            class: cluster.pod_autoscaler_class,
        }
    }
}

pub(super) fn annotations(asked: AnnotationsQuestion) -> Value {
    let cluster = Cluster {
        allow_zero_initial_scale: asked.config.allow_zero_initial_scale,
        max_scale_limit: asked.config.max_scale_limit,
        max_scale: asked.config.max_scale,
        pod_autoscaler_class: asked.config.class,
        ..Cluster::default()
    };
    let (_, faults) = annotations::read(&asked.annotations, cluster);
    let refused: BTreeSet<&str> = faults.iter().map(|fault| fault.key).collect();
    json!({ "refused": refused })
}
