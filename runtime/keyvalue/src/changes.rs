//! What a group of writes changes, decided one after the other within one transaction.
//!
//! Each write sees what those before it in the group did. A write that is refused changes nothing,
//! except that expired values may be gone. What the deployments hold afterwards is staged here and
//! becomes known when the transaction is on disk.

use std::{collections::BTreeMap, sync::Arc};

use redb::StorageError;

use crate::{
    error::Error,
    layout::counter,
    limits::{entry_bytes, is_expired},
    registry::{BucketState, Registry, SpaceState, Tally},
    tables::{Known, Tables},
    writer::{Change, Op, Outcome, Swept},
};

/// Expired values removed at once to make room for another.
const FREED_AT_ONCE: usize = 1024;

type Answer = Result<Outcome, Error>;
/// Values by key; of several for one key the last.
type Items<'a> = BTreeMap<&'a str, &'a [u8]>;

pub(crate) struct Changes<'t> {
    tables: Tables<'t>,
    registry: &'t Registry,
    staged: Staged,
    next_bucket: u64,
    is_dirty: bool,
}

/// What deployments will hold.
#[derive(Default)]
pub(crate) struct Staged(BTreeMap<String, StagedSpace>);

struct StagedSpace {
    state: Arc<SpaceState>,
    is_removed: bool,
    buckets: BTreeMap<String, StagedBucket>,
}

struct StagedBucket {
    state: Arc<BucketState>,
    tally: Tally,
}

impl<'t> Changes<'t> {
    pub(crate) fn new(tables: Tables<'t>, registry: &'t Registry) -> Result<Self, StorageError> {
        let next_bucket = tables.next_bucket()?;
        Ok(Self { tables, registry, staged: Staged::default(), next_bucket, is_dirty: false })
    }

    /// Does one write. The outer error spoils the whole transaction.
    pub(crate) fn apply(&mut self, op: &Op) -> Result<Answer, StorageError> {
        match op {
            Op::Write { space, bucket, change, now_ms } => {
                // Checked first: a new deployment may have the name, and must not be taken for it.
                if space.check_there().is_err() || self.staged.space(space).is_removed {
                    return Ok(Err(Error::Removed));
                }
                self.change(space, bucket, change, *now_ms)
            }
            Op::Remove { name } => {
                self.remove_space(name)?;
                Ok(Ok(Outcome::Done))
            }
            Op::Sweep { now_ms, max } => Ok(Ok(Outcome::Swept(self.sweep(*now_ms, *max)?))),
        }
    }

    /// Notes what the buckets hold. Whether there is anything to commit, and what to publish then.
    pub(crate) fn finish(mut self) -> Result<(bool, Staged), StorageError> {
        for (name, space) in self.staged.0.iter_mut().filter(|(_, space)| !space.is_removed) {
            for bucket in space.buckets.values_mut() {
                let (before, tally) = (bucket.state.tally(), &mut bucket.tally);
                let key = (name.as_str(), bucket.state.name.as_str());
                if tally.keys == 0 {
                    *tally = Tally::EMPTY;
                }
                let row = (tally.id, tally.bytes, tally.keys);
                if row == (before.id, before.bytes, before.keys) {
                    continue;
                }
                if tally.keys == 0 {
                    self.tables.forget_bucket(key)?;
                } else {
                    self.tables.put_bucket(key, row)?;
                }
            }
        }
        if self.next_bucket != self.tables.next_bucket()? {
            self.tables.set_next_bucket(self.next_bucket)?;
        }
        Ok((self.is_dirty, self.staged))
    }

    fn change(
        &mut self,
        space: &Arc<SpaceState>,
        bucket: &Arc<BucketState>,
        change: &Change,
        now_ms: u64,
    ) -> Result<Answer, StorageError> {
        match change {
            Change::Set { items, expires_ms } => {
                let items = items.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
                let stored = self.store(space, bucket, &items.collect(), *expires_ms, now_ms)?;
                Ok(stored.map(|()| Outcome::Done))
            }
            Change::Delete { keys } => {
                for key in keys {
                    self.remove(space, bucket, key.as_bytes())?;
                }
                Ok(Ok(Outcome::Done))
            }
            Change::Increment { key, delta } => self.increment(space, bucket, key, *delta, now_ms),
        }
    }

    fn increment(
        &mut self,
        space: &Arc<SpaceState>,
        bucket: &Arc<BucketState>,
        key: &str,
        delta: u64,
        now_ms: u64,
    ) -> Result<Answer, StorageError> {
        let id = self.staged.tally(space, bucket).id;
        let alive = self.tables.find(id, key)?.filter(|v| !is_expired(v.expires_ms, now_ms));
        let (count, expires_ms) = match alive {
            None => (0, space.settings.read().expires_ms(now_ms)),
            Some(known) => match self.tables.short(id, key)?.as_deref().and_then(counter) {
                Some(count) => (count, known.expires_ms),
                None => return Ok(Err(Error::NotCounter)),
            },
        };
        let Some(count) = count.checked_add(delta) else {
            return Ok(Err(Error::CounterOverflow));
        };
        let text = count.to_string();
        let items = Items::from([(key, text.as_bytes())]);
        let stored = self.store(space, bucket, &items, expires_ms, now_ms)?;
        Ok(stored.map(|()| Outcome::Count(count)))
    }

    /// Stores all of `items`, or none if the quota does not allow it.
    fn store(
        &mut self,
        space: &Arc<SpaceState>,
        bucket: &Arc<BucketState>,
        items: &Items<'_>,
        expires_ms: u64,
        now_ms: u64,
    ) -> Result<Result<(), Error>, StorageError> {
        if let Err(refused) = self.make_room(space, bucket, items, now_ms)? {
            return Ok(Err(refused));
        }
        if items.is_empty() {
            return Ok(Ok(()));
        }
        self.is_dirty = true;
        let tally = self.staged.tally(space, bucket);
        if tally.id == 0 {
            tally.id = self.next_bucket;
            self.next_bucket += 1;
        }
        for (key, value) in items {
            let old = self.tables.put(tally.id, key, value, expires_ms)?;
            if let Some(old) = old {
                tally.subtract(key.len(), old);
            }
            tally.bytes += entry_bytes(key.len(), value.len() as u64);
            tally.keys += 1;
        }
        if expires_ms != 0 {
            tally.earliest_ms = tally.earliest_ms.min(expires_ms);
        }
        Ok(Ok(()))
    }

    /// Checks the quota, and removes expired values of the deployment as long as it is exceeded.
    fn make_room(
        &mut self,
        space: &Arc<SpaceState>,
        bucket: &Arc<BucketState>,
        items: &Items<'_>,
        now_ms: u64,
    ) -> Result<Result<(), Error>, StorageError> {
        let quota = space.settings.read().quota_bytes;
        let new: u64 =
            items.iter().map(|(key, value)| entry_bytes(key.len(), value.len() as u64)).sum();
        loop {
            let id = self.staged.tally(space, bucket).id;
            let (mut old, mut alive) = (0, 0);
            for key in items.keys() {
                let Some(known) = self.tables.find(id, key)? else { continue };
                let bytes = entry_bytes(key.len(), known.bytes);
                old += bytes;
                alive += if is_expired(known.expires_ms, now_ms) { 0 } else { bytes };
            }
            let used = self.staged.space(space).used();
            if new <= alive || used - old + new <= quota {
                return Ok(Ok(()));
            }
            if self.free_expired(space, now_ms)? == 0 {
                return Ok(Err(Error::QuotaExceeded { used, quota, needed: new - alive }));
            }
        }
    }

    /// Removes some expired values of a deployment; the answer is how many.
    fn free_expired(
        &mut self,
        space: &Arc<SpaceState>,
        now_ms: u64,
    ) -> Result<usize, StorageError> {
        for bucket in self.staged.space(space).states() {
            let freed = self.free_bucket(space, &bucket, now_ms, FREED_AT_ONCE)?;
            if freed > 0 {
                return Ok(freed);
            }
        }
        Ok(0)
    }

    /// Removes at most `max` expired values of a bucket; the answer is how many.
    fn free_bucket(
        &mut self,
        space: &Arc<SpaceState>,
        bucket: &Arc<BucketState>,
        now_ms: u64,
        max: usize,
    ) -> Result<usize, StorageError> {
        let tally = *self.staged.tally(space, bucket);
        if tally.earliest_ms > now_ms {
            return Ok(0);
        }
        let keys = self.tables.expired(tally.id, now_ms, max)?;
        for key in &keys {
            self.remove(space, bucket, key)?;
        }
        let earliest_ms = self.tables.earliest(tally.id)?;
        self.staged.tally(space, bucket).earliest_ms = earliest_ms;
        Ok(keys.len())
    }

    fn remove(
        &mut self,
        space: &Arc<SpaceState>,
        bucket: &Arc<BucketState>,
        key: &[u8],
    ) -> Result<(), StorageError> {
        let tally = self.staged.tally(space, bucket);
        if let Some(old) = self.tables.remove(tally.id, key)? {
            tally.subtract(key.len(), old);
            self.is_dirty = true;
        }
        Ok(())
    }

    /// The values go later, in sweeps.
    fn remove_space(&mut self, name: &str) -> Result<(), StorageError> {
        let Some(state) = self.registry.get(name) else { return Ok(()) };
        let space = self.staged.space(&state);
        if std::mem::replace(&mut space.is_removed, true) {
            return Ok(());
        }
        for bucket in space.buckets.values().filter(|bucket| bucket.tally.id != 0) {
            self.tables.mark_removed(bucket.tally.id)?;
            self.tables.forget_bucket((name, &bucket.state.name))?;
            self.is_dirty = true;
        }
        Ok(())
    }

    fn sweep(&mut self, now_ms: u64, max: usize) -> Result<Swept, StorageError> {
        let mut left = max;
        while left > 0 {
            let Some(bucket) = self.tables.first_removed()? else { break };
            let keys = self.tables.keys(bucket, left)?;
            for key in &keys {
                self.tables.remove(bucket, key)?;
            }
            if keys.len() < left {
                self.tables.forget_removed(bucket)?;
            }
            left -= keys.len();
            self.is_dirty = true;
        }
        for space in self.registry.all() {
            if left == 0 || !space.may_expire(now_ms) || self.staged.space(&space).is_removed {
                continue;
            }
            for bucket in self.staged.space(&space).states() {
                left -= self.free_bucket(&space, &bucket, now_ms, left)?;
            }
        }
        Ok(Swept { removed: (max - left) as u64, is_done: left > 0 })
    }
}

impl Staged {
    /// Makes it known what the deployments hold.
    pub(crate) fn publish(self, registry: &Registry) {
        for space in self.0.into_values() {
            if space.is_removed {
                registry.remove(&space.state);
                continue;
            }
            for bucket in space.buckets.into_values() {
                bucket.state.set_tally(bucket.tally);
            }
        }
    }

    fn space(&mut self, state: &Arc<SpaceState>) -> &mut StagedSpace {
        self.0.entry(state.name.clone()).or_insert_with(|| StagedSpace::new(state))
    }

    fn tally(&mut self, space: &Arc<SpaceState>, bucket: &Arc<BucketState>) -> &mut Tally {
        &mut self.space(space).bucket(bucket).tally
    }
}

impl StagedSpace {
    fn new(state: &Arc<SpaceState>) -> Self {
        let buckets = state.buckets().into_iter().map(|bucket| {
            let tally = bucket.tally();
            (bucket.name.clone(), StagedBucket { state: bucket, tally })
        });
        Self { state: state.clone(), is_removed: false, buckets: buckets.collect() }
    }

    /// A bucket may have been opened since the group began.
    fn bucket(&mut self, state: &Arc<BucketState>) -> &mut StagedBucket {
        self.buckets
            .entry(state.name.clone())
            .or_insert_with(|| StagedBucket { state: state.clone(), tally: state.tally() })
    }

    fn states(&self) -> Vec<Arc<BucketState>> {
        self.buckets.values().map(|bucket| bucket.state.clone()).collect()
    }

    fn used(&self) -> u64 {
        self.buckets.values().map(|bucket| bucket.tally.bytes).sum()
    }
}

impl Tally {
    fn subtract(&mut self, key_bytes: usize, old: Known) {
        self.bytes -= entry_bytes(key_bytes, old.bytes);
        self.keys -= 1;
    }
}
