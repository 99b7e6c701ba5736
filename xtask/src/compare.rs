//! `cargo xtask compare`: random requests to another system's running code and to the policy that
//! copies it, until the first difference.

mod dice;
mod knative;
mod lightning;
mod options;
mod original;
mod ours;
mod ray;
mod shrink;

use std::{collections::BTreeMap, env, fmt, path::PathBuf};

use anyhow::{Result, bail};
use serde_json::Value;

use self::{
    dice::Dice,
    options::{Options, USAGE},
    original::Original,
    ours::Ours,
};
use crate::{
    ui::{Live, now, step},
    workspace::Workspace,
};

/// Cuts of a request that differs; each round costs a start of the original.
const SHRINK_ROUNDS_MAX: usize = 60;
const BAR_WIDTH: usize = 24;
/// Fields in which the original says who it is.
const ABOUT_THE_ORIGINAL: [&str; 3] = ["ray_version", "era", "lightning_version"];

/// What one side said to a request.
#[derive(Debug)]
enum Answer {
    Given(Value),
    /// The request made no sense to it, or it broke.
    Failed(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Given(value) => write!(f, "{value}"),
            Answer::Failed(text) => write!(f, "fails: {text}"),
        }
    }
}

/// Makes requests of one system.
type Generate = Box<dyn Fn(&mut Dice, &str) -> Value>;

/// What a system can be asked.
struct System {
    name: &'static str,
    /// Modes with their weights.
    modes: Vec<(&'static str, u64)>,
    /// A request of the given mode.
    generate: Generate,
}

struct Comparison {
    original: Original,
    ours: Ours,
    /// How many requests of each mode were answered alike.
    equal: BTreeMap<String, u64>,
}

struct Difference {
    request: Value,
    original: Answer,
    ours: Answer,
}

/// Compares as `args` say. An answer that differs is an error.
pub fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    let mut original = Original::new(options.python.clone(), options.oracle.clone());
    let system = system(&options, &mut original)?;
    let samovar = match env::var_os("SAMOVAR_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            step("build", || workspace.build_hosts())?;
            workspace.samovar()
        }
    };
    let ours = Ours::start(&samovar, system.name)?;
    let mut comparison = Comparison { original, ours, equal: BTreeMap::new() };
    comparison.all(&options, &system)
}

fn system(options: &Options, original: &mut Original) -> Result<System> {
    let mut system = match options.system.as_str() {
        "ray" => ray::system(ray::era(original, options.era.as_deref())?),
        "lightning" => lightning::system(),
        "knative" => knative::system(),
        other => bail!("`{other}` is no system to compare with\n\n{USAGE}"),
    };
    let modes = &options.modes;
    if let Some(unknown) =
        modes.iter().find(|mode| !system.modes.iter().any(|(known, _)| known == mode))
    {
        let known: Vec<_> = system.modes.iter().map(|(name, _)| *name).collect();
        bail!("no mode `{unknown}` here, there are {}", known.join(", "));
    }
    system.modes.retain(|(name, _)| modes.is_empty() || modes.iter().any(|mode| mode == name));
    Ok(system)
}

impl Comparison {
    fn all(&mut self, options: &Options, system: &System) -> Result<()> {
        let (mut live, started, mut done) = (Live::new(), now(), 0);
        while done < options.traces {
            let until = options.traces.min(done + options.batch);
            let requests: Vec<Value> =
                (done..until).map(|trace| system.request(options.seed, trace)).collect();
            let found = self.differences(&requests)?.into_iter().next();
            let equal = found.as_ref().map_or(requests.len(), |(index, _)| *index);
            for request in &requests[..equal] {
                let mode = request["mode"].as_str().expect("every generator sets it");
                *self.equal.entry(mode.to_owned()).or_default() += 1;
            }
            done += equal as u64;
            if let Some((_, difference)) = found {
                live.clear();
                self.report(difference);
                bail!("trace {done} of seed {} is answered differently", options.seed);
            }
            let rate = done as f64 / started.elapsed().as_secs_f64();
            live.show(&format!("{} {rate:.0}/s", bar(done, options.traces)));
        }
        live.clear();
        println!("{done} traces equal: {}", self.counts());
        Ok(())
    }

    /// Where the answers part, with the place of the request.
    fn differences(&mut self, requests: &[Value]) -> Result<Vec<(usize, Difference)>> {
        let original = self.original.ask(requests)?;
        let ours = self.ours.ask(requests)?;
        let both = original.into_iter().zip(ours).enumerate();
        let different = both.filter(|(_, (original, ours))| !agree(original, ours));
        let different = different.map(|(index, (original, ours))| {
            (index, Difference { request: requests[index].clone(), original, ours })
        });
        Ok(different.collect())
    }

    fn report(&mut self, found: Difference) {
        println!("equal until then: {}", self.counts());
        let whole = found.request.clone();
        let smallest = self.smallest(found);
        println!("request   {}", smallest.request);
        println!("original  {}", smallest.original);
        println!("ours      {}", smallest.ours);
        if whole != smallest.request {
            println!("uncut     {whole}");
        }
    }

    /// Cuts the request as long as the answers still differ.
    fn smallest(&mut self, mut found: Difference) -> Difference {
        for _ in 0..SHRINK_ROUNDS_MAX {
            // A cut may be something that the original does not survive; then this one is it.
            let Ok(differences) = self.differences(&shrink::cuts(&found.request)) else { break };
            let mut cuts = differences.into_iter().map(|(_, cut)| cut);
            match cuts.find(|cut| cut.is_like(&found)) {
                Some(cut) => found = cut,
                None => break,
            }
        }
        found
    }

    fn counts(&self) -> String {
        let counts: Vec<_> =
            self.equal.iter().map(|(mode, count)| format!("{mode} {count}")).collect();
        if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
    }
}

impl System {
    /// The request with this number.
    fn request(&self, seed: u64, trace: u64) -> Value {
        let mut dice = Dice::new(seed, trace);
        let mode = dice.weighted(&self.modes);
        let mut request = (self.generate)(&mut dice, mode);
        request["mode"] = mode.into();
        request
    }
}

impl Difference {
    /// Whether the same sides answered at all.
    fn is_like(&self, other: &Self) -> bool {
        let answered = |side: &Answer| matches!(side, Answer::Given(_));
        answered(&self.original) == answered(&other.original)
            && answered(&self.ours) == answered(&other.ours)
    }
}

fn agree(original: &Answer, ours: &Answer) -> bool {
    match (original, ours) {
        (Answer::Given(original), Answer::Given(ours)) => is_same(original, ours),
        (Answer::Failed(_), Answer::Failed(_)) => true,
        (Answer::Given(_), Answer::Failed(_)) | (Answer::Failed(_), Answer::Given(_)) => false,
    }
}

/// Whether our answer says what the original does. In an object it may say more; of a refusal only
/// the kind counts, the words are our own.
fn is_same(original: &Value, ours: &Value) -> bool {
    match (original, ours) {
        (Value::Object(original), Value::Object(ours)) => {
            let is_refusal = original.get("ok") == Some(&Value::Bool(false));
            let counts = |key: &str| match is_refusal {
                true => matches!(key, "ok" | "error_type"),
                false => !ABOUT_THE_ORIGINAL.contains(&key),
            };
            let fields = original.iter().filter(|(key, _)| counts(key));
            let mut pairs = fields.map(|(key, value)| (value, ours.get(key)));
            pairs.all(|(value, ours)| ours.is_some_and(|ours| is_same(value, ours)))
        }
        (Value::Array(original), Value::Array(ours)) => {
            let mut pairs = original.iter().zip(ours);
            original.len() == ours.len() && pairs.all(|(original, ours)| is_same(original, ours))
        }
        (Value::Number(original), Value::Number(ours)) => original.as_f64() == ours.as_f64(),
        (original, ours) => original == ours,
    }
}

/// `[####----] 1200/10000`
fn bar(done: u64, all: u64) -> String {
    let full = (BAR_WIDTH as u64 * done / all.max(1)) as usize;
    format!("[{}{}] {done}/{all}", "#".repeat(full), "-".repeat(BAR_WIDTH - full))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert!(is_same(&json!([1, 2.5]), &json!([1.0, 2.5])));
        assert!(!is_same(&json!([0.3]), &json!([0.1 + 0.2])));
        assert!(!is_same(&json!([1]), &json!([1, 1])));
        assert!(!is_same(&json!(1), &json!(true)));
    }

    #[test]
    fn ours_may_say_more_but_not_less() {
        let original = json!({ "total": 3, "era": "mid", "ray_version": "2.47.1" });
        assert!(is_same(&original, &json!({ "total": 3, "why": "because" })));
        assert!(!is_same(&original, &json!({ "era": "mid", "ray_version": "2.47.1" })));
        assert!(!is_same(&json!([{ "a": null }]), &json!([{}])));
    }

    #[test]
    fn of_a_refusal_the_kind_counts() {
        let original = json!({ "ok": false, "error_type": "ValueError", "error": "no" });
        assert!(is_same(&original, &json!({ "ok": false, "error_type": "ValueError" })));
        assert!(!is_same(&original, &json!({ "ok": false, "error_type": "TypeError" })));
        assert!(!is_same(&original, &json!({ "ok": true, "error_type": "ValueError" })));
    }

    #[test]
    fn failing_is_an_answer_of_its_own() {
        let failed = || Answer::Failed(String::new());
        let given = || Answer::Given(json!(1));
        assert!(agree(&failed(), &failed()));
        assert!(agree(&given(), &given()));
        assert!(!agree(&given(), &failed()));
        assert!(!agree(&failed(), &given()));
    }

    /// Every system makes requests of all its modes, the same ones for the same seed.
    #[test]
    fn seed_decides_the_requests() {
        let eras = ["legacy", "mid", "modern"].map(|era| ray::system(era.parse().unwrap()));
        for system in eras.into_iter().chain([lightning::system(), knative::system()]) {
            let mut modes: Vec<_> = system.modes.iter().map(|(mode, _)| *mode).collect();
            for trace in 0..2000 {
                let request = system.request(3, trace);
                assert_eq!(request, system.request(3, trace));
                modes.retain(|mode| request["mode"] != *mode);
            }
            assert!(modes.is_empty(), "no requests of {modes:?}");
        }
    }

    #[test]
    fn bar_grows() {
        assert_eq!(bar(0, 10), format!("[{}] 0/10", "-".repeat(24)));
        assert_eq!(bar(5, 10), format!("[{}{}] 5/10", "#".repeat(12), "-".repeat(12)));
        assert_eq!(bar(10, 10), format!("[{}] 10/10", "#".repeat(24)));
    }
}
