//! Smaller requests that may still show a difference.

use serde_json::Value;

/// What a request loses while it still shows the difference: parts of lists first, then settings.
const LISTS: [&str; 12] = [
    "ticks",
    "steps",
    "ops",
    "cases",
    "pods",
    "points",
    "samples",
    "arrivals",
    "calls",
    "replica_series",
    "handle_running_series",
    "handle_queued_series",
];
/// Lists whose entries belong together.
const PAIRED: [&str; 2] = ["values", "index"];
const SETTINGS: [&str; 4] = ["config", "spec", "case", "annotations"];

/// All requests with one cut more than this one, large cuts first.
pub fn cuts(request: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for key in LISTS {
        let Some(list) = request[key].as_array() else { continue };
        all.extend(shorter(list).into_iter().map(|list| with(request, key, list.into())));
        for (index, inner) in list.iter().enumerate() {
            for entry in smaller_entry(inner) {
                let mut list = list.clone();
                list[index] = entry;
                all.push(with(request, key, list.into()));
            }
        }
    }
    all.extend(paired(request));
    for key in SETTINGS {
        let Some(settings) = request[key].as_object() else { continue };
        for name in settings.keys() {
            let mut fewer = settings.clone();
            fewer.remove(name);
            all.push(with(request, key, fewer.into()));
        }
    }
    all
}

/// The list without its halves, its quarters and so on down to single entries; never empty.
fn shorter(list: &[Value]) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    let mut size = list.len() / 2;
    while size > 0 {
        for from in (0..list.len()).step_by(size) {
            let to = list.len().min(from + size);
            all.push([&list[..from], &list[to..]].concat());
        }
        size /= 2;
    }
    all
}

/// A tick that is repeated less often, or a series with fewer points.
fn smaller_entry(entry: &Value) -> Vec<Value> {
    if let Some(points) = entry.as_array() {
        let is_series = points.iter().all(Value::is_array);
        let shorter = if is_series { shorter(points) } else { Vec::new() };
        return shorter.into_iter().map(Value::from).collect();
    }
    let repeats = entry["repeat"].as_u64().unwrap_or(1);
    let mut fewer = vec![1, repeats / 2, repeats.saturating_sub(1)];
    fewer.retain(|count| *count > 0 && *count < repeats);
    fewer.dedup();
    fewer.into_iter().map(|count| with(entry, "repeat", count.into())).collect()
}

fn paired(request: &Value) -> Vec<Value> {
    let lists = PAIRED.map(|key| request[key].as_array());
    let [Some(first), Some(second)] = lists else { return Vec::new() };
    let cut = shorter(first).into_iter().zip(shorter(second));
    cut.map(|(first, second)| {
        with(&with(request, PAIRED[0], first.into()), PAIRED[1], second.into())
    })
    .collect()
}

fn with(object: &Value, key: &str, value: Value) -> Value {
    let mut changed = object.clone();
    changed[key] = value;
    changed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Cuts until nothing can go, like the comparison does.
    fn smallest(mut request: Value, differs: impl Fn(&Value) -> bool) -> Value {
        while let Some(cut) = cuts(&request).into_iter().find(&differs) {
            request = cut;
        }
        request
    }

    #[test]
    fn only_the_tick_that_matters_remains() {
        let ticks: Vec<Value> = (0..20).map(|n| json!({ "total": n, "repeat": 5 })).collect();
        let request = json!({ "mode": "trace", "config": { "a": 1, "b": 2 }, "ticks": ticks });
        let smallest = smallest(request, |request| {
            let ticks = request["ticks"].as_array().unwrap();
            request["config"]["b"] == 2 && ticks.iter().any(|tick| tick["total"] == 13)
        });
        let expected = json!({
            "mode": "trace", "config": { "b": 2 }, "ticks": [{ "total": 13, "repeat": 1 }],
        });
        assert_eq!(smallest, expected);
    }

    #[test]
    fn lists_that_belong_together_are_cut_together() {
        let request = json!({ "values": [5, 6, 7, 8], "index": [1, 2, 3, 4] });
        let smallest =
            smallest(request, |request| request["values"].as_array().unwrap().contains(&json!(7)));
        assert_eq!(smallest, json!({ "values": [7], "index": [3] }));
    }

    #[test]
    fn series_lose_points() {
        let request = json!({ "replica_series": [[[0, 1], [1, 2]], [[0, 3]]] });
        let wanted = json!({ "replica_series": [[[1, 2]], [[0, 3]]] });
        assert!(cuts(&request).contains(&wanted));
    }
}
