//! Which deployments and buckets there are, and what they hold: the rows of the table of buckets,
//! in memory, as the last commit left them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
};

use parking_lot::{Mutex, RwLock};

use crate::{
    error::Error,
    limits::{BUCKETS_MAX, Settings, bucket_name, shown},
};

/// What a deployment has stored. Expired values count until they are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// As the quota counts them.
    pub bytes: u64,
    /// Values in all buckets.
    pub keys: u64,
    /// Buckets that hold values.
    pub buckets: u64,
}

/// All deployments that are open or have values.
#[derive(Default)]
pub(crate) struct Registry(Mutex<BTreeMap<String, Arc<SpaceState>>>);

pub(crate) struct SpaceState {
    pub name: String,
    pub settings: RwLock<Settings>,
    pub is_removed: AtomicBool,
    buckets: Mutex<BTreeMap<String, Arc<BucketState>>>,
}

pub(crate) struct BucketState {
    pub name: String,
    tally: Mutex<Tally>,
    /// As in the tally, for reads.
    id: AtomicU64,
}

/// What a bucket holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Its number in rows; 0 while it holds nothing. Never used again for another bucket.
    pub id: u64,
    pub bytes: u64,
    pub keys: u64,
    /// Nothing in it expires before this time.
    pub earliest_ms: u64,
}

impl Tally {
    pub(crate) const EMPTY: Self = Self { id: 0, bytes: 0, keys: 0, earliest_ms: u64::MAX };
}

impl Registry {
    pub(crate) fn get(&self, name: &str) -> Option<Arc<SpaceState>> {
        self.0.lock().get(name).cloned()
    }

    /// The deployment `name`, which is new with the limits of `settings` if it is not there.
    pub(crate) fn open(&self, name: &str, settings: Settings) -> Arc<SpaceState> {
        let mut spaces = self.0.lock();
        let space = spaces.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(SpaceState {
                name: name.to_owned(),
                settings: RwLock::new(settings),
                is_removed: AtomicBool::new(false),
                buckets: Mutex::default(),
            })
        });
        space.clone()
    }

    pub(crate) fn all(&self) -> Vec<Arc<SpaceState>> {
        self.0.lock().values().cloned().collect()
    }

    /// Its handles learn that it is gone; a deployment of the same name is another one.
    pub(crate) fn remove(&self, space: &SpaceState) {
        let mut spaces = self.0.lock();
        space.is_removed.store(true, Release);
        spaces.remove(&space.name);
    }

    /// Takes over what a database holds. Handles stay those of their buckets.
    pub(crate) fn load(&self, rows: impl IntoIterator<Item = (String, String, Tally)>) {
        for space in self.all() {
            for bucket in space.buckets.lock().values() {
                bucket.set_tally(Tally::EMPTY);
            }
        }
        for (space, bucket, tally) in rows {
            let space = self.open(&space, Settings::default());
            let bucket = space
                .buckets
                .lock()
                .entry(bucket)
                .or_insert_with_key(|name| new_bucket(name))
                .clone();
            bucket.set_tally(tally);
        }
    }
}

fn new_bucket(name: &str) -> Arc<BucketState> {
    let (tally, id) = (Mutex::new(Tally::EMPTY), AtomicU64::new(0));
    Arc::new(BucketState { name: name.to_owned(), tally, id })
}

impl SpaceState {
    pub(crate) fn check_there(&self) -> Result<(), Error> {
        if self.is_removed.load(Acquire) {
            return Err(Error::Removed);
        }
        Ok(())
    }

    /// A bucket by the name that a guest gives. It needs room in the file only once it has values.
    pub(crate) fn bucket(&self, name: &str) -> Result<Arc<BucketState>, Error> {
        self.check_there()?;
        let name = bucket_name(name)?;
        let mut buckets = self.buckets.lock();
        if let Some(bucket) = buckets.get(name) {
            return Ok(bucket.clone());
        }
        if buckets.len() >= BUCKETS_MAX {
            // Those that are empty and that nobody has open.
            buckets.retain(|_, bucket| bucket.id() != 0 || Arc::strong_count(bucket) > 1);
        }
        if buckets.len() >= BUCKETS_MAX {
            let why = "a deployment has at most 64 buckets";
            return Err(Error::NoSuchStore { name: shown(name), why });
        }
        Ok(buckets.entry(name.to_owned()).or_insert_with_key(|name| new_bucket(name)).clone())
    }

    pub(crate) fn buckets(&self) -> Vec<Arc<BucketState>> {
        self.buckets.lock().values().cloned().collect()
    }

    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for bucket in self.buckets.lock().values() {
            let tally = bucket.tally();
            usage.bytes += tally.bytes;
            usage.keys += tally.keys;
            usage.buckets += u64::from(tally.id != 0);
        }
        usage
    }

    /// Whether a value may have expired by now.
    pub(crate) fn may_expire(&self, now_ms: u64) -> bool {
        self.buckets.lock().values().any(|bucket| bucket.tally().earliest_ms <= now_ms)
    }
}

impl BucketState {
    pub(crate) fn id(&self) -> u64 {
        self.id.load(Acquire)
    }

    pub(crate) fn tally(&self) -> Tally {
        *self.tally.lock()
    }

    pub(crate) fn set_tally(&self, tally: Tally) {
        *self.tally.lock() = tally;
        self.id.store(tally.id, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Arc<SpaceState> {
        Registry::default().open("a", Settings::default())
    }

    #[test]
    fn buckets_are_bounded_and_unused_ones_make_room() {
        let space = space();
        let open: Vec<_> = (0..63).map(|i| space.bucket(&format!("b{i}")).unwrap()).collect();
        drop(space.bucket("not-kept").unwrap());
        let kept = space.bucket("kept").unwrap();
        let error = space.bucket("one-more").err().unwrap();
        assert!(matches!(error, Error::NoSuchStore { .. }), "{error}");
        drop(kept);
        space.bucket("one-more").unwrap();

        open[0].set_tally(Tally { id: 9, ..Tally::EMPTY });
        drop(open);
        space.bucket("another").unwrap();
        assert_eq!(space.bucket("b0").unwrap().id(), 9, "a bucket with values stays");
    }

    #[test]
    fn loading_replaces_what_was_known_and_keeps_handles() {
        let registry = Registry::default();
        let space = registry.open("a", Settings::default());
        let (x, y) = (space.bucket("x").unwrap(), space.bucket("y").unwrap());
        x.set_tally(Tally { id: 1, bytes: 10, keys: 1, earliest_ms: 0 });
        let tally = Tally { id: 2, bytes: 70, keys: 1, earliest_ms: 5 };
        registry.load([("a".into(), "y".into(), tally), ("b".into(), "z".into(), tally)]);
        assert_eq!((x.id(), y.id()), (0, 2));
        assert_eq!(space.usage(), Usage { bytes: 70, keys: 1, buckets: 1 });
        assert!(space.may_expire(5) && !space.may_expire(4));
        assert_eq!(registry.all().len(), 2);
    }
}
