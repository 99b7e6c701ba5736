//! Writes: a queue, and a thread that takes what waits there into one transaction.
//!
//! ```text
//! handle ──▶ room ──▶ queue ──▶ group ──▶ transaction ──▶ fsync ──▶ new view ──▶ answers
//!                                 ▲                         │
//!           file is opened again ─┴──── next group ◀── failure (reads go on)
//! ```

use std::sync::{Arc, mpsc as sync_mpsc};

use arc_swap::ArcSwap;
use parking_lot::RwLock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::{
    changes::{Changes, Staged},
    disk::Disk,
    error::{Error, contained},
    limits::{BATCH_BYTES_MAX, entry_bytes},
    registry::{BucketState, Registry, SpaceState},
    tables::Tables,
    view::View,
};

/// Bounds how long the writes of a group wait for each other.
const GROUP_WRITES_MAX: usize = 1024;
const GROUP_BYTES_MAX: u32 = 8 << 20;
/// What a waiting write costs beside its keys and values.
const WRITE_BYTES: u64 = 256;
const WRITE: &str = "write of key-values";

pub(crate) type Answer = Result<Outcome, Error>;

/// What a write asks for. Keys, values and names were checked before.
pub(crate) enum Op {
    Write { space: Arc<SpaceState>, bucket: Arc<BucketState>, change: Change, now_ms: u64 },
    Remove { name: String },
    Sweep { now_ms: u64, max: usize },
}

pub(crate) enum Change {
    Set { items: Vec<(String, Vec<u8>)>, expires_ms: u64 },
    Delete { keys: Vec<String> },
    Increment { key: String, delta: u64 },
}

pub(crate) enum Outcome {
    Done,
    Count(u64),
    Swept(Swept),
}

/// What one step of a sweep did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Values that were expired, or of deployments that were removed.
    pub removed: u64,
    /// Whether nothing is left to remove at that time.
    pub is_done: bool,
}

/// What handles and the writer share.
pub(crate) struct Shared {
    pub registry: Registry,
    slot: ArcSwap<Slot>,
    /// Held while the file is being opened again, so that reads wait for that.
    reopening: RwLock<()>,
    queue: mpsc::UnboundedSender<Message>,
    /// Bytes that may wait in the queue.
    room: Arc<Semaphore>,
}

/// What reads find.
enum Slot {
    Open(Box<View>),
    Reopening,
    Broken(Error),
    Closed,
}

enum Message {
    Write(Request),
    Close,
}

struct Request {
    op: Op,
    answer: oneshot::Sender<Answer>,
    room: OwnedSemaphorePermit,
}

/// Runs on its own thread until the store is closed.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    queue: mpsc::UnboundedReceiver<Message>,
    disk: Disk,
    /// Ends when nobody reads from the current view any more.
    in_use: sync_mpsc::Receiver<()>,
}

impl Shared {
    /// Runs `work` on the last commit.
    pub(crate) fn read<T>(&self, work: impl FnOnce(&View) -> Result<T, Error>) -> Result<T, Error> {
        loop {
            match &**self.slot.load() {
                Slot::Open(view) => return work(view),
                Slot::Broken(error) => return Err(error.clone()),
                Slot::Closed => return Err(Error::Closed),
                Slot::Reopening => drop(self.reopening.read()),
            }
        }
    }

    /// Waits for room in the queue, and then for the commit.
    pub(crate) async fn write(&self, op: Op) -> Answer {
        let room = self.room.clone().acquire_many_owned(op.room());
        let room = room.await.map_err(|_| Error::Closed)?;
        let (answer, answered) = oneshot::channel();
        let sent = self.queue.send(Message::Write(Request { op, answer, room }));
        sent.map_err(|_| Error::Closed)?;
        answered.await.unwrap_or(Err(Error::Closed))
    }

    /// What is in the queue is still written.
    pub(crate) fn close(&self) {
        self.room.close();
        // The thread is only gone before this if it panicked, and then there is nothing to close.
        let _ = self.queue.send(Message::Close);
    }
}

impl Op {
    /// Bytes of the queue. What is larger than the queue waits until it is alone.
    fn room(&self) -> u32 {
        let bytes = match self {
            Self::Write { change: Change::Set { items, .. }, .. } => {
                items.iter().map(|(key, value)| entry_bytes(key.len(), value.len() as u64)).sum()
            }
            Self::Write { change: Change::Delete { keys }, .. } => {
                keys.iter().map(|key| entry_bytes(key.len(), 0)).sum()
            }
            Self::Write { change: Change::Increment { .. }, .. }
            | Self::Remove { .. }
            | Self::Sweep { .. } => 0,
        };
        u32::try_from((WRITE_BYTES + bytes).min(BATCH_BYTES_MAX)).unwrap_or(u32::MAX)
    }
}

impl Writer {
    pub(crate) fn new(disk: Disk) -> Result<Self, Error> {
        let registry = Registry::default();
        registry.load(disk.rows()?);
        let (view, in_use) = view(&disk)?;
        let (sender, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            registry,
            slot: ArcSwap::from_pointee(Slot::Open(view)),
            reopening: RwLock::new(()),
            queue: sender,
            room: Arc::new(Semaphore::new(BATCH_BYTES_MAX as usize)),
        });
        Ok(Self { shared, queue, disk, in_use })
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Blocks the thread.
    pub(crate) fn run(mut self) {
        while let Some(message) = self.queue.blocking_recv() {
            let group = self.group(message);
            let answers = match self.commit(&group) {
                Ok(answers) => answers,
                Err(error) => group.iter().map(|_| Err(error.clone())).collect(),
            };
            for (request, answer) in group.into_iter().zip(answers) {
                drop(request.room);
                // Whoever asked may have gone.
                let _ = request.answer.send(answer);
            }
        }
        self.shared.slot.store(Arc::new(Slot::Closed));
        self.wait_for_reads();
    }

    /// `first` and what waits behind it.
    fn group(&mut self, first: Message) -> Vec<Request> {
        let (mut group, mut bytes) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Write(request) => {
                    bytes += request.op.room();
                    group.push(request);
                }
                Message::Close => self.queue.close(),
            }
            let is_full = group.len() >= GROUP_WRITES_MAX || bytes >= GROUP_BYTES_MAX;
            next = if is_full { None } else { self.queue.try_recv().ok() };
        }
        group
    }

    /// One transaction; when this returns its writes are on disk and every read sees them.
    fn commit(&mut self, group: &[Request]) -> Result<Vec<Answer>, Error> {
        if self.disk.has_failed() {
            self.recover()?;
        }
        let committed = contained(WRITE, || {
            let (answers, is_dirty, staged) =
                self.transact(group).map_err(|error| Error::disk(WRITE, error))?;
            if let Some(failure) = self.disk.failure() {
                return Err(Error::io(WRITE, failure));
            }
            let view = if is_dirty { Some(view(&self.disk)?) } else { None };
            Ok((answers, view, staged))
        });
        match committed {
            Ok((answers, view, staged)) => {
                staged.publish(&self.shared.registry);
                if let Some((view, in_use)) = view {
                    self.shared.slot.store(Arc::new(Slot::Open(view)));
                    self.in_use = in_use;
                }
                Ok(answers)
            }
            Err(error) => {
                let cause = self.disk.failure();
                self.disk.fail();
                Err(cause.map_or(error, |cause| Error::io(WRITE, cause)))
            }
        }
    }

    fn transact(&self, group: &[Request]) -> Result<(Vec<Answer>, bool, Staged), redb::Error> {
        let transaction = self.disk.database()?.begin_write()?; // Durable on commit.
        let tables = Tables::open(&transaction, self.disk.hash)?;
        let mut changes = Changes::new(tables, &self.shared.registry)?;
        let answers = group.iter().map(|request| changes.apply(&request.op));
        let answers = answers.collect::<Result<_, _>>()?;
        let (is_dirty, staged) = changes.finish()?;
        if is_dirty {
            transaction.commit()?;
        } else {
            transaction.abort()?;
        }
        Ok((answers, is_dirty, staged))
    }

    /// Opens the file again after a failure. Reads wait meanwhile; when it fails again, they go on
    /// from what the file has.
    fn recover(&mut self) -> Result<(), Error> {
        self.disk.probe()?;
        let shared = self.shared.clone();
        let _reopening = shared.reopening.write();
        shared.slot.store(Arc::new(Slot::Reopening));
        self.wait_for_reads();
        let reopened = contained(WRITE, || self.reopen());
        if let Err(error) = &reopened
            && matches!(**shared.slot.load(), Slot::Reopening)
        {
            self.disk.fail();
            shared.slot.store(Arc::new(Slot::Broken(error.clone())));
        }
        reopened
    }

    fn reopen(&mut self) -> Result<(), Error> {
        let reopened = self.disk.reopen().and_then(|()| self.load());
        if reopened.is_err() {
            self.disk.reopen_aside().and_then(|()| self.load())?;
        }
        reopened
    }

    /// Takes over what the file has.
    fn load(&mut self) -> Result<(), Error> {
        let rows = self.disk.rows()?;
        let (view, in_use) = view(&self.disk)?;
        self.shared.registry.load(rows);
        self.shared.slot.store(Arc::new(Slot::Open(view)));
        self.in_use = in_use;
        Ok(())
    }

    /// Nothing is ever sent: the end of the last view is what is waited for.
    fn wait_for_reads(&self) {
        let ended = self.in_use.recv();
        debug_assert!(ended.is_err());
    }
}

/// The last commit, and what ends with it.
fn view(disk: &Disk) -> Result<(Box<View>, sync_mpsc::Receiver<()>), Error> {
    let (alive, in_use) = sync_mpsc::channel();
    let database = disk.database().map_err(|error| Error::disk(WRITE, error))?;
    Ok((Box::new(View::new(database, disk.hash, alive)?), in_use))
}
