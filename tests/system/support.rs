//! Small things that several modules of the suite need.

use std::path::PathBuf;

use samovar_tests::{Samovar, files};
use serde_json::{Value, json};

/// The behaviours, as a WASI 0.2 handler.
pub const BEHAVE: &str = "fixture-behave";
/// The behaviours, as a WASI 0.3 handler.
pub const BEHAVE_ASYNC: &str = "fixture-behave-async";
/// The policy that misbehaves as its configuration says.
pub const BAD_POLICY: &str = "fixture-policy";

/// A pool that neither grows nor shrinks by itself: `count` replicas, and no policy in the way.
pub fn fixed(count: u32) -> Value {
    json!({"replicas": count, "idle_ttl": "off"})
}

/// A pool of up to eight replicas, asked often, that does what the bad policy, pushed as `policy`, is
/// told: `scale`. Only decisions take replicas away, and those at once.
pub fn steered(policy: &str, scale: &str) -> Value {
    let scaling = json!({"policy": policy, "config": {"scale": scale}, "interval": "50ms"});
    json!({"replicas": "0..8", "initial_replicas": 1, "idle_ttl": "off", "scaledown_ttl": "1ms",
        "scaling": scaling})
}

/// The spec `left` with the members of `right` put on top.
pub fn with(mut left: Value, right: Value) -> Value {
    let Value::Object(members) = right else { panic!("{right} is not an object") };
    for (key, value) in members {
        left[key] = value;
    }
    left
}

/// What the store holds: the list of components, and the names of all files.
#[derive(Debug, PartialEq)]
pub struct Stored {
    components: Value,
    files: Vec<PathBuf>,
}

/// What the store holds now. Compared before and after a refused request, which must not leave
/// anything behind.
pub async fn stored(samovar: &Samovar) -> Stored {
    let components = samovar.admin.get("/v1/components").await.expect(200).json();
    Stored { components, files: files::below(&samovar.data()) }
}

/// Fails unless `text` holds every one of `words`.
#[track_caller]
pub fn names(text: &Value, words: &[&str]) {
    let text = text.as_str().unwrap_or_else(|| panic!("no text: {text}"));
    for word in words {
        assert!(text.contains(word), "{text:?} does not name {word:?}");
    }
}

/// The decisions of a deployment, as soon as there are at least `count`.
pub async fn some_decisions(samovar: &Samovar, name: &str, count: usize) -> Vec<Value> {
    samovar_tests::eventually("decisions are made", async || {
        let decisions = samovar.decisions(name).await;
        (decisions.len() >= count).then_some(decisions)
    })
    .await
}
