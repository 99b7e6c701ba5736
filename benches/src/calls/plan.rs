//! Which deployments there are, and what is asked of them.

use std::net::SocketAddr;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{loadgen::Load, turns::Turn};

/// What the caller says about the callee's answer, before the end of the line; alone it says the
/// same.
const REPORT: &str = "status 200, 20 bytes";
const ECHO_BYTES: usize = 64 << 10;
/// The later steps of the longest chain.
const STEPS: [&str; 4] = ["c2", "c3", "c4", "c5"];

/// The same deployments for one kind of handler.
struct Kind {
    name: &'static str,
    caller: &'static str,
    hello: &'static str,
    echo: &'static str,
    concurrency: usize,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "0.2",
        caller: "fixture-caller",
        hello: "hello",
        echo: "echo-sync",
        concurrency: 1,
    },
    Kind {
        name: "0.3",
        caller: "fixture-caller-async",
        hello: "hello-async",
        echo: "echo",
        concurrency: 16,
    },
];

/// A deployment to make.
pub struct Deployment {
    pub name: String,
    pub guest: &'static str,
    pub replicas: usize,
    pub spec: Value,
}

/// All deployments, with replicas enough that nobody waits for one under so many connections.
/// Callers may ask the server at `data_plane`.
pub fn deployments(data_plane: SocketAddr, connections: usize) -> Vec<Deployment> {
    KINDS.iter().flat_map(|kind| of_kind(kind, data_plane, connections)).collect()
}

fn of_kind(kind: &Kind, data_plane: SocketAddr, connections: usize) -> Vec<Deployment> {
    let Kind { caller, hello, echo, concurrency, .. } = kind;
    let replicas = connections.div_ceil(*concurrency);
    let deployment = |role: &str, guest, more: Value| {
        let mut spec = json!({
            "replicas": {"min": replicas, "max": replicas}, "concurrency": concurrency,
        });
        for (key, value) in more.as_object().expect("it is a table") {
            spec[key] = value.clone();
        }
        Deployment { name: kind.deployment(role), guest, replicas, spec }
    };
    let able = json!({
        "env": {"NAME": REPORT},
        "outbound": {
            "allow": [format!("http://{data_plane}")], "addresses": ["loopback"],
            "max_connections": connections.max(64),
        },
    });
    let unable = json!({"env": {"NAME": REPORT}, "calls": {"allow": []}});
    let mut all = vec![
        deployment("a", *caller, able),
        deployment("off", *caller, unable),
        deployment("hello", *hello, json!({})),
        deployment("echo", *echo, json!({})),
    ];
    let step = |name: &&str| deployment(name, *caller, json!({"env": {"NAME": name}}));
    all.extend(STEPS.iter().map(step));
    all
}

impl Kind {
    /// The deployment in the role `a`, `hello` and so on. Names of hosts have no points here.
    fn deployment(&self, role: &str) -> String {
        format!("{role}-{}", self.name.replace('.', "-"))
    }
}

/// A caller alone, and calling on two ways: places in [`Plan::turns`].
pub struct Case {
    pub name: String,
    pub alone: usize,
    pub inside: usize,
    pub loopback: usize,
    /// Whether the promise is about this one.
    pub has_bar: bool,
}

/// A caller without its call, with one, and with one that leads to others.
pub struct Chain {
    pub name: String,
    pub alone: usize,
    pub one: usize,
    pub all: usize,
    /// Calls in the longest one.
    pub calls: usize,
}

/// What is measured, and how the measured loads belong together.
#[derive(Default)]
pub struct Plan {
    pub turns: Vec<Turn>,
    pub cases: Vec<Case>,
    pub chains: Vec<Chain>,
    /// A handler that may call, and the same that may not; neither does.
    pub idle: Vec<(usize, usize)>,
}

impl Plan {
    pub fn new(data_plane: SocketAddr, connections: usize) -> Self {
        let mut plan = Maker { plan: Self::default(), data_plane, connections };
        for kind in &KINDS {
            let alone = plan.greetings(kind);
            let unable = plan.get(
                format!("{}, may not call", kind.name),
                format!("/{}/x", kind.deployment("off")),
                REPORT.len() + 1,
            );
            plan.plan.idle.push((alone, unable));
            plan.echoes(kind);
            plan.chain(kind);
        }
        plan.plan
    }
}

struct Maker {
    plan: Plan,
    data_plane: SocketAddr,
    connections: usize,
}

impl Maker {
    /// Calls of short answers to both kinds. Where the caller alone is.
    fn greetings(&mut self, kind: &Kind) -> usize {
        let (name, bytes) = (kind.name, REPORT.len() + 1);
        let caller = kind.deployment("a");
        let alone = self.get(format!("{name} alone"), format!("/{caller}/x"), bytes);
        for callee in &KINDS {
            let name = format!("{name} to {}", callee.name);
            let [inside, loopback] = self.urls(&callee.deployment("hello")).map(|(way, url)| {
                self.get(format!("{name}, {way}"), format!("/{caller}/url?u={url}"), bytes)
            });
            self.plan.cases.push(Case { name, alone, inside, loopback, has_bar: true });
        }
        alone
    }

    /// Calls whose bodies stream there and back.
    fn echoes(&mut self, kind: &Kind) {
        let (name, caller) = (format!("{}, 64 KiB", kind.name), kind.deployment("a"));
        let alone = self.post(format!("{name} alone"), format!("/{caller}/echo"));
        let name = format!("{} to {}, 64 KiB", kind.name, kind.name);
        let [inside, loopback] = self.urls(&kind.deployment("echo")).map(|(way, url)| {
            self.post(format!("{name}, {way}"), format!("/{caller}/proxy?u={url}"))
        });
        self.plan.cases.push(Case { name, alone, inside, loopback, has_bar: false });
    }

    fn chain(&mut self, kind: &Kind) {
        let path = format!("/{}/call", kind.deployment("a"));
        let steps = STEPS.map(|step| kind.deployment(step));
        let chain = |maker: &mut Self, length: usize| {
            let name = format!("{}, chain of {length} calls", kind.name);
            let label = [REPORT].into_iter().chain(STEPS[..length].iter().copied());
            let bytes = label.collect::<Vec<_>>().join(">").len() + 1;
            maker.get(name, format!("{path}?to={}", steps[..length].join(",")), bytes)
        };
        let (name, calls) = (kind.name.to_owned(), STEPS.len());
        let [alone, one, all] = [0, 1, calls].map(|length| chain(self, length));
        self.plan.chains.push(Chain { name, alone, one, all, calls });
    }

    /// The two ways to a deployment.
    fn urls(&self, deployment: &str) -> [(&'static str, String); 2] {
        [
            ("in process", format!("http://{deployment}.internal/")),
            ("over loopback", format!("http://{}/{deployment}/", self.data_plane)),
        ]
    }

    fn get(&mut self, name: String, path: String, answer_bytes: usize) -> usize {
        let load = Load::get(self.data_plane, path, self.connections);
        self.add(name, Load { expects_bytes: Some(answer_bytes), ..load })
    }

    fn post(&mut self, name: String, path: String) -> usize {
        let load = Load::get(self.data_plane, path, self.connections);
        let body = Bytes::from(vec![b'x'; ECHO_BYTES]);
        self.add(name, Load { body, expects_bytes: Some(ECHO_BYTES), ..load })
    }

    fn add(&mut self, name: String, load: Load) -> usize {
        self.plan.turns.push(Turn::full(name, load));
        self.plan.turns.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_compare_loads_of_one_caller() {
        let plan = Plan::new("127.0.0.1:80".parse().unwrap(), 4);
        let name = |at: usize| plan.turns[at].name.as_str();
        assert_eq!(plan.cases.len(), 6);
        for case in &plan.cases {
            let (inside, loopback) = (name(case.inside), name(case.loopback));
            assert_eq!(inside, format!("{}, in process", case.name));
            assert_eq!(loopback, format!("{}, over loopback", case.name));
            let of_caller = [case.alone, case.inside, case.loopback].map(|at| &name(at)[..3]);
            assert_eq!(of_caller, [&case.name[..3]; 3]);
            assert!(name(case.alone).ends_with("alone"), "{}", name(case.alone));
            let sizes = [case.alone, case.inside, case.loopback]
                .map(|at| plan.turns[at].load.expects_bytes);
            assert_eq!(sizes, [sizes[0]; 3]);
        }
        for (may, may_not) in &plan.idle {
            assert_eq!(name(*may).replace(" alone", ", may not call"), name(*may_not));
        }
    }

    #[test]
    fn nobody_waits_for_a_replica() {
        let all = deployments("127.0.0.1:80".parse().unwrap(), 33);
        let seen = |name: &str| all.iter().find(|one| one.name == name).unwrap().replicas;
        assert_eq!((seen("a-0-2"), seen("c5-0-2"), seen("hello-0-3")), (33, 33, 3));
    }
}
