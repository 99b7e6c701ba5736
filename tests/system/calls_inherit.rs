//! What a call inherits from the request that makes it, and whom a deployment may call.

use std::time::Duration;

use http::Method;
use samovar_tests::load::at_once;
use samovar_tests::wait::eventually_within;
use samovar_tests::{Native, Samovar, eventually};
use serde_json::{Value, json};

use crate::calls::{CALLER, CALLER_ASYNC, both, caller, idle, ongoing, patient, quoted};
use crate::support::{BEHAVE, BEHAVE_ASYNC, fixed, names, with};

/// Two traces, as clients send them.
const TRACES: [&str; 2] = [
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
];
/// A handler that works on would do so far longer than any test waits.
const FOR_EVER_MS: u32 = 1_000_000_000;
/// Far more than what takes as long as a time limit of a moment.
const SOON: Duration = Duration::from_secs(30);

/// The answer to a GET with these headers.
async fn with_headers(samovar: &Samovar, path: &str, headers: &[(&str, &str)]) -> String {
    let request = samovar.http.request(Method::GET, path);
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    samovar.http.send(request, "").await.expect(200).text().trim_end().to_owned()
}

#[tokio::test]
async fn trace_context_is_handed_down() {
    let samovar = Samovar::start().await;
    both(&samovar, 2).await;
    let [trace, _] = TRACES;
    let headers = [("traceparent", trace), ("tracestate", "tea=assam")];
    for (from, to) in [("old", "new"), ("new", "old"), ("old", "old,new"), ("new", "new,old")] {
        let last = to.rsplit(',').next().expect("a name");
        let path = format!("/{from}/call?to={to}&show=traceparent,tracestate");
        let said = with_headers(&samovar, &path, &headers).await;
        let expected = format!("{last}{{traceparent={trace} tracestate=tea=assam}}");
        assert!(said.ends_with(&expected), "{path}: {said}");
        // Nothing is made up.
        let said = with_headers(&samovar, &path, &[]).await;
        assert!(said.ends_with(&format!("{last}{{traceparent= tracestate=}}")), "{path}: {said}");
    }
}

#[tokio::test]
async fn trace_of_its_own_is_left_alone() {
    let samovar = Samovar::start().await;
    both(&samovar, 2).await;
    let [trace, _] = TRACES;
    let headers = [("traceparent", trace), ("tracestate", "tea=assam")];
    for (from, to) in [("old", "new"), ("new", "old")] {
        // The caller sets one header itself, so the other, which belongs to it, is not added.
        let path = format!("/{from}/call?to={to}&headers=traceparent&show=traceparent,tracestate");
        let said = with_headers(&samovar, &path, &headers).await;
        assert_eq!(said, format!("{from}>{to}{{traceparent={trace} tracestate=}}"));
    }
}

#[tokio::test]
async fn requests_that_share_an_instance_keep_their_traces() {
    let samovar = Samovar::start().await;
    let wide = json!({"concurrency": 8});
    samovar.deploy("a", CALLER_ASYNC, caller("a", 1, wide.clone())).await;
    samovar.deploy("b", CALLER_ASYNC, caller("b", 1, wide)).await;
    let asked = TRACES.map(|trace| {
        let request = samovar.http.request(Method::GET, "/a/call?to=b,b&hold=300&show=traceparent");
        let request = request.header("traceparent", trace);
        let http = samovar.http.clone();
        tokio::spawn(async move { http.send(request, "").await })
    });
    ongoing(&samovar, "a", 2).await;
    for (asked, trace) in asked.into_iter().zip(TRACES) {
        let said = asked.await.expect("no panic").expect(200).text();
        assert_eq!(said, format!("a>b>b{{traceparent={trace}}}\n"));
    }
}

#[tokio::test]
async fn processes_get_the_trace_too() {
    let native = Native::start().await;
    both(&native, 1).await;
    native.deploy("n", json!({"env": {"NAME": "n"}})).await;
    let [trace, _] = TRACES;
    for from in ["old", "new"] {
        let path = format!("/{from}/proxy?u={}", quoted("http://n.internal/head"));
        let request = native.http.request(Method::GET, &path).header("traceparent", trace);
        let seen = native.http.send(request, "").await.expect(200).json();
        assert_eq!(seen["headers"]["traceparent"], trace, "{seen}");
    }
    // Through a process, which sends it on.
    let plane = native.http.address();
    let path = format!("/old/call?to=n,new&plane={plane}&show=traceparent");
    let said = with_headers(&native, &path, &[("traceparent", trace)]).await;
    assert_eq!(said, format!("old>n>new{{traceparent={trace}}}"));
}

#[tokio::test]
async fn callee_has_no_more_time_than_its_caller() {
    let samovar = Samovar::start().await;
    let brief = json!({"limits": {"request_timeout": "300ms"}});
    for (from, to) in [
        (CALLER, CALLER),
        (CALLER, CALLER_ASYNC),
        (CALLER_ASYNC, CALLER),
        (CALLER_ASYNC, CALLER_ASYNC),
    ] {
        samovar.deploy("a", from, caller("a", 1, brief.clone())).await;
        samovar.deploy("b", to, caller("b", 1, patient())).await;
        samovar.deploy("c", to, caller("c", 1, patient())).await;
        for chain in ["b", "b,c"] {
            let path = format!("/a/call?to={chain}&last={FOR_EVER_MS}");
            // Whoever gives up first, the client is told.
            let reply = samovar.http.get(&path).await.expect(504);
            assert_eq!(reply.header("samovar-error"), Some("request-timeout"));
            for name in ["a", "b", "c"] {
                eventually_within(SOON, &format!("{name} works no more"), async || {
                    let status = samovar.status(name).await;
                    (status["ongoing"] == 0 && status["queued"] == 0).then_some(())
                })
                .await;
            }
            samovar.http.get("/a/call?to=b,c").await.expect(200);
        }
    }
}

#[tokio::test]
async fn call_waits_no_longer_than_its_caller() {
    let native = Native::start().await;
    let brief = json!({"limits": {"request_timeout": "300ms"}});
    native.deploy("n", with(patient(), json!({"concurrency": 1}))).await;
    let taken = at_once(&native.http, "/n/wait?gate=1", 1);
    ongoing(&native, "n", 1).await;
    for guest in [CALLER, CALLER_ASYNC] {
        Samovar::deploy(&native, "a", guest, caller("a", 1, brief.clone())).await;
        let reply = native.http.get("/a/call?to=n").await.expect(504);
        let error = reply.header("samovar-error");
        assert!(matches!(error, Some("request-timeout" | "queue-timeout")), "{error:?}");
        eventually_within(SOON, "nobody waits any more", async || {
            (native.status("n").await["queued"] == 0).then_some(())
        })
        .await;
    }
    drop(taken);
}

#[tokio::test]
async fn shorter_limit_of_the_callee_counts() {
    let samovar = Samovar::start().await;
    let brief = json!({"limits": {"request_timeout": "200ms"}});
    samovar.deploy("b", CALLER_ASYNC, caller("b", 1, brief)).await;
    for guest in [CALLER, CALLER_ASYNC] {
        samovar.deploy("a", guest, caller("a", 1, patient())).await;
        let reply = samovar.http.get(&format!("/a/call?to=b&last={FOR_EVER_MS}")).await.expect(504);
        assert_eq!(reply.header("samovar-error"), Some("request-timeout"));
        assert!(reply.text().starts_with("a>{"), "it is b that gave up: {}", reply.text());
        assert!(reply.text().contains("within 200ms"), "{}", reply.text());
    }
}

#[tokio::test]
async fn handler_may_wait_less_long_than_it_could() {
    let samovar = Samovar::start().await;
    samovar.deploy("b", CALLER_ASYNC, caller("b", 1, patient())).await;
    for guest in [CALLER, CALLER_ASYNC] {
        samovar.deploy("a", guest, caller("a", 1, patient())).await;
        let url = quoted(&format!("http://b.internal/call?last={FOR_EVER_MS}"));
        let said = samovar.http.get(&format!("/a/url?u={url}&first=200")).await.expect(200).text();
        assert_eq!(said, "error HttpResponseTimeout\n");
        idle(&samovar, "b").await;
    }
}

#[tokio::test]
async fn answer_that_has_begun_is_not_cut_at_the_callers_limit() {
    let samovar = Samovar::start().await;
    let brief = json!({"limits": {"request_timeout": "300ms"}});
    for (from, to) in [(CALLER, BEHAVE), (CALLER_ASYNC, BEHAVE_ASYNC)] {
        samovar.deploy("a", from, caller("a", 1, brief.clone())).await;
        samovar.deploy("b", to, fixed(1)).await;
        let path = format!("/a/proxy?u={}", quoted("http://b.internal/stream?n=10&ms=100"));
        let whole = samovar.http.get("/b/stream?n=10&ms=100").await.expect(200).text();
        assert_eq!(samovar.http.get(&path).await.expect(200).text(), whole);
    }
}

#[tokio::test]
async fn client_that_leaves_ends_the_whole_chain() {
    let samovar = Samovar::start().await;
    for name in ["a", "b", "c"] {
        samovar.deploy(name, CALLER, caller(name, 1, patient())).await;
    }
    for path in ["/a/call?to=b,c", "/a/echo?to=b,c"] {
        let client = at_once(&samovar.http, &format!("{path}&last={FOR_EVER_MS}&hold=1"), 1);
        ongoing(&samovar, "c", 1).await;
        drop(client);
        for name in ["a", "b", "c"] {
            idle(&samovar, name).await;
        }
        assert_eq!(samovar.http.get("/a/call?to=b,c").await.expect(200).text(), "a>b>c\n");
    }
}

#[tokio::test]
async fn client_that_leaves_takes_its_calls_out_of_the_queue() {
    let native = Native::start().await;
    native.deploy("n", with(patient(), json!({"concurrency": 1}))).await;
    let taken = at_once(&native.http, "/n/wait?gate=1", 1);
    ongoing(&native, "n", 1).await;
    for (name, guest) in [("a", CALLER), ("b", CALLER_ASYNC)] {
        let spec = with(patient(), json!({"drain_timeout": "100ms"}));
        Samovar::deploy(&native, name, guest, caller(name, 2, spec)).await;
        let client = at_once(&native.http, &format!("/{name}/call?to=n"), 1);
        native.wait_status("n", "a waiting call", |status| status["queued"] == 1).await;
        drop(client);
        idle(&native, name).await;
    }
    // The first one's call is gone. The second one's instance cannot be interrupted in one of its
    // tasks, so its call may wait on, until the instance itself is gone.
    native.delete("b").await;
    native.wait_status("n", "nobody who waits", |status| status["queued"] == 0).await;
    drop(taken);
}

#[tokio::test]
async fn only_those_on_the_list_are_called() {
    let samovar = Samovar::start().await;
    both(&samovar, 4).await;
    let all = json!(["*"]);
    for guest in [CALLER, CALLER_ASYNC] {
        for (allow, to, is_allowed) in [
            (json!([]), "old", false),
            (json!([]), "a", false),
            (json!(["old"]), "old", true),
            (json!(["old"]), "OLD", true),
            (json!(["old"]), "new", false),
            (json!(["old"]), "a", false),
            (json!(["old"]), "nobody", false),
            (json!(["old", "a"]), "a", true),
            (all.clone(), "new", true),
        ] {
            samovar.deploy("a", guest, caller("a", 2, json!({"calls": {"allow": allow}}))).await;
            let reply = samovar.http.get(&format!("/a/call?to={to}")).await;
            if is_allowed {
                assert_eq!(reply.text(), format!("a>{}\n", to.to_lowercase()), "{allow}");
            } else {
                let denied = format!("a>{to}: error HttpRequestDenied\n");
                assert_eq!((reply.status, reply.text()), (502, denied), "{allow}");
            }
        }
    }
}

#[tokio::test]
async fn denied_calls_are_told_to_the_operator_and_reach_nobody() {
    let samovar = Samovar::start().await;
    samovar.deploy("b", CALLER, caller("b", 1, json!({}))).await;
    samovar.deploy("a", CALLER, caller("a", 1, json!({"calls": {"allow": []}}))).await;
    let before = samovar.status("b").await["totals"].clone();
    samovar.http.get("/a/call?to=b").await.expect(502);
    let cli = samovar.cli();
    eventually("the denial is in the log", async || {
        let log = cli.ok(&["logs", "a"]).await;
        let line = log.lines().find(|line| line.contains("call to `b` denied"))?;
        names(&line.into(), &["calls.allow"]);
        Some(())
    })
    .await;
    assert_eq!(samovar.status("b").await["totals"], before);
    assert!(!cli.ok(&["logs", "b"]).await.contains("denied"));
}

#[tokio::test]
async fn pools_that_can_starve_themselves_are_warned_of() {
    let samovar = Samovar::start().await;
    for (spec, words) in [
        (caller("a", 1, json!({})), Some("one request at a time")),
        (caller("a", 2, json!({"calls": {"allow": ["a", "b"]}})), Some("names this deployment")),
        (caller("a", 2, json!({})), None),
        (caller("a", 1, json!({"calls": {"allow": []}})), None),
    ] {
        let status = samovar.deploy("a", CALLER, spec.clone()).await;
        let warnings: Vec<Value> = status["warnings"].as_array().cloned().unwrap_or_default();
        let of_starvation = |text: &&Value| {
            ["one request at a time", "names this deployment"]
                .iter()
                .any(|words| text.as_str().is_some_and(|text| text.contains(words)))
        };
        let found: Vec<&Value> = warnings.iter().filter(of_starvation).collect();
        match words {
            Some(words) => names(found.first().unwrap_or_else(|| panic!("{spec}")), &[words]),
            None => assert_eq!(found, Vec::<&Value>::new(), "{spec}"),
        }
    }
}
