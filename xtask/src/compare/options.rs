//! What `cargo xtask compare` was asked for.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result, bail};

pub const USAGE: &str = "\
usage: cargo xtask compare ray|lightning|knative --oracle SCRIPT [option]...

  --oracle SCRIPT    reads a JSON list of requests, prints the original's answers
  --python PYTHON    runs SCRIPT, with the original installed [default: python3]
  --traces N         how many requests to compare [default: 10000]
  --seed N           other requests for another number [default: 1]
  --batch N          requests per start of SCRIPT [default: 200]
  --era ERA          legacy, mid or modern, of Ray [default: what SCRIPT says]
  --mode MODE[,...]  only requests of these modes [default: all]

SAMOVAR_BIN names the server binary to ask; without it the server is built.";

/// The arguments, read.
pub struct Options {
    pub system: String,
    pub oracle: PathBuf,
    pub python: PathBuf,
    pub traces: u64,
    pub seed: u64,
    pub batch: u64,
    pub era: Option<String>,
    pub modes: Vec<String>,
}

impl Options {
    pub fn parse(args: &[String]) -> Result<Self> {
        let Some((system, mut rest)) = args.split_first() else { bail!("{USAGE}") };
        let mut values = BTreeMap::new();
        while let [name, after @ ..] = rest {
            let ([value, after @ ..], Some(key)) = (after, name.strip_prefix("--")) else {
                bail!("`{name}` is no option with a value\n\n{USAGE}");
            };
            values.insert(key.to_owned(), value.clone());
            rest = after;
        }
        let mut take = |key: &str| values.remove(key);
        let whole = |key: &str, text: Option<String>, default: u64| match text {
            Some(text) => text.parse().with_context(|| format!("--{key} {text}")),
            None => Ok(default),
        };
        let options = Self {
            system: system.clone(),
            oracle: take("oracle")
                .with_context(|| format!("--oracle is missing\n\n{USAGE}"))?
                .into(),
            python: take("python").unwrap_or_else(|| "python3".to_owned()).into(),
            traces: whole("traces", take("traces"), 10_000)?,
            seed: whole("seed", take("seed"), 1)?,
            batch: whole("batch", take("batch"), 200)?.max(1),
            era: take("era"),
            modes: take("mode")
                .map(|text| text.split(',').map(str::to_owned).collect())
                .unwrap_or_default(),
        };
        match values.keys().next() {
            Some(unknown) => bail!("`--{unknown}` is no option\n\n{USAGE}"),
            None => Ok(options),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_have_defaults() {
        let options = parse("ray --oracle o.py").unwrap();
        assert_eq!((options.traces, options.seed, options.batch), (10_000, 1, 200));
        assert_eq!(options.system, "ray");
        let options = parse("ray --seed 7 --oracle o.py --mode trace,app --era mid").unwrap();
        assert_eq!(options.seed, 7);
        assert_eq!(options.modes, ["trace", "app"]);
        assert_eq!(options.era.as_deref(), Some("mid"));
    }

    #[test]
    fn wrong_options_are_named() {
        for (line, named) in [
            ("ray", "--oracle is missing"),
            ("ray --oracle", "`--oracle` is no option with a value"),
            ("ray --oracle o.py --sead 1", "`--sead` is no option"),
            ("ray --oracle o.py --seed one", "--seed one"),
            ("ray --oracle o.py extra 1", "`extra` is no option with a value"),
        ] {
            let Err(error) = parse(line) else { panic!("`{line}` is accepted") };
            assert!(error.to_string().contains(named), "{error:#}");
        }
    }
}
