//! The hook against real commands and real servers on the loopback interface.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod command;
mod server;
mod webhook;

use std::time::Duration;

use samovar_fleet::{Action, Fleet, Hook, Request, Settings, Token, retry::Backoff};

/// A request about worker 7. A destroy is about machine i-1.
fn request(action: Action) -> Request {
    Request {
        action,
        key: "chat-7-1".to_owned(),
        deployment: "chat".to_owned(),
        worker_id: "7".to_owned(),
        token: Token("join-me".to_owned()),
        report_addr: "http://127.0.0.1:9/workers".to_owned(),
        devices: 1.0,
        reason: "load 3.0".to_owned(),
        machine: (action == Action::Destroy).then(|| "i-1".to_owned()),
    }
}

/// Three attempts, hardly any pauses, and a time-out that only a hang reaches.
fn settings(hook: Hook) -> Settings {
    Settings {
        timeout: Duration::from_secs(60),
        attempts: 3,
        backoff: Backoff { first: Duration::from_millis(2), max: Duration::from_millis(20) },
        ..Settings::new(hook)
    }
}

fn fleet(settings: Settings) -> Fleet {
    Fleet::new(settings).unwrap()
}
