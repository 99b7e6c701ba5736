//! The numbers in the repository, and what is compared with them.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use samovar_tests::paths;
use serde_json::{Map, Value, json};

use super::Measured;
use crate::bars::Bars;

/// How far a number may rise above the one in the repository, in percent, and may fall before it is
/// time for another.
const CHANGE_MAX: f64 = 5.0;
const FILE: &str = "benches/instructions.json";
pub const HOW_TO_RENEW: &str = "`cargo xtask bench instructions --renew`";

/// What was measured once, and by which programs.
pub struct Expected {
    rustc: String,
    valgrind: String,
    loads: Map<String, Value>,
}

impl Expected {
    /// # Errors
    ///
    /// When the file is not there or is no JSON.
    pub fn read() -> Result<Self> {
        let text = fs::read_to_string(path()).with_context(|| format!("read {FILE}"))?;
        let mut value: Value =
            serde_json::from_str(&text).with_context(|| format!("read {FILE}"))?;
        let text = |key: &str| value[key].as_str().unwrap_or("unknown").to_owned();
        let (rustc, valgrind) = (text("rustc"), text("valgrind"));
        let loads = value["loads"].as_object_mut().map(std::mem::take).unwrap_or_default();
        Ok(Self { rustc, valgrind, loads })
    }

    /// A bar for every number: how many percent it is above the one in the repository. Says which
    /// numbers have become much smaller.
    pub fn compare(&self, measured: &[Measured], valgrind: &str) -> Bars {
        for (what, then, now) in
            [("rustc", &self.rustc, rustc().as_str()), ("valgrind", &self.valgrind, valgrind)]
        {
            if then != now {
                println!("{FILE} was made with {what} {then}, this is {now}");
            }
        }
        let mut bars = Bars::default();
        for Measured { name, instructions, allocations, .. } in measured {
            for (what, now) in [("instructions", instructions), ("allocations", allocations)] {
                let then = self.loads.get(*name).and_then(|load| load[what].as_f64());
                // Without one there, the comparison is no number, and the bar is missed.
                let then = then.unwrap_or(f64::NAN);
                let rise = (now / then - 1.0) * 100.0;
                if rise < -CHANGE_MAX {
                    let fall = -rise;
                    println!("{name}: {fall:.1} % fewer {what} than in {FILE}; {HOW_TO_RENEW}");
                }
                let what = format!("{name}, {what} above the {then} of {FILE}");
                bars.at_most(what, rise, CHANGE_MAX, " %");
            }
        }
        bars
    }
}

/// Writes the numbers that others are compared with; those of loads that were not measured stay.
///
/// # Errors
///
/// When the file cannot be written.
pub fn renew(measured: &[Measured], requests: usize, valgrind: &str) -> Result<()> {
    let mut loads = Expected::read().map(|old| old.loads).unwrap_or_default();
    for Measured { name, instructions, allocations, .. } in measured {
        let load = json!({
            "instructions": instructions.round(),
            "allocations": (allocations * 10.0).round() / 10.0,
        });
        loads.insert((*name).to_owned(), load);
    }
    let report = json!({
        "rustc": rustc(), "valgrind": valgrind, "requests": requests, "loads": loads,
    });
    fs::write(path(), format!("{report:#}\n")).with_context(|| format!("write {FILE}"))?;
    println!("written to {FILE}");
    Ok(())
}

fn path() -> PathBuf {
    paths::workspace().join(FILE)
}

/// The version of the compiler that the repository builds with.
fn rustc() -> String {
    let mut command = Command::new("rustc");
    let output = command.arg("--version").current_dir(paths::workspace()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    text.split(' ').nth(1).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instructions::profile::Profile;

    fn measured(instructions: f64, allocations: f64) -> Measured {
        let (elsewhere, profile) = (0.0, Profile::default());
        Measured { name: "hello", instructions, allocations, elsewhere, profile }
    }

    fn verdict(expected: &Value, measured: Measured) -> Result<()> {
        let loads = expected.as_object().unwrap().clone();
        let (rustc, valgrind) = ("1".into(), "1".into());
        Expected { rustc, valgrind, loads }.compare(&[measured], "1").verdict()
    }

    #[test]
    fn more_than_a_little_more_is_a_missed_bar() {
        let expected = json!({"hello": {"instructions": 1000, "allocations": 10.0}});
        verdict(&expected, measured(1049.0, 10.4)).unwrap();
        verdict(&expected, measured(100.0, 1.0)).unwrap();
        let error = verdict(&expected, measured(1051.0, 10.4)).unwrap_err().to_string();
        assert!(error.contains("hello, instructions above the 1000"), "{error}");
        let error = verdict(&expected, measured(1049.0, 10.6)).unwrap_err().to_string();
        assert!(error.contains("hello, allocations above the 10 "), "{error}");
    }

    #[test]
    fn load_without_a_number_is_a_missed_bar() {
        verdict(&json!({}), measured(1.0, 1.0)).unwrap_err();
    }
}
