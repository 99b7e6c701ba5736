//! The parts of Kubetorch's `Compute` that decide about replicas.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    options::{Autoscaling, Refusal},
    python,
};

/// Seconds a service may take to be ready, unless it says otherwise.
pub const LAUNCH_TIMEOUT_S: i64 = 900;
/// Options of `.autoscale()` that Kubetorch sets itself where they are left out.
const TIMING_DEFAULTS: [(&str, &str); 2] =
    [("scale_down_delay", "1m"), ("scale_to_zero_pod_retention_period", "10m")];
const PROGRESS_DEADLINE_S: i64 = 600;
/// Time between two probes of a service that starts; the time-out is kept as a number of them.
const PROBE_S: i64 = 5;
/// Arguments of the constructor that have nothing to do with replicas.
const OTHER_ARGUMENTS: [&str; 28] = [
    "memory",
    "disk_size",
    "gpus",
    "gpu_type",
    "priority_class_name",
    "gpu_memory",
    "namespace",
    "image",
    "labels",
    "volumes",
    "node_selector",
    "service_template",
    "tolerations",
    "env_vars",
    "secrets",
    "freeze",
    "kubeconfig_path",
    "service_account_name",
    "image_pull_policy",
    "inactivity_ttl",
    "gpu_anti_affinity",
    "working_dir",
    "shared_memory_limit",
    "allowed_serialization",
    "logging_config",
    "queue_name",
    "selector",
    "endpoint",
];

/// A compute: how long it may start, how many replicas it has, how it scales or distributes.
#[derive(Debug, Clone, PartialEq)]
pub struct Compute {
    launch_timeout_s: i64,
    replicas: Value,
    annotations: BTreeMap<String, Value>,
    autoscaling: Option<Autoscaling>,
    distributed: Map<String, Value>,
}

impl Compute {
    /// A compute with the named arguments of the original's constructor; others than
    /// `launch_timeout`, `replicas` and `annotations` make no difference to scaling.
    ///
    /// # Errors
    ///
    /// `TypeError` for an argument that the constructor does not have, `ValueError` or `TypeError`
    /// for a time-out that is no number.
    pub fn new(arguments: &Map<String, Value>) -> Result<Self, Refusal> {
        let used = ["launch_timeout", "replicas", "annotations"];
        let is_known = |name: &str| used.contains(&name) || OTHER_ARGUMENTS.contains(&name);
        if let Some(name) = arguments.keys().find(|name| !is_known(name)) {
            return Err(Refusal::new("TypeError", format!("unexpected keyword argument '{name}'")));
        }
        let launch_timeout = arguments.get("launch_timeout").filter(|value| python::is_true(value));
        let timeout_s = launch_timeout.map_or(Ok(LAUNCH_TIMEOUT_S), integer)?;
        let replicas = arguments.get("replicas").filter(|value| python::is_true(value));
        let annotations = arguments.get("annotations").and_then(Value::as_object);
        Ok(Self {
            launch_timeout_s: timeout_s.div_euclid(PROBE_S) * PROBE_S,
            replicas: replicas.cloned().unwrap_or_else(|| 1.into()),
            annotations: annotations.cloned().unwrap_or_default().into_iter().collect(),
            autoscaling: None,
            distributed: Map::new(),
        })
    }

    /// `.autoscale()`: fills in the delays meant for models, and checks the options.
    ///
    /// # Errors
    ///
    /// `ValueError` after [`distribute`](Self::distribute), else what [`Autoscaling::new`] says.
    pub fn autoscale(&mut self, mut options: Map<String, Value>) -> Result<&Autoscaling, Refusal> {
        if !self.distributed.is_empty() {
            return Err(both());
        }
        for (name, default) in TIMING_DEFAULTS {
            options.entry(name).or_insert_with(|| default.into());
        }
        options.entry("progress_deadline").or_insert_with(|| self.progress_deadline().into());
        Ok(self.autoscaling.insert(Autoscaling::new(options)?))
    }

    /// Longer than the time-out: by a minute or a fifth, and never below ten minutes.
    fn progress_deadline(&self) -> String {
        let timeout_s = self.launch_timeout_s;
        let deadline_s = (timeout_s + 60).max((timeout_s as f64 * 1.2) as i64);
        match timeout_s != 0 && deadline_s > PROGRESS_DEADLINE_S {
            true => format!("{deadline_s}s"),
            false => "10m".into(),
        }
    }

    /// `.distribute()`: a fixed number of workers that know of each other.
    ///
    /// As in the original the quorum, where given, decides about the number of replicas as well.
    ///
    /// # Errors
    ///
    /// `ValueError` after [`autoscale`](Self::autoscale), or when the number of workers is none.
    pub fn distribute(&mut self, arguments: Map<String, Value>) -> Result<(), Refusal> {
        if self.autoscaling.is_some() {
            return Err(both());
        }
        let mut arguments = arguments;
        let workers = arguments.remove("workers").unwrap_or(Value::Null);
        let mut take = |name| arguments.remove(name).filter(python::is_true);
        let quorum_workers = take("quorum_workers").unwrap_or_else(|| workers.clone());
        let kind = take("distribution_type").unwrap_or_else(|| "spmd".into());
        let timeout = take("quorum_timeout").unwrap_or_else(|| self.launch_timeout_s.into());
        if arguments.get("monitor_members").is_some_and(Value::is_null) {
            arguments.remove("monitor_members");
        }
        let is_integer = |value: &Value| value.is_i64() || value.is_u64() || value.is_boolean();
        if python::is_true(&workers) && !is_integer(&workers) {
            let text = format!(
                "Workers must be an integer, not {workers}. List of <integer, Compute> pairs is \
                 not yet supported"
            );
            return Err(Refusal::new("ValueError", text));
        }
        self.replicas = match python::is_true(&quorum_workers) {
            true => quorum_workers.clone(),
            false => 1.into(),
        };
        if kind == "ray" {
            self.replicas = ray_replicas(&self.replicas)?;
        }
        self.distributed.insert("distribution_type".into(), kind);
        self.distributed.insert("quorum_timeout".into(), timeout);
        self.distributed.insert("quorum_workers".into(), quorum_workers);
        self.distributed.extend(arguments);
        Ok(())
    }

    /// The annotations of the service that are Knative's, since 0.4.0.
    pub fn written(&self) -> BTreeMap<String, Value> {
        let user = self.annotations.iter().filter(|(name, _)| name.contains("knative.dev"));
        let mut written: BTreeMap<_, _> =
            user.map(|(name, value)| (name.clone(), value.clone())).collect();
        written.extend(self.autoscaling.iter().flat_map(Autoscaling::deployed_annotations));
        written
    }

    /// What is known about the distribution; empty without one.
    pub fn distributed(&self) -> &Map<String, Value> {
        &self.distributed
    }

    /// Replicas in the manifest.
    pub fn replicas(&self) -> &Value {
        &self.replicas
    }
}

fn both() -> Refusal {
    Refusal::new(
        "ValueError",
        "Cannot use both .distribute() and .autoscale() on the same compute instance. \
         Use .distribute() for fixed replicas with distributed training, or .autoscale() for \
         auto-scaling services.",
    )
}

/// A cluster of Ray has a head, and as many workers as are left.
fn ray_replicas(replicas: &Value) -> Result<Value, Refusal> {
    match replicas.as_i64() {
        Some(replicas) => Ok((1 + (replicas - 1).max(0)).into()),
        None => Err(Refusal::new("TypeError", format!("workers must be a number: {replicas}"))),
    }
}

/// `int(value)`.
fn integer(value: &Value) -> Result<i64, Refusal> {
    let refused = |kind| Refusal::new(kind, format!("launch_timeout must be a number: {value}"));
    match value {
        Value::String(text) => text.trim().parse().map_err(|_| refused("ValueError")),
        other => python::number(other).map(|number| number as i64).ok_or(refused("TypeError")),
    }
}
