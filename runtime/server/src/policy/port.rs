//! Asks a port of another system's policy what its original would answer. For tools, never while
//! serving.

use super::port_bindings;
use super::sandbox::Sandbox;
use wasmtime::Store;
use wasmtime::component::InstancePre;

/// Instructions one question may take, roughly: some minutes of work. Questions may hold hours of
/// the original's life.
const FUEL_PER_QUESTION: u64 = 1_000_000_000_000;

/// An instance of a port.
pub struct Port {
    store: Store<Sandbox>,
    port: port_bindings::Port,
}

impl Port {
    /// An instance of its own, beside those that decide.
    ///
    /// # Errors
    ///
    /// When the policy does not export `conformance`, or cannot start.
    pub fn new(pre: &InstancePre<Sandbox>) -> wasmtime::Result<Self> {
        let mut store = Sandbox::store(pre.engine());
        store.set_fuel(FUEL_PER_QUESTION)?;
        let instance = pre.instantiate(&mut store)?;
        let port = port_bindings::Port::new(&mut store, &instance)?;
        Ok(Port { store, port })
    }

    /// The answer to one question, both JSON.
    ///
    /// # Errors
    ///
    /// When the question makes no sense to the port, or the port traps.
    pub fn answer(&mut self, question: &str) -> wasmtime::Result<String> {
        self.store.set_fuel(FUEL_PER_QUESTION)?;
        self.store.set_hostcall_fuel(question.len().saturating_mul(4) + (64 << 20));
        let conformance = self.port.samovar_policy_conformance();
        let answered = conformance.call_answer(&mut self.store, question);
        answered
            .map_err(|trap| {
                let printed = self.store.data().printed();
                trap.context(format!("the policy failed: {printed}"))
            })?
            .map_err(|refusal| wasmtime::format_err!("{refusal}"))
    }
}
