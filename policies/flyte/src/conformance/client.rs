//! What the original's client allows a task of a reusable environment.
//!
//! After `flyte/_task_environment.py`, `flyte/_environment.py` and `TaskTemplate.override` in
//! `flyte/_task.py` of Flyte 2.12.1. Nothing of it concerns the number of replicas.

use serde::Deserialize;
use serde_json::{Value, json};

use super::options::{Policy, policy};
use super::outcome;
use super::python::{Arguments, Exception, check_names, int, is_true, type_error, value_error};
use super::wire::raised;

/// Keywords of `TaskEnvironment` besides those the question itself gives.
const ENVIRONMENT: &[&str] = &[
    "depends_on",
    "pod_template",
    "description",
    "secrets",
    "env_vars",
    "resources",
    "interruptible",
    "image",
    "include",
    "service_account",
    "cache",
    "plugin_config",
    "queue",
];

/// Keywords of `TaskEnvironment.task`.
const TASK: &[&str] = &[
    "short_name",
    "cache",
    "retries",
    "timeout",
    "docs",
    "pod_template",
    "report",
    "interruptible",
    "max_inline_io_bytes",
    "queue",
    "service_account",
    "triggers",
    "links",
    "task_resolver",
    "entrypoint",
    "produces_artifacts",
];

/// Keywords of `TaskTemplate.override`, and fields it passes on.
const OVERRIDE: &[&str] = &[
    "short_name",
    "resources",
    "cache",
    "retries",
    "timeout",
    "reusable",
    "env_vars",
    "secrets",
    "service_account",
    "max_inline_io_bytes",
    "pod_template",
    "queue",
    "interruptible",
    "entrypoint",
    "produces_artifacts",
    "links",
    "plugin_config",
    "task_type",
    "task_type_version",
    "report",
    "debuggable",
    "parent_env",
    "parent_env_name",
    "triggers",
    "_call_as_synchronous",
    "task_resolver",
    "func",
];

/// Fields that an override may not name.
const FIXED: &[&str] = &["name", "image", "docs", "interface", "ref"];

/// Words that `cache` takes.
const CACHE: &[&str] = &[
    "auto", "override", "disable", "enable", "enabled", "false", "no", "none", "off", "on", "true",
    "yes",
];

/// Mode `override`.
#[derive(Deserialize)]
pub struct Override {
    #[serde(default = "yes")]
    env_reusable: bool,
    #[serde(rename = "override")]
    arguments: Arguments,
}

fn yes() -> bool {
    true
}

pub fn override_task(question: &Override) -> Result<Value, String> {
    let Override { env_reusable, arguments } = question;
    if let Some(cpu) = arguments.get("resources") {
        check_cpu(cpu).map_err(raised)?;
    }
    if arguments.get("secrets").is_some_and(|secret| !secret.is_string()) {
        return Err("AttributeError: the key of a secret is a text".into());
    }
    // A new policy stands for itself; of the environment's own only its presence counts.
    let is_reusable = match arguments.get("reusable") {
        Some(Value::Object(new)) => policy(new).map(|_| true).map_err(raised)?,
        Some(Value::String(word)) if word == "off" => false,
        Some(word) if is_true(word) => true,
        _ => *env_reusable,
    };
    Ok(outcome(check_override(arguments, is_reusable).map(|()| {
        let cpu = arguments.get("resources").cloned().unwrap_or_default();
        json!({ "ok": true, "reusable": is_reusable, "cpu": cpu })
    })))
}

fn check_override(arguments: &Arguments, is_reusable: bool) -> Result<(), Exception> {
    // Resources and secrets are objects whatever the question puts into them.
    let is_given = |name: &str| match arguments.get(name) {
        Some(Value::Null) => matches!(name, "resources" | "secrets"),
        given => given.is_some(),
    };
    for name in ["resources", "env_vars", "secrets", "service_account"] {
        if is_reusable && is_given(name) {
            return Err(value_error(format!(
                "Cannot override {name} when reusable is set. (set reusable='off')"
            )));
        }
    }
    if let Some(name) = FIXED.iter().find(|name| arguments.contains_key(**name)) {
        return Err(value_error(format!("{name} cannot be overridden")));
    }
    if is_given("plugin_config") {
        return Err(value_error("No task plugin found for config type"));
    }
    check_names(arguments, OVERRIDE)?;
    check_cache(arguments.get("cache").filter(|cache| is_true(cache)))?;
    check_template(arguments)
}

/// Mode `task`.
#[derive(Deserialize)]
pub struct Task {
    policy: Value,
    #[serde(default)]
    env: Arguments,
    #[serde(default)]
    task: Arguments,
    #[serde(default = "yes")]
    async_task: bool,
}

pub fn task(question: &Task) -> Value {
    outcome(check_task(question).map(|()| json!({ "ok": true })))
}

fn check_task(question: &Task) -> Result<(), Exception> {
    let Task { policy: written, env, task, async_task } = question;
    let reusable = match written {
        Value::Object(arguments) => Some(policy(arguments)?),
        _ => None,
    };
    check_environment(env, written)?;
    check_names(task, TASK)?;
    if !written.is_null() {
        if task.get("pod_template").is_some_and(is_true) {
            return Err(value_error("Cannot set pod_template when environment is reusable."));
        }
        let account = task.get("service_account").filter(|account| !account.is_null());
        if account.is_some_and(|account| env.get("service_account") != Some(account)) {
            return Err(value_error(
                "Cannot override service_account when environment is reusable.",
            ));
        }
    }
    if let Some(Policy { policy, .. }) = reusable
        && !async_task
        && policy.concurrency > 1
    {
        return Err(value_error(
            "Reusable environments with concurrency greater than 1 are only supported for async \
             tasks.",
        ));
    }
    if env.get("plugin_config").is_some_and(|plugin| !plugin.is_null()) {
        return Err(value_error("No task plugin found for config type"));
    }
    let cache = task.get("cache").filter(|cache| is_true(cache)).or(env.get("cache"));
    check_cache(cache)?;
    check_template(env)?;
    check_template(task)
}

/// Nothing given stands for `disable`, but `None` does not.
fn check_cache(cache: Option<&Value>) -> Result<(), Exception> {
    match cache {
        Some(cache) if !cache.as_str().is_some_and(|word| CACHE.contains(&word)) => {
            Err(value_error(format!("Invalid cache behavior: {cache}")))
        }
        _ => Ok(()),
    }
}

/// `TaskEnvironment(name="e", reusable=..., **env)`.
fn check_environment(env: &Arguments, reusable: &Value) -> Result<(), Exception> {
    check_names(env, ENVIRONMENT)?;
    let wrong = |name: &str| type_error(format!("{name} is of the wrong type"));
    for (name, value) in env {
        let fits = match (name.as_str(), value) {
            ("image", value) => !is_true(value) || value.is_string(),
            ("secrets", value) => !is_true(value) || value.is_string() || value.is_array(),
            ("service_account" | "description", value) => value.is_null() || value.is_string(),
            ("resources", value) => value.is_null(),
            ("env_vars", value) => value.is_null() || value.is_object(),
            ("depends_on", value) => value.is_array() && !is_true(value),
            ("include", Value::Array(paths)) => paths.iter().all(Value::is_string),
            ("include", _) => false,
            _ => true,
        };
        if !fits {
            return Err(wrong(name));
        }
    }
    if !reusable.is_null() && env.get("plugin_config").is_some_and(|plugin| !plugin.is_null()) {
        return Err(value_error("Cannot set plugin_config when environment is reusable."));
    }
    if is_true(reusable) && !reusable.is_object() {
        return Err(type_error(format!("Expected reusable to be a ReusePolicy, got {reusable}")));
    }
    if env.get("cache").is_some_and(|cache| is_true(cache) && !cache.is_string()) {
        return Err(wrong("cache"));
    }
    Ok(())
}

/// What every task checks of itself when it is made.
fn check_template(arguments: &Arguments) -> Result<(), Exception> {
    let given = |name: &str| arguments.get(name).filter(|value| is_true(value));
    if let Some(retries) = given("retries")
        && int(retries).is_none_or(|count| count < 0)
    {
        return Err(value_error(format!("retries must be an int from 0, got {retries}")));
    }
    match given("service_account") {
        Some(account) if !account.is_string() => {
            Err(type_error(format!("Expected service_account to be of type str, got {account}")))
        }
        _ => Ok(()),
    }
}

/// `Resources(cpu=...)`.
fn check_cpu(cpu: &Value) -> Result<(), Exception> {
    let fits = match cpu {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => number.as_f64().is_some_and(|cores| cores >= 0.0),
        Value::Array(_) | Value::Object(_) => false,
    };
    match fits {
        true => Ok(()),
        false => Err(value_error(format!("cpu must be a core count or a quantity, got {cpu}"))),
    }
}
