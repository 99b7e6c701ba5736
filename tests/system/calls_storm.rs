//! Many random trees of calls at once, over deployments with enough places and with too few.
//!
//! The seed is printed and can be given with `SAMOVAR_TEST_SEED`.

use std::env;
use std::time::Duration;

use fastrand::Rng;
use samovar_tests::load::at_once;
use samovar_tests::{Native, Reply, Samovar, within};
use serde_json::json;

use crate::calls::{CALLER, CALLER_ASYNC, caller, idle, patient};
use crate::support::with;

/// The deployments: both generations, and one that serves several requests in one instance.
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Clients that call at once, one request after the other each.
const CLIENTS: usize = 8;
const REQUESTS: usize = 40;
/// Most calls of one request, itself included.
const CALLS_MAX: usize = 7;

fn seed() -> u64 {
    let given = env::var("SAMOVAR_TEST_SEED").ok();
    let seed = given.map_or_else(|| fastrand::u64(..), |text| text.parse().expect("a number"));
    println!("SAMOVAR_TEST_SEED={seed}");
    seed
}

/// Deploys all, each with `places` places.
async fn deploy(samovar: &Samovar, places: usize) {
    for (number, name) in NAMES.into_iter().enumerate() {
        let guest = [CALLER, CALLER_ASYNC][number % 2];
        let count = u32::try_from(places).expect("a small number");
        let spec = match number {
            3 => with(caller(name, 1, patient()), json!({"concurrency": places})),
            // Starts with none and grows as it must.
            4 => with(caller(name, 1, patient()), json!({"replicas": format!("0..{count}")})),
            _ => caller(name, count, patient()),
        };
        samovar.deploy(name, guest, spec).await;
    }
}

/// A path with a random tree of at most [`CALLS_MAX`] calls, and how many these are.
fn tree(random: &mut Rng) -> (String, usize) {
    let (mut steps, mut width, mut calls) = (Vec::new(), 1, 1);
    loop {
        let branches = random.usize(1..=3);
        width *= branches;
        if calls + width > CALLS_MAX {
            break;
        }
        calls += width;
        let names: Vec<_> = (0..branches).map(|_| NAMES[random.usize(..NAMES.len())]).collect();
        steps.push(names.join("|"));
    }
    let root = NAMES[random.usize(..NAMES.len())];
    let (hold, to) = (random.u32(0..8), steps.join(","));
    (format!("/{root}/call?to={to}&hold={hold}"), calls)
}

/// A path with a random chain of at most [`CALLS_MAX`] calls, and how many these are. Processes call
/// one after the other only.
fn line(random: &mut Rng) -> (String, usize) {
    let calls = random.usize(1..=CALLS_MAX);
    let mut names = (0..calls).map(|_| NAMES[random.usize(..NAMES.len())]);
    let root = names.next().expect("there is one");
    let to: Vec<_> = names.collect();
    (format!("/{root}/call?to={}", to.join(",")), calls)
}

/// Lets all clients send their requests, and returns these with their answers. `more` is put into
/// each query.
async fn storm(
    samovar: &Samovar,
    seed: u64,
    tree: fn(&mut Rng) -> (String, usize),
    more: &str,
) -> Vec<(String, usize, Reply)> {
    let clients = (0..CLIENTS).map(|client| {
        let http = samovar.http.clone();
        let mut random = Rng::with_seed(seed.wrapping_add(client as u64));
        let more = more.to_owned();
        tokio::spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..REQUESTS {
                let (path, calls) = tree(&mut random);
                let reply = http.get(&format!("{path}{more}")).await;
                answers.push((path, calls, reply));
            }
            answers
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut answers = Vec::new();
    for client in clients {
        answers.extend(within("end a storm", client).await.expect("a client does not panic"));
    }
    answers
}

/// Fails unless everybody whom this tree calls says so.
#[track_caller]
fn is_whole(path: &str, calls: usize, reply: &Reply) {
    let text = reply.text();
    let said = text.trim_end().split(['>', '[', ']', ';']).filter(|name| !name.is_empty());
    assert_eq!(said.clone().count(), calls, "{path}: {text}");
    assert!(said.clone().all(|name| NAMES.contains(&name)), "{path}: {text}");
}

async fn refused(samovar: &Samovar) -> f64 {
    samovar.metric("samovar_call_loops_total", &[]).await.expect("there are deployments")
}

#[tokio::test]
async fn with_enough_places_nobody_is_refused() {
    let samovar = Samovar::start().await;
    deploy(&samovar, CLIENTS * CALLS_MAX).await;
    for (path, calls, reply) in storm(&samovar, seed(), tree, "").await {
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        is_whole(&path, calls, &reply);
    }
    assert_eq!(refused(&samovar).await, 0.0);
}

/// Sends a storm over too few places. All requests are served or refused: one that waited in a
/// circle would wait for an hour, and the storm would not end.
async fn weather(samovar: &Samovar, seed: u64, tree: fn(&mut Rng) -> (String, usize), more: &str) {
    let (mut served, mut loops) = (0, 0);
    let before = refused(samovar).await;
    for (path, calls, reply) in storm(samovar, seed, tree, more).await {
        if reply.status == 200 {
            is_whole(&path, calls, &reply);
            served += 1;
            continue;
        }
        let text = reply.text();
        let told = (reply.status, reply.header("samovar-error"));
        assert_eq!(told, (508, Some("call-loop")), "{path}: {text}");
        assert!(text.contains(" -> ") && text.contains(": every place of `"), "{path}: {text}");
        loops += 1;
    }
    println!("{served} served, {loops} refused");
    assert!(served > 0, "nobody was served");
    assert!(refused(samovar).await - before >= f64::from(loops), "each of them is counted");
    for name in NAMES {
        idle(samovar, name).await;
    }
}

#[tokio::test]
async fn with_too_few_places_everybody_is_served_or_refused() {
    let seed = seed();
    let samovar = Samovar::start().await;
    for places in [1, 2, 4] {
        deploy(&samovar, places).await;
        weather(&samovar, seed, tree, "").await;
    }
}

#[tokio::test]
async fn so_it_is_with_processes_in_between() {
    let seed = seed();
    let native = Native::start().await;
    let more = format!("&plane={}", native.http.address());
    for places in [1, 2, CLIENTS * CALLS_MAX] {
        deploy(&native, places).await;
        for name in ["b", "d"] {
            native.delete(name).await;
            let spec = json!({"env": {"NAME": name}, "concurrency": places});
            native.deploy(name, with(spec, patient())).await;
        }
        let before = refused(&native).await;
        weather(&native, seed, line, &more).await;
        if places > 2 {
            assert_eq!(refused(&native).await, before, "there was room for all");
        }
    }
}

#[tokio::test]
async fn clients_that_leave_in_a_storm_leave_nothing_behind() {
    let seed = seed();
    let samovar = Samovar::start().await;
    deploy(&samovar, 3).await;
    let mut random = Rng::with_seed(seed);
    for _ in 0..60 {
        let (path, _) = tree(&mut random);
        let leaving = at_once(&samovar.http, &path, 4);
        tokio::time::sleep(Duration::from_millis(random.u64(..30))).await;
        drop(leaving);
    }
    for name in NAMES {
        idle(&samovar, name).await;
    }
    // Each pool still has all its places: a chain that needs three of them is served.
    for name in NAMES {
        let reply = samovar.http.get(&format!("/{name}/call?to={name},{name}")).await.expect(200);
        assert_eq!(reply.text(), format!("{name}>{name}>{name}\n"));
    }
}
