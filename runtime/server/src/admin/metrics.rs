//! Prometheus metrics, read from the pools when they are asked for.

mod calls;

use super::Admin;
use crate::deployment::Deployment;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use wasmtime::{Engine, PoolingAllocatorMetrics};

/// Bounds of the latency histogram in seconds, those of OpenTelemetry's `http.server` metrics.
const LATENCY_BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// One family in the text format, with a value per deployment.
struct Family<'a> {
    name: &'a str,
    kind: &'a str,
    help: &'a str,
}

/// `GET /metrics`.
pub async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::with_capacity(16 << 10);
    let list = admin.control.deployments.list();
    server(&mut text, &admin, list.len());
    pools(&mut text, &list);
    processes(&mut text, &list);
    requests(&mut text, &list);
    policies(&mut text, &list);
    shadows(&mut text, &list);
    calls::write(&mut text, &admin, &list);
    latencies(&mut text, &list);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn head(text: &mut String, family: &Family<'_>) {
    let Family { name, kind, help } = family;
    _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// A family with one value.
fn single(text: &mut String, family: &Family<'_>, value: impl Display) {
    head(text, family);
    _ = writeln!(text, "{} {value}", family.name);
}

fn server(text: &mut String, admin: &Admin, deployments: usize) {
    let library = &admin.control.library;
    let gauges = [
        ("samovar_deployments", "gauge", "Deployments.", deployments as u64),
        (
            "samovar_compilations_total",
            "counter",
            "Runs of the compiler since the server started.",
            library.compilations(),
        ),
        (
            "samovar_code_kept_bytes",
            "gauge",
            "Bytes of compiled code that stays in memory although no replica may run it.",
            library.kept_bytes(),
        ),
        (
            "samovar_slots_free",
            "gauge",
            "Instances the machine has room for.",
            admin.control.slots.places.available_permits() as u64,
        ),
    ];
    for (name, kind, help, value) in gauges {
        single(text, &Family { name, kind, help }, value);
    }
    devices(text, admin);
    let pools = library.handler_engines().map(Engine::pooling_allocator_metrics);
    if pools.iter().all(Option::is_none) {
        return;
    }
    let sum = |part: fn(&PoolingAllocatorMetrics) -> u64| -> u64 {
        pools.iter().flatten().map(part).sum()
    };
    let parts = [
        ("core_instances", sum(|pool| pool.core_instances())),
        ("component_instances", sum(|pool| pool.component_instances())),
        ("memories", sum(|pool| pool.memories() as u64)),
        ("tables", sum(|pool| pool.tables() as u64)),
        ("stacks", sum(|pool| pool.stacks() as u64)),
    ];
    let name = "samovar_allocator_in_use";
    head(text, &Family { name, kind: "gauge", help: "Parts of wasmtime's pools in use." });
    for (part, value) in parts {
        _ = writeln!(text, "{name}{{part=\"{part}\"}} {value}");
    }
}

fn devices(text: &mut String, admin: &Admin) {
    let native = &admin.control.native;
    let gauge = |name, help| Family { name, kind: "gauge", help };
    let family = gauge("samovar_devices", "Accelerators of the machine.");
    single(text, &family, native.device_count());
    let help = "Accelerators that are leased, parts of one included.";
    single(text, &gauge("samovar_devices_leased", help), native.leased());
}

/// Only deployments of processes have these.
fn processes(text: &mut String, list: &Deployments) {
    let used: Vec<_> = list
        .iter()
        .filter(|deployment| !deployment.live().is_guest())
        .map(|deployment| (&deployment.name, deployment.replicas().replicas))
        .collect();
    let name = "samovar_process_resident_bytes";
    let help = "Resident memory of a deployment's processes.";
    head(text, &Family { name, kind: "gauge", help });
    for (deployment, replicas) in &used {
        let bytes: u64 = replicas.iter().filter_map(|replica| replica.memory_bytes).sum();
        _ = writeln!(text, "{name}{{deployment=\"{deployment}\"}} {bytes}");
    }
    let name = "samovar_process_cpu_seconds";
    let help = "Processor time of the processes that a deployment has now.";
    head(text, &Family { name, kind: "gauge", help });
    for (deployment, replicas) in &used {
        let millis: u64 = replicas.iter().filter_map(|replica| replica.cpu_ms).sum();
        let seconds = Duration::from_millis(millis).as_secs_f64();
        _ = writeln!(text, "{name}{{deployment=\"{deployment}\"}} {seconds}");
    }
}

type Deployments = [std::sync::Arc<Deployment>];

fn each(
    text: &mut String,
    family: &Family<'_>,
    list: &Deployments,
    values: impl Fn(&Deployment) -> Vec<(&'static str, u64)>,
) {
    head(text, family);
    for deployment in list {
        for (label, value) in values(deployment) {
            let name = &deployment.name;
            _ = writeln!(text, "{}{{deployment=\"{name}\"{label}}} {value}", family.name);
        }
    }
}

fn pools(text: &mut String, list: &Deployments) {
    let gauge = |name, help| Family { name, kind: "gauge", help };
    each(text, &gauge("samovar_pool_replicas", "Replicas by state."), list, |deployment| {
        let counts = deployment.counts();
        vec![
            (",state=\"starting\"", counts.starting.into()),
            (",state=\"ready\"", counts.ready.into()),
            (",state=\"draining\"", counts.draining.into()),
        ]
    });
    each(text, &gauge("samovar_pool_target", "Replicas aimed at."), list, |deployment| {
        vec![("", deployment.counts().target.into())]
    });
    each(text, &gauge("samovar_pool_queue_depth", "Requests waiting."), list, |deployment| {
        vec![("", deployment.counts().queued.into())]
    });
    let family = gauge("samovar_http_active_requests", "Requests being served.");
    each(text, &family, list, |deployment| vec![("", deployment.counts().ongoing.into())]);
}

fn requests(text: &mut String, list: &Deployments) {
    let counter = |name, help| Family { name, kind: "counter", help };
    let family = counter("samovar_requests_total", "Requests by how they ended.");
    each(text, &family, list, |deployment| {
        let totals = deployment.totals();
        vec![
            (",outcome=\"completed\"", totals.completed),
            (",outcome=\"failed\"", totals.failed),
            (",outcome=\"rejected\"", totals.rejected),
        ]
    });
    let family = counter("samovar_queue_timeouts_total", "Requests that waited too long.");
    each(text, &family, list, |deployment| vec![("", deployment.totals().timed_out)]);
    let family = counter("samovar_replica_starts_total", "Replicas by how their start ended.");
    each(text, &family, list, |deployment| {
        let totals = deployment.totals();
        vec![
            (",result=\"ready\"", totals.replicas_started),
            (",result=\"failed\"", totals.replicas_failed),
        ]
    });
}

fn policies(text: &mut String, list: &Deployments) {
    let counter = |name, help| Family { name, kind: "counter", help };
    let family = counter("samovar_policy_decisions_total", "Ticks that a policy answered.");
    each(text, &family, list, |deployment| {
        vec![("", deployment.policy_counts.decisions.load(Relaxed))]
    });
    let family = counter("samovar_policy_errors_total", "Ticks that a policy failed to answer.");
    each(text, &family, list, |deployment| {
        vec![("", deployment.policy_counts.errors.load(Relaxed))]
    });
    let family = counter("samovar_policy_swaps_total", "Policies that went live by a swap.");
    each(text, &family, list, |deployment| {
        vec![("", deployment.policy_counts.swaps.load(Relaxed))]
    });
    let family = Family {
        name: "samovar_policy_failing",
        kind: "gauge",
        help: "1 if the last tick failed.",
    };
    each(text, &family, list, |deployment| {
        vec![("", deployment.scaling.lock().last_error.is_some().into())]
    });
}

/// Only deployments with a policy in the shadow have these.
fn shadows(text: &mut String, list: &Deployments) {
    let name = "samovar_policy_shadow_ticks_total";
    let help = "Ticks of the policy in the shadow, by how its answer compares with the live one's.";
    each(text, &Family { name, kind: "counter", help }, list, |deployment| {
        let Some(shadow) = deployment.shadow().map(|shadow| shadow.to_api()) else {
            return Vec::new();
        };
        vec![
            (",result=\"same\"", shadow.compared - shadow.more - shadow.fewer),
            (",result=\"more\"", shadow.more),
            (",result=\"fewer\"", shadow.fewer),
            (",result=\"failed\"", shadow.failed),
            (",result=\"skipped\"", shadow.skipped),
        ]
    });
}

fn latencies(text: &mut String, list: &Deployments) {
    let name = "samovar_http_request_duration_seconds";
    let help = "Time from arrival to the end of the response, live revision.";
    head(text, &Family { name, kind: "histogram", help });
    for deployment in list {
        let label = format!("deployment=\"{}\"", deployment.name);
        calls::histogram(text, name, &label, &deployment.live().pool.latencies());
    }
}
