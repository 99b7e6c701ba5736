//! Gangs: several processes that are one replica, and what each of them is told.
//!
//! A gang has nodes (`workers`) with the same number of processes (`procs`) each. Its first process
//! coordinates and takes the requests. The variables are those of Kubetorch 0.5.1
//! (`kubetorch/serving/process_worker.py` and `kubetorch/serving/spmd/`), those of Ray are as
//! KubeRay sets them. What differs, because the original is wrong there:
//!
//! - Ports are those of the gang. The original's are fixed (12345, 1234, 2222, 6379), so two gangs
//!   on one machine collide.
//! - Each process is a worker of TensorFlow's cluster, at its own port and with its own index. In
//!   the original the node is, so several processes of a node have one address and one index.
//! - `LOCAL_WORLD_SIZE` is set, and `GROUP_RANK` for PyTorch: scripts written for `torchrun` read
//!   them, and the original does not set them.
//! - Addresses of IPv6 are put in brackets before a port.
//! - A quorum is one. The original only warns when fewer workers came in time, and goes on; and it
//!   makes a deployment with a quorum below its workers that much smaller. Here all workers are
//!   wanted, and fewer than the quorum do not start.

use std::time::Duration;

/// What the processes of a gang are run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PyTorch.
    Pytorch,
    /// JAX.
    Jax,
    /// TensorFlow.
    Tensorflow,
    /// Ray.
    Ray,
    /// Nothing special.
    Spmd,
}

/// A gang that is about to start.
#[derive(Clone, Copy, Debug)]
pub struct Gang<'a> {
    /// What its processes are run with.
    pub kind: Kind,
    /// The address of each node, the coordinator's first.
    pub addresses: &'a [String],
    /// Processes per node.
    pub procs: u32,
    /// A free port of the first node, which nobody else is given.
    pub coordinator_port: u16,
    /// A free port for each process, by rank. Only TensorFlow needs them.
    pub process_ports: &'a [u16],
}

/// Whether and with how many workers a gang starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// With this many.
    Start(u32),
    /// Not yet: there are not enough places.
    Wait,
    /// Not at all: there are too few places after all the waiting.
    Fail,
}

/// With how many of `workers` a gang starts when `free` of them have a place: at once with all of
/// them, and when it has waited for `quorum_timeout` with those there are if they are `quorum`.
///
/// # Panics
///
/// If the quorum is zero or above `workers`.
pub fn placed(
    workers: u32,
    quorum: u32,
    free: u32,
    waited: Duration,
    quorum_timeout: Duration,
) -> Placement {
    assert!((1..=workers).contains(&quorum), "checked when the spec was read");
    if free >= workers {
        Placement::Start(workers)
    } else if waited < quorum_timeout {
        Placement::Wait
    } else if free >= quorum {
        Placement::Start(free)
    } else {
        Placement::Fail
    }
}

/// The environment of one process, in a fixed order.
///
/// # Panics
///
/// If there is no such node or process, or fewer ports than processes where they are needed.
pub fn environment(gang: &Gang<'_>, node_rank: u32, local_rank: u32) -> Vec<(String, String)> {
    let nodes = u32::try_from(gang.addresses.len()).expect("a gang is not that large");
    assert!(node_rank < nodes && local_rank < gang.procs, "a process of the gang");
    let world = nodes * gang.procs;
    let rank = node_rank * gang.procs + local_rank;
    let first = &gang.addresses[0];
    let coordinator = with_port(first, gang.coordinator_port);
    let mut variables = Vec::new();
    let mut set = |name: &str, value: String| variables.push((name.to_owned(), value));
    set("WORLD_SIZE", world.to_string());
    set("RANK", rank.to_string());
    set("LOCAL_RANK", local_rank.to_string());
    set("LOCAL_WORLD_SIZE", gang.procs.to_string());
    set("NODE_RANK", node_rank.to_string());
    set("POD_IPS", gang.addresses.join(","));
    match gang.kind {
        Kind::Spmd => {}
        Kind::Pytorch => {
            set("GROUP_RANK", node_rank.to_string());
            set("MASTER_ADDR", first.clone());
            set("MASTER_PORT", gang.coordinator_port.to_string());
        }
        Kind::Jax => {
            set("JAX_COORDINATOR_ADDRESS", coordinator);
            set("JAX_PROCESS_ID", rank.to_string());
            set("JAX_NUM_PROCESSES", world.to_string());
            set("JAX_LOCAL_DEVICE_IDS", local_rank.to_string());
        }
        Kind::Tensorflow => {
            set("TF_CONFIG", tensorflow_config(gang, rank));
            set("TF_FORCE_GPU_ALLOW_GROWTH", "true".to_owned());
            set("TF_GPU_THREAD_MODE", "gpu_private".to_owned());
        }
        Kind::Ray => {
            set("RAY_HEAD_NODE_IP", first.clone());
            set("RAY_PORT", gang.coordinator_port.to_string());
            set("RAY_ADDRESS", coordinator);
        }
    }
    variables
}

/// With the spaces of Python's `json.dumps`, as in the original.
fn tensorflow_config(gang: &Gang<'_>, rank: u32) -> String {
    let nodes = gang.addresses.iter().flat_map(|node| (0..gang.procs).map(move |_| node));
    let ports = gang.process_ports;
    assert!(ports.len() >= gang.addresses.len() * gang.procs as usize, "a port for each process");
    let workers: Vec<String> =
        nodes.zip(ports).map(|(node, port)| format!("\"{}\"", with_port(node, *port))).collect();
    let workers = workers.join(", ");
    format!(
        "{{\"cluster\": {{\"worker\": [{workers}]}}, \
         \"task\": {{\"type\": \"worker\", \"index\": {rank}}}}}"
    )
}

fn with_port(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    const PORTS: [u16; 6] = [4001, 4002, 4003, 4004, 4005, 4006];

    /// The environment of a process of three nodes with two processes each, as in the vectors KT40
    /// to KT44, which were recorded from the original.
    #[track_caller]
    fn check(kind: Kind, node_rank: u32, local_rank: u32, expected: Expect) {
        let addresses = ["10.0.0.5", "10.0.0.6", "10.0.0.7"].map(str::to_owned);
        let gang = Gang {
            kind,
            addresses: &addresses,
            procs: 2,
            coordinator_port: 4000,
            process_ports: &PORTS,
        };
        let lines: Vec<String> = environment(&gang, node_rank, local_rank)
            .into_iter()
            .map(|(name, value)| format!("{name}={}\n", value.replace(", \"", ",\n    \"")))
            .collect();
        expected.assert_eq(&lines.concat());
    }

    /// KT40.
    #[test]
    fn plain_processes_know_their_place() {
        check(
            Kind::Spmd,
            1,
            0,
            expect![[r#"
            WORLD_SIZE=6
            RANK=2
            LOCAL_RANK=0
            LOCAL_WORLD_SIZE=2
            NODE_RANK=1
            POD_IPS=10.0.0.5,10.0.0.6,10.0.0.7
        "#]],
        );
    }

    /// KT41, but for the port.
    #[test]
    fn pytorch_finds_its_master() {
        check(
            Kind::Pytorch,
            2,
            1,
            expect![[r#"
            WORLD_SIZE=6
            RANK=5
            LOCAL_RANK=1
            LOCAL_WORLD_SIZE=2
            NODE_RANK=2
            POD_IPS=10.0.0.5,10.0.0.6,10.0.0.7
            GROUP_RANK=2
            MASTER_ADDR=10.0.0.5
            MASTER_PORT=4000
        "#]],
        );
    }

    /// KT43, but for the port.
    #[test]
    fn jax_finds_its_coordinator() {
        check(
            Kind::Jax,
            1,
            1,
            expect![[r#"
            WORLD_SIZE=6
            RANK=3
            LOCAL_RANK=1
            LOCAL_WORLD_SIZE=2
            NODE_RANK=1
            POD_IPS=10.0.0.5,10.0.0.6,10.0.0.7
            JAX_COORDINATOR_ADDRESS=10.0.0.5:4000
            JAX_PROCESS_ID=3
            JAX_NUM_PROCESSES=6
            JAX_LOCAL_DEVICE_IDS=1
        "#]],
        );
    }

    /// KT44, but each process has a port and an index.
    #[test]
    fn tensorflow_knows_each_process() {
        check(
            Kind::Tensorflow,
            1,
            1,
            expect![[r#"
                WORLD_SIZE=6
                RANK=3
                LOCAL_RANK=1
                LOCAL_WORLD_SIZE=2
                NODE_RANK=1
                POD_IPS=10.0.0.5,10.0.0.6,10.0.0.7
                TF_CONFIG={"cluster": {"worker": ["10.0.0.5:4001",
                    "10.0.0.5:4002",
                    "10.0.0.6:4003",
                    "10.0.0.6:4004",
                    "10.0.0.7:4005",
                    "10.0.0.7:4006"]},
                    "task": {"type": "worker",
                    "index": 3}}
                TF_FORCE_GPU_ALLOW_GROWTH=true
                TF_GPU_THREAD_MODE=gpu_private
            "#]],
        );
    }

    #[test]
    fn ray_finds_its_head() {
        check(
            Kind::Ray,
            2,
            0,
            expect![[r#"
            WORLD_SIZE=6
            RANK=4
            LOCAL_RANK=0
            LOCAL_WORLD_SIZE=2
            NODE_RANK=2
            POD_IPS=10.0.0.5,10.0.0.6,10.0.0.7
            RAY_HEAD_NODE_IP=10.0.0.5
            RAY_PORT=4000
            RAY_ADDRESS=10.0.0.5:4000
        "#]],
        );
    }

    #[test]
    fn every_process_of_a_gang_is_told_another_place() {
        let addresses = vec!["127.0.0.1".to_owned(); 3];
        let gang = Gang {
            kind: Kind::Tensorflow,
            addresses: &addresses,
            procs: 2,
            coordinator_port: 4000,
            process_ports: &PORTS,
        };
        let places = (0..3).flat_map(|node| (0..2).map(move |local| (node, local)));
        for (rank, (node, local)) in places.enumerate() {
            let variables = environment(&gang, node, local);
            let value = |name: &str| {
                let found = variables.iter().find(|(other, _)| other == name);
                found.map(|(_, value)| value.clone()).expect("it is set")
            };
            assert_eq!(value("RANK"), rank.to_string());
            let config = value("TF_CONFIG");
            assert!(config.ends_with(&format!("\"index\": {rank}}}}}")), "{config}");
            assert!(PORTS.iter().all(|port| config.contains(&format!("127.0.0.1:{port}\""))));
            let mut names: Vec<&String> = variables.iter().map(|(name, _)| name).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "each name once");
        }
    }

    #[test]
    fn an_address_with_colons_is_put_in_brackets() {
        let addresses = ["fd00::1".to_owned()];
        let gang = Gang {
            kind: Kind::Jax,
            addresses: &addresses,
            procs: 1,
            coordinator_port: 4000,
            process_ports: &[],
        };
        let variables = environment(&gang, 0, 0);
        let coordinator = ("JAX_COORDINATOR_ADDRESS".to_owned(), "[fd00::1]:4000".to_owned());
        assert!(variables.contains(&coordinator));
    }

    #[test]
    fn a_gang_starts_with_all_or_after_a_while_with_its_quorum() {
        let minute = Duration::from_secs(60);
        let at = |seconds, free| placed(4, 2, free, Duration::from_secs(seconds), minute);
        assert_eq!(at(0, 4), Placement::Start(4));
        assert_eq!(at(0, 9), Placement::Start(4));
        assert_eq!(
            (at(0, 3), at(59, 3), at(59, 0)),
            (Placement::Wait, Placement::Wait, Placement::Wait)
        );
        assert_eq!((at(60, 3), at(99, 2)), (Placement::Start(3), Placement::Start(2)));
        assert_eq!((at(60, 1), at(60, 0)), (Placement::Fail, Placement::Fail));
        assert_eq!(at(60, 4), Placement::Start(4));
    }

    #[test]
    #[should_panic(expected = "checked when the spec was read")]
    fn a_quorum_above_the_workers_is_refused() {
        placed(2, 3, 2, Duration::ZERO, Duration::ZERO);
    }
}
