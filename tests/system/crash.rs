//! The crash test: `kill -9` at random moments while uploads, deployments, deletions and policy
//! swaps run, then a check of everything that was acknowledged.
//!
//! The seed is printed and can be given with `SAMOVAR_TEST_SEED`. It decides the moments and the
//! operations; how far they get until the kill is up to the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use http::Method;
use samovar_tests::http::full;
use samovar_tests::status::{list, text};
use samovar_tests::{Http, Reply, Samovar, files, tiny_handler, unique, within};
use serde_json::{Value, json};

const ROUNDS: usize = 110;
/// A slow machine gets more rounds, until enough was acknowledged to check.
const ROUNDS_MAX: usize = 4 * ROUNDS;
/// Longest time from the start of a round to its kill.
const LIFE_MS_MAX: u64 = 300;
/// Deployments that change their component, and come and go.
const CHANGING: [&str; 3] = ["red", "green", "blue"];
/// The deployment whose policy is swapped.
const SWAPPED: &str = "swapped";

/// What a name may hold: the last acknowledged value, or one on its way since.
#[derive(Debug, Clone, Default)]
struct Register {
    acknowledged: Value,
    on_its_way: Vec<Value>,
}

impl Register {
    fn check(&mut self, name: &str, seen: Value) {
        let possible = seen == self.acknowledged || self.on_its_way.contains(&seen);
        assert!(possible, "{name} is {seen}, which was neither acknowledged nor asked: {self:?}");
        *self = Self { acknowledged: seen, on_its_way: Vec::new() };
    }
}

/// What must be there after a kill.
#[derive(Default)]
struct World {
    /// Acknowledged digests, with the status their handlers answer.
    components: BTreeMap<String, u16>,
    /// For deployments: the digest, null when deleted. For the swapped one: policy and config.
    registers: BTreeMap<&'static str, Register>,
    acknowledgements: usize,
    next_upload: u64,
}

type Shared = Arc<Mutex<World>>;

fn lock(world: &Shared) -> std::sync::MutexGuard<'_, World> {
    world.lock().expect("nobody panics while holding it")
}

#[tokio::test]
async fn kills_at_random_moments_lose_nothing_acknowledged() {
    let given = env::var("SAMOVAR_TEST_SEED").ok();
    let seed = given.map_or_else(|| fastrand::u64(..), |text| text.parse().expect("a number"));
    println!("SAMOVAR_TEST_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let mut samovar = Samovar::start().await;
    let world = Shared::default();
    prepare(&samovar, &world).await;
    let mut rounds_with_work = 0;
    let mut round = 0;
    let is_enough = |round: usize| {
        let uploads = lock(&world).components.len();
        round >= ROUNDS && (uploads > ROUNDS / 4 || round >= ROUNDS_MAX)
    };
    while !is_enough(round) {
        let before = lock(&world).acknowledgements;
        live_and_die(&mut samovar, &world, &mut random).await;
        rounds_with_work += usize::from(lock(&world).acknowledgements > before);
        samovar.start_again().await;
        check(&samovar, &world, &mut random, round % 10 == 0).await;
        round += 1;
    }
    assert!(rounds_with_work >= ROUNDS / 2, "the kills came too early: {rounds_with_work} rounds");
    println!("{round} kills, {rounds_with_work} of them after an acknowledgement");
    let uploads = lock(&world).components.len();
    assert!(uploads > ROUNDS / 4, "only {uploads} uploads were acknowledged");
    no_litter(&samovar).await;
    samovar.stop().await;
}

async fn prepare(samovar: &Samovar, world: &Shared) {
    samovar.push_policy("mine", "queue-depth").await;
    let status = 200;
    let digest = samovar.upload(tiny_handler(status)).await;
    samovar.put_spec(SWAPPED, &digest, json!({"replicas": "0..2"})).await.expect(201);
    let mut world = lock(world);
    world.components.insert(digest, status);
    let first = json!({"name": "lightning", "config": {}});
    let register = Register { acknowledged: first, ..Register::default() };
    world.registers.insert(SWAPPED, register);
    for name in CHANGING {
        world.registers.insert(name, Register::default());
    }
}

/// Works on the server from several sides and kills it in the middle.
async fn live_and_die(samovar: &mut Samovar, world: &Shared, random: &mut Rng) {
    let life = Duration::from_millis(random.u64(0..=LIFE_MS_MAX));
    let mut workers = Vec::new();
    let worker = |random: &mut Rng| (samovar.admin.clone(), world.clone(), random.fork());
    let (admin, shared, own) = worker(random);
    workers.push(tokio::spawn(upload_until_killed(admin, shared, own)));
    for name in CHANGING {
        let (admin, shared, own) = worker(random);
        workers.push(tokio::spawn(change_until_killed(admin, shared, own, name)));
    }
    let (admin, shared, own) = worker(random);
    workers.push(tokio::spawn(swap_until_killed(admin, shared, own)));
    tokio::time::sleep(life).await; // Not to wait for anything: this is the random moment.
    samovar.kill9();
    for worker in workers {
        within("a worker notices the kill", worker).await.expect("no request was refused");
    }
}

/// Sends one request. `None` when the server was killed before it answered.
async fn ask(admin: &Http, method: Method, path: &str, body: Vec<u8>) -> Option<Reply> {
    let request = admin.request(method, path).body(full(body)).expect("a valid request");
    let reply = admin.try_send(request).await.ok()?;
    let good = matches!(reply.status, 200 | 201 | 204);
    assert!(good, "{path}: {} {}", reply.status, reply.text());
    Some(reply)
}

async fn upload_until_killed(admin: Http, world: Shared, mut random: Rng) {
    loop {
        let status = random.u16(200..300);
        let number = {
            let mut world = lock(&world);
            world.next_upload += 1;
            world.next_upload
        };
        let wasm = unique(&tiny_handler(status), number);
        let Some(reply) = ask(&admin, Method::POST, "/v1/components", wasm).await else { return };
        let digest = text(&reply.json(), "/digest").to_owned();
        let mut world = lock(&world);
        world.components.insert(digest, status);
        world.acknowledgements += 1;
    }
}

async fn change_until_killed(admin: Http, world: Shared, mut random: Rng, name: &'static str) {
    let path = format!("/v1/deployments/{name}");
    loop {
        let exists = !lock(&world).registers[name].acknowledged.is_null();
        let wanted = if exists && random.u8(..) < 64 {
            Value::Null
        } else {
            let world = lock(&world);
            let pick = random.usize(0..world.components.len());
            json!(world.components.keys().nth(pick))
        };
        announce(&world, name, &wanted);
        let asked = if wanted.is_null() {
            ask(&admin, Method::DELETE, &path, Vec::new()).await
        } else {
            let spec = json!({"component": wanted, "replicas": "0..2"});
            ask(&admin, Method::PUT, &path, spec.to_string().into_bytes()).await
        };
        if asked.is_none() {
            return;
        }
        acknowledge(&world, name, wanted);
    }
}

async fn swap_until_killed(admin: Http, world: Shared, mut random: Rng) {
    let path = format!("/v1/deployments/{SWAPPED}/policy");
    loop {
        let number = random.u32(1..1000);
        let (policy, config) = match random.bool() {
            true => ("mine", json!({"waiting_per_replica": number})),
            false => ("lightning", json!({"max_batch_size": number})),
        };
        let wanted = json!({"name": policy, "config": config});
        announce(&world, SWAPPED, &wanted);
        let wish = json!({"policy": policy, "config": config}).to_string();
        if ask(&admin, Method::PUT, &path, wish.into_bytes()).await.is_none() {
            return;
        }
        acknowledge(&world, SWAPPED, wanted);
    }
}

fn announce(world: &Shared, name: &'static str, wanted: &Value) {
    let mut world = lock(world);
    let register = world.registers.get_mut(name).expect("all names are there");
    register.on_its_way.push(wanted.clone());
}

fn acknowledge(world: &Shared, name: &'static str, value: Value) {
    let mut world = lock(world);
    world.acknowledgements += 1;
    world.registers.insert(name, Register { acknowledged: value, on_its_way: Vec::new() });
}

/// Compares the restarted server with what was acknowledged.
async fn check(samovar: &Samovar, world: &Shared, random: &mut Rng, serve_all: bool) {
    let components = samovar.admin.get("/v1/components").await.expect(200).json();
    let deployments = samovar.admin.get("/v1/deployments").await.expect(200).json();
    let there: BTreeSet<&str> =
        list(&components, "/components").iter().map(|one| text(one, "/digest")).collect();
    let mut to_serve = Vec::new();
    {
        let mut world = lock(world);
        for digest in world.components.keys() {
            assert!(there.contains(digest.as_str()), "{digest} was acknowledged and is gone");
        }
        let find = |name: &str| {
            list(&deployments, "/deployments").iter().find(|status| status["name"] == name)
        };
        let policy = &find(SWAPPED).expect("it was acknowledged")["policy"];
        let seen = json!({"name": policy["name"], "config": policy["config"]});
        world.registers.get_mut(SWAPPED).expect("it is there").check(SWAPPED, seen);
        for name in CHANGING {
            let seen = find(name).map_or(Value::Null, |status| status["component"].clone());
            world.registers.get_mut(name).expect("it is there").check(name, seen.clone());
            if let Some(digest) = seen.as_str() {
                to_serve.push((name, world.components[digest]));
            }
        }
    }
    random.shuffle(&mut to_serve);
    to_serve.truncate(if serve_all { CHANGING.len() } else { 1 });
    for (name, status) in to_serve {
        assert_eq!(samovar.http.get(&format!("/{name}")).await.status, status, "{name}");
    }
    let compiled = samovar.metric("samovar_compilations_total", &[]).await;
    assert_eq!(compiled, Some(0.0), "something was compiled again");
}

/// Fails if the kills left files behind that belong to no component.
async fn no_litter(samovar: &Samovar) {
    let components = samovar.admin.get("/v1/components").await.expect(200).json();
    let digests: BTreeSet<String> = list(&components, "/components")
        .iter()
        .map(|one| text(one, "/digest").trim_start_matches("sha256:").to_owned())
        .collect();
    let mut litter = files::below(&samovar.data().join("artifacts"));
    litter.retain(|file| {
        let name = file.file_stem().and_then(|name| name.to_str()).expect("a name");
        !digests.contains(name)
    });
    assert!(litter.is_empty(), "{} files belong to nothing: {litter:?}", litter.len());
}
