//! Random kills: workers, the server, and what cleans up after it, under a steady load of requests.
//!
//! Every request is answered exactly once, no lease is lost, and nothing is left running. The seed
//! is printed and can be given with `SAMOVAR_TEST_SEED`; `SAMOVAR_KILLS` says how many kills, 60 by
//! default.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use http::Method;
use samovar_tests::http::full;
use samovar_tests::native::{Holdings, Process, command_line, no_workers, processes, workers};
use samovar_tests::status::number;
use samovar_tests::{Http, Native, eventually, within};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// After so many kills of workers the server is killed.
const WORKERS_PER_SERVER: u64 = 19;
/// Longest time between two kills.
const PAUSE_MS_MAX: u64 = 150;
/// Accelerators of the machine. The deployments take all of them.
const DEVICES: usize = 4;
/// What the server says when it could not get an answer for a client.
const EXCUSES: [&str; 6] = [
    "replica-failed",
    "start-failed",
    "queue-timeout",
    "request-timeout",
    "shutting-down",
    "queue-full",
];

/// The deployments: name, spec, replicas.
fn deployments() -> [(&'static str, Value, usize); 4] {
    let common = |process: Value, replicas: usize| {
        let queue = json!({"timeout": "5s"});
        json!({"process": process, "replicas": replicas, "queue": queue, "concurrency": 4})
    };
    let mut gang = common(json!({"gpus": 0.5}), 1);
    gang["distribute"] = json!({"type": "pytorch", "workers": 2});
    [
        ("port", common(json!({"gpus": 0.5}), 2), 2),
        ("socket", common(json!({"gpus": 0.5, "listen": "socket"}), 2), 2),
        ("gang", gang, 1),
        ("whole", common(json!({"gpus": 1}), 1), 1),
    ]
}

/// Where the load goes, and whether anybody is there.
struct Front {
    http: Mutex<Http>,
    /// Goes up before the server is killed, and when it is back: odd while it is down.
    epoch: AtomicU64,
    stop: AtomicBool,
}

/// What a client saw.
#[derive(Default)]
struct Seen {
    succeeded: Vec<String>,
    excused: BTreeMap<String, usize>,
    /// Connections that were refused or broke while the server was down.
    cut: usize,
    faults: Vec<String>,
}

/// Sends one request after another, each with an id of its own.
async fn ask_until_stopped(front: Arc<Front>, name: &'static str, client: usize) -> Seen {
    let mut seen = Seen::default();
    let mut count = 0;
    while !front.stop.load(Ordering::SeqCst) && seen.faults.len() < 20 {
        count += 1;
        let id = format!("{name}-{client}-{count}");
        let began = front.epoch.load(Ordering::SeqCst);
        let http = front.http.lock().expect("nobody panics with it").clone();
        let request = http.request(Method::POST, &format!("/{name}/once"));
        let request = request.body(full(id.clone())).expect("a valid request");
        let answer = http.try_send(request).await;
        let was_down = began % 2 == 1 || front.epoch.load(Ordering::SeqCst) != began;
        match answer {
            Ok(reply) if reply.status == 200 && reply.text() == id => {
                seen.succeeded.push(id);
                continue;
            }
            Ok(reply) => {
                let excuse = reply.header("samovar-error").unwrap_or_default().to_owned();
                if matches!(reply.status, 502..=504) && EXCUSES.contains(&excuse.as_str()) {
                    *seen.excused.entry(excuse).or_default() += 1;
                } else {
                    seen.faults.push(format!("{id}: {} {}", reply.status, reply.text()));
                }
            }
            Err(_) if was_down => seen.cut += 1,
            Err(error) => seen.faults.push(format!("{id}: {error}")),
        }
        tokio::time::sleep(Duration::from_millis(5)).await; // Not to be the only one who works.
    }
    seen
}

fn start_load(front: &Arc<Front>) -> Vec<JoinHandle<Seen>> {
    let clients = deployments().into_iter().flat_map(|(name, ..)| [(name, 0), (name, 1)]);
    clients
        .map(|(name, client)| tokio::spawn(ask_until_stopped(front.clone(), name, client)))
        .collect()
}

/// Kills a process of one of the replicas, in turn of the deployments: a pool that loses too many
/// in a row waits too long for the next. Now and then anybody, those that start and daemons too.
async fn kill_worker(native: &Native, random: &mut Rng, turn: usize) {
    let names = deployments().map(|(name, ..)| name);
    let victim = eventually("somebody to kill", async || {
        let ours = native.workers();
        if random.u8(..) < 64 {
            return random.choice(ours);
        }
        for offset in 0..names.len() {
            let replicas = native.replicas(names[(turn + offset) % names.len()]).await;
            let mut victims: Vec<Process> = replicas.iter().flat_map(processes).collect();
            victims.retain(|victim| ours.contains(victim));
            if let Some(victim) = random.choice(victims) {
                return Some(victim);
            }
        }
        None
    })
    .await;
    victim.kill9();
}

/// Kills the server, sometimes what cleans up after it first, and starts it again.
async fn kill_server(native: &mut Native, front: &Front, random: &mut Rng) {
    let (tag, server) = (native.tag().to_owned(), native.server_pid());
    let old = native.workers();
    let has_keeper = random.bool();
    if !has_keeper {
        let mut keepers = native.descendants();
        keepers.retain(|process| !old.contains(process));
        keepers.into_iter().for_each(Process::kill9);
    }
    front.epoch.fetch_add(1, Ordering::SeqCst);
    native.kill9();
    if has_keeper && random.bool() {
        no_workers(&tag, server).await;
    }
    native.start_again().await;
    let leftovers: Vec<String> = old
        .iter()
        .filter(|process| process.is_alive())
        .map(|process| format!("{}: {}", process.pid, command_line(process.pid)))
        .collect();
    assert!(leftovers.is_empty(), "the next server is ready and still there are {leftovers:?}");
    *front.http.lock().expect("nobody panics with it") = native.http.clone();
    front.epoch.fetch_add(1, Ordering::SeqCst);
}

/// Leaves a daemon, and answers it if it is known to be there. It keeps its environment: one that
/// does not can outlive the server and its keeper if both are killed at once.
async fn fork(native: &Native, random: &mut Rng) -> Option<Process> {
    let path = if random.bool() { "/port/fork" } else { "/socket/fork" };
    let reply = native.http.try_get(path).await.ok().filter(|reply| reply.status == 200)?;
    Process::of(i32::try_from(number(&reply.json(), "/pid")).expect("a small number"))
}

/// Everything is as many as it should be, and nothing is left when it is deleted.
async fn check_and_delete(native: &Native, daemons: Vec<Process>) {
    for (name, _, replicas) in deployments() {
        native.wait_ready(name, replicas).await;
        let reply = native.http.post(&format!("/{name}/echo"), "still there").await;
        assert_eq!(reply.expect(200).text(), "still there");
    }
    assert_eq!(native.leased().await, [1.0; DEVICES]);
    for (name, ..) in deployments() {
        native.delete(name).await;
    }
    native.wait_no_workers().await;
    for daemon in daemons {
        daemon.ended().await;
    }
    native.wait_unleased().await;
    eventually("all places are free and no zombie is left", async || {
        let machine = native.machine().await;
        let is_free = machine["slots"] == machine["slots_free"];
        (is_free && Holdings::of(native.server_pid()).zombies == 0).then_some(())
    })
    .await;
}

/// Compares what the clients were told with what the workers did.
fn compare(native: &Native, all: Vec<Seen>, seed: u64) {
    let record = fs::read_to_string(native.folder().join("record")).expect("requests were served");
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    for id in record.lines() {
        *done.entry(id).or_default() += 1;
    }
    let twice: Vec<_> = done.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "seed {seed}: served more than once: {twice:?}");
    let (mut succeeded, mut cut, mut excused) = (0, 0, BTreeMap::<String, usize>::new());
    for seen in all {
        assert!(seen.faults.is_empty(), "seed {seed}: {:?}", seen.faults);
        for id in &seen.succeeded {
            assert!(done.contains_key(id.as_str()), "seed {seed}: {id} was answered by nobody");
        }
        succeeded += seen.succeeded.len();
        cut += seen.cut;
        for (excuse, count) in seen.excused {
            *excused.entry(excuse).or_default() += count;
        }
    }
    println!(
        "{succeeded} requests succeeded, {cut} were cut with the server, excused: {excused:?}"
    );
    assert!(succeeded > 100, "seed {seed}: the load did nothing");
}

#[tokio::test]
async fn random_kills_lose_no_lease_no_request_and_no_process() {
    let setting = |name: &str| env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seed: u64 = setting("SAMOVAR_TEST_SEED").unwrap_or_else(|| fastrand::u64(..));
    let kills: u64 = setting("SAMOVAR_KILLS").unwrap_or(60);
    println!("SAMOVAR_TEST_SEED={seed} SAMOVAR_KILLS={kills}");
    let mut random = Rng::with_seed(seed);
    let devices = DEVICES.to_string();
    let mut native = Native::start_with(&["--devices", &devices, "--slots", "20"]).await;
    for (name, spec, _) in deployments() {
        native.deploy(name, spec).await;
    }
    let front = Arc::new(Front {
        http: Mutex::new(native.http.clone()),
        epoch: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let load = start_load(&front);
    let mut daemons = Vec::new();
    for kill in 1..=kills {
        let pause = Duration::from_millis(random.u64(0..=PAUSE_MS_MAX));
        tokio::time::sleep(pause).await; // Not to wait for anything: this is the random moment.
        if kill % (WORKERS_PER_SERVER + 1) == 0 {
            kill_server(&mut native, &front, &mut random).await;
        } else {
            kill_worker(&native, &mut random, kill as usize).await;
        }
        if random.u8(..) < 25 {
            daemons.extend(fork(&native, &mut random).await);
        }
    }
    front.stop.store(true, Ordering::SeqCst);
    let mut all = Vec::new();
    for client in load {
        all.push(within("end the load", client).await.expect("a client does not panic"));
    }
    compare(&native, all, seed);
    check_and_delete(&native, daemons).await;
    let (tag, server) = (native.tag().to_owned(), native.server_pid());
    native.stop().await;
    assert_eq!(workers(&tag, server), [], "seed {seed}");
}
