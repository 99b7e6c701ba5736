//! Random operations against a map.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use samovar_keyvalue::{Bucket, ENTRY_OVERHEAD_BYTES, Error, KeyValue, Settings, Usage};

use crate::{Fixture, all_keys};

const DEPLOYMENTS: [&str; 2] = ["one", "two"];
const BUCKETS: [&str; 2] = ["", "b"];
const KEYS: [&str; 5] = ["a", "b", "key", "zz", "é"];

#[derive(Clone, Debug)]
enum Op {
    Set { key: usize, value: Vec<u8> },
    SetFor { key: usize, value: Vec<u8>, ttl_ms: u64 },
    SetMany { items: Vec<(usize, Vec<u8>)> },
    Delete { keys: Vec<usize> },
    Increment { key: usize, delta: u64 },
    Advance { ms: u64 },
    Sweep { max: usize },
    Limits { quota_bytes: u64, ttl_ms: Option<u64> },
    Remove,
    Reopen,
}

/// Where it happens: deployment and bucket.
type Place = (usize, usize);

#[derive(Clone)]
struct Value {
    bytes: Vec<u8>,
    expires_ms: Option<u64>,
}

struct Model {
    values: BTreeMap<(usize, usize, usize), Value>,
    settings: [Settings; 2],
    now_ms: u64,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Done,
    Count(u64),
    Quota { used: u64, needed: u64 },
    NotCounter,
    Overflow,
}

impl Model {
    fn new() -> Self {
        let settings = [Settings::default(); 2];
        Self { values: BTreeMap::new(), settings, now_ms: 1000 }
    }

    /// Nobody can tell an expired value from none.
    fn expire(&mut self) {
        let now_ms = self.now_ms;
        self.values.retain(|_, value| value.expires_ms.is_none_or(|at| at > now_ms));
    }

    fn usage(&self, deployment: usize) -> Usage {
        let mut usage = Usage::default();
        let mut buckets = std::collections::BTreeSet::new();
        for ((_, bucket, key), value) in self.values.iter().filter(|((d, ..), _)| *d == deployment)
        {
            usage.bytes += entry_bytes(*key, &value.bytes);
            usage.keys += 1;
            buckets.insert(bucket);
        }
        usage.buckets = buckets.len() as u64;
        usage
    }

    fn store(
        &mut self,
        (deployment, bucket): Place,
        items: &BTreeMap<usize, Vec<u8>>,
        expires_ms: Option<u64>,
    ) -> Answer {
        let new: u64 = items.iter().map(|(key, value)| entry_bytes(*key, value)).sum();
        let old: u64 = items
            .keys()
            .filter_map(|key| Some((key, self.values.get(&(deployment, bucket, *key))?)))
            .map(|(key, value)| entry_bytes(*key, &value.bytes))
            .sum();
        let used = self.usage(deployment).bytes;
        if new > old && used - old + new > self.settings[deployment].quota_bytes {
            return Answer::Quota { used, needed: new - old };
        }
        for (key, bytes) in items {
            let value = Value { bytes: bytes.clone(), expires_ms };
            self.values.insert((deployment, bucket, *key), value);
        }
        self.expire(); // A life of 0.
        Answer::Done
    }

    fn default_expiry(&self, deployment: usize) -> Option<u64> {
        self.settings[deployment].ttl.map(|ttl| self.now_ms + ttl.as_millis() as u64)
    }

    fn increment(&mut self, place: Place, key: usize, delta: u64) -> Answer {
        let (count, expires_ms) = match self.values.get(&(place.0, place.1, key)) {
            None => (0, self.default_expiry(place.0)),
            Some(Value { bytes, expires_ms }) => {
                let count = str::from_utf8(bytes).ok().and_then(|text| text.parse::<u64>().ok());
                match count.filter(|count| count.to_string().as_bytes() == bytes) {
                    Some(count) => (count, *expires_ms),
                    None => return Answer::NotCounter,
                }
            }
        };
        let Some(count) = count.checked_add(delta) else { return Answer::Overflow };
        let items = BTreeMap::from([(key, count.to_string().into_bytes())]);
        match self.store(place, &items, expires_ms) {
            Answer::Done => Answer::Count(count),
            refused => refused,
        }
    }

    /// What a write answers; none for what is no write.
    fn apply(&mut self, place: Place, op: &Op) -> Option<Answer> {
        let expires_ms = self.default_expiry(place.0);
        match op {
            Op::Set { key, value } => {
                Some(self.store(place, &BTreeMap::from([(*key, value.clone())]), expires_ms))
            }
            Op::SetFor { key, value, ttl_ms } => {
                let at = Some(self.now_ms + ttl_ms);
                Some(self.store(place, &BTreeMap::from([(*key, value.clone())]), at))
            }
            Op::SetMany { items } => {
                Some(self.store(place, &items.iter().cloned().collect(), expires_ms))
            }
            Op::Delete { keys } => {
                keys.iter().for_each(|key| {
                    self.values.remove(&(place.0, place.1, *key));
                });
                Some(Answer::Done)
            }
            Op::Increment { key, delta } => Some(self.increment(place, *key, *delta)),
            Op::Advance { ms } => {
                self.now_ms += ms;
                self.expire();
                None
            }
            Op::Limits { quota_bytes, ttl_ms } => {
                let ttl = ttl_ms.map(Duration::from_millis);
                self.settings[place.0] =
                    Settings { quota_bytes: *quota_bytes, ttl, ..Settings::default() };
                None
            }
            Op::Remove => {
                self.values.retain(|(deployment, ..), _| *deployment != place.0);
                None
            }
            Op::Sweep { .. } | Op::Reopen => None,
        }
    }
}

fn entry_bytes(key: usize, value: &[u8]) -> u64 {
    KEYS[key].len() as u64 + value.len() as u64 + ENTRY_OVERHEAD_BYTES
}

fn buckets(store: &KeyValue, model: &Model) -> Vec<Vec<Bucket>> {
    let open = |(i, name): (usize, &&str)| {
        let space = store.deployment(name, model.settings[i]);
        BUCKETS.iter().map(|bucket| space.bucket(bucket).unwrap()).collect()
    };
    DEPLOYMENTS.iter().enumerate().map(open).collect()
}

/// What the store answers to a write.
async fn write(bucket: &Bucket, op: &Op, now_ms: u64) -> Option<Answer> {
    let key = |key: &usize| KEYS[*key].to_owned();
    let done = match op {
        Op::Set { key, value } => bucket.set(KEYS[*key], value.clone(), now_ms).await,
        Op::SetFor { key, value, ttl_ms } => {
            bucket.set_for(KEYS[*key], value.clone(), *ttl_ms, now_ms).await
        }
        Op::SetMany { items } => {
            let items = items.iter().map(|(k, value)| (key(k), value.clone())).collect();
            bucket.set_many(items, now_ms).await
        }
        Op::Delete { keys } => bucket.delete_many(keys.iter().map(key).collect(), now_ms).await,
        Op::Increment { key, delta } => match bucket.increment(KEYS[*key], *delta, now_ms).await {
            Ok(count) => return Some(Answer::Count(count)),
            Err(error) => Err(error),
        },
        Op::Advance { .. } | Op::Sweep { .. } | Op::Limits { .. } | Op::Remove | Op::Reopen => {
            return None;
        }
    };
    Some(match done {
        Ok(()) => Answer::Done,
        Err(Error::QuotaExceeded { used, needed, .. }) => Answer::Quota { used, needed },
        Err(Error::NotCounter) => Answer::NotCounter,
        Err(Error::CounterOverflow) => Answer::Overflow,
        Err(other) => panic!("{other:?}"),
    })
}

fn check_reads(buckets: &[Vec<Bucket>], model: &Model) {
    let now_ms = model.now_ms;
    for (d, buckets) in buckets.iter().enumerate() {
        for (b, bucket) in buckets.iter().enumerate() {
            let mut listed = all_keys(bucket, now_ms).unwrap();
            listed.sort();
            let expected = |k: usize| model.values.get(&(d, b, k));
            let keys: Vec<_> = (0..KEYS.len()).filter(|k| expected(*k).is_some()).collect();
            assert_eq!(listed, keys.iter().map(|k| KEYS[*k]).collect::<Vec<_>>());
            for (k, key) in KEYS.iter().enumerate() {
                let (value, ttl_ms) = match expected(k) {
                    None => (None, None),
                    Some(v) => (Some(v.bytes.clone()), v.expires_ms.map(|at| at - now_ms)),
                };
                assert_eq!(bucket.exists(key, now_ms).unwrap(), value.is_some());
                assert_eq!(bucket.get(key, now_ms).unwrap(), value);
                assert_eq!(bucket.ttl(key, now_ms).unwrap(), ttl_ms);
            }
        }
    }
}

async fn run(ops: Vec<(Place, Op)>) {
    let mut fixture = Fixture::new();
    let mut model = Model::new();
    let mut open = buckets(fixture.store(), &model);
    for (place, op) in ops {
        let expected = model.apply(place, &op);
        match &op {
            Op::Sweep { max } => {
                let swept = fixture.store().sweep(model.now_ms, *max).await.unwrap();
                assert!(swept.removed <= *max as u64);
            }
            Op::Remove => {
                fixture.store().remove_deployment(DEPLOYMENTS[place.0]).await.unwrap();
                open = buckets(fixture.store(), &model);
            }
            Op::Reopen => {
                fixture.reopen();
                open = buckets(fixture.store(), &model);
            }
            Op::Limits { .. } => open = buckets(fixture.store(), &model),
            _ => {
                let answer = write(&open[place.0][place.1], &op, model.now_ms).await;
                assert_eq!(answer, expected, "{op:?}");
            }
        }
        check_reads(&open, &model);
    }
    while !fixture.store().sweep(model.now_ms, 3).await.unwrap().is_done {}
    for reopened in [false, true] {
        if reopened {
            fixture.reopen();
        }
        for (d, name) in DEPLOYMENTS.iter().enumerate() {
            assert_eq!(fixture.store().usage(name), model.usage(d), "reopened: {reopened}");
        }
    }
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..20),
        2 => (0..200_u64).prop_map(|number| number.to_string().into_bytes()),
        1 => Just(u64::MAX.to_string().into_bytes()),
        1 => (1000..3000_usize).prop_map(|len| vec![b'7'; len]),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..KEYS.len();
    prop_oneof![
        4 => (key(), value()).prop_map(|(key, value)| Op::Set { key, value }),
        4 => (key(), value(), 0..100_u64)
            .prop_map(|(key, value, ttl_ms)| Op::SetFor { key, value, ttl_ms }),
        3 => prop::collection::vec((key(), value()), 0..6).prop_map(|items| Op::SetMany { items }),
        2 => prop::collection::vec(key(), 1..3).prop_map(|keys| Op::Delete { keys }),
        4 => (key(), 0..1000_u64).prop_map(|(key, delta)| Op::Increment { key, delta }),
        4 => (0..60_u64).prop_map(|ms| Op::Advance { ms }),
        2 => (1..5_usize).prop_map(|max| Op::Sweep { max }),
        2 => (0..4000_u64, prop::option::of(0..80_u64))
            .prop_map(|(quota_bytes, ttl_ms)| Op::Limits { quota_bytes, ttl_ms }),
        1 => Just(Op::Remove),
        1 => Just(Op::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn store_is_a_map_with_quotas_and_expiry(
        ops in prop::collection::vec(((0..2_usize, 0..2_usize), op()), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(ops));
    }
}
