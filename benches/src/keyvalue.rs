//! What the key-value store costs a handler.
//!
//! One guest, with a path that asks the store and a path that does not, and answers of the same
//! length. One deployment has a store of a single key, another one of many.

use anyhow::{Result, ensure};
use samovar_tests::{Samovar, status};
use serde_json::{Value, json};

use crate::{
    bars::Bars,
    cost::Settings,
    loadgen::Load,
    numbers::Spread,
    report,
    turns::{self, Row, Turn, ratio},
};

const GUEST: &str = "fixture-capable";
/// Keys of the stores, one deployment each.
const KEYS: [usize; 2] = [1, 100_000];
/// What is stored under every key, and what the handler answers without a store.
const VALUE: &str = "ok";
/// Keys of one request that fills a store.
const KEYS_AT_ONCE: usize = 200;
/// Different keys that a load asks for, spread over all of them.
const ASKED_MAX: usize = 1000;
/// Most CPU time per request of a get, against the same handler without it.
const RATIO_MAX: f64 = 2.0;

/// What is asked of the store, the first one is nothing; then the path for a key.
const OPERATIONS: [(&str, &str); 3] =
    [("nothing", "ok?key="), ("get", "kv/get?key="), ("set", "kv/set?value=ok&key=")];
const GET: usize = 1;

/// Measures, prints tables and writes `target/bench/keyvalue.json`.
pub async fn run(settings: &Settings) -> Result<Bars> {
    let samovar = Samovar::start().await;
    for keys in KEYS {
        deploy(&samovar, keys, settings.connections).await?;
    }
    let turns = turns(&samovar, settings);
    let rows = turns::measure(samovar.pid(), &turns, settings).await?;
    let single = turns::measure_single(samovar.pid(), turns, settings).await?;
    samovar.stop().await;
    turns::print_table("All connections at once", &rows);
    turns::print_table("One client, one request after the other", &single);
    let ratios = ratios(&rows);
    print_ratios(&ratios);
    write(&rows, &single, &ratios, settings)?;
    Ok(bars(&ratios))
}

/// Fills a store, and opens it in every replica.
async fn deploy(samovar: &Samovar, keys: usize, connections: usize) -> Result<()> {
    let name = deployment(keys);
    let spec = json!({"replicas": {"min": connections, "max": connections}});
    samovar.deploy(&name, GUEST, spec).await;
    let is_warm = |seen: &Value| status::ready(seen) == connections as u64;
    samovar.wait_status(&name, "all its replicas", is_warm).await;
    let all: Vec<usize> = (0..keys).collect();
    for some in all.chunks(KEYS_AT_ONCE) {
        let pairs: Vec<_> = some.iter().map(|at| format!("{}:{VALUE}", key(*at))).collect();
        let path = format!("/{name}/kv/set-many?pairs={}", pairs.join(","));
        let reply = samovar.http.get(&path).await;
        ensure!(reply.status == 200, "fill {name}: {} {}", reply.status, reply.text());
    }
    let last = format!("/{name}/kv/get?key={}", key(keys - 1));
    let reply = samovar.http.get(&last).await;
    ensure!(reply.text() == format!("{VALUE}\n"), "{last} is answered {}", reply.text());
    let report = Load::get(samovar.http.address(), last, connections).once().await;
    ensure!(report.failed == 0, "{:?}", report.first_failure);
    Ok(())
}

fn deployment(keys: usize) -> String {
    format!("keys-{keys}")
}

fn key(at: usize) -> String {
    format!("k{at:05}")
}

/// Places of the keys that are asked for.
fn asked(keys: usize) -> impl Iterator<Item = usize> {
    let count = keys.min(ASKED_MAX);
    (0..count).map(move |at| at * keys / count)
}

/// Every operation on every store, in the order of both, and counters.
fn turns(samovar: &Samovar, settings: &Settings) -> Vec<Turn> {
    let of = |name: String, keys: usize, path: &str| {
        let paths = asked(keys).map(|at| format!("/{}/{path}{}", deployment(keys), key(at)));
        let load = Load::get_each(samovar.http.address(), paths.collect(), settings.connections);
        let expects_bytes = Some(VALUE.len() + 1);
        Turn::full(name, Load { expects_bytes, ..load })
    };
    let on = |keys: usize| OPERATIONS.map(|(name, path)| of(label(name, keys), keys, path));
    let mut turns: Vec<Turn> = KEYS.into_iter().flat_map(on).collect();
    let many = KEYS[KEYS.len() - 1];
    let counter = format!("/{}/kv/increment?key=counter", deployment(many));
    let load = Load::get(samovar.http.address(), counter, settings.connections);
    turns.push(Turn::full(label("increment", many), load));
    turns
}

fn label(operation: &str, keys: usize) -> String {
    let plural = if keys == 1 { "" } else { "s" };
    format!("{operation}, {keys} key{plural}")
}

/// What an operation costs against the same handler without the store.
struct Ratio {
    name: String,
    has_bar: bool,
    ratio: Spread,
}

/// Of all rows, which have the order of [`turns`], but those that ask for nothing.
fn ratios(rows: &[Row]) -> Vec<Ratio> {
    let of_store = |rows: &[Row]| {
        let without = &rows[0];
        let ratio = |(at, row): (usize, &Row)| Ratio {
            name: row.name.clone(),
            has_bar: at == GET,
            ratio: row.against(without, |round| round.cpu_us, ratio),
        };
        rows.iter().enumerate().skip(1).map(ratio).collect::<Vec<_>>()
    };
    let (one, many) = rows.split_at(OPERATIONS.len());
    [one, many].into_iter().flat_map(of_store).collect()
}

fn print_ratios(ratios: &[Ratio]) {
    println!("\n| operation | CPU per request against the handler without it |\n| --- | --- |");
    for Ratio { name, ratio, .. } in ratios {
        println!("| {name} | {ratio:.2} |");
    }
    println!();
}

fn bars(ratios: &[Ratio]) -> Bars {
    let mut bars = Bars::default();
    for Ratio { name, ratio, .. } in ratios.iter().filter(|ratio| ratio.has_bar) {
        let what = format!("{name}: CPU per request against the handler without it");
        bars.at_most(what, ratio.median, RATIO_MAX, " ×");
    }
    bars
}

fn write(rows: &[Row], single: &[Row], ratios: &[Ratio], settings: &Settings) -> Result<()> {
    let ratio = |ratio: &Ratio| json!({"operation": ratio.name, "ratio": ratio.ratio.to_json()});
    let report = json!({
        "settings": turns::settings_json(settings),
        "rows": rows.iter().map(Row::to_json).collect::<Vec<_>>(),
        "one_client": single.iter().map(Row::to_json).collect::<Vec<_>>(),
        "against_the_handler_without_it": ratios.iter().map(ratio).collect::<Vec<_>>(),
    });
    report::write("keyvalue", &report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turns::tests::row;

    #[test]
    fn operations_are_compared_within_their_store() {
        let costs = [10.0, 15.0, 40.0, 100.0, 201.0, 300.0, 500.0];
        let rows: Vec<Row> = costs.iter().map(|cost| row(&[*cost, 2.0 * cost])).collect();
        let ratios = ratios(&rows);
        let seen: Vec<f64> = ratios.iter().map(|ratio| ratio.ratio.median).collect();
        assert_eq!(seen, [1.5, 4.0, 2.01, 3.0, 5.0]);
        let with_bar: Vec<bool> = ratios.iter().map(|ratio| ratio.has_bar).collect();
        assert_eq!(with_bar, [true, false, true, false, false]);
        let error = bars(&ratios).verdict().unwrap_err().to_string();
        assert!(error.starts_with("1 bars were missed"), "{error}");
    }

    #[test]
    fn keys_that_are_asked_for_are_spread_over_all() {
        assert_eq!(asked(1).collect::<Vec<_>>(), [0]);
        let many: Vec<usize> = asked(100_000).collect();
        assert_eq!((many.len(), many[1], many[999]), (ASKED_MAX, 100, 99_900));
    }
}
