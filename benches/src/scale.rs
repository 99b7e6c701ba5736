//! What asking a policy costs: call after call, and once in a while in a server.

use anyhow::{Context, Result};
use samovar_tests::{Samovar, status};
use serde_json::{Value, json};

use crate::{
    bars::Bars,
    numbers::milliseconds,
    policies::{BUILTIN, json_of, samovar},
};

/// Replicas that a policy sees, one by one, and how long the median decision may then take.
const SIZES: [(u64, f64); 2] = [(10, 5.0), (1000, 100.0)];
/// The most a scaler may take of its policy's memory, with its windows full.
const SCALER_BYTES_MAX: f64 = 4096.0;

const REPLICAS: u64 = 10;
const DECISIONS: usize = 200;

/// Measures all built-in policies.
pub async fn run() -> Result<Bars> {
    let mut bars = Bars::default();
    println!("| policy | replicas | p50 µs | p99 µs | bytes per scaler |");
    println!("| --- | --- | --- | --- | --- |");
    for policy in BUILTIN {
        for (replicas, bar_us) in SIZES {
            call_after_call(policy, replicas, bar_us, &mut bars)?;
        }
    }
    println!();
    for policy in BUILTIN {
        once_in_a_while(policy).await;
    }
    Ok(bars)
}

/// The path through the host and the policy's work.
fn call_after_call(policy: &str, replicas: u64, bar_us: f64, bars: &mut Bars) -> Result<()> {
    let size = replicas.to_string();
    let args = ["policy-bench", "--policy", policy, "--replicas", &size];
    let measured = json_of(samovar().args(args))?;
    let number = |name: &str| measured[name].as_f64().with_context(|| format!("no {name}"));
    let (p50, p99, bytes) = (number("p50_us")?, number("p99_us")?, number("scaler_bytes")?);
    println!("| {policy} | {replicas} | {p50:.1} | {p99:.1} | {bytes:.0} |");
    bars.at_most(format!("{policy}, {replicas} replicas, median"), p50, bar_us, " µs");
    bars.at_most(
        format!("{policy}, {replicas} replicas, a scaler"),
        bytes,
        SCALER_BYTES_MAX,
        " bytes",
    );
    Ok(())
}

/// Ticks of a server that does nothing else: between two of them, caches go cold.
async fn once_in_a_while(policy: &str) {
    let samovar = Samovar::start().await;
    let spec = json!({
        "replicas": {"min": REPLICAS, "max": REPLICAS},
        "scaling": {"policy": policy, "interval": "10ms"},
    });
    samovar.deploy("hello", "hello", spec).await;
    let is_warm = |seen: &Value| status::ready(seen) == REPLICAS;
    samovar.wait_status("hello", "all its replicas", is_warm).await;
    let took = samovar_tests::eventually("enough decisions", async || {
        let all = samovar.decisions("hello").await;
        let took: Vec<_> = all.iter().map(|one| status::number(one, "/took_us") as u32).collect();
        (took.len() >= DECISIONS).then_some(took)
    })
    .await;
    println!("a tick of {policy} every 10 ms, {REPLICAS} replicas: {}", milliseconds(took));
    samovar.stop().await;
}
