//! The pages in `docs/simulations` say what the `samovar` binary does: their commands run, and
//! their outputs, pictures and numbers are those of the runs.
//!
//! When a picture or an output has changed for a good reason, run the page's commands in
//! `docs/simulations` and commit what they wrote.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use samovar_tests::{files, paths};
use serde_json::Value;
use tempfile::TempDir;

/// Ends of the minutes that are looked at: the last ones with 10, 50 and 100 users.
const STAGES: [f64; 3] = [300.0, 600.0, 1200.0];

fn docs() -> PathBuf {
    paths::workspace().join("docs/simulations")
}

/// Runs shell commands in `folder`, where `samovar` is the binary under test.
fn shell(folder: &Path, commands: &str) -> String {
    let bin = TempDir::new().unwrap();
    let samovar = fs::canonicalize(paths::samovar()).unwrap();
    symlink(samovar, bin.path().join("samovar")).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.path().display());
    let mut command = Command::new("/bin/sh");
    command.args(["-euc", commands]).current_dir(folder).env_clear().env("PATH", path);
    let output = command.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{commands}\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A copy of the pages and scenarios without the pictures.
fn copy() -> TempDir {
    let copy = TempDir::new().unwrap();
    for file in files::below(&docs()) {
        if file.extension().is_none_or(|extension| extension != "svg") {
            let to = copy.path().join(file.strip_prefix(docs()).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&file, to).unwrap();
        }
    }
    copy
}

fn pages() -> Vec<(PathBuf, String)> {
    let files = files::below(&docs()).into_iter();
    let pages = files.filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    pages.map(|page| (page.clone(), fs::read_to_string(page).unwrap())).collect()
}

/// The fenced blocks of a page with their kinds, in order.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(kind) if !is_inside => blocks.push((kind.to_owned(), String::new())),
            Some(_) => {}
            None if is_inside => {
                let (_, text) = blocks.last_mut().unwrap();
                *text += line;
                text.push('\n');
            }
            None => {}
        }
        is_inside ^= line.starts_with("```");
    }
    assert!(!is_inside, "a block is not closed");
    blocks
}

#[test]
fn commands_run_and_print_and_draw_what_the_pages_show() {
    let copy = copy();
    let mut commands = 0;
    for (page, text) in pages() {
        let blocks = blocks(&text);
        for (index, (kind, block)) in blocks.iter().enumerate() {
            match kind.as_str() {
                "toml" => fs::write(copy.path().join("example.toml"), block).unwrap(),
                "sh" => {
                    commands += 1;
                    let printed = shell(copy.path(), block);
                    let shown = blocks.get(index + 1).filter(|(kind, _)| kind == "console");
                    if let Some((_, shown)) = shown {
                        assert_eq!(&printed, shown, "{}: printed by\n{block}", page.display());
                    }
                }
                _ => {}
            }
        }
    }
    assert!(commands > 0, "the pages have commands");
    let shown = files::below(&docs()).into_iter();
    let pictures =
        shown.filter(|file| file.extension().is_some_and(|extension| extension == "svg"));
    for picture in pictures {
        let name = picture.strip_prefix(docs()).unwrap();
        let drawn = fs::read(copy.path().join(name));
        let drawn = drawn.unwrap_or_else(|_| panic!("no command draws {}", name.display()));
        assert!(drawn == fs::read(&picture).unwrap(), "{} is another one now", name.display());
    }
}

#[test]
fn pictures_and_files_that_pages_name_are_there() {
    for (page, text) in pages() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            let is_own = !file.is_empty() && !file.contains("://");
            let file = page.parent().unwrap().join(file);
            assert!(!is_own || file.exists(), "{}: {target}", page.display());
        }
    }
}

/// The keys that are allowed where `bad` is written: the message about it names them.
fn keys_beside(bad: &str) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let text = bad.replace("BAD", "no_such_key = 1");
    fs::write(folder.path().join("bad.toml"), text).unwrap();
    let command = "samovar simulate --scenario bad.toml 2>&1 || true";
    let message = shell(folder.path(), command);
    let (_, allowed) = message.split_once(", expected ").unwrap_or_else(|| panic!("{message}"));
    allowed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_key_of_a_scenario_is_described() {
    let page = fs::read_to_string(docs().join("README.md")).unwrap();
    let (_, reference) = page.split_once("## Every key").unwrap();
    let places = [
        "BAD",
        "nodes = [{ BAD }]",
        "[faults]\nBAD",
        "[faults]\nclock_jumps = [{ BAD }]",
        "[faults]\nnode_failures = [{ BAD }]",
        "[[deployments]]\nBAD",
        "[[deployments]]\nreplicas = { BAD }",
        "[[deployments]]\nqueue = { BAD }",
        "[[deployments]]\nscaling = { BAD }",
        "[[deployments]]\nload = { BAD }",
        "[[deployments]]\nload = { users = { BAD } }",
        "[[deployments]]\nload = { stages = { BAD } }",
        "[[deployments]]\nload = { stages = { steps = [{ BAD }] } }",
        "[[deployments]]\ncalls = { BAD }",
        "[[deployments]]\nfaults = { BAD }",
        "[[deployments]]\nfaults = { windows = [{ BAD }] }",
    ];
    for place in places {
        for key in keys_beside(place) {
            let ways =
                [format!("`{key}`"), format!(".{key}`"), format!("`{key}."), format!(" {key} =")];
            assert!(ways.iter().any(|way| reference.contains(way)), "{key} of {place}");
        }
    }
}

/// Runs a scenario of the model composition and gives its deployments by name.
fn run(scenario: &str) -> BTreeMap<String, Value> {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("scenario.toml"), scenario).unwrap();
    let json = shell(folder.path(), "samovar simulate --scenario scenario.toml --json -");
    let report: Value = serde_json::from_str(&json).unwrap();
    let deployments = report["runs"][0]["deployments"].as_array().unwrap().iter();
    let name = |deployment: &Value| deployment["name"].as_str().unwrap().to_owned();
    deployments.map(|deployment| (name(deployment), deployment.clone())).collect()
}

fn attempt(number: u32) -> String {
    fs::read_to_string(docs().join(format!("composition/attempt-{number}.toml"))).unwrap()
}

/// The attempt as it would be if requests never waited behind another one.
fn evenly(number: u32) -> String {
    let line = |line: &str| match line.strip_prefix("service = \"list") {
        Some(_) => "service = \"0s\"\n".to_owned(),
        None => format!("{line}\n"),
    };
    attempt(number).lines().map(line).collect()
}

/// One number of each row in the last minute before `end`.
fn minute(deployment: &Value, end: f64, value: impl Fn(&Value) -> f64) -> Vec<f64> {
    let rows = deployment["rows"].as_array().unwrap().iter();
    let at = |row: &Value| row["at_s"].as_f64().unwrap();
    rows.filter(|row| at(row) > end - 60.0 && at(row) <= end).map(value).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Replicas that serve, at the end of each stage.
fn replicas(run: &BTreeMap<String, Value>, name: &str) -> Vec<f64> {
    let ready = |row: &Value| row["ready"].as_f64().unwrap();
    STAGES.map(|end| median(minute(&run[name], end, ready))).to_vec()
}

fn most(run: &BTreeMap<String, Value>, name: &str) -> f64 {
    run[name]["summary"]["replicas_max"].as_f64().unwrap()
}

/// What a page says about a run: rows of a table, by their first cells.
fn facts(run: &BTreeMap<String, Value>) -> Vec<(String, String)> {
    let list = |values: Vec<f64>| {
        let texts: Vec<String> = values.iter().map(|value| format!("{value:.0}")).collect();
        texts.join(", ")
    };
    let mut facts: Vec<(String, String)> = ["Driver", "HeavyLoad", "LightLoad"]
        .map(|name| (format!("`{name}` replicas"), list(replicas(run, name))))
        .to_vec();
    facts.push(("`HeavyLoad` replicas at most".to_owned(), list(vec![most(run, "HeavyLoad")])));
    let driver = &run["Driver"];
    let completed = |row: &Value| row["completed"].as_f64().unwrap();
    let rates = STAGES.map(|end| minute(driver, end, completed).iter().sum::<f64>() / 60.0);
    let p50 = |row: &Value| row["latency"]["p50_ms"].as_f64().unwrap();
    let latencies = STAGES.map(|end| median(minute(driver, end, p50)));
    facts.push(("requests per second".to_owned(), list(rates.to_vec())));
    facts.push(("median latency, ms".to_owned(), list(latencies.to_vec())));
    facts
}

/// The last cells of the rows of a section of the page, by their first cells.
fn said(heading: &str) -> BTreeMap<String, String> {
    let page = fs::read_to_string(docs().join("composition.md")).unwrap();
    let (_, section) = page.split_once(heading).expect("the page has the section");
    let section = section.split("\n##").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
    cells.map(|cells| (cells[0].to_owned(), cells[cells.len() - 1].to_owned())).collect()
}

#[track_caller]
fn check_page(heading: &str, run: &BTreeMap<String, Value>) {
    let said = said(heading);
    for (row, fact) in facts(run) {
        assert_eq!(said.get(&row), Some(&fact), "{row} in {heading}");
    }
}

#[test]
fn one_driver_holds_back_the_others() {
    let run = run(&attempt(1));
    check_page("\n## Attempt 1", &run);
    assert_eq!(most(&run, "Driver"), 1.0);
    let heavy = most(&run, "HeavyLoad");
    assert!((60.0..=72.0).contains(&heavy), "65 in Ray's documentation: {heavy}");
    let (heavy, light) = (replicas(&run, "HeavyLoad"), replicas(&run, "LightLoad"));
    assert!((0.4..=0.6).contains(&(light[2] / heavy[2])), "{light:?} of {heavy:?}");
}

#[test]
fn more_drivers_let_the_others_grow() {
    let run = run(&attempt(2));
    check_page("\n## Attempt 2", &run);
    assert_eq!(most(&run, "Driver"), 6.0, "as in Ray's documentation");
    let (heavy, light) = (replicas(&run, "HeavyLoad"), replicas(&run, "LightLoad"));
    assert!(heavy[2] >= 90.0 && most(&run, "HeavyLoad") <= 105.0, "91 in Ray's: {heavy:?}");
    assert!((0.4..=0.6).contains(&(light[2] / heavy[2])), "{light:?} of {heavy:?}");
    for deployment in run.values() {
        let summary = &deployment["summary"];
        let lost = ["failed", "rejected", "timed_out", "policy_errors"].map(|key| &summary[key]);
        assert_eq!(lost, [0; 4], "{}", deployment["name"]);
    }
}

#[test]
fn requests_spread_evenly_need_fewer_replicas() {
    check_page("\n### Attempt 1, spread evenly", &run(&evenly(1)));
    check_page("\n### Attempt 2, spread evenly", &run(&evenly(2)));
}

/// How long requests wait behind others, in units of the time that a replica works on one, when
/// each goes to the one of two replicas, drawn at random, that has fewer. Also how many requests a
/// replica has on average. `load` is the part of the time that a replica works.
fn two_choices(replicas: usize, load: f64) -> (Vec<f64>, f64) {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut ends: Vec<Vec<f64>> = vec![Vec::new(); replicas];
    let (mut now, mut waits) = (0.0, Vec::new());
    for _ in 0..200_000 {
        now -= (1.0 - rng.f64()).ln() / (load * replicas as f64);
        let first = rng.usize(..replicas);
        let second = (first + rng.usize(1..replicas)) % replicas;
        for at in [first, second] {
            ends[at].retain(|end| *end > now);
        }
        let chosen = if ends[second].len() < ends[first].len() { second } else { first };
        let begin = ends[chosen].last().copied().unwrap_or(now);
        ends[chosen].push(begin + 1.0);
        waits.push(begin - now);
    }
    waits.sort_by(f64::total_cmp);
    let inside = load * (1.0 + mean(&waits));
    (waits, inside)
}

/// `serial` and the values of `service` of a deployment, in milliseconds.
fn times(name: &str) -> (f64, Vec<f64>) {
    let scenario: toml::Table = attempt(1).parse().unwrap();
    let deployments = scenario["deployments"].as_array().unwrap();
    let found = deployments.iter().find(|deployment| deployment["name"].as_str() == Some(name));
    let text = |key: &str| found.unwrap()[key].as_str().unwrap();
    let ms = |text: &str| match text {
        "0s" => 0.0,
        text => text.strip_suffix("ms").unwrap().parse().unwrap(),
    };
    let waits = text("service").strip_prefix("list:").unwrap();
    (ms(text("serial")), waits.split(',').map(ms).collect())
}

#[test]
fn waits_in_the_scenarios_are_those_of_two_choices() {
    // The load at which a replica has one request on average, which is what the policy aims at.
    let (waits, inside) = two_choices(65, 0.735);
    assert!((inside - 1.0).abs() < 0.02, "{inside}");
    for name in ["HeavyLoad", "LightLoad"] {
        let (serial, written) = times(name);
        for (part, written) in waits.chunks(waits.len() / written.len()).zip(&written) {
            let expected = mean(part) * serial;
            assert!((expected - written).abs() < 0.05 * serial, "{name}: {expected} {written}");
        }
    }
}
