//! Figures of batches, of calls between deployments, and of what handlers store.

use super::{Deployments, Family, LATENCY_BOUNDS, each, head};
use crate::admin::Admin;
use samovar_core::histogram::Histogram;
use samovar_core::pool::Batches;
use std::fmt::Write as _;
use std::time::Duration;

/// All of them.
pub fn write(text: &mut String, admin: &Admin, list: &Deployments) {
    let counter = |name, help| Family { name, kind: "counter", help };
    let help = "Calls refused because their own ancestors held every place.";
    let family = counter("samovar_call_loops_total", help);
    each(text, &family, list, |deployment| vec![("", deployment.loops())]);
    let help = "Requests that the cold start proxy answered.";
    let family = counter("samovar_cold_start_proxied_total", help);
    each(text, &family, list, |deployment| vec![("", deployment.proxied())]);
    let gauge = |name, help| Family { name, kind: "gauge", help };
    let family = gauge("samovar_pool_held", "1 if an operator holds the number of replicas.");
    each(text, &family, list, |deployment| vec![("", deployment.held().is_some().into())]);
    let family = gauge("samovar_keyvalue_bytes", "What handlers store, overhead included.");
    let keyvalue = &admin.control.keyvalue;
    each(text, &family, list, |deployment| vec![("", keyvalue.usage(&deployment.name).bytes)]);
    batches(text, list);
}

/// Only deployments that batch have these. They are of the live revision.
fn batches(text: &mut String, list: &Deployments) {
    let pools = list.iter().filter_map(|deployment| {
        Some((format!("deployment=\"{}\"", deployment.name), deployment.live().pool.batches()?))
    });
    let pools: Vec<(String, Batches)> = pools.collect();
    let name = "samovar_batch_size";
    head(text, &Family { name, kind: "histogram", help: "Requests per batch, live revision." });
    for (label, batches) in &pools {
        for (size, count) in batches.sizes() {
            _ = writeln!(text, "{name}_bucket{{{label},le=\"{size}\"}} {count}");
        }
        let (sent, requests) = (batches.sent(), batches.requests());
        _ = writeln!(text, "{name}_bucket{{{label},le=\"+Inf\"}} {sent}");
        _ = writeln!(text, "{name}_sum{{{label}}} {requests}\n{name}_count{{{label}}} {sent}");
    }
    let name = "samovar_batch_wait_seconds";
    let help = "Time from a request's arrival until its batch left, live revision.";
    head(text, &Family { name, kind: "histogram", help });
    for (label, batches) in &pools {
        histogram(text, name, label, batches.waits());
    }
}

/// A histogram of times.
pub fn histogram(text: &mut String, name: &str, label: &str, times: &Histogram) {
    for bound in LATENCY_BOUNDS {
        let count = times.count_at_most(Duration::from_secs_f64(bound));
        _ = writeln!(text, "{name}_bucket{{{label},le=\"{bound}\"}} {count}");
    }
    let (total, sum) = (times.total(), times.sum().as_secs_f64());
    _ = writeln!(text, "{name}_bucket{{{label},le=\"+Inf\"}} {total}");
    _ = writeln!(text, "{name}_sum{{{label}}} {sum}\n{name}_count{{{label}}} {total}");
}
