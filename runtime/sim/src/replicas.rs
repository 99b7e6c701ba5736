//! What the pool orders is carried out: instances are made, dropped and cut, and they crash.

use crate::deployment::{Replica, nanos};
use crate::engine::Simulation;
use crate::events::{Event, ReplicaRef};
use crate::faults::StartFault;
use crate::requests::{NONE, Stage};
use crate::tally::Ended;
use samovar_core::pool::{Action, Health, Outcome};
use samovar_core::replica::Lease;

impl Simulation {
    /// Carries out what the pool of a deployment decided.
    pub(crate) fn carry_out(&mut self, d: usize) {
        while let Some(action) = self.deployments[d].pool.next_action() {
            match action {
                Action::Start(lease) => self.start(d, lease),
                Action::Drop(lease) => self.drop_replica(d, lease),
                Action::Cut(lease) => self.cut(d, lease),
                Action::Wake(request, lease) => self.assign(request, lease),
                Action::Batch(..) => unreachable!("simulated pools serve requests singly"),
                Action::Refuse(request, _) => self.answer(request, Ended::Rejected),
            }
        }
    }

    /// An instance is made. It needs a place on the machine, or it fails at once.
    fn start(&mut self, d: usize, lease: Lease) {
        let now = self.now;
        self.digest.mix(lease.id.0);
        if let Some(book) = &mut self.book {
            book.ordered(d, lease, now);
        }
        let node = self.machine.take_place();
        let deployment = &mut self.deployments[d];
        deployment.tally.ordered();
        let slot = lease.slot as usize;
        if slot >= deployment.replicas.len() {
            deployment.replicas.resize_with(slot + 1, || None);
        }
        deployment.replicas[slot] = Some(Replica::new(lease.id, node, now));
        let name = ReplicaRef::new(d, lease);
        if node.is_none() {
            return self.events.plan(now.as_nanos(), Event::StartFailed(name));
        }
        let timeout = nanos(deployment.spec.start_timeout);
        let took = nanos(deployment.spec.start_up.sample(&mut deployment.streams.start_up));
        let (took, event) = match deployment.faults.start(now) {
            Some(StartFault::Hangs) => (timeout, Event::StartFailed(name)),
            Some(StartFault::Fails) => (took.min(timeout), Event::StartFailed(name)),
            None if took > timeout => (timeout, Event::StartFailed(name)),
            None => (took, Event::Started(name)),
        };
        self.events.plan(now.as_nanos() + took, event);
    }

    /// An instance is ready.
    pub(crate) fn started(&mut self, name: ReplicaRef) {
        let (d, lease, now) = (name.deployment as usize, name.lease(), self.now);
        let deployment = &mut self.deployments[d];
        let Some(replica) = deployment.replica(lease) else {
            return; // Lost with its node.
        };
        replica.is_ready = true;
        deployment.tally.replicas_started += 1;
        if let Some(book) = &mut self.book {
            book.started(d, lease, now);
        }
        if let Some(life) = deployment.faults.crash(now) {
            self.events.plan((now + life).as_nanos(), Event::Crash(name));
        }
        deployment.pool.started(lease, now);
        self.ring(d);
        self.carry_out(d);
    }

    /// An instance could not be made.
    pub(crate) fn start_failed(&mut self, name: ReplicaRef) {
        let (d, lease) = (name.deployment as usize, name.lease());
        if self.deployments[d].replica(lease).is_none() {
            return; // Lost with its node.
        }
        self.deployments[d].tally.replicas_failed += 1;
        if let Some(book) = &mut self.book {
            book.start_failed(d, lease, self.now);
        }
        self.vacate(d, lease);
        self.deployments[d].pool.start_failed(lease, self.now);
        self.ring(d);
        self.carry_out(d);
    }

    /// A replica crashes, if faults are not over.
    pub(crate) fn crash(&mut self, name: ReplicaRef) {
        let (d, lease) = (name.deployment as usize, name.lease());
        if self.deployments[d].faults.is_active(self.now) {
            self.lose(d, lease);
        }
    }

    /// A node is lost with all that is on it.
    pub(crate) fn lose_node(&mut self, node: u32) {
        self.machine.set_up(node, false);
        for d in 0..self.deployments.len() {
            for slot in 0..self.deployments[d].replicas.len() {
                let replica = self.deployments[d].replicas[slot].as_ref();
                if let Some(replica) = replica.filter(|replica| replica.node == Some(node)) {
                    let id = replica.id;
                    self.lose(d, Lease { slot: slot as u32, id });
                }
            }
        }
    }

    /// The instance of a replica ended by itself: its requests fail, and it serves no more.
    fn lose(&mut self, d: usize, lease: Lease) {
        let Some(replica) = self.deployments[d].replica(lease) else { return };
        let first = std::mem::replace(&mut replica.first, NONE);
        if !replica.is_ready {
            self.deployments[d].tally.replicas_failed += 1;
        }
        if let Some(book) = &mut self.book {
            book.condemned(d, lease, self.now);
        }
        self.fail_all(first, lease);
        self.deployments[d].pool.condemn(lease, self.now);
        self.carry_out(d);
    }

    /// A replica is gone, and served nothing any more.
    fn drop_replica(&mut self, d: usize, lease: Lease) {
        if let Some(replica) = self.vacate(d, lease) {
            assert_eq!(replica.first, NONE, "who serves is cut, not dropped");
        }
    }

    /// A replica is gone although it served requests.
    fn cut(&mut self, d: usize, lease: Lease) {
        if let Some(replica) = self.vacate(d, lease) {
            self.fail_all(replica.first, lease);
        }
    }

    /// The requests in the list that begins with `first` fail together with their replica.
    fn fail_all(&mut self, mut first: u32, lease: Lease) {
        while first != NONE {
            let index = first;
            assert_eq!(self.requests.at(index).stage, Stage::Served(lease));
            self.requests.unlink(&mut first, index);
            self.end(index, lease, Outcome::Failed, Health::Condemned);
        }
    }

    fn vacate(&mut self, d: usize, lease: Lease) -> Option<Replica> {
        let replica = self.deployments[d].vacate(lease)?;
        let existed = self.now.as_nanos() - replica.ordered.as_nanos();
        self.deployments[d].tally.gone(existed);
        if let Some(node) = replica.node {
            self.machine.give_place(node);
        }
        if let Some(book) = &mut self.book {
            book.gone(d, lease, self.now);
        }
        Some(replica)
    }
}
