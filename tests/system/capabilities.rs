//! What a host offers to handlers beside HTTP: configuration, variables, a log, numbers.

use http::Method;
use samovar_tests::status::{list, number, text};
use samovar_tests::{Reply, Samovar, component, eventually};
use serde_json::{Value, json};

use crate::calls::quoted;
use crate::support::{fixed, with};

/// Uses what the host offers, as a WASI 0.2 handler.
pub const CAPABLE: &str = "fixture-capable";

/// Deploys the guest as `c`, with one replica and `spec` on top.
pub async fn deploy(samovar: &Samovar, spec: Value) -> Value {
    samovar.deploy("c", CAPABLE, with(fixed(1), spec)).await
}

/// Tries to put a deployment of the guest as `c`.
pub async fn put(samovar: &Samovar, spec: Value) -> Reply {
    let digest = samovar.upload(component(CAPABLE)).await;
    samovar.put_spec("c", &digest, with(fixed(1), spec)).await
}

/// What `c` answers, which must be with 200.
pub async fn said(samovar: &Samovar, path: &str) -> String {
    samovar.http.get(&format!("/c{path}")).await.expect(200).text().trim_end().to_owned()
}

/// What the log of `c` has of a stream, with the numbers of the replicas.
pub async fn logged(samovar: &Samovar, stream: &str) -> Vec<(u64, String)> {
    let log = samovar.admin.get("/v1/deployments/c/logs?limit=2000").await.expect(200).text();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let of_replicas = lines.filter(|line| line["stream"] == stream && line["replica"].is_u64());
    of_replicas.map(|line| (number(&line, "/replica"), text(&line, "/line").to_owned())).collect()
}

#[tokio::test]
async fn configuration_is_that_of_the_revision() {
    let samovar = Samovar::start().await;
    for config in [
        json!({"greeting": "Hi", "empty": "", "tea.kind": "grün", "LONG": "x".repeat(5000)}),
        json!({"greeting": "Hello"}),
        json!({}),
    ] {
        deploy(&samovar, json!({"config": config, "env": {"greeting": "of the environment"}}))
            .await;
        let values = config.as_object().expect("it is one");
        for (key, value) in values {
            let seen = said(&samovar, &format!("/config?key={}", quoted(key))).await;
            assert_eq!(seen, value.as_str().expect("a text"), "{key}");
        }
        samovar.http.get("/c/config?key=nobody").await.expect(404);
        let all = said(&samovar, "/config").await;
        let mut all: Vec<_> = all.lines().filter(|line| !line.is_empty()).collect();
        all.sort_unstable();
        let mut expected: Vec<String> = values
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().expect("a text")))
            .collect();
        expected.sort_unstable();
        assert_eq!(all, expected);
        assert_eq!(said(&samovar, "/env?key=greeting").await, "of the environment");
    }
}

#[tokio::test]
async fn what_is_logged_is_in_the_deployments_log() {
    let samovar = Samovar::start().await;
    deploy(&samovar, json!({})).await;
    said(&samovar, "/log?context=tea&text=steam").await;
    said(&samovar, "/log?level=info&text=no+context").await;
    said(&samovar, "/log?level=warn&context=tea&text=two%0Alines").await;
    let cli = samovar.cli();
    let expected = [
        "TRACE tea: steam",
        "DEBUG tea: steam",
        "INFO tea: steam",
        "WARN tea: steam",
        "ERROR tea: steam",
        "CRITICAL tea: steam",
        "INFO no context",
        "WARN tea: two",
        "lines",
    ];
    let lines = eventually("all lines are there", async || {
        let lines = logged(&samovar, "stderr").await;
        (lines.len() == expected.len()).then_some(lines)
    })
    .await;
    let texts: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(texts, expected);
    let shown = cli.ok(&["logs", "c"]).await;
    for line in expected {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

#[tokio::test]
async fn long_log_lines_are_cut() {
    let samovar = Samovar::start().await;
    deploy(&samovar, json!({})).await;
    let path = format!("/log?level=error&context={}&text=end", "x".repeat(20_000));
    said(&samovar, &path).await;
    let lines = eventually("the line is there", async || {
        let lines = logged(&samovar, "stderr").await;
        (!lines.is_empty()).then_some(lines)
    })
    .await;
    let [(_, line)] = lines.as_slice() else { panic!("{} lines", lines.len()) };
    assert!(line.starts_with("ERROR xxx") && !line.contains("end"), "{line:.100}");
    assert!(line.len() < 10_000, "{} bytes", line.len());
}

/// A pool that grows as a series of its handlers says.
fn scaled_by(series: &str) -> Value {
    let config = json!({"target_series": series});
    let scaling = json!({"policy": "lightning", "config": config, "interval": "50ms"});
    json!({"replicas": "1..8", "initial_replicas": 1, "idle_ttl": "off", "scaledown_ttl": "1ms",
        "scaling": scaling})
}

#[tokio::test]
async fn numbers_of_handlers_reach_the_policy() {
    let samovar = Samovar::start().await;
    for (series, target) in [("want", 3), ("want.max", 2), ("want.mean", 4)] {
        samovar.deploy("c", CAPABLE, scaled_by(series)).await;
        said(&samovar, &format!("/gauge?name=want&value={target}")).await;
        let is_met = |decision: &Value| decision["target"] == target;
        let decision = samovar.wait_decision("c", "what was asked for", is_met).await;
        assert!(decision.to_string().contains(series), "{decision}");
        let has_all = |status: &Value| number(status, "/replicas/ready") == target;
        samovar.wait_status("c", "as many replicas", has_all).await;
    }
}

#[tokio::test]
async fn numbers_that_are_none_and_names_that_are_none_are_ignored() {
    let samovar = Samovar::start().await;
    samovar.deploy("c", CAPABLE, scaled_by("want.max")).await;
    for (name, value) in
        [("want", "2"), ("want", "nan"), ("want", "inf"), ("", "5"), ("wa nt", "5")]
    {
        said(&samovar, &format!("/gauge?name={}&value={value}", quoted(name))).await;
    }
    said(&samovar, &format!("/gauge?name={}&value=5", "x".repeat(65))).await;
    // Names beyond the first few dozen are not kept, those before are.
    for more in 0..40 {
        said(&samovar, &format!("/gauge?name=more{more}&value=5")).await;
    }
    let is_met = |decision: &Value| decision["target"] == 2;
    samovar.wait_decision("c", "two", is_met).await;
    said(&samovar, "/load?units=nan").await;
    said(&samovar, "/load?units=-1").await;
    assert_eq!(said(&samovar, "/ok").await, "ok");
}

#[tokio::test]
async fn load_of_an_instance_is_shown_with_its_replica() {
    let samovar = Samovar::start().await;
    let scaling = json!({"policy": "lightning", "interval": "50ms"});
    deploy(&samovar, json!({"scaling": scaling})).await;
    said(&samovar, "/load?units=350").await;
    eventually("the load is shown", async || {
        let view = samovar.admin.get("/v1/deployments/c/replicas").await.expect(200).json();
        (list(&view, "/replicas")[0]["load"] == 350.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn capabilities_work_where_many_requests_come_at_once() {
    let samovar = Samovar::start().await;
    let spec = json!({"replicas": 4, "config": {"tea": "assam"}});
    deploy(&samovar, spec).await;
    let asked: Vec<_> = (0..64)
        .map(|number| {
            let http = samovar.http.clone();
            let path = match number % 4 {
                0 => "/c/config?key=tea".to_owned(),
                1 => format!("/c/kv/set?key=k{number}&value=assam"),
                2 => "/c/log?level=info&text=assam".to_owned(),
                _ => format!("/c/gauge?name=tea&value={number}"),
            };
            tokio::spawn(async move { http.send(http.request(Method::GET, &path), "").await })
        })
        .collect();
    for asked in asked {
        asked.await.expect("no panic").expect(200);
    }
    assert_eq!(said(&samovar, "/kv/keys").await.lines().count(), 16);
}
