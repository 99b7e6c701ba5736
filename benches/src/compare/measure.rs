//! Rounds of all servers of one workload, first at full load, then each at half of its own.

use anyhow::{Error, Result};

use crate::{
    cost::{self, Pace, Round, Settings},
    turns::Row,
};

use super::{
    contender::Contender,
    server::Server,
    tree::{Memory, Tree},
};

/// What came of one server.
pub struct Outcome {
    pub name: &'static str,
    /// As fast as the connections get their answers.
    pub full: Row,
    /// Half the requests per second of that, at a constant rate.
    pub half: Row,
    /// After all rounds.
    pub memory: Memory,
}

/// A server without which the run went on, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub name: &'static str,
    pub workload: &'static str,
    pub why: String,
}

impl LeftOut {
    /// Says so at once: it may be long until the end.
    pub fn of(contender: Contender, workload: &'static str, error: &Error) -> Self {
        let name = contender.name();
        let why = format!("{error:#}");
        eprintln!("{name} is left out of {workload}: {why}");
        Self { name, workload, why }
    }
}

/// A server and its rounds so far.
struct Lane {
    server: Server,
    full: Vec<Round>,
    half: Vec<Round>,
}

/// Measures `servers` and ends them. A peer that fails is left out.
///
/// # Errors
///
/// When another one fails a request, or has gone.
pub async fn run(
    servers: Vec<Server>,
    workload: &'static str,
    settings: &Settings,
    left_out: &mut Vec<LeftOut>,
) -> Result<Vec<Outcome>> {
    let lane = |server| Lane { server, full: Vec::new(), half: Vec::new() };
    let mut lanes: Vec<Lane> = servers.into_iter().map(lane).collect();
    for lane in &lanes {
        // Compilers that work while they run have done most of it after this.
        eprintln!("{workload}, warm-up: {}", lane.server.contender.name());
        lane.server.load.clone().run(settings.duration).await;
    }
    for (is_half, what) in [(false, "full load"), (true, "half load")] {
        for round in 1..=settings.rounds {
            let mut failed = Vec::new();
            for (index, lane) in lanes.iter_mut().enumerate() {
                let name = lane.server.contender.name();
                eprintln!("{workload}, {what}, round {round} of {}: {name}", settings.rounds);
                match lane.round(is_half, settings).await {
                    Err(error) if lane.server.contender.is_peer() => {
                        left_out.push(LeftOut::of(lane.server.contender, workload, &error));
                        failed.push(index);
                    }
                    done => done?,
                }
            }
            for index in failed.into_iter().rev() {
                lanes.remove(index).server.stop().await;
            }
        }
    }
    let mut outcomes = Vec::new();
    for lane in lanes {
        outcomes.push(lane.outcome().await);
    }
    Ok(outcomes)
}

impl Lane {
    async fn round(&mut self, is_half: bool, settings: &Settings) -> Result<()> {
        let pace = match is_half {
            true => Pace::PerSecond(self.row(&self.full).per_second().median / 2.0),
            false => Pace::Full,
        };
        let Server { contender, load, tree, .. } = &mut self.server;
        let name = contender.name();
        let used = || tree.cpu_time();
        let round = cost::measure_counted(pace, name, used, load, settings.duration).await?;
        let rounds = if is_half { &mut self.half } else { &mut self.full };
        rounds.push(round);
        Ok(())
    }

    fn row(&self, rounds: &[Round]) -> Row {
        Row { name: self.server.contender.name().into(), rounds: rounds.to_vec() }
    }

    async fn outcome(mut self) -> Outcome {
        let name = self.server.contender.name();
        let (full, half) = (self.row(&self.full), self.row(&self.half));
        let memory = Tree::memory(&mut self.server.tree);
        self.server.stop().await;
        Outcome { name, full, half, memory }
    }
}
