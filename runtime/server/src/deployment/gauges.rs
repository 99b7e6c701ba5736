//! Numbers that the guests of one revision report about themselves, for policies.

use parking_lot::Mutex;
use samovar_core::observation::Observation;
use samovar_core::replica::ReplicaId;
use std::collections::BTreeMap;

/// Names one instance may use. More are ignored.
const NAMES_MAX: usize = 32;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 64;

/// What one instance reports.
#[derive(Default)]
struct Report {
    load: Option<f64>,
    values: BTreeMap<String, f64>,
}

/// What all instances report.
#[derive(Default)]
pub struct Gauges {
    by_replica: Mutex<BTreeMap<ReplicaId, Report>>,
}

impl Gauges {
    /// Sets a value of one instance. A name or a value that cannot be used is ignored.
    pub fn set(&self, replica: u64, name: &str, value: f64) {
        let is_name = !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
        if !is_name || !value.is_finite() {
            return;
        }
        let mut reports = self.by_replica.lock();
        let values = &mut reports.entry(ReplicaId(replica)).or_default().values;
        if let Some(known) = values.get_mut(name) {
            *known = value;
        } else if values.len() < NAMES_MAX {
            values.insert(name.to_owned(), value);
        }
    }

    /// Sets the work one instance does. What is no such number is ignored.
    pub fn set_load(&self, replica: u64, units: f64) {
        if units.is_finite() && units >= 0.0 {
            self.by_replica.lock().entry(ReplicaId(replica)).or_default().load = Some(units);
        }
    }

    /// The work one instance last said it does.
    pub fn load(&self, replica: ReplicaId) -> Option<f64> {
        self.by_replica.lock().get(&replica)?.load
    }

    /// Puts what is reported into an observation: for each name the sum under the name itself, mean
    /// and maximum under `NAME.mean` and `NAME.max`. Forgets instances that are gone.
    pub fn report(&self, seen: &mut Observation) {
        let mut reports = self.by_replica.lock();
        if reports.is_empty() {
            return;
        }
        let mut is_there: BTreeMap<ReplicaId, usize> = BTreeMap::new();
        for (index, replica) in seen.replicas.iter().enumerate() {
            is_there.insert(replica.id, index);
        }
        reports.retain(|id, _| is_there.contains_key(id));
        let mut series: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (id, report) in reports.iter() {
            if report.load.is_some() {
                seen.replicas[is_there[id]].load = report.load;
            }
            for (name, value) in &report.values {
                series.entry(name).or_default().push(*value);
            }
        }
        for (name, values) in series {
            let sum: f64 = values.iter().sum();
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            seen.custom.push((name.to_owned(), sum));
            seen.custom.push((format!("{name}.mean"), sum / values.len() as f64));
            seen.custom.push((format!("{name}.max"), most));
        }
    }
}
