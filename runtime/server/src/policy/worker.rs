//! The thread of one policy: its instance, and one scaler per deployment in it.
//!
//! A trap poisons the instance. It is made anew at the next call, and each scaler in it is made
//! again from its configuration and fed the deployment's last observations: state is replayed, never
//! migrated.

use super::bindings::Policy;
use super::bindings::exports::samovar::policy::scaling as wit;
use super::convert;
use super::host::{Failure, Replayed, Scaled, ScalerId};
use super::sandbox::{FUEL_PER_CALL, FUEL_PER_REPLAY, Sandbox};
use crate::clock;
use parking_lot::Mutex;
use samovar_core::observation::Observation;
use samovar_core::ring::Ring;
use samovar_core::target::Answer;
use samovar_core::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use wasmtime::component::{InstancePre, ResourceAny};
use wasmtime::{Engine, Store};

/// What a policy's thread is asked to do.
pub enum Job {
    /// Make a scaler and feed it the past.
    Create {
        /// The new scaler's name.
        id: ScalerId,
        /// Its configuration, a JSON object.
        config: String,
        /// The deployment's past. It is fed again whenever the scaler has to be made anew.
        ring: Arc<Mutex<Ring>>,
        /// Takes the answer.
        reply: oneshot::Sender<Result<Replayed, Failure>>,
    },
    /// One tick.
    Scale {
        /// The scaler to ask.
        id: ScalerId,
        /// What it is told.
        seen: Box<Observation>,
        /// Takes the answer.
        reply: oneshot::Sender<Result<Scaled, Failure>>,
    },
    /// Forget a scaler.
    Forget(ScalerId),
}

struct Scaler {
    config: String,
    ring: Arc<Mutex<Ring>>,
    /// None until it is made in the current instance.
    resource: Option<ResourceAny>,
    /// When the newest observation was taken that it was fed.
    fed: Option<Timestamp>,
}

struct Instance {
    store: Store<Sandbox>,
    policy: Policy,
}

/// One policy's state; lives on its own thread.
pub struct Worker {
    engine: Engine,
    pre: InstancePre<Sandbox>,
    instance: Option<Instance>,
    scalers: BTreeMap<ScalerId, Scaler>,
    needs_replicas: bool,
}

impl Worker {
    /// A worker without an instance; the first call makes it.
    pub fn new(pre: InstancePre<Sandbox>) -> Self {
        let engine = pre.engine().clone();
        Worker { engine, pre, instance: None, scalers: BTreeMap::new(), needs_replicas: false }
    }

    /// Works until nobody can send a job any more.
    pub fn run(worker: &Mutex<Worker>, jobs: Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Create { id, config, ring, reply } => {
                    let made = worker.lock().create(id, config, ring);
                    _ = reply.send(made);
                }
                Job::Scale { id, seen, reply } => {
                    let scaled = worker.lock().scale(id, &seen);
                    _ = reply.send(scaled);
                }
                Job::Forget(id) => worker.lock().forget(id),
            }
        }
    }

    /// Whether a scaler can be asked without making it first, which takes its time.
    pub fn is_made(&self, id: ScalerId) -> bool {
        self.scalers.get(&id).is_some_and(|scaler| scaler.resource.is_some())
    }

    /// What the policy says about itself.
    pub fn describe(&mut self) -> Result<wit::Description, Failure> {
        let description = self.call("describe", |instance| {
            let Instance { store, policy } = instance;
            policy.samovar_policy_scaling().call_describe(store)
        })?;
        self.needs_replicas = description.needs_replicas;
        Ok(description)
    }

    /// Makes a scaler and feeds it the past.
    pub fn create(
        &mut self,
        id: ScalerId,
        config: String,
        ring: Arc<Mutex<Ring>>,
    ) -> Result<Replayed, Failure> {
        self.scalers.insert(id, Scaler { config, ring, resource: None, fed: None });
        let made = self.make(id).and_then(|resource| self.replay(id, resource, Timestamp::MAX));
        if made.is_err() {
            self.forget(id);
        }
        made
    }

    /// One tick.
    pub fn scale(&mut self, id: ScalerId, seen: &Observation) -> Result<Scaled, Failure> {
        let resource = match self.scalers.get(&id).map(|scaler| scaler.resource) {
            Some(Some(resource)) => resource,
            Some(None) => self.rebuild(id, seen.now)?,
            None => return Err(Failure::gone()),
        };
        self.catch_up(id, resource, seen.now)?;
        let started = clock::now();
        let answer = self.ask(resource, seen)?;
        let took = clock::now().since(started);
        self.note_fed(id, seen.now);
        Ok(Scaled { answer, took })
    }

    /// Feeds a scaler what was observed between its making and its first question, when another
    /// one still decided: it must know all that the one before knew.
    fn catch_up(
        &mut self,
        id: ScalerId,
        resource: ResourceAny,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let scaler = self.scalers.get(&id).ok_or_else(Failure::gone)?;
        let fed = scaler.fed.unwrap_or(Timestamp::ZERO);
        let missed = scaler.ring.lock().observations(|seen| fed < seen && seen < now);
        for seen in &missed {
            self.ask(resource, seen)?;
        }
        Ok(())
    }

    fn note_fed(&mut self, id: ScalerId, now: Timestamp) {
        if let Some(scaler) = self.scalers.get_mut(&id) {
            scaler.fed = Some(now);
        }
    }

    /// Makes a scaler again whose instance was lost. If it fails on its past it starts without one:
    /// a policy that traps on one observation must not trap for as long as that is remembered.
    fn rebuild(&mut self, id: ScalerId, now: Timestamp) -> Result<ResourceAny, Failure> {
        let resource = self.make(id)?;
        match self.replay(id, resource, now) {
            Ok(_) => Ok(resource),
            Err(_) => {
                self.note_fed(id, now); // Else it would be fed its past by and by.
                self.make(id)
            }
        }
    }

    /// Creates the scaler's resource in the instance.
    fn make(&mut self, id: ScalerId) -> Result<ResourceAny, Failure> {
        let config = self.scalers.get(&id).ok_or_else(Failure::gone)?.config.clone();
        let made = self.call("create", |instance| {
            let Instance { store, policy } = instance;
            policy.samovar_policy_scaling().scaler().call_create(store, &config)
        })?;
        let resource = made.map_err(|reason| Failure::refused(&reason))?;
        if let Some(scaler) = self.scalers.get_mut(&id) {
            scaler.resource = Some(resource);
        }
        Ok(resource)
    }

    /// Feeds a new scaler the deployment's past before `now`. The last answer tells what it would
    /// decide.
    fn replay(
        &mut self,
        id: ScalerId,
        resource: ResourceAny,
        now: Timestamp,
    ) -> Result<Replayed, Failure> {
        let ring = Arc::clone(&self.scalers.get(&id).ok_or_else(Failure::gone)?.ring);
        let past = ring.lock().observations(|seen| seen < now);
        let (mut last, mut fuel) = (None, FUEL_PER_REPLAY);
        for seen in &past {
            let answer = self.ask(resource, seen).map_err(Failure::in_replay)?;
            last = Some(answer);
            fuel = fuel.checked_sub(self.fuel_of_last_call()).ok_or_else(Failure::long_replay)?;
        }
        if let Some(newest) = past.last() {
            self.note_fed(id, newest.now);
        }
        Ok(Replayed { observations: past.len(), last })
    }

    /// Bytes of linear memory the instance holds, for all its scalers.
    pub fn memory_bytes(&self) -> usize {
        self.instance.as_ref().map_or(0, |instance| instance.store.data().memory_bytes())
    }

    fn ask(&mut self, resource: ResourceAny, seen: &Observation) -> Result<Answer, Failure> {
        let seen = convert::observation(seen, self.needs_replicas);
        let decision = self.call("scale", |instance| {
            let Instance { store, policy } = instance;
            policy.samovar_policy_scaling().scaler().call_scale(store, resource, &seen)
        })?;
        Ok(convert::answer(decision))
    }

    /// Drops a scaler.
    pub fn forget(&mut self, id: ScalerId) {
        let scaler = self.scalers.remove(&id);
        if let (Some(resource), Some(instance)) =
            (scaler.and_then(|scaler| scaler.resource), &mut self.instance)
        {
            // A trap here is found out at the next call.
            _ = instance.store.set_fuel(FUEL_PER_CALL);
            if resource.resource_drop(&mut instance.store).is_err() {
                self.lose_instance();
            }
        }
    }

    /// One call with fresh fuel, in an instance that is made if need be.
    fn call<R>(
        &mut self,
        what: &'static str,
        call: impl FnOnce(&mut Instance) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        let instance = match &mut self.instance {
            Some(instance) => instance,
            None => {
                let made = instantiate(&self.engine, &self.pre);
                self.instance.insert(made.map_err(|error| Failure::trap("start", &error, ""))?)
            }
        };
        instance.store.set_fuel(FUEL_PER_CALL).expect("the engine counts fuel");
        let called = std::panic::AssertUnwindSafe(|| call(instance));
        let called = std::panic::catch_unwind(called)
            .unwrap_or_else(|_| Err(wasmtime::format_err!("the host panicked")));
        called.map_err(|trap| {
            let printed = self.instance.as_ref().map(|lost| lost.store.data().printed());
            self.lose_instance();
            Failure::trap(what, &trap, &printed.unwrap_or_default())
        })
    }

    /// Instructions the last call took, roughly.
    pub fn fuel_of_last_call(&self) -> u64 {
        let left = self.instance.as_ref().and_then(|instance| instance.store.get_fuel().ok());
        FUEL_PER_CALL - left.unwrap_or(0)
    }

    fn lose_instance(&mut self) {
        self.instance = None;
        for scaler in self.scalers.values_mut() {
            scaler.resource = None;
        }
    }
}

fn instantiate(engine: &Engine, pre: &InstancePre<Sandbox>) -> wasmtime::Result<Instance> {
    let mut store = Sandbox::store(engine);
    store.set_fuel(FUEL_PER_CALL)?;
    let instance = pre.instantiate(&mut store)?;
    let policy = Policy::new(&mut store, &instance)?;
    Ok(Instance { store, policy })
}
