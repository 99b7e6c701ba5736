//! Many random trees of calls at once, over deployments with enough places and with too few.
//!
//! The seed is printed and can be given with `SAMOVAR_TEST_SEED`.

use std::env;

use fastrand::Rng;
use samovar_tests::{Reply, Samovar, within};
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

/// Lets all clients send their requests, and returns these with their answers.
async fn storm(samovar: &Samovar, seed: u64) -> Vec<(String, usize, Reply)> {
    let clients = (0..CLIENTS).map(|client| {
        let http = samovar.http.clone();
        let mut random = Rng::with_seed(seed.wrapping_add(client as u64));
        tokio::spawn(async move {
            let mut answers = Vec::new();
            for _ in 0..REQUESTS {
                let (path, calls) = tree(&mut random);
                let reply = http.get(&path).await;
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
    for (path, calls, reply) in storm(&samovar, seed()).await {
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        is_whole(&path, calls, &reply);
    }
    assert_eq!(refused(&samovar).await, 0.0);
}

#[tokio::test]
async fn with_too_few_places_everybody_is_served_or_refused() {
    let seed = seed();
    let samovar = Samovar::start().await;
    for places in [1, 2, 4] {
        deploy(&samovar, places).await;
        let (mut served, mut loops) = (0, 0);
        let before = refused(&samovar).await;
        // A request that waited in a circle would wait for an hour, and the storm would not end.
        for (path, calls, reply) in storm(&samovar, seed).await {
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
        println!("{places} places: {served} served, {loops} refused");
        assert!(served > 0, "nobody was served with {places} places");
        assert!(refused(&samovar).await - before >= f64::from(loops), "each of them is counted");
        for name in NAMES {
            idle(&samovar, name).await;
        }
    }
}
