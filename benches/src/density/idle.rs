//! Thousands of deployments at zero: what they take of memory and CPU time, and how soon a server
//! that has them is back.

use std::time::Duration;

use anyhow::Result;
use samovar_tests::{Samovar, component, unique};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Settings;
use crate::{bars::Bars, many, memory::Memory, process::cpu_time};

/// Resident memory of the server.
const MIB_MAX: f64 = 300.0;
/// From the start of the program until the last deployment has answered.
const RESTART_S_MAX: f64 = 5.0;
/// What is deployed: small and large code of both versions.
const GUESTS: [&str; 4] = ["hello", "hello-async", "fixture-behave", "fixture-behave-async"];
/// Components of each guest that differ in their digest, and share no code.
const COPIES: u64 = 25;
/// Below the route; all guests answer it.
const PATH: &str = "/ok";
/// Ends of the server, each so often.
const ENDS: [End; 2] = [End::Term, End::Kill];
const RESTARTS: usize = 2;
/// After a restart.
const SETTLE: Duration = Duration::from_secs(10);

/// Deployments that share their settings, and the server they were on.
pub struct Crowd {
    deployments: usize,
    idle_ttl: &'static str,
    empty: Memory,
    /// In the order they were taken.
    steps: Vec<Step>,
    /// After `/metrics` was asked for.
    scraped: Memory,
    restarts: Vec<Restart>,
}

/// The server at one moment.
struct Step {
    when: String,
    memory: Memory,
    /// Of a core, since the step before; none if something else happened in between.
    cpu_percent: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// It is asked to end.
    Term,
    /// It has no choice.
    Kill,
}

/// One start with all deployments on disk.
struct Restart {
    end: End,
    ready_s: f64,
    answered_s: f64,
}

/// Makes the deployments, lets them idle, calls each once, and starts the server again. It still
/// runs afterwards.
///
/// # Errors
///
/// When a request fails, or the server has gone.
pub async fn measure(idle_ttl: &'static str, settings: &Settings) -> Result<(Crowd, Samovar)> {
    let Settings { deployments, idle, .. } = *settings;
    let mut samovar = Samovar::start().await;
    let empty = Memory::of(samovar.pid())?;
    let digests = upload(&samovar).await;
    let mut steps = vec![Step::now("components uploaded", &samovar)?];
    let spec = move |index: usize| {
        json!({
            "component": digests[index % digests.len()], "replicas": "0..1",
            "idle_ttl": idle_ttl, "scaledown_ttl": "1s",
        })
    };
    many::make(&samovar.admin, deployments, spec).await?;
    steps.push(Step::now("made", &samovar)?);
    steps.push(Step::after(idle, "idle", &samovar).await?);
    many::call(&samovar.http, deployments, PATH).await?;
    many::until_replicas(&samovar, 0).await?;
    steps.push(Step::now("called once each, at zero again", &samovar)?);
    steps.push(Step::after(idle, "idle again", &samovar).await?);
    let last = many::name(deployments - 1);
    let mut restarts = Vec::new();
    for end in ENDS.into_iter().flat_map(|end| [end; RESTARTS]) {
        restarts.push(restart(&mut samovar, end, &last).await?);
    }
    steps.push(Step::after(SETTLE, "started again", &samovar).await?);
    samovar.admin.get("/metrics").await.expect(200);
    let scraped = Memory::of(samovar.pid())?;
    Ok((Crowd { deployments, idle_ttl, empty, steps, scraped, restarts }, samovar))
}

/// Digests of all components; neighbours in the list are of different guests.
async fn upload(samovar: &Samovar) -> Vec<String> {
    let mut digests = Vec::new();
    for copy in 0..COPIES {
        eprintln!("components {copy} of {COPIES}");
        for guest in GUESTS {
            digests.push(samovar.upload(unique(&component(guest), copy)).await);
        }
    }
    digests
}

async fn restart(samovar: &mut Samovar, end: End, last: &str) -> Result<Restart> {
    match end {
        End::Term => {
            samovar.terminate();
            samovar.ended(0).await;
        }
        End::Kill => samovar.kill9(),
    }
    let started = Instant::now();
    samovar.start_again().await;
    samovar.admin.get("/readyz").await.expect(200);
    let ready_s = started.elapsed().as_secs_f64();
    samovar.http.get(&format!("/{last}{PATH}")).await.expect(200);
    Ok(Restart { end, ready_s, answered_s: started.elapsed().as_secs_f64() })
}

impl Step {
    fn now(when: &str, samovar: &Samovar) -> Result<Self> {
        Ok(Self { when: when.into(), memory: Memory::of(samovar.pid())?, cpu_percent: None })
    }

    /// Nothing happens meanwhile.
    async fn after(idle: Duration, what: &str, samovar: &Samovar) -> Result<Self> {
        let (from, before) = (Instant::now(), cpu_time(samovar.pid())?);
        sleep(idle).await;
        let used = cpu_time(samovar.pid())?.saturating_sub(before);
        let percent = 100.0 * used.as_secs_f64() / from.elapsed().as_secs_f64();
        let when = format!("{what} for {} s", idle.as_secs());
        Ok(Self { cpu_percent: Some(percent), ..Self::now(&when, samovar)? })
    }
}

impl Crowd {
    fn name(&self) -> String {
        format!("{} deployments at zero, idle_ttl {}", self.deployments, self.idle_ttl)
    }

    /// The moment at which the server has most.
    fn most(&self) -> &Step {
        let resident = |step: &&Step| step.memory.resident_kib;
        self.steps.iter().max_by_key(resident).expect("there are several steps")
    }

    pub fn judge(&self, bars: &mut Bars) {
        let (name, most) = (self.name(), self.most());
        let what = format!("{name}: most resident memory ({})", most.when);
        bars.at_most(what, most.memory.resident_mib(), MIB_MAX, " MiB");
        let slowest_s = self.restarts.iter().map(|one| one.answered_s).fold(0.0, f64::max);
        let what = format!("{name}: from start to ready and an answer of the last, slowest");
        bars.at_most(what, slowest_s, RESTART_S_MAX, " s");
    }

    pub fn print_table(&self) {
        println!("\n{}; memory in MiB:\n", self.name());
        println!("| when | resident | proportional | written | CPU, % of a core |");
        println!("| --- | --- | --- | --- | --- |");
        println!("| no deployments | {} | |", self.empty);
        for Step { when, memory, cpu_percent } in &self.steps {
            let cpu = cpu_percent.map(|percent| format!("{percent:.1}")).unwrap_or_default();
            println!("| {when} | {memory} | {cpu} |");
        }
        println!("| right after one answer of `/metrics` | {} | |", self.scraped);
        println!("\n| started again after | ready, s | last deployment answered, s |");
        println!("| --- | --- | --- |");
        for Restart { end, ready_s, answered_s } in &self.restarts {
            println!("| {} | {ready_s:.2} | {answered_s:.2} |", end.name());
        }
    }

    pub fn to_json(&self) -> Value {
        let step = |step: &Step| {
            let Step { when, memory, cpu_percent } = step;
            json!({"when": when, "memory": memory.to_json(), "cpu_percent": cpu_percent})
        };
        let restart = |one: &Restart| {
            let Restart { end, ready_s, answered_s } = one;
            json!({"after": end.name(), "ready_s": ready_s, "answered_s": answered_s})
        };
        json!({
            "idle_ttl": self.idle_ttl, "components": GUESTS.len() as u64 * COPIES,
            "empty": self.empty.to_json(), "scraped": self.scraped.to_json(),
            "steps": self.steps.iter().map(step).collect::<Vec<_>>(),
            "restarts": self.restarts.iter().map(restart).collect::<Vec<_>>(),
        })
    }
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Term => "SIGTERM",
            Self::Kill => "kill -9",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(resident_mib: [u64; 3], answered_s: [f64; 2]) -> Result<()> {
        let memory = |mib| Memory { resident_kib: mib << 10, proportional_kib: 0, written_kib: 0 };
        let step = |mib| Step { when: format!("{mib}"), memory: memory(mib), cpu_percent: None };
        let restart = |answered_s| Restart { end: End::Kill, ready_s: 0.0, answered_s };
        let crowd = Crowd {
            deployments: 9,
            idle_ttl: "1s",
            empty: memory(50),
            steps: resident_mib.map(step).into(),
            scraped: memory(1000),
            restarts: answered_s.map(restart).into(),
        };
        let mut bars = Bars::default();
        crowd.judge(&mut bars);
        bars.verdict()
    }

    #[test]
    fn worst_moment_and_slowest_start_count() {
        verdict([100, 300, 200], [1.0, 5.0]).unwrap();
        let error = verdict([100, 301, 200], [1.0, 5.0]).unwrap_err().to_string();
        assert!(error.ends_with("most resident memory (301)"), "{error}");
        assert!(verdict([100, 300, 200], [5.1, 1.0]).is_err());
    }
}
