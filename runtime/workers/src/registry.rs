//! All workers of one deployment: who may report, who is there, who has gone.

use std::collections::BTreeMap;
use std::net::IpAddr;

use samovar_core::time::Timestamp;

use crate::address::{Address, BadAddress};
use crate::message::Report;
use crate::secret::Secret;
use crate::worker::{Change, Past, Patience, State, Worker};

/// Most workers of one deployment.
pub const WORKERS_MAX: usize = 1000;

/// What a deployment allows.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long silence is tolerated.
    pub patience: Patience,
    /// What workers that we did not start must know to join. `None`: none may.
    pub join: Option<Secret>,
    /// Port of workers that say neither address nor port. Default 3000, as their documents have it.
    pub port: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self { patience: Patience::default(), join: None, port: 3000 }
    }
}

/// Who sends a message, from the connection it came on.
#[derive(Debug, Clone, Default)]
pub struct Sender {
    /// The other end of the connection.
    pub peer: Option<IpAddr>,
    /// A token outside of the message, for workers whose messages have none: the password of
    /// `Authorization: Basic`, or what follows `Bearer`.
    pub token: Option<Secret>,
}

/// Why a message was refused. Nothing changed, but for counters of what was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The name is unknown or the token is not its own; which one is not said.
    #[error("no worker of this name and token is known here")]
    Denied,
    /// Another process, elsewhere, has the name and is alive.
    #[error("worker {id} is at {known} and alive, so it cannot be at {said} as well")]
    Conflict {
        /// The name.
        id: String,
        /// Where the worker with the name is.
        known: Address,
        /// Where the message says it is.
        said: Address,
    },
    /// Another worker has the address and is alive.
    #[error("{address} is the address of worker {owner}, which is alive")]
    AddressTaken {
        /// The address in the message.
        address: Address,
        /// The worker at the address.
        owner: String,
    },
    /// A worker that joins has to say where it listens.
    #[error("`url` {0}; a worker that joins must say where it listens")]
    NoAddress(BadAddress),
    /// A worker that joins said nothing about where it listens, and its connection did not tell.
    #[error("`url` is missing; a worker that joins must say where it listens")]
    NoUrl,
    /// The message is older than what is known.
    #[error("the message {0}")]
    Past(#[from] Past),
    /// There are [`WORKERS_MAX`] workers.
    #[error("there are {WORKERS_MAX} workers already")]
    Full,
}

/// What happened to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub id: String,
    /// What happened to it.
    pub what: Happened,
}

/// What can happen to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// It is new and listens there. What its first report says follows as another event.
    Joined(Address),
    /// It said where it listens, after its address had been taken from its connection.
    Moved(Address),
    /// It takes requests for the first time.
    Loaded,
    /// It takes requests again, after an error or silence.
    Recovered,
    /// Another process has its name and loads: no requests until it has.
    Restarted,
    /// New figures at most.
    Updated,
    /// It failed, with its words.
    Failed(String),
    /// It said that it leaves.
    Left,
    /// It was silent for too long.
    TimedOut,
}

/// Where a worker comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// We started it, gave it this token, and know where it listens.
    Started(Secret),
    /// It joined with the token of the deployment.
    Joined,
}

/// A worker with its place in the deployment.
#[derive(Debug, Clone)]
pub struct Member {
    worker: Worker,
    origin: Origin,
    address: Address,
    /// Whether the worker said so itself, or we did. If not, the connection told.
    is_address_said: bool,
}

impl Member {
    /// Its state and figures.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Where it comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

/// The workers of one deployment, by name.
#[derive(Debug, Clone)]
pub struct Registry {
    settings: Settings,
    members: BTreeMap<String, Member>,
    denied: u64,
}

impl Registry {
    /// No workers yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, members: BTreeMap::new(), denied: 0 }
    }

    /// Other settings from now on. Workers that are there keep the patience they came with.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// A worker that we start now, before its process runs. `id` is its name, `token` what it will
    /// say, `address` where it will listen. It stays until [`Registry::remove`], also if
    /// it is silent. One that was here under the name is forgotten.
    pub fn start(&mut self, id: String, token: Secret, address: Address, now: Timestamp) {
        let worker = Worker::new(self.settings.patience, now);
        let origin = Origin::Started(token);
        self.members.insert(id, Member { worker, origin, address, is_address_said: true });
    }

    /// Forgets a worker. What it still reports is refused, unless it may join.
    pub fn remove(&mut self, id: &str) -> Option<Member> {
        self.members.remove(id)
    }

    /// Takes up a status report.
    ///
    /// # Errors
    ///
    /// [`Refused`] says why it was not taken. Then no worker changed its state.
    pub fn report(
        &mut self,
        report: &Report,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refused> {
        let id = &report.worker;
        self.admit(id, report.token.as_ref().or(sender.token.as_ref()))?;
        let mut events = Vec::new();
        let known = self.members.get(id);
        let is_stale = known.is_some_and(|it| it.is_joined() && it.worker.is_overdue(now));
        let mut said = None;
        if known.is_some() && !is_stale {
            said = self.said_address(report, sender)?;
        } else {
            let joined = self.joined(report, sender, now)?;
            let what = Happened::Joined(joined.address.clone());
            if self.members.insert(id.clone(), joined).is_some() {
                events.push(Event { id: id.clone(), what: Happened::TimedOut });
            }
            events.push(Event { id: id.clone(), what });
        }
        let member = self.members.get_mut(id).expect("it was there or has joined");
        let change = member.worker.apply(report, now)?;
        if let Some(said) = said {
            member.is_address_said = true;
            if member.address != said {
                member.address = said.clone();
                events.push(Event { id: id.clone(), what: Happened::Moved(said) });
            }
        }
        let what = match (change, member.worker.state()) {
            (Change::Updated | Change::Measured | Change::Repeated, _) => Happened::Updated,
            (Change::Failed, State::Errored(message)) => Happened::Failed(message),
            (Change::Loaded, _) => Happened::Loaded,
            (Change::Recovered, _) => Happened::Recovered,
            (Change::Restarted, State::Loading) => Happened::Restarted,
            (Change::Restarted | Change::Failed, _) => Happened::Updated,
        };
        events.push(Event { id: id.clone(), what });
        Ok(events)
    }

    /// Whether the sender of a message about the worker `id` is who it says.
    ///
    /// # Errors
    ///
    /// [`Refused::Denied`], also for a worker that is not known and may not join.
    pub fn admit(&mut self, id: &str, token: Option<&Secret>) -> Result<(), Refused> {
        let nothing = Secret::new("");
        let own = self.members.get(id).map(|member| &member.origin);
        // The same is done for known and unknown names, so that answers take the same time.
        let (expected, is_open) = match (own, &self.settings.join) {
            (Some(Origin::Started(token)), _) => (token, true),
            (Some(Origin::Joined) | None, Some(join)) => (join, true),
            (Some(Origin::Joined) | None, None) => (&nothing, false),
        };
        let is_right = expected.admits(token.unwrap_or(&nothing));
        let is_set = !expected.reveal().is_empty();
        if is_right && is_open && is_set {
            return Ok(());
        }
        self.denied += 1;
        Err(Refused::Denied)
    }

    /// Takes up that a worker leaves, after [`Registry::admit`]. Joined ones are forgotten, ours
    /// are gone until they are removed. `None` if the name is not known.
    pub fn leave(&mut self, id: &str) -> Option<Event> {
        let member = self.members.get_mut(id)?;
        match member.is_joined() {
            true => drop(self.members.remove(id)),
            false => member.worker.end(),
        }
        Some(Event { id: id.into(), what: Happened::Left })
    }

    /// Ends workers that are silent for too long. Joined ones are forgotten, ours are gone until
    /// they are removed or report again.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        self.members.retain(|id, member| {
            if !member.worker.is_overdue(now) {
                return true;
            }
            member.worker.end();
            events.push(Event { id: id.clone(), what: Happened::TimedOut });
            !member.is_joined()
        });
        events
    }

    /// When the next worker will have been silent for too long, if nothing comes.
    pub fn due(&self) -> Option<Timestamp> {
        let alive = self.members.values().filter(|member| member.worker.state() != State::Gone);
        alive.map(|member| member.worker.due()).min()
    }

    /// The workers, by name.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (&str, &Member)> {
        self.members.iter().map(|(id, member)| (id.as_str(), member))
    }

    /// The worker with that name.
    pub fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    /// Messages with a wrong token so far.
    pub fn denied(&self) -> u64 {
        self.denied
    }

    /// A new worker, or one in the place of a silent one of the same name.
    fn joined(&self, report: &Report, sender: &Sender, now: Timestamp) -> Result<Member, Refused> {
        let (address, is_address_said) = match &report.url {
            Some(url) => (Address::parse(url).map_err(Refused::NoAddress)?, true),
            None => (self.peer_address(report, sender).ok_or(Refused::NoUrl)?, false),
        };
        if self.members.len() >= WORKERS_MAX && !self.members.contains_key(&report.worker) {
            return Err(Refused::Full);
        }
        self.check_free(&report.worker, &address)?;
        let worker = Worker::new(self.settings.patience, now);
        Ok(Member { worker, origin: Origin::Joined, address, is_address_said })
    }

    /// The address that a known worker says for the first time, after its connection had told.
    /// Otherwise it has to be where it was.
    fn said_address(&self, report: &Report, sender: &Sender) -> Result<Option<Address>, Refused> {
        let member = &self.members[&report.worker];
        // What cannot be used does not contradict: some workers do not know their own address.
        let said = report.url.as_deref().and_then(|url| Address::parse(url).ok());
        let is_first = said.is_some() && !member.is_address_said;
        // A message without a port says nothing about it; the host is told by the connection.
        let told = || {
            let port = report.port.unwrap_or(member.address.port());
            sender.peer.filter(|_| !member.is_address_said).map(|peer| Address::of(peer, port))
        };
        let Some(said) = said.or_else(told) else { return Ok(None) };
        match (is_first, said == member.address) {
            (true, _) => {
                self.check_free(&report.worker, &said)?;
                Ok(Some(said))
            }
            (false, true) => Ok(None),
            (false, false) => {
                let (id, known) = (report.worker.clone(), member.address.clone());
                Err(Refused::Conflict { id, known, said })
            }
        }
    }

    /// That no other worker listens there.
    fn check_free(&self, id: &str, address: &Address) -> Result<(), Refused> {
        let is_there =
            |member: &Member| member.address == *address && member.worker.state() != State::Gone;
        match self.members.iter().find(|(other, member)| *other != id && is_there(member)) {
            None => Ok(()),
            Some((owner, _)) => {
                let (address, owner) = (address.clone(), owner.clone());
                Err(Refused::AddressTaken { address, owner })
            }
        }
    }

    /// Where a worker that says no address can be reached.
    fn peer_address(&self, report: &Report, sender: &Sender) -> Option<Address> {
        let port = report.port.unwrap_or(self.settings.port);
        sender.peer.map(|peer| Address::of(peer, port))
    }
}

impl Member {
    fn is_joined(&self) -> bool {
        matches!(self.origin, Origin::Joined)
    }
}
