//! The policies of a simulation: the real components, each in its sandbox.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use samovar_core::observation::Observation;
use samovar_core::target::Answer;
use samovar_sim::Scaler;
use samovar_sim::scenario::DeploymentSpec;
use serde_json::{Map, Value};
use wasmtime::component::Component;

use super::super::policy_bench::builtin;
use super::super::settings::{self, Setting};
use crate::policy::host::ScalerId;
use crate::policy::{Local, PolicyHost};
use crate::wasm::engine;

/// A policy with its settings, as on the command line.
#[derive(Clone, Debug)]
pub struct Choice {
    /// As it was written; tells runs apart.
    pub text: String,
    /// Name of a built-in policy, or a file.
    pub policy: String,
    /// Its settings.
    pub config: Map<String, Value>,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        let (policy, settings) = text.split_once(':').unwrap_or((text, ""));
        let config = match settings.trim() {
            "" => Map::new(),
            json if json.starts_with('{') => serde_json::from_str(json)
                .map_err(|error| format!("the settings are not a JSON object: {error}"))?,
            list => {
                let list: Result<Vec<Setting>, String> = list.split(',').map(str::parse).collect();
                settings::config(list?)
            }
        };
        Ok(Choice { text: text.to_owned(), policy: policy.to_owned(), config })
    }
}

/// Policies that were loaded, by name or file.
pub struct Policies {
    host: PolicyHost,
    loaded: BTreeMap<String, Rc<RefCell<Local>>>,
}

/// One deployment's state in a policy.
struct Simulated {
    policy: Rc<RefCell<Local>>,
    id: ScalerId,
}

impl Policies {
    /// No policies yet.
    ///
    /// # Errors
    ///
    /// When the engine cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Policies { host: PolicyHost::new(engine::policies()?)?, loaded: BTreeMap::new() })
    }

    /// The policy of a deployment, compiled when it is first asked for.
    ///
    /// # Errors
    ///
    /// Why there is no such policy, or why it refuses its settings.
    pub fn scaler(&mut self, spec: &DeploymentSpec) -> Result<Box<dyn Scaler>, String> {
        let name = &spec.scaling.policy;
        let policy = match self.loaded.get(name) {
            Some(policy) => Rc::clone(policy),
            None => {
                let policy = self.load(name).map_err(|error| format!("{error:#}"))?;
                let policy = Rc::new(RefCell::new(policy));
                self.loaded.insert(name.clone(), Rc::clone(&policy));
                policy
            }
        };
        let config = Value::Object(spec.scaling.config.clone()).to_string();
        let id = policy.borrow_mut().create(&config).map_err(|refusal| refusal.to_string())?;
        Ok(Box::new(Simulated { policy, id }))
    }

    fn load(&self, name: &str) -> anyhow::Result<Local> {
        let wasm = match Path::new(name).extension() {
            Some(extension) if extension == "wasm" => {
                std::fs::read(name).with_context(|| format!("read {name}"))?
            }
            _ => match builtin(name) {
                Ok(builtin) => builtin.wasm.to_vec(),
                Err(error) => bail!("{error}; others are given as a .wasm file"),
            },
        };
        let component = Component::new(self.host.engine(), wasm)?;
        Ok(self.host.local(&component)?)
    }
}

impl Scaler for Simulated {
    fn needs_replicas(&self) -> bool {
        self.policy.borrow().description.needs_replicas
    }

    fn scale(&mut self, seen: &Observation) -> Result<Answer, String> {
        let scaled = self.policy.borrow_mut().scale(self.id, seen);
        scaled.map(|scaled| scaled.answer).map_err(|failure| failure.to_string())
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.policy.borrow_mut().forget(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_a_list_or_json() {
        let config = |text: &str| Value::Object(text.parse::<Choice>().unwrap().config).to_string();
        assert_eq!(config("lightning"), "{}");
        assert_eq!(config("x.wasm:a=1,b=fast"), r#"{"a":1,"b":"fast"}"#);
        assert_eq!(config(r#"x:{"a":{"b":[1,2]}}"#), r#"{"a":{"b":[1,2]}}"#);
        assert!("x:a".parse::<Choice>().is_err());
        assert!("x:{a".parse::<Choice>().is_err());
    }
}
