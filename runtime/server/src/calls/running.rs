//! A request that is being served and may call others.

use super::{CALL_HEADER, Origin, Registry};
use crate::spec::DeploymentName;
use crate::warm_pool::WarmPool;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use samovar_core::calls::{CallId, Place};
use samovar_core::replica::Lease;
use samovar_core::time::Timestamp;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The trace a request belongs to, as W3C's Trace Context has it.
const TRACE_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];

/// What a request was asked with, of [`TRACE_HEADERS`].
type Trace = [Option<HeaderValue>; 2];

/// A request, or a batch of them, that is being served and may call others.
pub struct Running {
    registry: Arc<Registry>,
    state: Mutex<State>,
    /// When its own answer has to begin.
    until: Timestamp,
    is_answered: AtomicBool,
    trace: Trace,
}

enum State {
    /// It has called nobody.
    Unknown {
        /// The deployment's name.
        name: Arc<str>,
        pool: Arc<WarmPool>,
        lease: Lease,
    },
    Known(CallId),
    Ended,
}

impl Running {
    /// A replica of a pool serves a request from now on. Its answer begins before `until`.
    pub fn start(
        registry: &Arc<Registry>,
        name: &Arc<str>,
        (pool, lease): (&Arc<WarmPool>, Lease),
        origin: &mut Origin,
        headers: &HeaderMap,
        until: Timestamp,
    ) -> Arc<Running> {
        let state = match origin.call.take() {
            // It is known since it got its place. From here on it is this request's to end.
            Some(call) => State::Known(ManuallyDrop::new(call).id),
            None => State::Unknown { name: Arc::clone(name), pool: Arc::clone(pool), lease },
        };
        let trace = TRACE_HEADERS.map(|name| headers.get(name).cloned());
        Running::new(registry, state, until, trace)
    }

    /// The replica of `place` serves a batch from now on, of which some are calls.
    pub fn start_batch(
        registry: &Arc<Registry>,
        name: &Arc<str>,
        place: Place,
        calls: &[CallId],
        until: Timestamp,
    ) -> Arc<Running> {
        let id = registry.known.lock().graph.granted_together(calls, name, place);
        Running::new(registry, State::Known(id), until, Trace::default())
    }

    fn new(registry: &Arc<Registry>, state: State, until: Timestamp, trace: Trace) -> Arc<Running> {
        let (registry, state) = (Arc::clone(registry), Mutex::new(state));
        let is_answered = AtomicBool::new(false);
        Arc::new(Running { registry, state, until, is_answered, trace })
    }

    /// The request calls another deployment.
    pub fn call(&self, callee: &DeploymentName) -> Origin {
        match self.id() {
            Some(parent) => {
                let call = Some(self.registry.call(parent, callee));
                Origin { call, deadline: self.deadline(), ..Origin::default() }
            }
            // What it left behind calls on its own account.
            None => Origin::default(),
        }
    }

    /// What it is known as; none once it has ended.
    fn id(&self) -> Option<CallId> {
        let mut state = self.state.lock();
        match &*state {
            State::Known(id) => Some(*id),
            State::Unknown { name, pool, lease } => {
                let place = pool.place_on(*lease);
                let id = self.registry.known.lock().graph.begin(name, place);
                *state = State::Known(id);
                Some(id)
            }
            State::Ended => None,
        }
    }

    /// When the request's own answer has to begin; none once it has.
    pub fn deadline(&self) -> Option<Timestamp> {
        (!self.is_answered.load(Ordering::Relaxed)).then_some(self.until)
    }

    /// Its answer has begun.
    pub fn answered(&self) {
        self.is_answered.store(true, Ordering::Relaxed);
    }

    /// Tells a process which request it serves, so that its calls are known as such.
    pub fn mark(&self, headers: &mut HeaderMap) {
        if let Some(id) = self.id() {
            headers.insert(CALL_HEADER, self.registry.signer.write(id));
        }
    }

    /// Continues the trace in a request it makes, unless that has one of its own.
    pub fn trace_into(&self, headers: &mut HeaderMap) {
        if headers.contains_key(&TRACE_HEADERS[0]) {
            return;
        }
        for (name, value) in TRACE_HEADERS.iter().zip(&self.trace) {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }

    /// It has ended. Called before its place is free.
    pub fn end(&self) {
        let before = std::mem::replace(&mut *self.state.lock(), State::Ended);
        if let State::Known(id) = before {
            self.registry.known.lock().graph.ended(id);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
