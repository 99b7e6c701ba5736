//! The workers that report to one deployment, and what becomes of what they say.
//!
//! Three sorts of workers report: processes that the server started, machines that the fleet hook
//! was asked for, and workers that joined by themselves. The lock here is never held while a pool
//! is called.

use super::replica::{NativeReplica, ReplicaBody, Trouble, WorkerLink};
use crate::clock;
use crate::logs::{DeploymentLog, LogStream};
use crate::spec::WorkerSpec;
use crate::warm_pool::WarmPool;
use parking_lot::Mutex;
use samovar_core::replica::Lease;
use samovar_core::time::Timestamp;
use samovar_proxy::{Address as UpstreamAddress, Options, Upstream};
use samovar_workers::address::Address;
use samovar_workers::message::Report;
use samovar_workers::registry::{Event, Happened, Refused, Registry, Sender, Settings};
use samovar_workers::secret::Secret;
use samovar_workers::worker::{Patience, State};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a worker that could not be reached is left alone.
const SHUNNED: Duration = Duration::from_secs(10);

/// How long a worker on a machine that was given back is left alone, should it go on reporting:
/// longer than the fleet hook tries to give a machine back.
const GIVEN_BACK: Duration = Duration::from_secs(2 * 60 * 60);

/// Why a pool lets go of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// It is not wanted any more.
    Done,
    /// It cannot be reached.
    Lost,
    /// Its machine goes.
    GivenBack,
}

/// All workers of a deployment. Outlives revisions.
#[derive(Default)]
pub struct Crew {
    inner: Mutex<Option<Inner>>,
}

struct Inner {
    registry: Registry,
    log: Arc<DeploymentLog>,
    /// Takes in workers that join.
    pool: Weak<WarmPool>,
    envelopes: Option<Arc<super::Envelopes>>,
    options: Options,
    links: BTreeMap<String, Link>,
}

/// What a worker is to the pool.
enum Link {
    /// The pool waits for it, or has it.
    Ordered(Ordered),
    /// It joined by itself, and a pool is asked just now whether it takes it in.
    Arriving,
    /// It joined by itself, and a pool took it in.
    Adopted { pool: Weak<WarmPool>, lease: Lease, trouble: Arc<Trouble> },
    /// It reports, but could not be reached. Not tried again before then.
    Shunned(Timestamp),
    /// Its machine was given back. What it still reports until then does not count.
    GivenBack(Timestamp),
}

/// A worker that the pool ordered.
#[derive(Clone, Default)]
pub struct Ordered {
    /// Cancelled when it says that it is loaded.
    pub loaded: CancellationToken,
    /// What ended it.
    pub trouble: Arc<Trouble>,
}

/// What a worker last said about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Work it does, in units per second.
    pub load: Option<f64>,
    /// Most work it can do, in units per second.
    pub max_perf: Option<f64>,
    /// What it is waiting for, or what is odd about it.
    pub message: Option<String>,
}

/// How a deployment treats its workers.
#[derive(Clone)]
pub struct Terms {
    /// What its spec says.
    pub spec: WorkerSpec,
    /// What workers must know to join.
    pub token: Secret,
    /// How requests to them are wrapped, if they are.
    pub envelopes: Option<Arc<super::Envelopes>>,
    /// How connections to them are used.
    pub options: Options,
    /// Where to tell about them.
    pub log: Arc<DeploymentLog>,
}

/// What has to be done to a pool because of an event. Done without the lock.
enum Effect {
    Adopt(String, Address),
    Release(Weak<WarmPool>, Lease),
    Raise(Arc<Trouble>, String),
    Loaded(CancellationToken),
}

impl Crew {
    /// Whether workers may report.
    pub fn is_open(&self) -> bool {
        self.inner.lock().is_some()
    }

    /// Lets workers report. Those that are known stay.
    pub fn open(&self, terms: Terms) {
        let patience = Patience { silence: terms.spec.timeout, ..Patience::default() };
        let settings = Settings { patience, join: Some(terms.token), ..Settings::default() };
        let mut inner = self.inner.lock();
        match &mut *inner {
            Some(open) => {
                open.registry.set(settings);
                open.envelopes = terms.envelopes;
                open.options = terms.options;
            }
            None => {
                *inner = Some(Inner {
                    registry: Registry::new(settings),
                    log: terms.log,
                    pool: Weak::new(),
                    envelopes: terms.envelopes,
                    options: terms.options,
                    links: BTreeMap::new(),
                });
            }
        }
    }

    /// Workers may not report any more.
    pub fn close(&self) {
        *self.inner.lock() = None;
    }

    /// From now on workers that join go to this pool, and so do those that are there.
    pub fn attach(self: &Arc<Self>, pool: &Arc<WarmPool>) {
        let mut effects = Vec::new();
        if let Some(inner) = &mut *self.inner.lock() {
            inner.pool = Arc::downgrade(pool);
            inner.links.retain(|_, link| !matches!(link, Link::Adopted { .. } | Link::Arriving));
            effects = inner.to_adopt();
        }
        self.carry_out(effects);
    }

    /// The pool is about to start a worker with this name, which will listen there. None if no
    /// worker may report here.
    pub fn start(&self, id: &str, token: &Secret, address: Address) -> Option<Ordered> {
        let mut inner = self.inner.lock();
        let inner = inner.as_mut()?;
        inner.registry.start(id.to_owned(), token.clone(), address, clock::now());
        let ordered = Ordered::default();
        inner.links.insert(id.to_owned(), Link::Ordered(ordered.clone()));
        Some(ordered)
    }

    /// A machine was asked for, and a worker with this name will join from there. None if no worker
    /// may report here.
    pub fn expect(&self, id: &str) -> Option<Ordered> {
        let mut inner = self.inner.lock();
        let inner = inner.as_mut()?;
        let ordered = Ordered::default();
        inner.links.insert(id.to_owned(), Link::Ordered(ordered.clone()));
        Some(ordered)
    }

    /// A worker is not wanted any more. Its trouble tells it from a later one of the same name.
    pub fn forget(&self, id: &str, trouble: &Arc<Trouble>, parting: Parting) {
        let mut inner = self.inner.lock();
        let Some(inner) = inner.as_mut() else { return };
        let is_own = inner.links.get(id).is_some_and(|link| match link {
            Link::Ordered(ordered) => Arc::ptr_eq(&ordered.trouble, trouble),
            Link::Adopted { trouble: own, .. } => Arc::ptr_eq(own, trouble),
            Link::Arriving | Link::Shunned(_) | Link::GivenBack(_) => false,
        });
        if !is_own {
            return;
        }
        // One that joined by itself goes on reporting: it is forgotten when it leaves.
        if let Some(Link::Ordered(_)) = inner.links.remove(id) {
            inner.registry.remove(id);
        }
        let link = match parting {
            Parting::Done => return,
            Parting::Lost => {
                inner.tell(id, &format!("cannot be reached; tried again in {SHUNNED:?}"));
                Link::Shunned(clock::now() + SHUNNED)
            }
            Parting::GivenBack => Link::GivenBack(clock::now() + GIVEN_BACK),
        };
        inner.links.insert(id.to_owned(), link);
    }

    /// Where a worker listens.
    pub fn address(&self, id: &str) -> Option<Address> {
        let inner = self.inner.lock();
        Some(inner.as_ref()?.registry.member(id)?.address().clone())
    }

    /// What a worker last said about itself.
    pub fn figures(&self, id: &str) -> Option<Figures> {
        let inner = self.inner.lock();
        let worker = inner.as_ref()?.registry.member(id)?.worker();
        let message = match worker.state() {
            State::Loading => Some("it has not said that it is loaded".to_owned()),
            State::Ready => None,
            State::Errored(message) => Some(message),
            State::Gone => Some("it is silent".to_owned()),
        };
        Some(Figures {
            load: worker.last_report().map(|_| worker.offered_per_s()),
            max_perf: worker.max_perf(),
            message,
        })
    }

    /// Takes a report. None if no worker may report here.
    ///
    /// # Errors
    ///
    /// Why it was refused.
    pub fn report(
        self: &Arc<Self>,
        report: &Report,
        sender: &Sender,
    ) -> Option<Result<(), Refused>> {
        let effects = {
            let mut inner = self.inner.lock();
            let inner = inner.as_mut()?;
            match inner.registry.report(report, sender, clock::now()) {
                Ok(events) => inner.effects(events),
                Err(refused) => {
                    // The token may be a stranger's: nothing of the message is repeated.
                    if !matches!(refused, Refused::Denied) {
                        inner.tell(&report.worker, &format!("message refused: {refused}"));
                    }
                    return Some(Err(refused));
                }
            }
        };
        self.carry_out(effects);
        Some(Ok(()))
    }

    /// Whether a message about a worker has the right token. None if no worker may report here.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn admit(&self, id: &str, token: Option<&Secret>) -> Option<Result<(), Refused>> {
        let mut inner = self.inner.lock();
        Some(inner.as_mut()?.registry.admit(id, token))
    }

    /// A worker says that it leaves. The token was checked.
    pub fn leave(self: &Arc<Self>, id: &str) {
        let mut effects = Vec::new();
        if let Some(inner) = &mut *self.inner.lock() {
            let event = inner.registry.leave(id);
            effects = inner.effects(event.into_iter().collect());
        }
        self.carry_out(effects);
    }

    /// Ends workers that are silent for too long, and takes in those there was no room for.
    pub fn look(self: &Arc<Self>) {
        let mut effects = Vec::new();
        if let Some(inner) = &mut *self.inner.lock() {
            let now = clock::now();
            inner.links.retain(|_, link| match link {
                Link::Shunned(until) | Link::GivenBack(until) => *until > now,
                Link::Ordered(_) | Link::Arriving | Link::Adopted { .. } => true,
            });
            let events = inner.registry.expire(now);
            effects = inner.effects(events);
            effects.extend(inner.to_adopt());
        }
        self.carry_out(effects);
    }

    fn carry_out(self: &Arc<Self>, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Adopt(id, address) => self.adopt(id, &address),
                Effect::Release(pool, lease) => {
                    if let Some(pool) = pool.upgrade() {
                        pool.release(lease);
                    }
                }
                Effect::Raise(trouble, reason) => trouble.raise(&reason),
                Effect::Loaded(loaded) => loaded.cancel(),
            }
        }
    }

    /// Gives a worker that joined to the live pool, if that has room.
    fn adopt(self: &Arc<Self>, id: String, address: &Address) {
        let (pool, envelopes, options) = {
            let mut inner = self.inner.lock();
            let Some(inner) = inner.as_mut().filter(|inner| !inner.links.contains_key(&id)) else {
                return; // Somebody else was faster.
            };
            inner.links.insert(id.clone(), Link::Arriving);
            (inner.pool.clone(), inner.envelopes.clone(), inner.options.clone())
        };
        let Some(live) = pool.upgrade() else { return self.arrived(&id, None) };
        let trouble = Arc::new(Trouble::default());
        let link = WorkerLink::new(self, &id, &trouble, Parting::Done);
        let upstream = Upstream::new(upstream_address(address), options);
        let replica = NativeReplica::new(upstream, envelopes, Some(link), ReplicaBody::Joined);
        let Some(lease) = live.adopt(replica) else { return self.arrived(&id, None) };
        self.arrived(&id, Some(Link::Adopted { pool, lease, trouble }));
        let text = format!("replica {} is this worker, at {address}", lease.id.0);
        if let Some(inner) = &*self.inner.lock() {
            inner.tell(&id, &text);
        }
    }

    /// A pool took a worker in, or not. If the worker has gone meanwhile, the pool is told.
    fn arrived(&self, id: &str, link: Option<Link>) {
        let mut inner = self.inner.lock();
        let is_here =
            inner.as_ref().is_some_and(|inner| matches!(inner.links.get(id), Some(Link::Arriving)));
        match (inner.as_mut(), link) {
            (Some(inner), Some(link)) if is_here => {
                inner.links.insert(id.to_owned(), link);
            }
            (Some(inner), None) if is_here => {
                inner.links.remove(id);
            }
            (_, Some(Link::Adopted { pool, lease, .. })) => {
                drop(inner);
                if let Some(pool) = pool.upgrade() {
                    pool.release(lease);
                }
            }
            (_, _) => {}
        }
    }
}

impl Inner {
    fn tell(&self, id: &str, text: &str) {
        self.log.push_text(None, LogStream::System, &format!("worker {id}: {text}"));
    }

    /// Workers that joined and could serve, but are in no pool.
    fn to_adopt(&self) -> Vec<Effect> {
        let idle = self.registry.members().filter(|(id, member)| {
            !self.links.contains_key(*id) && member.worker().state() == State::Ready
        });
        idle.map(|(id, member)| Effect::Adopt(id.to_owned(), member.address().clone())).collect()
    }

    /// What follows from events.
    fn effects(&mut self, events: Vec<Event>) -> Vec<Effect> {
        events.into_iter().flat_map(|event| self.effects_of(event)).collect()
    }

    fn effects_of(&mut self, Event { id, what }: Event) -> Vec<Effect> {
        match what {
            Happened::Joined(address) => {
                self.tell(&id, &format!("joined from {address}"));
                Vec::new()
            }
            Happened::Updated => Vec::new(),
            Happened::Loaded | Happened::Recovered => {
                self.tell(&id, "is loaded");
                match self.links.get(&id) {
                    Some(Link::Ordered(ordered)) => vec![Effect::Loaded(ordered.loaded.clone())],
                    Some(_) => Vec::new(),
                    None => self.to_adopt(),
                }
            }
            Happened::Moved(address) => {
                self.tell(&id, &format!("listens at {address}"));
                let mut effects = self.part(&id, "it moved to another address");
                effects.extend(self.to_adopt());
                effects
            }
            Happened::Restarted => {
                self.tell(&id, "restarted and loads again");
                self.part(&id, "the worker restarted and loads again")
            }
            Happened::Failed(message) => {
                self.tell(&id, &format!("failed: {message}"));
                let reason = format!("the worker reports an error: {message}");
                match self.links.get(&id) {
                    Some(Link::Ordered(Ordered { trouble, .. })) => {
                        vec![Effect::Raise(Arc::clone(trouble), reason)]
                    }
                    Some(Link::Adopted { trouble, .. }) => {
                        let effect = Effect::Raise(Arc::clone(trouble), reason);
                        self.links.remove(&id);
                        vec![effect]
                    }
                    Some(Link::Arriving) => {
                        self.links.remove(&id);
                        Vec::new()
                    }
                    Some(Link::Shunned(_) | Link::GivenBack(_)) | None => Vec::new(),
                }
            }
            Happened::Left => {
                self.tell(&id, "leaves");
                self.part(&id, "the worker left")
            }
            Happened::TimedOut => {
                self.tell(&id, "is silent for too long");
                self.part(&id, "the worker is silent for too long")
            }
        }
    }

    /// A worker takes no more requests. One that joined finishes those it has; one that was
    /// ordered has failed.
    fn part(&mut self, id: &str, reason: &str) -> Vec<Effect> {
        match self.links.get(id) {
            Some(Link::Ordered(Ordered { trouble, .. })) => {
                vec![Effect::Raise(Arc::clone(trouble), reason.to_owned())]
            }
            Some(Link::Adopted { pool, lease, .. }) => {
                let effect = Effect::Release(pool.clone(), *lease);
                self.links.remove(id);
                vec![effect]
            }
            Some(Link::Arriving | Link::Shunned(_)) => {
                self.links.remove(id);
                Vec::new()
            }
            Some(Link::GivenBack(_)) | None => Vec::new(),
        }
    }
}

/// Where requests to a worker go.
pub fn upstream_address(address: &Address) -> UpstreamAddress {
    let host = address.host().trim_start_matches('[').trim_end_matches(']');
    match host.parse() {
        Ok(ip) => UpstreamAddress::Tcp(std::net::SocketAddr::new(ip, address.port())),
        Err(_) => UpstreamAddress::Host { host: host.to_owned(), port: address.port() },
    }
}
