//! `samovar simulate`: the real policies under virtual time.

use std::fs;
use std::path::Path;

use samovar_tests::pictures::{check_png, check_svg};
use samovar_tests::status::{list, number, text};
use samovar_tests::{Cli, csv, paths};
use serde_json::{Value, json};
use tempfile::TempDir;

const POLICIES: [&str; 5] = ["flyte", "kubetorch", "lightning", "ray-serve", "vast"];

/// A folder and a client in it; no server is needed.
fn alone() -> (TempDir, Cli) {
    let folder = tempfile::tempdir().expect("make a folder");
    let cli = Cli::new(folder.path(), "http://127.0.0.1:1");
    (folder, cli)
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Runs `samovar simulate` with these words and more arguments.
async fn simulate(cli: &Cli, line: &str, more: &[&str]) -> String {
    cli.ok(&[&["simulate"], &words(line)[..], more].concat()).await
}

/// The runs in the JSON report.
async fn runs(cli: &Cli, line: &str, more: &[&str]) -> Vec<Value> {
    let report = simulate(cli, line, &[more, &["--json", "-"]].concat()).await;
    let report: Value = serde_json::from_str(&report).expect("it is JSON");
    list(&report, "/runs").to_vec()
}

fn read(folder: &TempDir, name: &str) -> Vec<u8> {
    fs::read(folder.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

/// A load that no policy can ignore.
const LOAD: &str = "--arrivals poisson:20/s --service 200ms --replicas 0..20 --for 1m";

#[tokio::test]
async fn each_built_in_policy_scales_and_answers_all() {
    let (_folder, cli) = alone();
    for policy in POLICIES {
        let runs = runs(&cli, LOAD, &["--policy", policy]).await;
        assert_eq!(runs.len(), 1);
        let deployment = &runs[0]["deployments"][0];
        assert_eq!((&runs[0]["label"], &deployment["policy"]), (&json!(policy), &json!(policy)));
        let sum = |of: &str| number(deployment, &format!("/summary/{of}"));
        assert!(sum("arrived") > 1000, "{policy}");
        let fates = sum("completed") + sum("failed") + sum("rejected");
        assert_eq!(fates, sum("arrived"), "{policy}");
        assert_eq!(sum("policy_errors"), 0, "{policy}");
        assert!(sum("replicas_max") > 1 && sum("target_changes") > 0, "{policy} never scaled");
        let rows = list(deployment, "/rows");
        assert!(rows.len() >= 60, "{policy}: a row per second");
        let arrived: u64 = rows.iter().map(|row| number(row, "/arrived")).sum();
        assert_eq!(arrived, sum("arrived"), "{policy}");
    }
}

#[tokio::test]
async fn same_seed_gives_the_same_bytes() {
    let (folder, cli) = alone();
    let line = "--arrivals heavy:20/s,alpha=1.5 --service lognormal:100ms,p99=1s --for 30s \
        --policy lightning --policy ray-serve --policy vast --policy kubetorch --policy flyte";
    for (seed, name) in [("7", "one"), ("7", "two"), ("8", "other")] {
        let files = ["json", "csv", "svg", "png"].map(|kind| format!("{name}.{kind}"));
        let [json, csv, svg, png] = files.each_ref().map(String::as_str);
        let more = ["--seed", seed, "--json", json, "--csv", csv, "--plot", svg, "--plot", png];
        let table = simulate(&cli, line, &more).await;
        assert!(table.contains(&format!("seed {seed}, digest ")), "{table}");
        fs::write(folder.path().join(format!("{name}.txt")), table).expect("write a file");
    }
    for kind in ["json", "csv", "svg", "png", "txt"] {
        let [one, two, other] =
            ["one", "two", "other"].map(|name| read(&folder, &format!("{name}.{kind}")));
        assert!(one == two, "{kind}: the same seed");
        assert!(one != other, "{kind}: another seed");
    }
}

#[tokio::test]
async fn reports_are_well_formed_and_agree() {
    let (folder, cli) = alone();
    let files = "--json a.json --csv a.csv --plot a.svg --plot a.png --width 900 --title Tea";
    let line = format!("{LOAD} --policy lightning --policy vast {files}");
    let table = simulate(&cli, &line, &[]).await;
    let rows: Vec<Vec<&str>> = table.lines().map(words).collect();
    assert_eq!(rows[0][..3], ["run", "deployment", "requests"]);
    assert_eq!((rows[1][0], rows[2][0]), ("lightning", "vast"));
    assert_eq!(rows.len(), 4, "{table}");

    let json: Value = serde_json::from_slice(&read(&folder, "a.json")).expect("it is JSON");
    let runs = list(&json, "/runs");
    let labels: Vec<&str> = runs.iter().map(|run| text(run, "/label")).collect();
    assert_eq!(labels, ["lightning", "vast"]);
    let arrived = |run: &Value| number(run, "/deployments/0/summary/arrived");
    assert_eq!(arrived(&runs[0]), arrived(&runs[1]), "both meet the same requests");
    assert_eq!(arrived(&runs[0]).to_string(), rows[1][2]);

    let csv_text = String::from_utf8(read(&folder, "a.csv")).expect("it is text");
    let csv_rows = csv::rows(&csv_text);
    for run in runs {
        let of_run: Vec<_> = csv_rows.iter().filter(|row| row["run"] == run["label"]).collect();
        let in_json = list(run, "/deployments/0/rows");
        assert_eq!(of_run.len(), in_json.len());
        for (cells, row) in of_run.iter().zip(in_json) {
            assert_eq!(cells["at_s"].parse::<f64>().ok(), row["at_s"].as_f64());
            for key in ["target", "ready", "queued", "ongoing", "arrived", "completed"] {
                assert_eq!(cells[key], row[key].to_string(), "{key}");
            }
            let p95 = row.pointer("/latency/p95_ms").and_then(Value::as_f64);
            assert_eq!(cells["p95_ms"].parse::<f64>().ok(), p95);
        }
    }
    let svg = String::from_utf8(read(&folder, "a.svg")).expect("it is text");
    check_svg(&svg);
    assert!(svg.contains("Tea") && svg.contains("lightning") && svg.contains("vast"));
    assert_eq!(check_png(&read(&folder, "a.png")).0, 900);

    let csv = simulate(&cli, LOAD, &["--policy", "vast", "--csv", "-"]).await;
    assert!(csv.starts_with("run,deployment,policy,at_s,") && !csv.contains("digest"), "{csv:.99}");
}

#[tokio::test]
async fn settings_of_a_policy_count() {
    let (_folder, cli) = alone();
    let eager = "ray-serve:target_ongoing_requests=1,upscale_delay_s=1";
    let eager_json = r#"ray-serve:{"target_ongoing_requests": 1, "upscale_delay_s": 1}"#;
    let more = ["--policy", "ray-serve", "--policy", eager, "--policy", eager_json];
    let runs = runs(&cli, LOAD, &more).await;
    let [default, eager, same] = [0, 1, 2].map(|index| &runs[index]["deployments"][0]);
    assert_eq!(eager["rows"], same["rows"]);
    let p95 = |run: &Value| run["summary"]["wait"]["p95_ms"].as_f64().expect("a number");
    assert!(p95(eager) < p95(default), "{} {}", p95(eager), p95(default));
}

const SCENARIO: &str = r#"
duration = "20s"
seed = 4

[[deployments]]
name = "front"
replicas = { min = 1, max = 5 }
service = "20ms"
load = { open = "poisson:20/s" }
calls = { to = ["back"] }

[[deployments]]
name = "back"
service = "50ms"
scaling = { policy = "vast", config = { target_util = 0.5 } }
"#;

#[tokio::test]
async fn scenario_file_says_what_runs() {
    let (folder, cli) = alone();
    fs::write(folder.path().join("tea.toml"), SCENARIO).expect("write a file");
    let as_said = runs(&cli, "--scenario tea.toml", &[]).await;
    assert_eq!((as_said.len(), &as_said[0]["seed"]), (1, &json!(4)));
    let [front, back] = [0, 1].map(|index| &as_said[0]["deployments"][index]);
    assert_eq!((&front["policy"], &back["policy"]), (&json!("lightning"), &json!("vast")));
    let count = |of: &Value| number(of, "/summary/arrived");
    assert!(count(front) > 300 && count(front) == count(back), "each calls the other once");

    let value: toml::Value = toml::from_str(SCENARIO).expect("it is TOML");
    let json = serde_json::to_string(&value).expect("it can be JSON");
    fs::write(folder.path().join("tea.json"), json).expect("write a file");
    assert_eq!(runs(&cli, "--scenario tea.json", &[]).await, as_said);

    let more = ["--policy", "lightning", "--policy", "ray-serve", "--seed", "5", "--for", "10s"];
    let beside = runs(&cli, "--scenario tea.toml", &more).await;
    for (run, policy) in beside.iter().zip(["lightning", "ray-serve"]) {
        assert_eq!(run["seed"], 5);
        for index in 0..2 {
            assert_eq!(run["deployments"][index]["policy"], policy, "in place of the scenario's");
        }
    }
}

#[tokio::test]
async fn trace_says_what_arrives() {
    let (folder, cli) = alone();
    let rows = "0,a,500\n0,b,\n0.25,a,500\n1,a,\n1.5,b,2000\n";
    fs::write(folder.path().join("two.csv"), format!("at_s,deployment,service_ms\n{rows}"))
        .expect("write a file");
    let scenario = r#"
        duration = "1m"
        [[deployments]]
        name = "a"
        service = "100ms"
        [[deployments]]
        name = "b"
        service = "300ms"
    "#;
    fs::write(folder.path().join("two.toml"), scenario).expect("write a file");
    let both = runs(&cli, "--scenario two.toml --trace two.csv", &[]).await;
    for (index, (requests, busy)) in [(3, 1.1), (2, 2.3)].into_iter().enumerate() {
        let summary = &both[0]["deployments"][index]["summary"];
        assert_eq!(number(summary, "/completed"), requests);
        let seen = summary["busy_seconds"].as_f64().expect("a number");
        assert!((seen - busy).abs() < 1e-6, "{seen}");
    }

    // A trace of one deployment needs no name, and lasts until its last request.
    let counts = "at_s,count\n0,5\n10,0\n20,7\n";
    fs::write(folder.path().join("counts.csv"), counts).expect("write a file");
    let one = runs(&cli, "--trace counts.csv --policy vast", &[]).await;
    let arrived: Vec<u64> = list(&one[0]["deployments"][0], "/rows")
        .chunks(10)
        .map(|rows| rows.iter().map(|row| number(row, "/arrived")).sum())
        .collect();
    assert_eq!(arrived[..3], [5, 0, 7]);
}

#[tokio::test]
async fn component_of_a_file_is_simulated() {
    let (_folder, cli) = alone();
    let file = paths::component("queue-depth");
    let policy = format!("{}:waiting_per_replica=1", path(&file));
    let runs = runs(&cli, LOAD, &["--policy", &policy, "--policy", "lightning"]).await;
    assert_eq!(runs[0]["label"], policy);
    let deployment = &runs[0]["deployments"][0];
    assert_eq!(deployment["policy"], path(&file));
    assert_eq!(number(deployment, "/summary/policy_errors"), 0);
    assert!(number(deployment, "/summary/replicas_max") >= 4, "20/s of 200 ms keep four busy");
}

#[tokio::test]
async fn policy_that_fails_is_counted_and_the_target_stays() {
    let (_folder, cli) = alone();
    let policy = format!("{}:scale=trap,after=20", path(&paths::component("fixture-policy")));
    let line = "--arrivals steady:5/s --replicas 2..4 --for 1m --policy";
    let runs = runs(&cli, line, &[&policy]).await;
    let summary = &runs[0]["deployments"][0]["summary"];
    assert!(number(summary, "/policy_errors") > 0, "{summary}");
    assert_eq!(number(summary, "/completed"), number(summary, "/arrived"), "{summary}");
    let table = simulate(&cli, line, &[&policy]).await;
    assert!(table.contains(" ticks unanswered\n"), "{table}");
}

#[tokio::test]
async fn python_policy_decides_like_the_rust_one() {
    let (_folder, cli) = alone();
    let mut digests = Vec::new();
    for name in ["queue-depth", "queue-depth-python"] {
        let policy = format!("{}:waiting_per_replica=2", path(&paths::component(name)));
        let line = "simulate --arrivals poisson:10/s --for 20s --policy";
        // A whole interpreter is compiled for it.
        let table = cli.slow(&[&words(line)[..], &[&policy]].concat()).await;
        assert!(!table.contains("unanswered"), "{table}");
        let digest = table.lines().find(|line| line.starts_with("seed ")).expect("a last line");
        digests.push(digest.to_owned());
    }
    assert_eq!(digests[0], digests[1]);
}
