//! `samovar policy-vectors`: recorded decisions of another system against the policy that copies it.
//!
//! The policy runs as it does in the server: the built-in component, in its sandbox, fed with
//! observations. What belongs to the other system's load balancer is skipped and counted.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use samovar_core::observation::Observation;
use samovar_core::target::Wish;
use samovar_core::time::Timestamp;
use serde_json::{Map, Value, json};
use wasmtime::component::Component;

use crate::library::BUILTINS;
use crate::policy::{PolicyHost, Program, Scaler};
use crate::spec::Digest;
use crate::wasm::engine;

/// The series that stand for a user's own `scale()` and works.
const TARGET: &str = "target";
const PENDING_WORKS: &str = "pending_works";

/// Compare a built-in policy with recorded decisions of the system it copies
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct PolicyVectors {
    /// The system the decisions were recorded from
    #[arg(long)]
    system: System,
    /// JSON file with the vectors
    file: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum System {
    Lightning,
}

/// What came of one vector.
enum Verdict {
    Passed,
    /// What was expected and what came, as JSON.
    Failed(Value, Value),
    /// It does not concern scaling.
    Skipped,
}

impl PolicyVectors {
    /// Prints the vectors that fail and a closing line; fails if any does.
    pub async fn run(self) -> anyhow::Result<()> {
        let System::Lightning = self.system;
        let text = std::fs::read_to_string(&self.file)
            .with_context(|| format!("read {}", self.file.display()))?;
        let file: Value = serde_json::from_str(&text).context("read the vectors")?;
        let vectors = file["vectors"].as_array().context("the file has no list `vectors`")?;
        let program = start("lightning")?;
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        let mut out = std::io::stdout().lock();
        for vector in vectors {
            match judge(&program, vector).await? {
                Verdict::Passed => passed += 1,
                Verdict::Skipped => skipped += 1,
                Verdict::Failed(expected, got) => {
                    failed += 1;
                    writeln!(out, "{}: expected {expected}, got {got}", vector["id"])?;
                }
            }
        }
        writeln!(out, "{passed} passed, {failed} failed, {skipped} skipped")?;
        if failed > 0 {
            bail!("{failed} vectors are answered differently");
        }
        Ok(())
    }
}

/// Starts a built-in policy as the server does, but compiled in this process.
pub(super) fn start(name: &str) -> anyhow::Result<Arc<Program>> {
    let builtin = BUILTINS
        .iter()
        .find(|builtin| builtin.name == name)
        .with_context(|| format!("there is no built-in policy `{name}`"))?;
    let host = PolicyHost::new(engine::policies()?)?;
    let component = Component::new(host.engine(), builtin.wasm)?;
    Ok(host.start(Digest::of(builtin.wasm), &component)?)
}

async fn judge(program: &Arc<Program>, vector: &Value) -> anyhow::Result<Verdict> {
    let request = &vector["request"];
    let got = match request["mode"].as_str() {
        Some("scale") => scale(program, request).await?,
        Some("trace") => trace(program, request).await?,
        Some("config") => config(program, request).await?,
        _ => return Ok(Verdict::Skipped),
    };
    // The original's answer has more fields than concern the policy.
    let empty = Map::new();
    let fields = vector["expected"].as_object().unwrap_or(&empty).iter();
    let expected: Map<String, Value> = fields
        .filter(|(field, _)| got.contains_key(*field))
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    if expected == got {
        Ok(Verdict::Passed)
    } else {
        Ok(Verdict::Failed(expected.into(), got.into()))
    }
}

/// The rule alone: bounds far away and intervals that have always passed.
async fn scale(program: &Arc<Program>, request: &Value) -> anyhow::Result<Map<String, Value>> {
    let config = json!({
        "max_batch_size": request["max_batch_size"],
        "min_replicas": -1_000_000,
        "max_replicas": 1_000_000,
        "scale_out_interval": 0.0,
        "scale_in_interval": 0.0,
        "pending_works_series": PENDING_WORKS,
    });
    let mut targets = Vec::new();
    for case in request["cases"].as_array().context("a scale vector has cases")? {
        let (scaler, _) = Scaler::create(program, config.to_string(), Arc::default()).await?;
        let replicas = count(&case["replicas"])?;
        let mut seen = observation(1000, replicas, count(&case["pending_requests"])?);
        let works = f64::from(count(&case["pending_works"])?);
        seen.custom.push((PENDING_WORKS.to_owned(), works));
        targets.push(json!(ask(&scaler, seen, f64::from(replicas)).await? as i64));
    }
    Ok(Map::from_iter([("targets".to_owned(), Value::from(targets))]))
}

/// The whole loop, with a host that carries out every decision at once.
async fn trace(program: &Arc<Program>, request: &Value) -> anyhow::Result<Map<String, Value>> {
    let mut config = request["config"].as_object().cloned().unwrap_or_default();
    // The original's defaults; under Samovar the deployment's bounds are the default.
    config.entry("min_replicas").or_insert(json!(1));
    config.entry("max_replicas").or_insert(json!(4));
    config.insert("target_series".to_owned(), json!(TARGET));
    config.insert("pending_works_series".to_owned(), json!(PENDING_WORKS));
    let config = Value::from(config).to_string();
    let (scaler, _) = Scaler::create(program, config, Arc::default()).await?;
    let (mut now_ms, mut replicas) = (0_u64, 0_u32);
    let (mut changes, mut actions) = (Vec::new(), Vec::new());
    for step in request["steps"].as_array().context("a trace vector has steps")? {
        for _ in 0..step["repeat"].as_u64().unwrap_or(1) {
            now_ms += (step["dt"].as_f64().unwrap_or(1.0) * 1000.0).round() as u64;
            let mut seen = observation(now_ms, replicas, count(&step["pending_requests"])?);
            let works = step["pending_works"].as_f64().unwrap_or(0.0);
            seen.custom.push((PENDING_WORKS.to_owned(), works));
            seen.custom.extend(step["target"].as_f64().map(|target| (TARGET.to_owned(), target)));
            let wanted = ask(&scaler, seen, f64::from(replicas)).await? as u32;
            actions.extend((replicas..wanted).map(|index| json!(format!("+{index}"))));
            actions.extend((wanted..replicas).rev().map(|index| json!(format!("-{index}"))));
            if wanted != replicas {
                changes.push(json!([now_ms as f64 / 1000.0, wanted]));
            }
            replicas = wanted;
        }
    }
    let got = json!({ "changes": changes, "final": replicas, "actions": actions });
    Ok(got.as_object().cloned().unwrap_or_default())
}

/// What the constructor says, and which bounds the policy then keeps.
async fn config(program: &Arc<Program>, request: &Value) -> anyhow::Result<Map<String, Value>> {
    let mut config = request["config"].as_object().cloned().unwrap_or_default();
    config.insert("target_series".to_owned(), json!(TARGET));
    config.insert("scale_out_interval".to_owned(), json!(0.0));
    config.insert("scale_in_interval".to_owned(), json!(0.0));
    let config = Value::from(config).to_string();
    let scaler = match Scaler::create(program, config, Arc::default()).await {
        Ok((scaler, _)) => scaler,
        Err(failure) => {
            let text = failure.to_string();
            let error = text.strip_prefix("the policy refused: ").unwrap_or(&text);
            let got = json!({ "ok": false, "error": error });
            return Ok(got.as_object().cloned().unwrap_or_default());
        }
    };
    let mut bounds = Vec::new();
    for (at_ms, target) in [(1000, -1e6), (2000, 1e6)] {
        let mut seen = observation(at_ms, 2, 0);
        seen.custom.push((TARGET.to_owned(), target));
        bounds.push(ask(&scaler, seen, 2.0).await? as i64);
    }
    let got = json!({ "ok": true, "min": bounds[0], "max": bounds[1] });
    Ok(got.as_object().cloned().unwrap_or_default())
}

/// The replicas after one tick; as many as now if the policy holds.
async fn ask(scaler: &Scaler, seen: Observation, now: f64) -> anyhow::Result<f64> {
    Ok(match scaler.scale(seen).await?.answer.wish {
        Wish::Hold => now,
        Wish::Replicas(wanted) => wanted,
    })
}

/// A pool with the original's default bounds, all its requests waiting.
pub(super) fn observation(now_ms: u64, ready: u32, queued: u32) -> Observation {
    Observation {
        now: Timestamp::from_millis(now_ms),
        since: Duration::ZERO,
        min: 1,
        max: 4,
        concurrency: 1,
        queue_max: u32::MAX,
        starting: 0,
        ready,
        draining: 0,
        target: ready,
        queued,
        ongoing: 0,
        queued_average: None,
        ongoing_average: None,
        arrived: 0,
        completed: 0,
        failed: 0,
        rejected: 0,
        oldest_wait: None,
        latency: None,
        last_used: None,
        created: Timestamp::ZERO,
        custom: Vec::new(),
        replicas: Vec::new(),
    }
}

fn count(value: &Value) -> anyhow::Result<u32> {
    let count = value.as_u64().with_context(|| format!("{value} is not a count"))?;
    u32::try_from(count).with_context(|| format!("{count} is too large"))
}
