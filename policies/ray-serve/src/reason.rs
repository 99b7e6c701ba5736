//! Says in a line why a decision is what it is.

use std::fmt::Write;

use samovar_sdk::REASON_BYTES_MAX;

use crate::config::{Config, Era};
use crate::rule::{Outcome, Rule, Turn, Why};

/// The numbers behind `outcome`, in the order in which they were made.
pub(crate) fn of(config: &Config, rule: &Rule, turn: &Turn, outcome: &Outcome) -> String {
    let mut text = String::with_capacity(128);
    // Writing to a String cannot fail, so there is nothing to do with the results.
    _ = cause(&mut text, config, rule, turn);
    _ = effect(&mut text, turn, outcome);
    text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
    text
}

fn cause(text: &mut String, config: &Config, rule: &Rule, turn: &Turn) -> std::fmt::Result {
    let (load, running, target) = (turn.load, turn.running, rule.target);
    let is_legacy = rule.era == Era::Legacy;
    let waiting = if is_legacy { turn.queued } else { load };
    match (config.desired_series.as_deref(), turn.desired) {
        (Some(name), Some(desired)) if running > 0 || waiting == 0.0 => {
            write!(text, "series {name:.40} = {desired}, {running} running: ")
        }
        _ if running == 0 => write!(text, "{waiting:.2} waiting, none running: "),
        _ if is_legacy => {
            write!(text, "{load:.2} requests per replica, target {target}, {running} running: ")
        }
        _ => write!(text, "{load:.2} requests, target {target}, {running} running: "),
    }
}

fn effect(text: &mut String, turn: &Turn, outcome: &Outcome) -> std::fmt::Result {
    let (wish, target, count) = (outcome.wish, turn.target, outcome.count);
    match outcome.why {
        Why::Waiting { lasted_s, delay_s } => {
            write!(text, "wants {wish}, for {lasted_s:.1} s of {delay_s} s")
        }
        Why::ColdStart if count != target => write!(text, "{target} to {count} at once"),
        _ if count != target && wish == count => write!(text, "{target} to {count}"),
        _ if count != target => write!(text, "wants {wish}, {target} to {count}"),
        _ if wish != count => write!(text, "wants {wish}, stays at {count}"),
        _ => write!(text, "{count} will do"),
    }
}
