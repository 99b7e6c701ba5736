//! Handlers that misbehave: the request fails with a clear status, the next one is served.

use samovar_tests::http::next_chunk;
use samovar_tests::load::at_once;
use samovar_tests::status::number;
use samovar_tests::{Options, Samovar};
use serde_json::{Value, json};

use crate::support::{BEHAVE, BEHAVE_ASYNC, fixed, with};

const BOTH: [&str; 2] = [BEHAVE, BEHAVE_ASYNC];

/// `GET path` on a fixed pool of one must fail like this, and the next request must be served by
/// another replica.
async fn fails(guest: &str, limits: Value, path: &str, status: u16, code: &str) {
    let samovar = Samovar::start().await;
    samovar.deploy("bad", guest, with(fixed(1), json!({"limits": limits}))).await;
    samovar.http.get(&format!("/bad{path}")).await.host_error(status, code);
    samovar.http.get("/bad/ok").await.expect(200);
    let seen = samovar.status("bad").await;
    let failed = number(&seen, "/totals/failed") + number(&seen, "/totals/timed_out");
    assert_eq!(failed, 1, "{guest}: {seen}");
    assert_eq!(number(&seen, "/totals/replicas_started"), 2, "{guest}: {seen}");
}

#[tokio::test]
async fn trap_fails_the_request_only() {
    for guest in BOTH {
        for path in ["/trap", "/panic", "/exit"] {
            fails(guest, json!({}), path, 502, "guest-trap").await;
        }
    }
}

#[tokio::test]
async fn endless_loop_is_stopped_by_cpu_time() {
    for guest in BOTH {
        fails(guest, json!({"cpu_time": "200ms"}), "/loop", 502, "cpu-limit").await;
    }
}

#[tokio::test]
async fn endless_loop_is_stopped_by_request_timeout() {
    for guest in BOTH {
        let limits = json!({"cpu_time": "10m", "request_timeout": "200ms"});
        fails(guest, limits, "/loop", 504, "request-timeout").await;
    }
}

#[tokio::test]
async fn endless_allocation_is_stopped() {
    for guest in BOTH {
        fails(guest, json!({"memory": "32MiB"}), "/alloc", 502, "guest-trap").await;
    }
}

#[tokio::test]
async fn endless_handles_are_stopped() {
    for guest in BOTH {
        fails(guest, json!({}), "/handles?n=10000000", 502, "guest-trap").await;
    }
}

#[tokio::test]
async fn hanging_handler_is_given_up() {
    for guest in BOTH {
        let limits = json!({"request_timeout": "200ms"});
        fails(guest, limits, "/hang", 504, "request-timeout").await;
    }
}

#[tokio::test]
async fn handler_that_returns_without_an_answer_is_reported() {
    let samovar = Samovar::start().await;
    samovar.deploy("bad", BEHAVE, fixed(1)).await;
    samovar.http.get("/bad/never").await.host_error(502, "no-response");
    samovar.http.get("/bad/ok").await.expect(200);
}

#[tokio::test]
async fn second_answer_of_a_handler_reaches_nobody() {
    let samovar = Samovar::start().await;
    samovar.deploy("bad", BEHAVE, fixed(1)).await;
    // The first answer may be on its way already; a failure in its place is as good.
    if let Ok(reply) = samovar.http.try_get("/bad/twice").await {
        assert!(matches!(reply.status, 200 | 502), "{}", reply.text());
    }
    for _ in 0..3 {
        samovar.http.get("/bad/ok").await.expect(200);
    }
}

#[tokio::test]
async fn silent_body_is_cut() {
    for guest in BOTH {
        let samovar = Samovar::start().await;
        let spec = with(fixed(1), json!({"limits": {"stall_timeout": "300ms"}}));
        samovar.deploy("bad", guest, spec).await;
        let answer = samovar.http.open_get("/bad/stall").await;
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        let cut = loop {
            match next_chunk(&mut body).await {
                Ok(Some(_)) => {}
                other => break other,
            }
        };
        assert!(cut.is_err(), "{guest}: a cut body must not look complete");
        samovar.http.get("/bad/ok").await.expect(200);
    }
}

#[tokio::test]
async fn body_of_a_trapped_handler_does_not_look_complete() {
    for guest in BOTH {
        let samovar = Samovar::start().await;
        samovar.deploy("bad", guest, fixed(1)).await;
        let broken = samovar.http.try_get("/bad/cut").await;
        assert!(broken.as_ref().map_or(true, |reply| reply.status == 502), "{guest}: {broken:?}");
        samovar.http.get("/bad/ok").await.expect(200);
    }
}

#[tokio::test]
async fn error_returned_by_a_handler_costs_no_replica() {
    let samovar = Samovar::start().await;
    samovar.deploy("bad", BEHAVE_ASYNC, fixed(1)).await;
    let reply = samovar.http.get("/bad/error").await;
    assert!(matches!(reply.status, 500 | 502), "{reply:?}");
    assert!(reply.header("samovar-error").is_some(), "{reply:?}");
    samovar.http.get("/bad/ok").await.expect(200);
    let seen = samovar.status("bad").await;
    assert_eq!(number(&seen, "/totals/replicas_started"), 1);
    assert_eq!(number(&seen, "/totals/failed"), 1);
}

#[tokio::test]
async fn healthy_stream_outlives_the_request_timeout() {
    for guest in BOTH {
        let samovar = Samovar::start().await;
        let limits = json!({"request_timeout": "400ms", "stall_timeout": "5s"});
        samovar.deploy("long", guest, with(fixed(1), json!({"limits": limits}))).await;
        let whole = samovar.http.get("/long/stream?n=15&ms=100").await.expect(200);
        assert_eq!(whole.text().lines().count(), 15, "{guest}");
        assert_eq!(number(&samovar.status("long").await, "/totals/replicas_started"), 1);
    }
}

#[tokio::test]
async fn timeout_of_one_request_lets_its_siblings_finish() {
    let samovar = Samovar::start().await;
    let limits = json!({"request_timeout": "400ms"});
    let spec = with(fixed(1), json!({"concurrency": 4, "limits": limits}));
    samovar.deploy("bad", BEHAVE_ASYNC, spec).await;
    let mut sibling = samovar.http.open_get("/bad/stream?n=15&ms=100").await.into_body();
    next_chunk(&mut sibling).await.expect("the stream goes on").expect("the stream has begun");
    samovar.http.get("/bad/hang").await.host_error(504, "request-timeout");
    let mut pieces = 1;
    while next_chunk(&mut sibling).await.expect("the stream is not cut").is_some() {
        pieces += 1;
    }
    assert!(pieces > 1);
    samovar.http.get("/bad/ok").await.expect(200);
}

#[tokio::test]
async fn trap_of_a_replica_does_not_reach_the_others() {
    let samovar = Samovar::start().await;
    samovar.deploy("bad", BEHAVE, json!({"replicas": 2, "idle_ttl": "off"})).await;
    let slow = at_once(&samovar.http, "/bad/sleep?ms=1500", 1);
    samovar.wait_status("bad", "one ongoing", |status| number(status, "/ongoing") == 1).await;
    for _ in 0..5 {
        samovar.http.get("/bad/trap").await.host_error(502, "guest-trap");
    }
    assert_eq!(slow.answers().await[0].status, 200);
}

#[tokio::test]
async fn host_panic_costs_one_replica() {
    let options = Options {
        args: vec!["--enable-fault-injection".into()],
        panics_allowed: true,
        ..Options::default()
    };
    for guest in BOTH {
        let samovar = Samovar::start_options(options.clone()).await;
        samovar.deploy("bad", guest, json!({"replicas": 2, "idle_ttl": "off"})).await;
        let slow = at_once(&samovar.http, "/bad/sleep?ms=1500", 1);
        samovar.wait_status("bad", "one ongoing", |status| number(status, "/ongoing") == 1).await;
        let failed = samovar.http.get("/bad/panic-host").await;
        assert!(matches!(failed.status, 500..=502), "{guest}: {failed:?}");
        assert!(failed.header("samovar-error").is_some(), "{guest}: {failed:?}");
        samovar.http.get("/bad/ok").await.expect(200);
        let slow = slow.answers().await;
        assert_eq!(slow[0].status, 200, "{guest}: the other replica was hit: {slow:?}");
        samovar.wait_status("bad", "a new one", |seen| number(seen, "/replicas/ready") == 2).await;
        assert!(samovar.stderr().contains(" panicked at "), "{guest}: nothing panicked");
    }
}

#[tokio::test]
async fn guest_cannot_panic_the_host_by_default() {
    let samovar = Samovar::start().await;
    samovar.deploy("bad", BEHAVE, fixed(1)).await;
    samovar.http.get("/bad/panic-host").await.expect(200);
    assert_eq!(number(&samovar.status("bad").await, "/totals/replicas_started"), 1);
}

#[tokio::test]
async fn busy_neighbours_leave_time_for_others() {
    let samovar = Samovar::start().await;
    let limits = json!({"cpu_time": "10m", "request_timeout": "10m"});
    samovar.deploy("greedy", BEHAVE, with(fixed(4), json!({"limits": limits}))).await;
    samovar.deploy("light", "hello", fixed(1)).await;
    let _loops = at_once(&samovar.http, "/greedy/loop", 4);
    let all_loop = |status: &Value| number(status, "/ongoing") == 4;
    samovar.wait_status("greedy", "four loops", all_loop).await;
    for _ in 0..50 {
        samovar.http.get("/light").await.expect(200);
    }
    assert!(all_loop(&samovar.status("greedy").await), "the loops ended too early to tell");
    samovar.admin.delete("/v1/deployments/light").await.expect(204);
}

#[tokio::test]
async fn looping_request_of_wasi_03_does_not_starve_other_replicas() {
    let samovar = Samovar::start().await;
    let limits = json!({"cpu_time": "10m", "request_timeout": "10m"});
    samovar.deploy("greedy", BEHAVE_ASYNC, with(fixed(3), json!({"limits": limits}))).await;
    let _loops = at_once(&samovar.http, "/greedy/loop", 2);
    samovar.wait_status("greedy", "two loops", |status| number(status, "/ongoing") == 2).await;
    for _ in 0..20 {
        // Least busy first: the third replica takes it.
        samovar.http.get("/greedy/ok").await.expect(200);
    }
}
