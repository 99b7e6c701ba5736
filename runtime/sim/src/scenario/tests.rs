use super::*;

const WRITTEN: &str = r#"
duration = "10m"
seed = 7
nodes = [{ name = "a", slots = 8 }]

[faults]
until = "5m"
clock_jumps = [{ at = "1m", by = "5s" }]
node_failures = [{ node = "a", at = "2m", lasts = "30s" }]

[[deployments]]
name = "driver"
replicas = { min = 1, max = 4 }
idle_ttl = "off"
max_age = "1h"
service = "exp:20ms"
serial = "1ms"
load = { users = { count = 10, think = "1s", ramp = "10s" } }
calls = { to = ["heavy", "heavy"], order = "sequence", retries = 2 }
faults = { start_fails = 0.1, crash_every = "1m", windows = [{ from = "0s", to = "3m" }] }

[[deployments]]
name = "heavy"
scaling = { policy = "ray-serve", config = { target_ongoing_requests = 2 }, interval = "500ms" }
load = { open = "poisson:5/s" }

[[deployments]]
name = "staged"
[deployments.load.stages]
think = "0s"
steps = [{ at = "0s", count = 10, ramp = "5s" }, { at = "1m", count = 2 }]
"#;

#[test]
fn a_scenario_is_read_from_toml_and_json_alike() {
    let scenario = Scenario::from_toml(WRITTEN).unwrap();
    let driver = &scenario.deployments[0];
    assert_eq!((scenario.duration, scenario.seed), (Duration::from_secs(600), 7));
    assert_eq!((driver.idle_ttl, driver.max_age), (None, Some(Duration::from_secs(3600))));
    assert_eq!(driver.queue, QueueSpec { max: 1000, timeout: Duration::from_secs(30) });
    let heavy = &scenario.deployments[1];
    assert_eq!(heavy.limits().idle_ttl, Some(Duration::from_secs(300)));
    assert_eq!(heavy.scaling.config["target_ongoing_requests"], 2);
    let json = serde_json::to_string(&scenario).unwrap();
    assert_eq!(Scenario::from_json(&json).unwrap(), scenario);
}

#[test]
fn defaults_are_the_same_however_a_deployment_is_made() {
    let text = "duration = \"1s\"\n[[deployments]]\nname = \"a\"";
    let read = Scenario::from_toml(text).unwrap();
    let made = Scenario::of(Duration::from_secs(1), 0, vec![DeploymentSpec::named("a")]);
    assert_eq!(read, made);
}

/// Changes the text above and expects this error.
#[track_caller]
fn check(from: &str, to: &str, expected: &str) {
    assert!(WRITTEN.contains(from), "{from} is not in the scenario");
    let error = Scenario::from_toml(&WRITTEN.replacen(from, to, 1)).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn errors_name_the_setting_and_what_is_wrong() {
    check("seed = 7", "sed = 7", "unknown field `sed`");
    check("serial = \"1ms\"", "serial = \"1\"", "deployments[0].serial: ");
    check("idle_ttl = \"off\"", "idle_ttl = \"no\"", "deployments[0].idle_ttl: `no` is not a");
    check("max = 4 }", "max = 0 }", "deployments[0].replicas.max: 0 is not between 1 and 100000");
    check("min = 1", "min = 5", "deployments[0].replicas.min: 5 is not between 0 and 4");
    check("\"heavy\"]", "\"havy\"]", "deployments[0].calls.to: there is no deployment `havy`");
    check("name = \"heavy\"", "name = \"driver\"", "deployments[1].name: `driver` is there twice");
    check("node = \"a\"", "node = \"b\"", "node_failures[0].node: there is no node `b`");
    check("start_fails = 0.1", "start_fails = 2.0", "deployments[0].faults.start_fails: 2.0 is");
    check("to = \"3m\"", "to = \"0s\"", "deployments[0].faults.windows[0]: ends before it begins");
    check("duration = \"10m\"", "duration = \"ten\"", "duration: `ten` is not a duration");
    check("at = \"1m\", c", "at = \"4s\", c", "deployments[2].load.stages.steps[1].at: 4s is not");
    check(
        "{ at = \"0s\", count = 10, ramp = \"5s\" }, { at = \"1m\", count = 2 }",
        "",
        "steps: at l",
    );
    check("[faults]", "[faults", "not TOML: ");
    assert!(Scenario::from_json("{").unwrap_err().to_string().starts_with("not JSON: "));
}

#[test]
fn calls_that_go_round_are_refused() {
    let called = "load = { open = \"poisson:5/s\" }\ncalls = { to = [\"driver\"] }";
    check("load = { open = \"poisson:5/s\" }", called, "calls go round: driver → heavy → driver");
}

#[test]
fn random_scenarios_are_valid_and_survive_being_written() {
    for seed in 0..200 {
        let scenario = random(seed);
        scenario.validate().unwrap();
        let json = serde_json::to_string(&scenario).unwrap();
        assert_eq!(Scenario::from_json(&json).unwrap(), scenario);
    }
    assert_ne!(random(1), random(2));
}
