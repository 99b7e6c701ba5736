//! The modes of the back end: the rules of the pool, one question at a time.
//!
//! `offer` is what the host's dispatch does here, and `create_env` what its starting of replicas
//! does; both are known to these questions only.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::pool::{BackEnd, Count, Spec, Sweep, Worker, WorkerState};

/// Modes `needs_scale_up` and `scale_up`.
#[derive(Deserialize)]
pub struct Pool {
    spec: Spec,
    workers: Vec<Worker>,
    #[serde(default)]
    demand: i64,
    #[serde(default)]
    env_state: Option<String>,
}

pub fn needs_scale_up(pool: &Pool) -> Value {
    let count = Count::of(&pool.workers);
    let needed = pool.spec.needs_scale_up(count, pool.demand);
    json!({ "needed": needed, "workers": count.total, "usable": count.usable })
}

pub fn scale_up(pool: &Pool) -> Value {
    let count = Count::of(&pool.workers);
    let made = match pool.env_state.as_deref() {
        None | Some("healthy") => pool.spec.scale_up(count, pool.demand),
        Some(_) => 0,
    };
    json!({ "pods_created": made, "workers": count.total + made })
}

/// Mode `scale_down`.
#[derive(Deserialize)]
pub struct Check {
    spec: Spec,
    workers: Vec<Worker>,
    #[serde(default)]
    config: BackEnd,
    #[serde(default)]
    env_age: f64,
    #[serde(default)]
    demand: i64,
}

pub fn scale_down(check: &Check) -> Value {
    let Check { spec, workers, config, env_age, demand } = check;
    match spec.scale_down(config, workers, *env_age, *demand) {
        Sweep::Delete { .. } => json!({
            "env_deleted": true,
            "pods_deleted": workers.len(),
            "scale_up_requested": false,
        }),
        Sweep::Keep { removed, scale_up } => json!({
            "env_deleted": false,
            "pods_deleted": removed.len(),
            "scale_up_requested": scale_up,
        }),
    }
}

/// Mode `min_replicas`.
#[derive(Deserialize)]
pub struct Minimum {
    spec: Spec,
}

pub fn min_replicas(minimum: &Minimum) -> Value {
    json!({ "min": minimum.spec.low() })
}

/// Mode `offer`.
#[derive(Deserialize)]
pub struct Offer {
    workers: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    id: String,
    #[serde(default = "healthy")]
    state: WorkerState,
    running: i64,
    limit: i64,
    /// Tasks given and not confirmed.
    #[serde(default)]
    reserved: i64,
    #[serde(default)]
    backlog: i64,
    #[serde(default)]
    backlog_limit: i64,
}

fn healthy() -> WorkerState {
    WorkerState::Healthy
}

/// The lowest name of those with a free place, else of those whose backlog has room.
pub fn offer(offer: &Offer) -> Value {
    let healthy = || offer.workers.iter().filter(|place| place.state == WorkerState::Healthy);
    let is_free = |place: &&Place| place.running + place.reserved < place.limit;
    let has_room = |place: &&Place| {
        let held = place.running + place.backlog + place.reserved;
        held < place.limit + place.backlog_limit
    };
    let free = healthy().filter(is_free).map(|place| &place.id).min();
    json!({ "worker": free.or_else(|| healthy().filter(has_room).map(|place| &place.id).min()) })
}

/// Mode `create_env`.
#[derive(Deserialize)]
pub struct Creation {
    spec: Spec,
    /// Which attempts succeed; all if there is none.
    #[serde(default)]
    create_results: Option<Vec<bool>>,
}

/// Workers are made one by one until one succeeds; the rest of the minimum is a scale-up.
pub fn create_env(creation: &Creation) -> Value {
    let low = usize::try_from(creation.spec.low()).unwrap_or(0);
    let results = creation.create_results.as_deref().filter(|results| !results.is_empty());
    let results =
        results.map_or(vec![true; low], |results| results[..low.min(results.len())].into());
    let failed = results.iter().take_while(|success| !**success).count();
    let attempts = results.len().min(failed + 1);
    let state = if low != 0 && failed == low { "tombstoned" } else { "healthy" };
    json!({ "attempts": attempts, "state": state, "scale_up_requested": attempts < low })
}
