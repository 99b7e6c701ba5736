//! `samovar simulate` with what it cannot use: it says what, where and why.

use std::fs;

use samovar_tests::components::core_module;
use samovar_tests::{Cli, paths};
use tempfile::TempDir;

/// Exit status of a command that failed.
const FAILED: i32 = 1;
/// Exit status of a command line that cannot be.
const BAD_USAGE: i32 = 2;

/// A folder with these files, and a client in it.
fn folder(files: &[(&str, &str)]) -> (TempDir, Cli) {
    let folder = tempfile::tempdir().expect("make a folder");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("write a file");
    }
    let cli = Cli::new(folder.path(), "http://127.0.0.1:1");
    (folder, cli)
}

/// What `samovar simulate` complains with these words; it must end with the status `code`.
async fn refusal(cli: &Cli, code: i32, line: &str) -> String {
    let args: Vec<&str> = ["simulate"].into_iter().chain(line.split_whitespace()).collect();
    cli.fails(code, &args).await
}

#[tokio::test]
async fn traces_are_read_strictly() {
    for (trace, reason) in [
        ("", "the trace is empty; its first line must name the columns, at least at_s or at_ms"),
        ("at_s\n", "the trace has a header and no rows"),
        (
            "0.5\n1\n",
            "line 1: there is no header; the first line must name the columns, at least at_s or \
             at_ms",
        ),
        (
            "deployment\nx\n",
            "line 1: a column with the time is missing: at_s in seconds or at_ms in milliseconds",
        ),
        (
            "at_s,size\n0,1\n",
            "line 1: unknown column `size`; known are at_s, at_ms, deployment, service_ms, count",
        ),
        ("at_s,at_ms\n0,0\n", "line 1: at_s and at_ms are both given; one must go"),
        ("at_s\n0\n2\n1.5\n", "line 4: time goes back from 2 s to 1.5 s"),
        (
            "at_s,count\n0,1\n1,2\n3,2\n",
            "line 4: the interval from 1 s to 3 s is not 1 s long like the first; quiet intervals \
             need rows with count 0",
        ),
        ("at_s,count\n0,1\n0,2\n", "line 3: two intervals start at 0 s"),
        (
            "at_s,count\n0,1\n",
            "line 2: the only interval of its deployment; at least two rows tell how long one is",
        ),
        ("at_s\n-1\n", "line 2: at_s `-1` is negative"),
        ("at_s\n0\nNaN\n", "line 3: at_s `NaN` is not a finite number"),
        ("at_s\ninf\n", "line 2: at_s `inf` is not a finite number"),
        ("at_s\n1e99\n", "line 2: at_s `1e99` is over 10 years"),
        ("at_s\nsoon\n", "line 2: at_s `soon` is not a number"),
        ("at_s,service_ms\n0,-5\n", "line 2: service_ms `-5` is negative"),
        ("at_s,count\n0,-1\n1,1\n", "line 2: count `-1` is negative"),
        ("at_s,count\n0,1.5\n1,1\n", "line 2: count `1.5` is not a whole number"),
        ("at_s,count\n0,9999999999\n1,1\n", "line 2: count `9999999999` is over 1000000000"),
        ("at_s,deployment\n0,a\n1\n", "line 3: the header names 2 columns, this row has 1"),
        ("at_s,deployment\n0,a\n\n1,\n", "line 4: deployment is empty"),
    ] {
        let (_folder, cli) = folder(&[("t.csv", trace)]);
        let complaint = refusal(&cli, FAILED, "--trace t.csv --policy lightning").await;
        assert_eq!(complaint, format!("error: read t.csv: {reason}\n"), "{trace:?}");
    }
}

#[tokio::test]
async fn trace_that_does_not_fit_is_refused() {
    let two = "at_s,deployment\n0,a\n1,b\n";
    let (_folder, cli) = folder(&[("two.csv", two)]);
    let complaint = refusal(&cli, FAILED, "--trace absent.csv --policy vast").await;
    assert!(complaint.starts_with("error: read absent.csv: No such file"), "{complaint}");
    let complaint = refusal(&cli, FAILED, "--trace two.csv --policy vast --name a").await;
    assert!(complaint.contains("requests of b, which is not simulated"), "{complaint}");
    let complaint = refusal(&cli, FAILED, "--policy vast").await;
    assert!(complaint.contains("say what arrives"), "{complaint}");
    refusal(&cli, BAD_USAGE, "--trace two.csv --users 3 --policy vast").await;
    refusal(&cli, BAD_USAGE, "--arrivals steady:1/s --users 3 --policy vast").await;
}

#[tokio::test]
async fn policies_that_are_none_are_named() {
    let (_folder, cli) = folder(&[("text.wasm", "tea"), ("text.csv", "tea")]);
    let queue_depth = paths::component("queue-depth");
    let queue_depth = queue_depth.to_str().expect("the path is text");
    let hello = paths::component("hello");
    let hello = hello.to_str().expect("the path is text");
    for (policy, words) in [
        ("nothing", &["there is no built-in policy `nothing`", ".wasm file"][..]),
        ("text.csv", &["text.csv", ".wasm file"]),
        ("absent.wasm", &["read absent.wasm: No such file"]),
        ("text.wasm", &["text.wasm", "WebAssembly"]),
        (hello, &["hello.wasm", "cannot be linked"]),
        (
            "lightning:max_batch=1",
            &["the policy refused: unknown field `max_batch`, expected one of"],
        ),
        ("ray-serve:upscale_delay_s=-1", &["the policy refused: ", "upscale_delay_s"]),
        ("vast:target_util=2", &["the policy refused: ", "target_util"]),
        ("flyte:idle_ttl=1", &["the policy refused: ", "idle_ttl"]),
        ("kubetorch:window=1s", &["the policy refused: ", "window"]),
        (queue_depth, &["the policy refused: missing field `waiting_per_replica`"]),
    ] {
        let line = format!("--arrivals steady:1/s --policy {policy}");
        let complaint = refusal(&cli, FAILED, &line).await;
        let name = policy.split(':').next().expect("there is one");
        let start = format!("error: policy `{name}` of deployment `app`: ");
        assert!(complaint.starts_with(&start), "{policy}: {complaint}");
        for word in words {
            assert!(complaint.contains(word), "{policy}: {complaint} has no {word:?}");
        }
    }
    refusal(&cli, BAD_USAGE, "--arrivals steady:1/s --policy lightning:max_batch_size").await;
    refusal(&cli, BAD_USAGE, "--arrivals steady:1/s --policy lightning:{").await;
}

#[tokio::test]
async fn core_module_is_no_policy() {
    let (folder, cli) = folder(&[]);
    fs::write(folder.path().join("core.wasm"), core_module()).expect("write a file");
    let complaint = refusal(&cli, FAILED, "--arrivals steady:1/s --policy core.wasm").await;
    assert!(complaint.contains("core.wasm") && complaint.contains("component"), "{complaint}");
}

#[tokio::test]
async fn scenarios_are_read_strictly() {
    let good = "duration = \"5s\"\n[[deployments]]\nname = \"a\"\n";
    let twice = format!("{good}[[deployments]]\nname = \"a\"\n");
    let round = format!("{good}calls = {{ to = [\"a\"] }}\n");
    for (scenario, reason) in [
        (format!("{good}laod = 1\n"), "deployments[0].laod: unknown field `laod`, expected one of"),
        (format!("sed = 1\n{good}"), "unknown field `sed`, expected one of `duration`, `seed`"),
        (
            format!("{good}replicas = {{ min = 0, max = 0 }}\n"),
            "deployments[0].replicas.max: 0 is not between 1 and 100000",
        ),
        (
            format!("{good}replicas = {{ min = 3, max = 2 }}\n"),
            "deployments[0].replicas.min: 3 is not between 0 and 2",
        ),
        (
            format!("{good}concurrency = 0\n"),
            "deployments[0].concurrency: 0 is not between 1 and 10000",
        ),
        (
            format!("{good}faults = {{ answer_lost = 1.5 }}\n"),
            "deployments[0].faults.answer_lost: 1.5 is not between 0.0 and 1.0",
        ),
        (
            format!("{good}service = \"20sm\"\n"),
            "deployments[0].service: duration `20sm` in `20sm` is not a duration",
        ),
        (twice, "deployments[1].name: `a` is there twice"),
        (round, "deployments[0].calls.to: calls go round: a → a"),
        ("duration = \"5s\"\ndeployments = []\n".into(), "deployments: at least one is needed"),
        ("duration = \"5s\n".into(), "not TOML: "),
    ] {
        let (_folder, cli) = folder(&[("s.toml", &scenario)]);
        let complaint = refusal(&cli, FAILED, "--scenario s.toml").await;
        assert!(complaint.starts_with("error: read s.toml: "), "{complaint}");
        assert!(complaint.contains(reason), "{complaint} has no {reason:?}");
    }
    let (_folder, cli) = folder(&[("s.json", r#"{"duration": "5s", "deployments": ["#)]);
    let complaint = refusal(&cli, FAILED, "--scenario s.json").await;
    assert!(complaint.starts_with("error: read s.json: not JSON: EOF while"), "{complaint}");
    let complaint = refusal(&cli, FAILED, "--scenario absent.toml").await;
    assert!(complaint.starts_with("error: read absent.toml: No such file"), "{complaint}");
}

#[tokio::test]
async fn bounds_and_loads_are_checked() {
    let (_folder, cli) = folder(&[]);
    for (options, word) in [
        ("--replicas 5..2", "MAX at least 1 and at least MIN"),
        ("--replicas 0..0", "MAX at least 1 and at least MIN"),
        ("--replicas few", "MIN..MAX"),
        ("--service=-5ms", "--service"),
        ("--service pareto:1s,alpha=0", "alpha"),
        ("--seed=-1", "--seed"),
        ("--for never", "--for"),
        ("--idle-ttl maybe", "--idle-ttl"),
    ] {
        let line = format!("--arrivals steady:1/s --policy vast {options}");
        let complaint = refusal(&cli, BAD_USAGE, &line).await;
        assert!(complaint.contains(word), "{options}: {complaint}");
    }
    for arrivals in ["stedy:1/s", "steady:-1/s", "steady:NaN/s", "ramp:1/s", "heavy:5/s,alpha=0"] {
        let line = format!("--policy vast --arrivals {arrivals}");
        let complaint = refusal(&cli, BAD_USAGE, &line).await;
        assert!(complaint.contains(arrivals), "{complaint}");
    }
    for (options, word) in [
        ("--concurrency 0", "deployments[0].concurrency: 0 is not between 1 and 10000"),
        ("--queue-max 0", "deployments[0].queue.max: 0 is not between 1 and 4294967295"),
        ("--interval 1ms", "deployments[0].scaling.interval: 1ms is not between 10ms and "),
        ("--for 0s", "duration: 0ns is not between 1ms and "),
    ] {
        let line = format!("--arrivals steady:1/s --policy vast {options}");
        let complaint = refusal(&cli, FAILED, &line).await;
        assert!(complaint.contains(word), "{options}: {complaint}");
    }
}

#[tokio::test]
async fn files_that_cannot_be_written_are_named() {
    let (folder, cli) = folder(&[]);
    let run = "--arrivals steady:1/s --for 10s --policy vast";
    let complaint = refusal(&cli, FAILED, &format!("{run} --plot x.jpg")).await;
    assert_eq!(complaint, "error: x.jpg: pictures are .svg or .png\n");
    refusal(&cli, FAILED, &format!("{run} --plot good.svg --plot picture")).await;
    for option in ["--json nowhere/x.json", "--csv nowhere/x.csv", "--plot nowhere/x.svg"] {
        let complaint = refusal(&cli, FAILED, &format!("{run} {option}")).await;
        assert!(complaint.starts_with("error: write nowhere/x."), "{option}: {complaint}");
    }
    let complaint = refusal(&cli, FAILED, &format!("{run} --plot x.png --width 0")).await;
    assert!(complaint.contains("a PNG cannot be 0 pixels wide"), "{complaint}");
    let left = fs::read_dir(folder.path()).expect("it is there").count();
    assert_eq!(left, 0, "nothing is left behind");
}
