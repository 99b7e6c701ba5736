//! What a request costs as a server grows: more deployments, and more replicas of one.
//!
//! Servers with 1 to 10,000 deployments run side by side and get the same load in turn. Pools of 1
//! to 1,000 replicas are deployments of one more server, so that only the size of the pool differs.

use std::time::Duration;

use anyhow::Result;
use samovar_tests::{Samovar, component, status};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    bars::Bars,
    cost::Settings,
    loadgen::Load,
    many::{self, name},
    numbers::Spread,
    process::{cpu_time, raise_file_limit},
    report,
    turns::{self, Row, Turn, print_table, ratio},
};

/// A request to the larger one costs at most so many times what one to the smaller one costs.
const RATIO_MAX: f64 = 1.10;
/// Deployments of the smaller servers.
const SIZES: [usize; 3] = [1, 100, 1000];
/// Deployments that have replicas where there are as many, and that are asked in turn.
const WARM: usize = 100;
/// Replicas of each of them but the first, which has one for each connection.
const WARM_REPLICAS: usize = 4;
/// Replicas of the pools.
const POOLS: [usize; 4] = [1, 10, 100, 1000];
/// Room for all pools of both guests; the default is 1000.
const SLOTS: &str = "3000";
/// Guests whose pools grow.
const GUESTS: [(&str, &str); 2] = [("hello", "WASI 0.2"), ("hello-async", "WASI 0.3")];
/// What servers take while nobody asks is measured for so long.
const IDLE: Duration = Duration::from_secs(5);

/// The same load on something that gets larger from row to row.
struct Series {
    what: String,
    sizes: Vec<usize>,
    rows: Vec<Row>,
}

/// Measures, prints tables and writes `target/bench/growth.json`. The largest server has
/// `deployments`.
///
/// # Errors
///
/// When a request fails.
pub async fn run(settings: &Settings, deployments: usize) -> Result<Bars> {
    raise_file_limit();
    let (mut all, idle) = of_deployments(settings, deployments).await?;
    all.extend(of_replicas(settings).await?);
    let mut bars = Bars::default();
    for series in &all {
        print_table(&series.what, &series.rows);
    }
    println!("\nCPU time beside the load, while no requests come:");
    for (size, percent) in &idle {
        println!("    {size} deployments: {percent:.1} % of a core");
    }
    println!("\n| what | larger against smaller | CPU per request |\n| --- | --- | --- |");
    for series in &all {
        for (smaller, larger, growth) in series.growth() {
            println!("| {} | {larger} against {smaller} | {growth:.2} |", series.what);
            let what = format!("{}: CPU per request, {larger} against {smaller}", series.what);
            bars.at_most(what, growth.median, RATIO_MAX, " ×");
        }
    }
    let idle = idle.iter().map(|(size, percent)| json!({"deployments": size, "percent": percent}));
    let report = json!({
        "settings": turns::settings_json(settings),
        "series": all.iter().map(Series::to_json).collect::<Vec<_>>(),
        "cpu_while_idle": idle.collect::<Vec<_>>(),
    });
    report::write("growth", &report)?;
    Ok(bars)
}

/// One deployment is asked, then a hundred in turn, on servers of all sizes. Beside it what each
/// server takes while idle, in percent of a core.
async fn of_deployments(
    settings: &Settings,
    deployments: usize,
) -> Result<(Vec<Series>, Vec<(usize, f64)>)> {
    let smaller = SIZES.into_iter().filter(|size| *size < deployments);
    let sizes: Vec<usize> = smaller.chain([deployments]).collect();
    let mut servers = Vec::new();
    for size in &sizes {
        servers.push((*size, server(*size, settings).await?));
    }
    let idle = idle(&servers).await?;
    let paths = |count: usize| (0..count).map(|index| format!("/{}", name(index))).collect();
    let mut all = Vec::new();
    for (asked, what) in [(1, "one deployment is asked"), (WARM, "100 deployments are asked")] {
        let large: Vec<_> = servers.iter().filter(|(size, _)| *size >= asked).collect();
        let turn = |(size, samovar): &&(usize, Samovar)| {
            let load = Load::get_each(samovar.http.address(), paths(asked), settings.connections);
            Turn::full(format!("of {size} deployments {asked} asked"), load)
        };
        let turns: Vec<Turn> = large.iter().map(turn).collect();
        let pids = large.iter().map(|(_, samovar)| samovar.pid());
        let turns: Vec<_> = pids.zip(&turns).collect();
        let rows = turns::measure_servers(&turns, settings).await?;
        let sizes = large.iter().map(|(size, _)| *size).collect();
        all.push(Series { what: format!("deployments on the server, {what}"), sizes, rows });
    }
    for (_, samovar) in servers {
        samovar.stop().await;
    }
    Ok((all, idle))
}

/// A server with `size` deployments. The first ones have replicas, all others are at zero.
async fn server(size: usize, settings: &Settings) -> Result<Samovar> {
    let samovar = Samovar::start().await;
    let digest = samovar.upload(component("hello")).await;
    let connections = settings.connections;
    let spec = move |index: usize| {
        let fixed = |replicas: usize| json!([replicas, replicas]);
        let warm = |replicas| json!({"component": digest, "replicas": replicas, "idle_ttl": "off"});
        match index {
            0 => warm(fixed(connections)),
            1..WARM => warm(fixed(WARM_REPLICAS)),
            _ => json!({"component": digest, "replicas": "0..1"}),
        }
    };
    many::make(&samovar.admin, size, spec).await?;
    Ok(samovar)
}

/// CPU time of each server while no requests come, in percent of a core.
async fn idle(servers: &[(usize, Samovar)]) -> Result<Vec<(usize, f64)>> {
    let used = || -> Result<Vec<Duration>> {
        servers.iter().map(|(_, samovar)| cpu_time(samovar.pid())).collect()
    };
    let (from, before) = (Instant::now(), used()?);
    sleep(IDLE).await;
    let (passed, after) = (from.elapsed(), used()?);
    let percent = |(after, before): (&Duration, &Duration)| {
        100.0 * after.saturating_sub(*before).as_secs_f64() / passed.as_secs_f64()
    };
    let sizes = servers.iter().map(|(size, _)| *size);
    Ok(sizes.zip(after.iter().zip(&before).map(percent)).collect())
}

/// The same connections to pools of all sizes, on one server.
async fn of_replicas(settings: &Settings) -> Result<Vec<Series>> {
    let samovar = Samovar::start_with(&["--slots", SLOTS], &[]).await;
    let mut all = Vec::new();
    for (guest, version) in GUESTS {
        let pool = |replicas: usize| format!("{guest}-{replicas}");
        for replicas in POOLS {
            let spec = json!({"replicas": [replicas, replicas], "idle_ttl": "off"});
            samovar.deploy(&pool(replicas), guest, spec).await;
            let is_full = |seen: &Value| status::ready(seen) == replicas as u64;
            samovar.wait_status(&pool(replicas), "all its replicas", is_full).await;
        }
        let turn = |replicas: usize| {
            let path = format!("/{}", pool(replicas));
            let load = Load::get(samovar.http.address(), path, settings.connections);
            Turn::full(format!("{version}, {replicas} replicas"), load)
        };
        let rows = turns::measure(samovar.pid(), &POOLS.map(turn), settings).await?;
        let what = format!("replicas of a {version} deployment");
        all.push(Series { what, sizes: POOLS.to_vec(), rows });
    }
    samovar.stop().await;
    Ok(all)
}

impl Series {
    /// Each size against the smallest, and the largest against the second: a pool of one replica
    /// has a queue, and costs something of its own.
    fn growth(&self) -> Vec<(usize, usize, Spread)> {
        let last = self.sizes.len() - 1;
        let pairs = (1..=last).map(|larger| (0, larger));
        let pairs = pairs.chain((last > 1).then_some((1, last)));
        let compare = |(smaller, larger): (usize, usize)| {
            let (small, large) = (&self.rows[smaller], &self.rows[larger]);
            let growth = large.against(small, |round| round.cpu_us, ratio);
            (self.sizes[smaller], self.sizes[larger], growth)
        };
        pairs.map(compare).collect()
    }

    fn to_json(&self) -> Value {
        let growth = |(smaller, larger, growth): &(usize, usize, Spread)| {
            let growth = growth.to_json();
            json!({"smaller": smaller, "larger": larger, "cpu_ratio": growth})
        };
        json!({
            "what": self.what, "sizes": self.sizes,
            "rows": self.rows.iter().map(Row::to_json).collect::<Vec<_>>(),
            "growth": self.growth().iter().map(growth).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turns::tests::row;

    #[test]
    fn sizes_are_compared_with_the_smallest_and_the_last_with_the_second() {
        let rows = [[20.0, 40.0], [10.0, 20.0], [12.0, 26.0]].map(|cpu_us| row(&cpu_us));
        let series = Series { what: "rings".into(), sizes: vec![1, 10, 100], rows: rows.into() };
        let growth: Vec<_> = series.growth().iter().map(|one| (one.0, one.1, one.2.most)).collect();
        assert_eq!(growth, [(1, 10, 0.5), (1, 100, 0.65), (10, 100, 1.3)]);
        let alone = Series { sizes: vec![7], rows: vec![row(&[1.0])], ..series };
        assert!(alone.growth().is_empty());
    }
}
