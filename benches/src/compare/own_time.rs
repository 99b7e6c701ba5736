//! How much of a thumbnail's CPU time is the guest's own, and how much the host adds.
//!
//! The fixture `thumbnail-repeat` is the plugin `thumbnail`, except that it makes its picture as
//! often as the query says, and answers once. Two loads take turns on one server: pictures made
//! once and four times. With `c(k)` for the CPU time of a request that makes its picture `k` times:
//!
//! ```text
//! own time of the guest = (c(4) - c(1)) / 3        beyond it = c(1) - own time
//! ```
//!
//! What this says, and what not:
//!
//! - What a request costs once is *beyond*: HTTP, the way to the replica, the call, and also the
//!   guest's own code that reads the body and writes the answer. That counts against the host, as
//!   do caches that are warm when a picture is made again: the own time is rather too short.
//! - What the host does in proportion to the time that the guest computes is *in* the own time:
//!   checks of epochs in its loops, and being interrupted. To see that too, `wasmtime serve`, which
//!   compiles the guest without them, is measured beside it where it is installed, and what a
//!   request costs is also compared with the own time there.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    bars::Bars,
    baselines::Wasmtime,
    cost::{self, Pace, Round, Settings},
    numbers::Spread,
};

use super::{
    contender::{Contender, Programs},
    server::{Server, Wanted},
    workload::{Workload, World},
};

const GUEST: &str = "fixture-thumbnail-repeat";
/// Pictures per request of the long load.
const TIMES: u32 = 4;
/// Most that a request may cost beyond the guest's own time.
const BEYOND_PERCENT_MAX: f64 = 3.0;

/// What came of all servers, Samovar first.
pub struct OwnTime {
    parts: Vec<Part>,
}

/// One server's rounds.
struct Part {
    name: &'static str,
    once: Vec<Round>,
    often: Vec<Round>,
}

/// Measures it for Samovar, and for `wasmtime serve` if it is installed.
///
/// # Errors
///
/// When a request fails.
pub async fn measure(programs: &Programs, settings: &Settings) -> Result<OwnTime> {
    let contenders = [Contender::Samovar(World::Wasi02), Contender::Wasmtime(Wasmtime::Reuse02)];
    let mut servers = Vec::new();
    for contender in contenders {
        let connections = settings.connections;
        let wanted = Wanted::new(contender, programs, Workload::Thumbnail, connections);
        if wanted.program.is_some() || !contender.is_peer() {
            servers.push(Server::start(Wanted { guest: Some(GUEST), ..wanted }).await?);
        }
    }
    let part = |server: &Server| Part {
        name: server.contender.name(),
        once: Vec::new(),
        often: Vec::new(),
    };
    let mut parts: Vec<Part> = servers.iter().map(part).collect();
    for round in 1..=settings.rounds {
        for (server, part) in servers.iter_mut().zip(&mut parts) {
            eprintln!("thumbnail, own time, round {round} of {}: {}", settings.rounds, part.name);
            // In changing order, so that a machine that grows slower or faster favours neither.
            let order = if round.is_multiple_of(2) { [TIMES, 1] } else { [1, TIMES] };
            for times in order {
                let measured = pictures(server, times, settings).await?;
                if times == 1 { part.once.push(measured) } else { part.often.push(measured) }
            }
        }
    }
    for server in servers {
        server.stop().await;
    }
    Ok(OwnTime { parts })
}

/// One measurement of requests that make their picture so many times.
async fn pictures(server: &mut Server, times: u32, settings: &Settings) -> Result<Round> {
    let Server { contender, load, tree, .. } = server;
    let mut load = load.clone();
    for path in &mut load.paths {
        *path = format!("{path}?times={times}");
    }
    let (name, used) = (contender.name(), || tree.cpu_time());
    cost::measure_counted(Pace::Full, name, used, &load, settings.duration).await
}

impl Part {
    /// Of the guest, of each round.
    fn own_us(&self) -> Vec<f64> {
        let pairs = self.once.iter().zip(&self.often);
        pairs.map(|(once, often)| (often.cpu_us - once.cpu_us) / f64::from(TIMES - 1)).collect()
    }

    /// Of a whole request beyond `own_us`, of each round.
    fn beyond_percent(&self, own_us: &[f64]) -> Spread {
        let pairs = self.once.iter().zip(own_us);
        Spread::of(pairs.map(|(once, own_us)| (once.cpu_us / own_us - 1.0) * 100.0))
    }

    fn once_us(&self) -> Spread {
        Spread::of(self.once.iter().map(|round| round.cpu_us))
    }
}

impl OwnTime {
    /// How Samovar's requests compare with the guest's own time in each server.
    fn samovar_beyond(&self) -> impl Iterator<Item = (&'static str, Spread)> {
        let samovar = &self.parts[0];
        self.parts.iter().map(|part| (part.name, samovar.beyond_percent(&part.own_us())))
    }

    pub fn print(&self) {
        println!("\nThe guest's own CPU time per picture, and that of a whole request:\n");
        println!("| server | own µs | request µs | beyond % |\n| --- | --- | --- | --- |");
        for part in &self.parts {
            let (own, once) = (part.own_us(), part.once_us());
            let beyond = part.beyond_percent(&own);
            println!("| {} | {:.0} | {once:.0} | {beyond:.1} |", part.name, Spread::of(own));
        }
        for (name, beyond) in self.samovar_beyond().skip(1) {
            println!("\nsamovar's request beyond the own time in {name}: {beyond:.1} %");
        }
    }

    pub fn add_bars(&self, bars: &mut Bars) {
        let samovar = &self.parts[0];
        let beyond = samovar.beyond_percent(&samovar.own_us()).median;
        let what = "thumbnail, CPU of a request beyond the guest's own";
        bars.at_most(what, beyond, BEYOND_PERCENT_MAX, " %");
    }

    pub fn to_json(&self) -> Value {
        let part = |part: &Part| {
            let own = part.own_us();
            json!({
                "name": part.name,
                "own_us": Spread::of(own.iter().copied()).to_json(),
                "request_us": part.once_us().to_json(),
                "beyond_percent": part.beyond_percent(&own).to_json(),
            })
        };
        let across = |(name, beyond): (&str, Spread)| {
            let beyond = beyond.to_json();
            json!({"own_time_in": name, "samovar_beyond_percent": beyond})
        };
        json!({
            "servers": self.parts.iter().map(part).collect::<Vec<_>>(),
            "across": self.samovar_beyond().skip(1).map(across).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turns::tests::row;

    #[test]
    fn own_time_is_what_more_pictures_cost() {
        // 100 and 110 for a picture, and 2 and 3.3 for the rest.
        let part = Part {
            name: "a",
            once: row(&[102.0, 113.3]).rounds,
            often: row(&[402.0, 443.3]).rounds,
        };
        let own = part.own_us();
        assert!((own[0] - 100.0).abs() < 1e-9 && (own[1] - 110.0).abs() < 1e-9, "{own:?}");
        let beyond = part.beyond_percent(&own);
        assert!((beyond.least - 2.0).abs() < 1e-9 && (beyond.most - 3.0).abs() < 1e-9, "{beyond}");
        let mut bars = Bars::default();
        OwnTime { parts: vec![part] }.add_bars(&mut bars);
        bars.verdict().unwrap();
    }
}
