//! The scaling rule itself, without bounds and intervals.

use std::borrow::Cow;

/// Below this part of a full batch per replica there are too many replicas.
const SCALE_IN_BELOW: f64 = 0.25;

/// How many replicas the rule asks for: the present number, one more, or one less.
///
/// A replica that is starting counts twice, in `replicas` and in `pending_works`, which damps
/// growth. The answer can be -1; the caller clamps it.
pub fn scale(replicas: i64, pending_requests: i64, pending_works: i64, max_batch_size: i64) -> i64 {
    let active = replicas + pending_works;
    if active == 0 {
        return i64::from(pending_requests > 0);
    }
    let load = pending_requests as f64 / active as f64;
    if load >= max_batch_size as f64 {
        replicas + 1
    } else if load < SCALE_IN_BELOW * max_batch_size as f64 {
        replicas - 1
    } else {
        replicas
    }
}

/// The rule's answer together with the numbers behind it.
pub(crate) fn explained(
    replicas: i64,
    pending_requests: i64,
    pending_works: i64,
    max_batch_size: i64,
) -> (f64, Cow<'static, str>) {
    let wish = scale(replicas, pending_requests, pending_works, max_batch_size) as f64;
    let active = replicas + pending_works;
    if active == 0 {
        let why = if pending_requests > 0 { "requests and no replica" } else { "no requests" };
        return (wish, why.into());
    }
    let load = pending_requests as f64 / active as f64;
    let (low, high) = (SCALE_IN_BELOW * max_batch_size as f64, max_batch_size);
    (wish, format!("load {load:.2}, in below {low}, out from {high}").into())
}
