//! Says how near texts are to a topic, many requests in one call.
//!
//! ```text
//! POST /    {"text": "A samovar keeps the water hot."}    ->    {"score": 0.41, "batch": 3}
//! ```
//!
//! `score` is from -1 to 1; `batch` is how many requests were answered together. What is not such a
//! JSON object is answered with 422, whatever the other requests of its batch are.
//!
//! The costly step is the same for one text and for many: `embedding.rs` goes once through all
//! weights of its model. Values of the deployment's `config`:
//!
//! | key | default | meaning |
//! | --- | --- | --- |
//! | `topic` | about tea | the text to compare with |
//! | `batch_ms` | 0 | waits so long in every call, as for a device with a fixed time per batch |

mod embedding;

use std::{sync::LazyLock, thread, time::Duration};

use samovar_sdk::{
    batch::{self, BatchHandler, Request, Response},
    config,
    lifecycle::Lifecycle,
};

use embedding::Model;

const TOPIC: &str = "Hot black tea with lemon and jam, poured from a samovar.";

static SCORER: LazyLock<Result<Scorer, String>> = LazyLock::new(Scorer::from_config);

struct Scorer {
    model: Model,
    topic: embedding::Vector,
    wait: Duration,
}

#[derive(serde::Deserialize)]
struct Question {
    text: String,
}

#[derive(serde::Serialize)]
struct Answer {
    score: f32,
    batch: usize,
}

struct Batch;

samovar_sdk::batch_handler!(Batch);
samovar_sdk::lifecycle!(Batch);

impl Lifecycle for Batch {
    fn init() -> Result<(), String> {
        SCORER.as_ref().map(|_| ()).map_err(String::clone)
    }
}

impl BatchHandler for Batch {
    fn handle(requests: Vec<Request>) -> Vec<Result<Response, String>> {
        let scorer = SCORER.as_ref().expect("`init` made it, or this would not be called");
        scorer.wait();
        batch::together(requests, Request::json::<Question>, |questions| {
            let texts: Vec<_> = questions.iter().map(|question| question.text.as_str()).collect();
            let batch = texts.len();
            let scores = scorer.scores(&texts).into_iter();
            scores.map(|score| Response::json(&Answer { score, batch })).collect()
        })
    }
}

impl Scorer {
    fn from_config() -> Result<Self, String> {
        let model = Model::new();
        let topic = config::get("topic").unwrap_or(TOPIC.into());
        let [topic] = model.embed(&[&topic])[..] else { unreachable!("one text was given") };
        let wait = config::get("batch_ms").unwrap_or("0".into());
        let wait = wait.parse().map_err(|error| format!("`batch_ms` is {wait:?}: {error}"))?;
        Ok(Self { model, topic, wait: Duration::from_millis(wait) })
    }

    #[expect(clippy::disallowed_methods, reason = "a guest waits by its host's clock")]
    fn wait(&self) {
        if !self.wait.is_zero() {
            thread::sleep(self.wait);
        }
    }

    fn scores(&self, texts: &[&str]) -> Vec<f32> {
        let embedded = self.model.embed(texts);
        embedded.iter().map(|text| embedding::cosine(text, &self.topic)).collect()
    }
}
