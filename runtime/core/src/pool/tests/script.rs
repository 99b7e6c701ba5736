//! Tables: a script of events goes in, what the pool did comes out.
//!
//! Events are separated by `|` or line ends, the first one gives the limits. An event may start
//! with its time; without one it happens at the time of the event before. Requests have names of
//! the script's choice, replicas are `r` and their id. A batch has the name of its first request.

use crate::limits::{BatchLimits, BatchSince, PoolLimits};
use crate::pool::{Action, Arrival, Health, Member, Outcome, Pause, Pool, Refusal, Ticket};
use crate::replica::{Lease, ReplicaId, ReplicaKind, State};
use crate::time::Timestamp;
use expect_test::Expect;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Runs `script` and compares what happened with `expected`.
#[track_caller]
pub fn check(script: &str, expected: Expect) {
    let mut events = script.split(['|', '\n']).map(str::trim).filter(|event| !event.is_empty());
    let mut player = Player::new(events.next().expect("a script starts with limits"));
    for event in events {
        player.play(event);
    }
    expected.assert_eq(&player.said);
}

struct Player {
    pool: Pool<String>,
    now: Timestamp,
    leases: BTreeMap<u64, Lease>,
    tickets: BTreeMap<String, Ticket>,
    served: BTreeMap<String, Lease>,
    arrived: BTreeMap<String, Timestamp>,
    batches: BTreeMap<String, Vec<Member<String>>>,
    said: String,
}

impl Player {
    fn new(limits: &str) -> Self {
        Player {
            pool: Pool::new(limits_of(limits), Timestamp::ZERO),
            now: Timestamp::ZERO,
            leases: BTreeMap::new(),
            tickets: BTreeMap::new(),
            served: BTreeMap::new(),
            arrived: BTreeMap::new(),
            batches: BTreeMap::new(),
            said: String::new(),
        }
    }

    fn play(&mut self, event: &str) {
        let mut words: Vec<&str> = event.split_whitespace().collect();
        if words[0].starts_with(|first: char| first.is_ascii_digit()) {
            self.now = Timestamp::ZERO + duration_of(words.remove(0));
        }
        let now = self.now;
        let (verb, rest) = words.split_first().expect("an event has a verb");
        match *verb {
            "arrive" => rest.iter().for_each(|name| self.arrive(name)),
            "cancel" => {
                let left = self.pool.cancel(self.tickets[rest[0]], now);
                self.say(&format!("{} {}", rest[0], left.map_or("waits no more", |_| "left")));
            }
            "finish" => self.finish(rest[0], rest.get(1).copied().unwrap_or("completed")),
            "started" => {
                for name in rest {
                    self.pool.started(self.lease(name), now);
                }
            }
            "fail" => self.pool.start_failed(self.lease(rest[0]), now),
            "refuse" => {
                let retry_at = Timestamp::ZERO + duration_of(rest[1]);
                self.pool.start_refused(self.lease(rest[0]), retry_at, now);
            }
            "condemn" => self.pool.condemn(self.lease(rest[0]), now),
            "crash" => self.pool.crashed(self.lease(rest[0]), now),
            "adopt" => self.adopt(),
            "release" => self.pool.release(self.lease(rest[0]), now),
            "target" | "shed" => {
                let target = rest[0].parse().expect("a target");
                let first: Vec<ReplicaId> = rest[1..].iter().map(|name| id_of(name)).collect();
                self.pool.set_target(target, &first, *verb == "shed", now);
            }
            "pause" => self.say(&why_paused(self.pool.pause(now))),
            "totals" => {
                let totals = self.pool.totals();
                let (started, failed) = (totals.replicas_started, totals.replicas_failed);
                self.say(&format!("{started} started, {failed} failed"));
            }
            "plan" => self.pool.plan(now),
            "close" => self.pool.close(now),
            "show" => self.show(),
            "next" => {
                let next = self.pool.next_wake(now);
                self.say(&next.map_or("never".to_owned(), |at| format!("next at {}", time(at))));
            }
            "look" => self.look(),
            "flush" => self.pool.flush(now),
            "due" => {
                let due = self.pool.batch_due();
                self.say(&due.map_or("not due".to_owned(), |at| format!("due at {}", time(at))));
            }
            "retry" => self.retry(rest),
            "batches" => self.show_batches(),
            "list" => self.list(),
            _ => self.operate(verb, rest),
        }
        self.settle();
    }

    /// What operators do, and one more for a chain.
    fn operate(&mut self, verb: &str, rest: &[&str]) {
        let now = self.now;
        match verb {
            "hold" => self.pool.hold(rest[0].parse().ok(), now),
            "add" => {
                let added = self.pool.add(rest[0].parse().expect("a count"), now);
                self.say(&format!("{added} added"));
            }
            "remove" | "restart" => {
                let id = id_of(rest[0]);
                let done = match verb {
                    "remove" => self.pool.remove_replica(id, now),
                    _ => self.pool.restart(id, now),
                };
                if let Err(error) = done {
                    self.say(&format!("not done: {error}"));
                }
            }
            "more" => {
                let has_room = self.pool.start_one_more(now);
                self.say(if has_room { "one more" } else { "no room for more" });
            }
            other => panic!("no such event: {other}"),
        }
    }

    fn arrive(&mut self, name: &str) {
        self.arrived.insert(name.to_owned(), self.now);
        match self.pool.arrive(|| name.to_owned(), self.now) {
            Arrival::Assigned(lease) => {
                self.served.insert(name.to_owned(), lease);
                self.say(&format!("{name} on r{}", lease.id.0));
            }
            Arrival::Queued(ticket) => {
                self.tickets.insert(name.to_owned(), ticket);
                self.say(&format!("{name} waits"));
            }
            Arrival::Refused(refusal) => self.say(&format!("{name} refused: {}", why(refusal))),
        }
        self.settle();
    }

    fn adopt(&mut self) {
        match self.pool.adopt(self.now) {
            Some(lease) => {
                self.leases.insert(lease.id.0, lease);
                self.say(&format!("r{} adopted", lease.id.0));
            }
            None => self.say("not adopted"),
        }
    }

    fn finish(&mut self, name: &str, how: &str) {
        let (outcome, health) = match how {
            "completed" => (Outcome::Completed, Health::Sound),
            "failed" => (Outcome::Failed, Health::Sound),
            "cancelled" => (Outcome::Cancelled, Health::Sound),
            "trapped" => (Outcome::Failed, Health::Condemned),
            other => panic!("no such end: {other}"),
        };
        let arrived = self.arrived[name];
        let lease = self.served.remove(name).expect("the request is served");
        match self.batches.remove(name) {
            Some(members) => {
                let ends: Vec<_> = members.iter().map(|each| (each.arrived, outcome)).collect();
                self.pool.finish_batch(lease, &ends, health, self.now);
            }
            None => self.pool.finish(lease, arrived, outcome, health, self.now),
        }
    }

    /// A batch trapped. Those that are named have left, the others are to be served again.
    fn retry(&mut self, names: &[&str]) {
        let lease = self.served.remove(names[0]).expect("the batch is served");
        let members = self.batches.remove(names[0]).expect("it is a batch");
        let has_left = |member: &Member<String>| names[1..].contains(&member.waiter.as_str());
        let (left, again): (Vec<_>, Vec<_>) = members.into_iter().partition(has_left);
        let ends: Vec<_> = left.iter().map(|each| (each.arrived, Outcome::Cancelled)).collect();
        self.pool.retry_batch(lease, &ends, again, Health::Condemned, self.now);
    }

    fn show_batches(&mut self) {
        let batches = self.pool.batches().expect("the pool batches");
        let (sent, requests) = (batches.sent(), batches.requests());
        let sizes: Vec<String> =
            batches.sizes().map(|(most, count)| format!("{most}: {count}")).take(5).collect();
        let waits = batches.waits();
        let line = format!("{sent} sent with {requests}, up to {}", sizes.join(", "));
        let waits = format!("{} waited {:?}", waits.total(), waits.sum());
        self.say(&format!("{line}; {waits}"));
    }

    fn settle(&mut self) {
        while let Some(action) = self.pool.next_action() {
            let line = match action {
                Action::Start(lease) => {
                    self.leases.insert(lease.id.0, lease);
                    format!("start r{}", lease.id.0)
                }
                Action::Drop(lease) => format!("drop r{}", lease.id.0),
                Action::Cut(lease) => format!("cut r{}", lease.id.0),
                Action::Wake(name, lease) => {
                    let line = format!("{name} on r{}", lease.id.0);
                    self.served.insert(name, lease);
                    line
                }
                Action::Batch(members, lease) => {
                    let names: Vec<_> = members.iter().map(|each| each.waiter.clone()).collect();
                    let line = format!("{} on r{}", names.join("+"), lease.id.0);
                    self.served.insert(names[0].clone(), lease);
                    self.batches.insert(names[0].clone(), members);
                    line
                }
                Action::Refuse(name, refusal) => format!("{name} refused: {}", why(refusal)),
            };
            self.say(&line);
        }
    }

    fn show(&mut self) {
        let counts = self.pool.counts();
        let mut line = format!(
            "{} starting, {} ready, {} draining, target {}, {} queued, {} ongoing",
            counts.starting,
            counts.ready,
            counts.draining,
            counts.target,
            counts.queued,
            counts.ongoing
        );
        if self.pool.is_asleep() {
            line += ", asleep";
        }
        if self.pool.is_finished() {
            line += ", finished";
        }
        if let Some(held) = self.pool.held() {
            line += &format!(", held {held}");
        }
        self.say(&line);
    }

    fn look(&mut self) {
        let seen = self.pool.observe(false, self.now);
        self.say(&format!("since {:?}", seen.since));
        self.say(&format!("queued {} on average {:?}", seen.queued, seen.queued_average));
        self.say(&format!("ongoing {} on average {:?}", seen.ongoing, seen.ongoing_average));
        self.say(&format!(
            "arrived {} completed {} failed {} rejected {}",
            seen.arrived, seen.completed, seen.failed, seen.rejected
        ));
        let latency = seen.latency.map(|latency| latency.p50_ms.round());
        self.say(&format!(
            "oldest wait {:?}, last used {:?}, p50 {latency:?} ms",
            seen.oldest_wait,
            seen.last_used.map(time)
        ));
    }

    fn list(&mut self) {
        for view in self.pool.replica_views(self.now) {
            let (idle, age) = (view.idle, view.age);
            let kind = match view.kind {
                ReplicaKind::External => "external ",
                ReplicaKind::Wasm | ReplicaKind::Process => "",
            };
            let state = match view.state {
                State::Draining { deadline } => {
                    format!("Draining until {}", time(deadline))
                }
                state => format!("{state:?}"),
            };
            let state = format!("{kind}{state}, {} ongoing", view.ongoing);
            self.say(&format!("r{} {state}, idle {idle:?}, age {age:?}", view.id.0));
        }
    }

    fn lease(&self, name: &str) -> Lease {
        self.leases[&id_of(name).0]
    }

    fn say(&mut self, what: &str) {
        writeln!(self.said, "{:<6} {what}", time(self.now)).expect("a string takes all");
    }
}

fn id_of(name: &str) -> ReplicaId {
    ReplicaId(name.strip_prefix('r').and_then(|id| id.parse().ok()).expect("a replica's name"))
}

fn why(refusal: Refusal) -> String {
    match refusal {
        Refusal::QueueFull => "queue full".to_owned(),
        Refusal::StartFailing { retry_at } => format!("starts fail, retry at {}", time(retry_at)),
        Refusal::Closed => "closed".to_owned(),
    }
}

fn why_paused(pause: Option<Pause>) -> String {
    match pause {
        Some(Pause::Failing { failures, until }) => {
            format!("failed {failures} times, waits until {}", time(until))
        }
        Some(Pause::NoRoom { until }) => format!("no room, waits until {}", time(until)),
        None => "no pause".to_owned(),
    }
}

/// A time of the script, as short as it can be written.
fn time(at: Timestamp) -> String {
    match at.since(Timestamp::ZERO) {
        Duration::ZERO => "0s".to_owned(),
        since => format!("{since:?}"),
    }
}

fn duration_of(text: &str) -> Duration {
    let unit = text.find(|part: char| part.is_ascii_alphabetic()).expect("a time has a unit");
    let count: u64 = text[..unit].parse().expect("a time is a number");
    match &text[unit..] {
        "ms" => Duration::from_millis(count),
        "s" => Duration::from_secs(count),
        "m" => Duration::from_secs(60 * count),
        other => panic!("no such unit: {other}"),
    }
}

/// Lightning's way of batching if `name` is `lightning`; `8/10ms` says how many and how long.
fn batch_of(name: &str, value: &str) -> BatchLimits {
    let (size, timeout) = value.split_once('/').expect("a size and a time");
    let since = if name == "lightning" { BatchSince::PreviousSend } else { BatchSince::Oldest };
    BatchLimits { max_size: size.parse().expect("a size"), timeout: duration_of(timeout), since }
}

/// Limits of which a script names the interesting ones: `min=1 max=4`.
fn limits_of(text: &str) -> PoolLimits {
    let mut limits = PoolLimits::sample(0, 1);
    limits.idle_ttl = None;
    for setting in text.split_whitespace() {
        let (name, value) = setting.split_once('=').expect("a setting has a value");
        let count = || value.parse().expect("a count");
        match name {
            "min" => limits.min = count(),
            "max" => limits.max = count(),
            "initial" => limits.initial = count(),
            "concurrency" => limits.concurrency = count(),
            "queue" => limits.queue_max = count(),
            "max_requests" => limits.max_requests = Some(u64::from(count())),
            "max_age" => limits.max_age = Some(duration_of(value)),
            "idle" => limits.idle_ttl = Some(duration_of(value)),
            "scaledown" => limits.scaledown_ttl = duration_of(value),
            "drain" => limits.drain_timeout = duration_of(value),
            "batch" | "lightning" => limits.batch = Some(batch_of(name, value)),
            other => panic!("no such limit: {other}"),
        }
    }
    limits
}
