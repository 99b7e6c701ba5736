//! Answers questions in the format of the recorded vectors (`tests/flyte.json`).
//!
//! What concerns scaling comes out of [`crate::pool`], [`crate::reuse`] and [`crate::scaling`],
//! which the policy runs. The rest of the original's client and back end, such as which overrides
//! of a task are refused, is known here only.

mod back_end;
mod client;
mod options;
mod python;
mod wire;

use samovar_sdk::Conformance;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Flyte;

impl Conformance for Flyte {
    fn answer(question: &str) -> Result<String, String> {
        #[derive(Deserialize)]
        struct Question {
            mode: String,
        }
        let mode = read::<Question>(question)?.mode;
        let answer = match mode.as_str() {
            "reuse_policy" => options::reuse_policy(&args(question)?),
            "scaling" => options::scaling(&args(question)?),
            "override" => client::override_task(&args(question)?)?,
            "task" => client::task(&args(question)?),
            "env_hash" => wire::same_environment(&args(question)?)?,
            "reuse_spec" => wire::reuse_spec(&args(question)?)?,
            "app_proto" => wire::app_message(&args(question)?)?,
            "knative_annotations" => wire::annotations(&read(question)?)?,
            "needs_scale_up" => back_end::needs_scale_up(&read(question)?),
            "scale_up" => back_end::scale_up(&read(question)?),
            "scale_down" => back_end::scale_down(&read(question)?),
            "offer" => back_end::offer(&read(question)?),
            "create_env" => back_end::create_env(&read(question)?),
            "min_replicas" => back_end::min_replicas(&read(question)?),
            mode => return Err(format!("unknown mode `{mode}`")),
        };
        Ok(answer.to_string())
    }
}

fn read<T: DeserializeOwned>(question: &str) -> Result<T, String> {
    serde_json::from_str(question).map_err(|error| error.to_string())
}

/// What the client's modes ask about. Read from the text itself, which keeps the order of keys.
fn args<T: DeserializeOwned>(question: &str) -> Result<T, String> {
    #[derive(Deserialize)]
    struct Question<T> {
        args: T,
    }
    Ok(read::<Question<T>>(question)?.args)
}

/// The answer, or which kind of error the original raises.
fn outcome(answer: Result<Value, python::Exception>) -> Value {
    answer.unwrap_or_else(|exception| {
        serde_json::json!({ "ok": false, "error_type": exception.name(), "error": exception.text })
    })
}
