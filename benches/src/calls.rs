//! What a call from one deployment to another costs, in process and over loopback HTTP.
//!
//! A caller is measured alone, calling another deployment in process, and calling the same one
//! through the data plane, which is the same server: the CPU time of its process is that of both
//! ends. What a call costs is the difference to the caller alone, in the same round. The guest's
//! work for the call and the callee's are in it on both ways.

mod plan;

use anyhow::{Result, ensure};
use samovar_tests::{Samovar, status};
use serde_json::{Value, json};

use crate::{
    bars::Bars,
    cost::{Round, Settings},
    numbers::Spread,
    report,
    turns::{self, Row, difference, ratio},
};

use plan::{Case, Chain, Plan};

/// Most CPU time of a call in process, against the same one over loopback HTTP.
const RATIO_MAX: f64 = 0.5;

/// Measures, prints tables and writes `target/bench/calls.json`.
pub async fn run(settings: &Settings) -> Result<Bars> {
    let samovar = Samovar::start().await;
    deploy(&samovar, settings).await;
    let plan = Plan::new(samovar.http.address(), settings.connections);
    check(&samovar, &plan).await?;
    let rows = turns::measure(samovar.pid(), &plan.turns, settings).await?;
    let single = turns::measure_single(samovar.pid(), plan.turns, settings).await?;
    samovar.stop().await;
    let findings = Findings {
        costs: plan.cases.iter().map(|case| Cost::of(case, &rows, &single)).collect(),
        links: plan.chains.iter().map(|chain| Links::of(chain, &rows)).collect(),
        idle: plan.idle.iter().map(|(may, not)| Idle::of(&rows[*may], &rows[*not])).collect(),
    };
    turns::print_table("All connections at once", &rows);
    turns::print_table("One client, one request after the other", &single);
    findings.print();
    write(&rows, &single, &findings, settings)?;
    Ok(findings.bars())
}

async fn deploy(samovar: &Samovar, settings: &Settings) {
    for one in plan::deployments(samovar.http.address(), settings.connections) {
        samovar.deploy(&one.name, one.guest, one.spec).await;
        let is_warm = |seen: &Value| status::ready(seen) == one.replicas as u64;
        samovar.wait_status(&one.name, "all its replicas", is_warm).await;
    }
}

/// Costs mean little unless every load is answered as it should be.
async fn check(samovar: &Samovar, plan: &Plan) -> Result<()> {
    for turn in &plan.turns {
        let (path, body) = (&turn.load.paths[0], &turn.load.body);
        let reply = match body.is_empty() {
            true => samovar.http.get(path).await,
            false => samovar.http.post(path, body.clone()).await,
        };
        let is_good = reply.status == 200 && turn.load.expects_bytes == Some(reply.body.len());
        let shown = reply.text().chars().take(200).collect::<String>();
        ensure!(is_good, "{}: {path} is answered {} {shown:?}", turn.name, reply.status);
    }
    Ok(())
}

/// What the loads say together.
struct Findings {
    costs: Vec<Cost>,
    links: Vec<Links>,
    idle: Vec<Idle>,
}

/// What a call costs on its two ways.
struct Cost {
    name: String,
    has_bar: bool,
    inside_us: Spread,
    loopback_us: Spread,
    /// In process against loopback.
    ratio: Spread,
    /// The same of whole requests, with the caller's own.
    whole_ratio: Spread,
    /// What the call adds to the median latency of one client alone.
    inside_p50_us: Spread,
    loopback_p50_us: Spread,
}

impl Cost {
    fn of(case: &Case, rows: &[Row], single: &[Row]) -> Self {
        let of_case = |at: usize| (&rows[at], &single[at]);
        let (alone, single_alone) = of_case(case.alone);
        let (inside, single_inside) = of_case(case.inside);
        let (loopback, single_loopback) = of_case(case.loopback);
        let added_p50_us = |row: &Row| row.against(single_alone, p50_us, difference);
        Self {
            name: case.name.clone(),
            has_bar: case.has_bar,
            inside_us: inside.against(alone, cpu_us, difference),
            loopback_us: loopback.against(alone, cpu_us, difference),
            ratio: call_ratio(alone, inside, loopback),
            whole_ratio: inside.against(loopback, cpu_us, ratio),
            inside_p50_us: added_p50_us(single_inside),
            loopback_p50_us: added_p50_us(single_loopback),
        }
    }
}

/// What the call adds in process, against what it adds over loopback, in each round.
fn call_ratio(alone: &Row, inside: &Row, loopback: &Row) -> Spread {
    let rounds = alone.rounds.iter().zip(&inside.rounds).zip(&loopback.rounds);
    let added = |row: &Round, alone: &Round| row.cpu_us - alone.cpu_us;
    let ratios = rounds
        .map(|((alone, inside), loopback)| ratio(added(inside, alone), added(loopback, alone)));
    Spread::of(ratios)
}

/// What each call of a chain costs.
struct Links {
    name: String,
    calls: usize,
    one_us: Spread,
    /// The mean of all calls of the longest chain.
    each_us: Spread,
}

impl Links {
    fn of(chain: &Chain, rows: &[Row]) -> Self {
        let (alone, calls) = (&rows[chain.alone], chain.calls);
        let each = |own: f64, other: f64| difference(own, other) / calls as f64;
        Self {
            name: chain.name.clone(),
            calls,
            one_us: rows[chain.one].against(alone, cpu_us, difference),
            each_us: rows[chain.all].against(alone, cpu_us, each),
        }
    }
}

/// What it costs a handler that it may call, when it does not.
struct Idle {
    name: String,
    ratio: Spread,
}

impl Idle {
    fn of(may: &Row, may_not: &Row) -> Self {
        Self { name: may.name.clone(), ratio: may.against(may_not, cpu_us, ratio) }
    }
}

fn cpu_us(round: &Round) -> f64 {
    round.cpu_us
}

fn p50_us(round: &Round) -> f64 {
    f64::from(round.p50_us)
}

impl Findings {
    fn print(&self) {
        println!("\nWhat the call adds to the caller alone:\n");
        println!(
            "| call | µs CPU in process | µs CPU over loopback | ratio | ratio of whole requests \
             | p50 µs in process | p50 µs over loopback |"
        );
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        for cost in &self.costs {
            let Cost { name, inside_us, loopback_us, ratio, whole_ratio, .. } = cost;
            let Cost { inside_p50_us, loopback_p50_us, .. } = cost;
            println!(
                "| {name} | {inside_us:.1} | {loopback_us:.1} | {ratio:.2} | {whole_ratio:.2} \
                 | {inside_p50_us:.0} | {loopback_p50_us:.0} |"
            );
        }
        println!("\n| chain | µs CPU of one call | of each call of the longest chain |");
        println!("| --- | --- | --- |");
        for Links { name, calls, one_us, each_us } in &self.links {
            println!("| {name}, up to {calls} calls | {one_us:.1} | {each_us:.1} |");
        }
        println!();
        for Idle { name, ratio } in &self.idle {
            println!("{name}, CPU when it may call against when it may not: {ratio:.2}");
        }
        println!();
    }

    fn bars(&self) -> Bars {
        let mut bars = Bars::default();
        for Cost { name, ratio, .. } in self.costs.iter().filter(|cost| cost.has_bar) {
            let what = format!("call from {name}, CPU in process against loopback HTTP");
            bars.at_most(what, ratio.median, RATIO_MAX, " ×");
        }
        bars
    }

    fn to_json(&self) -> Value {
        let cost = |cost: &Cost| {
            json!({
                "call": cost.name, "cpu_us_in_process": cost.inside_us.to_json(),
                "cpu_us_over_loopback": cost.loopback_us.to_json(),
                "ratio": cost.ratio.to_json(), "ratio_of_requests": cost.whole_ratio.to_json(),
                "p50_us_in_process": cost.inside_p50_us.to_json(),
                "p50_us_over_loopback": cost.loopback_p50_us.to_json(),
            })
        };
        let links = |links: &Links| {
            json!({
                "caller": links.name, "calls": links.calls,
                "cpu_us_of_one": links.one_us.to_json(), "cpu_us_of_each": links.each_us.to_json(),
            })
        };
        let idle = |idle: &Idle| json!({"caller": idle.name, "ratio": idle.ratio.to_json()});
        json!({
            "calls": self.costs.iter().map(cost).collect::<Vec<_>>(),
            "chains": self.links.iter().map(links).collect::<Vec<_>>(),
            "may_call_against_may_not": self.idle.iter().map(idle).collect::<Vec<_>>(),
        })
    }
}

fn write(rows: &[Row], single: &[Row], findings: &Findings, settings: &Settings) -> Result<()> {
    let report = json!({
        "settings": turns::settings_json(settings),
        "rows": rows.iter().map(Row::to_json).collect::<Vec<_>>(),
        "one_client": single.iter().map(Row::to_json).collect::<Vec<_>>(),
        "findings": findings.to_json(),
    });
    report::write("calls", &report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turns::tests::row;

    #[test]
    fn call_costs_what_it_adds_to_the_caller_in_the_same_round() {
        // The second round is ten times as slow.
        let alone = row(&[10.0, 100.0, 10.0]);
        let inside = row(&[14.0, 140.0, 16.0]);
        let loopback = row(&[30.0, 300.0, 30.0]);
        let ratio = call_ratio(&alone, &inside, &loopback);
        assert!((ratio.median - 0.2).abs() < 1e-9, "{ratio}");
        assert!((ratio.most - 0.3).abs() < 1e-9, "{ratio}");
        let case = Case { name: "x".into(), alone: 0, inside: 1, loopback: 2, has_bar: true };
        let rows = [alone, inside, loopback];
        let cost = Cost::of(&case, &rows, &rows);
        assert_eq!(cost.inside_us, Spread { median: 6.0, least: 4.0, most: 40.0 });
        assert_eq!(cost.loopback_p50_us.median, 20.0);
        let findings = Findings { costs: vec![cost], links: Vec::new(), idle: Vec::new() };
        findings.bars().verdict().unwrap();
    }

    #[test]
    fn dear_calls_and_free_loopback_miss_the_bar() {
        let missed = |inside: f64, loopback: f64| {
            let rows = [row(&[10.0]), row(&[inside]), row(&[loopback])];
            let case = Case { name: "x".into(), alone: 0, inside: 1, loopback: 2, has_bar: true };
            let costs = vec![Cost::of(&case, &rows, &rows)];
            Findings { costs, links: Vec::new(), idle: Vec::new() }.bars().verdict().is_err()
        };
        assert!(!missed(20.0, 30.0));
        assert!(missed(20.1, 30.0));
        assert!(missed(10.0, 10.0), "nothing was measured");
    }

    #[test]
    fn calls_of_a_chain_share_its_cost() {
        let rows = [row(&[10.0, 20.0]), row(&[15.0, 25.0]), row(&[30.0, 44.0])];
        let chain = Chain { name: "x".into(), alone: 0, one: 1, all: 2, calls: 4 };
        let links = Links::of(&chain, &rows);
        assert_eq!(links.one_us, Spread { median: 5.0, least: 5.0, most: 5.0 });
        assert_eq!(links.each_us, Spread { median: 5.5, least: 5.0, most: 6.0 });
    }
}
