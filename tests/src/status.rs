//! Reading numbers out of JSON answers, with a clear complaint when they are not there.

use serde_json::Value;

/// The number at the JSON pointer `path`.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn number(value: &Value, path: &str) -> u64 {
    match value.pointer(path).and_then(Value::as_u64) {
        Some(number) => number,
        None => panic!("no number at {path} in {value}"),
    }
}

/// The text at the JSON pointer `path`.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn text<'value>(value: &'value Value, path: &str) -> &'value str {
    match value.pointer(path).and_then(Value::as_str) {
        Some(text) => text,
        None => panic!("no text at {path} in {value}"),
    }
}

/// The list at the JSON pointer `path`.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn list<'value>(value: &'value Value, path: &str) -> &'value [Value] {
    match value.pointer(path).and_then(Value::as_array) {
        Some(list) => list,
        None => panic!("no list at {path} in {value}"),
    }
}

/// Replicas that serve, in the status of a deployment.
#[track_caller]
pub fn ready(status: &Value) -> u64 {
    number(status, "/replicas/ready")
}

/// Replicas in any state, in the status of a deployment.
#[track_caller]
pub fn all_replicas(status: &Value) -> u64 {
    let of = |state: &str| number(status, &format!("/replicas/{state}"));
    of("starting") + of("ready") + of("draining")
}

/// The value of the metric line that starts with `name` and holds every one of `labels`, summed
/// over the lines that do. `None` when there is no such line.
pub fn metric(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let lines = text.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    let values: Vec<f64> = lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    if values.is_empty() { None } else { Some(values.iter().sum()) }
}

#[cfg(test)]
mod tests {
    use super::metric;

    #[test]
    fn metrics_are_found_by_whole_name_and_labels() {
        let text =
            "# HELP a_total x\na_total 3\na_total_more 9\nb{d=\"x\",e=\"y\"} 2\nb{d=\"z\"} 5\n";
        assert_eq!(metric(text, "a_total", &[]), Some(3.0));
        assert_eq!(metric(text, "b", &["d=\"x\""]), Some(2.0));
        assert_eq!(metric(text, "b", &[]), Some(7.0));
        assert_eq!(metric(text, "c", &[]), None);
    }
}
