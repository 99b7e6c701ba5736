//! The key-value store of handlers: what it keeps, for whom, and how much.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use samovar_tests::load::at_once;
use samovar_tests::{Samovar, eventually};
use serde_json::json;

use crate::capabilities::{CAPABLE, deploy, said};
use crate::support::{fixed, with};

/// What `c` answers to an operation that must fail.
async fn fails(samovar: &Samovar, operation: &str) -> String {
    samovar.http.get(&format!("/c/kv/{operation}")).await.expect(500).text().trim_end().to_owned()
}

#[tokio::test]
async fn values_are_set_read_listed_and_deleted() {
    let samovar = Samovar::start().await;
    deploy(&samovar, json!({})).await;
    for (operation, status, answer) in [
        ("get?key=tea", 404, "none"),
        ("exists?key=tea", 200, "false"),
        ("set?key=tea&value=assam", 200, "ok"),
        ("get?key=tea", 200, "assam"),
        ("exists?key=tea", 200, "true"),
        ("set?key=tea&value=", 200, "ok"),
        ("get?key=tea", 200, ""),
        ("set?key=tea&value=sencha", 200, "ok"),
        ("set-many?pairs=a:1,b:2,c:3", 200, "ok"),
        ("get-many?keys=a,nobody,c", 200, "a=1\nc=3"),
        ("delete-many?keys=a,nobody", 200, "ok"),
        ("get?key=a", 404, "none"),
        ("delete?key=b", 200, "ok"),
        ("delete?key=b", 200, "ok"),
        ("ttl?key=c", 200, "none"),
        ("get?key=tea", 200, "sencha"),
        // Another bucket is another place.
        ("get?key=tea&store=other", 404, "none"),
        ("set?key=tea&value=puer&store=other", 200, "ok"),
        ("get?key=tea", 200, "sencha"),
        ("keys?store=other", 200, "tea"),
    ] {
        let reply = samovar.http.get(&format!("/c/kv/{operation}")).await.expect(status);
        assert_eq!(reply.text().trim_end(), answer, "{operation}");
    }
    let keys = said(&samovar, "/kv/keys").await;
    let mut keys: Vec<_> = keys.lines().collect();
    keys.sort_unstable();
    assert_eq!(keys, ["c", "tea"]);
}

#[tokio::test]
async fn long_lists_are_complete() {
    const KEYS: usize = 2500;
    let samovar = Samovar::start().await;
    deploy(&samovar, json!({})).await;
    let pairs: Vec<String> = (0..KEYS).map(|number| format!("k{number}:v{number}")).collect();
    said(&samovar, &format!("/kv/set-many?pairs={}", pairs.join(","))).await;
    let listed = said(&samovar, "/kv/keys").await;
    let mut listed: Vec<_> = listed.lines().map(str::to_owned).collect();
    listed.sort_unstable();
    let mut keys: Vec<String> = (0..KEYS).map(|number| format!("k{number}")).collect();
    keys.sort_unstable();
    assert_eq!(listed, keys);
}

#[tokio::test]
async fn increments_are_never_lost() {
    const TIMES: usize = 100;
    let samovar = Samovar::start().await;
    deploy(&samovar, json!({"replicas": 4})).await;
    let answers = at_once(&samovar.http, "/c/kv/increment?key=n&by=3", TIMES).answers().await;
    let mut sums: Vec<u64> = answers
        .into_iter()
        .map(|reply| reply.expect(200).text().trim().parse().expect("a number"))
        .collect();
    sums.sort_unstable();
    let expected: Vec<u64> = (1..=TIMES as u64).map(|times| 3 * times).collect();
    assert_eq!(sums, expected, "each one saw those before it");
    said(&samovar, "/kv/set?key=n&value=41").await;
    assert_eq!(said(&samovar, "/kv/increment?key=n").await, "42");
    said(&samovar, "/kv/set?key=n&value=tea").await;
    assert!(fails(&samovar, "increment?key=n").await.contains("no counter"));
    said(&samovar, &format!("/kv/set?key=n&value={}", u64::MAX)).await;
    assert!(fails(&samovar, "increment?key=n").await.contains("would pass"));
    assert_eq!(said(&samovar, "/kv/get?key=n").await, u64::MAX.to_string());
}

#[tokio::test]
async fn values_go_when_their_time_is_over() {
    let samovar = Samovar::start().await;
    deploy(&samovar, json!({"keyvalue": {"ttl": "1h"}})).await;
    said(&samovar, "/kv/set?key=short&value=1&ttl=300").await;
    said(&samovar, "/kv/set?key=long&value=1&ttl=86400000").await;
    said(&samovar, "/kv/set?key=default&value=1").await;
    let ttl = async |key: &str| -> u64 {
        said(&samovar, &format!("/kv/ttl?key={key}")).await.parse().expect("milliseconds")
    };
    let (long, default) = (ttl("long").await, ttl("default").await);
    assert!(long > 3_600_000 && long <= 86_400_000, "{long}");
    assert!(default <= 3_600_000, "{default}");
    eventually("the short one is gone", async || {
        (samovar.http.get("/c/kv/get?key=short").await.status == 404).then_some(())
    })
    .await;
    assert_eq!(said(&samovar, "/kv/exists?key=short").await, "false");
    let keys = said(&samovar, "/kv/keys").await;
    assert!(!keys.contains("short") && keys.lines().count() == 2, "{keys}");
    // Writing it again gives it the life of the new value.
    said(&samovar, "/kv/set?key=long&value=1&ttl=100").await;
    eventually("the other one is gone", async || {
        (samovar.http.get("/c/kv/get?key=long").await.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn life_of_a_value_goes_on_while_the_server_is_down() {
    let mut samovar = Samovar::start().await;
    deploy(&samovar, json!({})).await;
    said(&samovar, "/kv/set?key=short&value=1&ttl=500").await;
    said(&samovar, "/kv/set?key=long&value=1&ttl=86400000").await;
    samovar.kill9();
    tokio::time::sleep(Duration::from_millis(500)).await;
    samovar.start_again().await;
    samovar.http.get("/c/kv/get?key=short").await.expect(404);
    assert_eq!(said(&samovar, "/kv/get?key=long").await, "1");
}

#[tokio::test]
async fn acknowledged_writes_survive_a_kill() {
    const WRITERS: usize = 4;
    let mut samovar = Samovar::start().await;
    deploy(&samovar, json!({"replicas": WRITERS})).await;
    let mut least = 0;
    for round in 0..3 {
        let (sent, acknowledged) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let http = samovar.http.clone();
                let (sent, acknowledged) = (Arc::clone(&sent), Arc::clone(&acknowledged));
                tokio::spawn(async move {
                    loop {
                        sent.fetch_add(1, Ordering::SeqCst);
                        match http.try_get("/c/kv/increment?key=n").await {
                            Ok(reply) if reply.status == 200 => {
                                acknowledged.fetch_add(1, Ordering::SeqCst);
                            }
                            Ok(_) | Err(_) => return,
                        }
                    }
                })
            })
            .collect();
        eventually("enough is written", async || {
            (acknowledged.load(Ordering::SeqCst) >= 50).then_some(())
        })
        .await;
        samovar.kill9();
        for writer in writers {
            writer.await.expect("no panic");
        }
        samovar.start_again().await;
        let sum: u64 = said(&samovar, "/kv/get?key=n").await.parse().expect("a number");
        let (sent, acknowledged) =
            (sent.load(Ordering::SeqCst), acknowledged.load(Ordering::SeqCst));
        let possible = least + acknowledged..=least + sent;
        assert!(possible.contains(&sum), "round {round}: {sum} is not in {possible:?}");
        least = sum;
    }
}

#[tokio::test]
async fn each_deployment_has_its_own_until_it_is_deleted() {
    let samovar = Samovar::start().await;
    deploy(&samovar, json!({})).await;
    samovar.deploy("other", CAPABLE, fixed(1)).await;
    said(&samovar, "/kv/set?key=tea&value=assam").await;
    samovar.http.get("/other/kv/get?key=tea").await.expect(404);
    samovar.http.get("/other/kv/set?key=tea&value=puer").await.expect(200);
    assert_eq!(said(&samovar, "/kv/get?key=tea").await, "assam");
    // A new revision keeps it, a new deployment of the same name does not.
    deploy(&samovar, json!({"env": {"NEW": "revision"}})).await;
    assert_eq!(said(&samovar, "/kv/get?key=tea").await, "assam");
    let used = ["deployment=\"c\""];
    assert!(samovar.metric("samovar_keyvalue_bytes", &used).await.is_some_and(|bytes| bytes > 0.0));
    samovar.admin.delete("/v1/deployments/c").await.expect(204);
    deploy(&samovar, json!({})).await;
    samovar.http.get("/c/kv/get?key=tea").await.expect(404);
    assert_eq!(said(&samovar, "/kv/keys").await, "");
    assert_eq!(samovar.metric("samovar_keyvalue_bytes", &used).await, Some(0.0));
    let other = samovar.http.get("/other/kv/get?key=tea").await.expect(200);
    assert_eq!(other.text(), "puer\n");
}

#[tokio::test]
async fn deleted_deployments_leave_nothing_after_a_kill_either() {
    let mut samovar = Samovar::start().await;
    deploy(&samovar, json!({})).await;
    said(&samovar, "/kv/set?key=tea&value=assam").await;
    samovar.admin.delete("/v1/deployments/c").await.expect(204);
    samovar.restart().await;
    deploy(&samovar, json!({})).await;
    assert_eq!(said(&samovar, "/kv/keys").await, "");
}

#[tokio::test]
async fn what_is_too_much_is_refused_and_nothing_of_it_stays() {
    let samovar = Samovar::start().await;
    deploy(&samovar, json!({"keyvalue": {"quota": "10KiB", "max_value": "4KiB"}})).await;
    let error = fails(&samovar, "fill?key=big&bytes=4097").await;
    assert_eq!(error, "error: value is 4097 bytes, the limit is 4096");
    said(&samovar, "/kv/fill?key=a&bytes=4096").await;
    said(&samovar, "/kv/fill?key=b&bytes=4096").await;
    let error = fails(&samovar, "fill?key=c&bytes=4096").await;
    assert!(error.starts_with("error: quota of 10240 bytes exceeded: "), "{error}");
    assert!(error.contains("are used") && error.contains("more are needed"), "{error}");
    samovar.http.get("/c/kv/get?key=c").await.expect(404);
    // A batch is stored as a whole or not at all.
    let pairs = format!("small:1,large:{}", "x".repeat(4000));
    fails(&samovar, &format!("set-many?pairs={pairs}")).await;
    samovar.http.get("/c/kv/get?key=small").await.expect(404);
    // Reading and deleting go on, and make room.
    assert_eq!(said(&samovar, "/kv/get?key=a").await.len(), 4096);
    said(&samovar, "/kv/fill?key=a&bytes=4000").await;
    said(&samovar, "/kv/delete?key=a").await;
    said(&samovar, "/kv/fill?key=c&bytes=4096").await;
    // So does what has expired.
    said(&samovar, "/kv/fill?key=c&bytes=4096&ttl=1").await;
    eventually("there is room again", async || {
        let reply = samovar.http.get("/c/kv/fill?key=d&bytes=4096").await;
        (reply.status == 200).then_some(())
    })
    .await;
    // A smaller quota deletes nothing, and takes nothing more.
    deploy(&samovar, json!({"keyvalue": {"quota": "4KiB", "max_value": "4KiB"}})).await;
    assert_eq!(said(&samovar, "/kv/get?key=d").await.len(), 4096);
    fails(&samovar, "set?key=e&value=1").await;
}

#[tokio::test]
async fn keys_and_names_of_stores_have_their_limits() {
    let samovar = Samovar::start().await;
    deploy(&samovar, json!({})).await;
    let long = "k".repeat(1025);
    for (operation, expected) in [
        ("get?key=".to_owned(), "key is empty"),
        ("set?key=&value=1".to_owned(), "key is empty"),
        (format!("get?key={long}"), "key is 1025 bytes, the limit is 1024"),
        (format!("set?key={long}&value=1"), "key is 1025 bytes, the limit is 1024"),
        (format!("increment?key={long}"), "key is 1025 bytes, the limit is 1024"),
    ] {
        assert_eq!(fails(&samovar, &operation).await, format!("error: {expected}"));
    }
    said(&samovar, &format!("/kv/set?key={}&value=1", &long[..1024])).await;
    for store in ["../c", "a%20b", "a%00", "a/b", &"s".repeat(65)] {
        let error = fails(&samovar, &format!("get?key=tea&store={store}")).await;
        assert!(error.contains("there is no store of this name"), "{store}: {error}");
    }
}

#[tokio::test]
async fn server_whose_store_is_broken_serves_everything_else() {
    let mut samovar = Samovar::start().await;
    deploy(&samovar, json!({})).await;
    said(&samovar, "/kv/set?key=tea&value=assam").await;
    samovar.kill9();
    let file = samovar.data().join("keyvalue.redb");
    let good = std::fs::read(&file).expect("the store is a file");
    std::fs::write(&file, b"this is no store").expect("the file is writable");
    samovar.start_again().await;
    assert_eq!(said(&samovar, "/ok").await, "ok");
    assert!(fails(&samovar, "get?key=tea").await.contains("no key-value store"));
    assert!(samovar.stderr().contains("key-value"), "the operator is told: {}", samovar.stderr());
    assert_eq!(std::fs::read(&file).expect("it is there"), b"this is no store", "nothing is lost");
    samovar.kill9();
    std::fs::write(&file, good).expect("the file is writable");
    samovar.start_again().await;
    assert_eq!(said(&samovar, "/kv/get?key=tea").await, "assam");
}

#[tokio::test]
async fn handler_that_is_cut_while_it_writes_harms_nobody() {
    let samovar = Samovar::start().await;
    let spec = with(fixed(2), json!({"max_requests": 1}));
    samovar.deploy("c", CAPABLE, spec).await;
    // Clients leave at any moment, and with them the instances that write.
    for round in 0..20 {
        let writing =
            at_once(&samovar.http, &format!("/c/kv/fill?key=k&bytes=100000&r={round}"), 4);
        tokio::time::sleep(Duration::from_millis(round)).await;
        drop(writing);
    }
    said(&samovar, "/kv/set?key=k&value=last").await;
    assert_eq!(said(&samovar, "/kv/get?key=k").await, "last");
}
