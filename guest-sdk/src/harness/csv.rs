//! Reads recordings.

use std::{error::Error, fmt};

use super::trace::{Load, Step};

/// Why a recording cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvError {
    /// The line in question, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for CsvError {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "line {}: {}", self.line, self.message)
    }
}

impl Error for CsvError {}

/// Which column holds the load, and what its numbers mean.
#[derive(Clone, Copy)]
enum Meaning {
    Level,
    Rate,
}

struct Columns {
    at: usize,
    load: usize,
    meaning: Meaning,
}

/// The steps of a recording. A single row lasts `alone_ms`.
pub(super) fn steps(text: &str, alone_ms: u64) -> Result<Vec<Step>, CsvError> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let (line, names) = lines.next().ok_or_else(|| error(1, "no columns"))?;
    let columns = columns(line, names)?;
    let mut rows: Vec<(u64, Load)> = Vec::new();
    for (line, text) in lines {
        let (at_ms, load) = row(&columns, line, text)?;
        if rows.last().is_some_and(|(before_ms, _)| *before_ms >= at_ms) {
            return Err(error(line, "`at_s` must be later than in the row before"));
        }
        rows.push((at_ms, load));
    }
    if rows.is_empty() {
        return Err(error(line, "no rows"));
    }
    let mut gaps: Vec<u64> = rows.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    gaps.push(gaps.last().copied().unwrap_or(alone_ms));
    let steps = rows.iter().zip(gaps);
    Ok(steps.map(|((_, load), length_ms)| Step { length_ms, load: *load }).collect())
}

fn columns(line: usize, names: &str) -> Result<Columns, CsvError> {
    let find = |wanted: &str| names.split(',').position(|name| name.trim() == wanted);
    let at = find("at_s").ok_or_else(|| error(line, "no column `at_s`"))?;
    let (load, meaning) = match (find("requests"), find("arrivals_per_s")) {
        (Some(load), None) => (load, Meaning::Level),
        (None, Some(load)) => (load, Meaning::Rate),
        (Some(_), Some(_)) => {
            return Err(error(line, "either `requests` or `arrivals_per_s`, not both"));
        }
        (None, None) => return Err(error(line, "no column `requests` or `arrivals_per_s`")),
    };
    Ok(Columns { at, load, meaning })
}

fn row(columns: &Columns, line: usize, text: &str) -> Result<(u64, Load), CsvError> {
    let number = |column: usize| {
        let cell = text.split(',').nth(column).unwrap_or_default().trim();
        let number = cell.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
        number.ok_or_else(|| error(line, &format!("`{cell}` is no number of 0 or more")))
    };
    let at_ms = (number(columns.at)? * 1000.0).round() as u64;
    let load = number(columns.load)?;
    let load = match columns.meaning {
        Meaning::Level => Load::Level(load.round() as u32),
        Meaning::Rate => Load::Rate(load),
    };
    Ok((at_ms, load))
}

fn error(line: usize, message: &str) -> CsvError {
    CsvError { line, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str) -> String {
        steps(text, 1000).unwrap_err().to_string()
    }

    #[test]
    fn columns_are_found_by_name() {
        let text = "# recorded on a Tuesday\n\nhost, requests ,at_s\nb,2,10\nb,3.4,12.5\n";
        let expected = [
            Step { length_ms: 2500, load: Load::Level(2) },
            Step { length_ms: 2500, load: Load::Level(3) },
        ];
        assert_eq!(steps(text, 1000).unwrap(), expected);
        let text = "at_s,arrivals_per_s\n5,0.5";
        assert_eq!(steps(text, 250).unwrap(), [Step { length_ms: 250, load: Load::Rate(0.5) }]);
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        assert_eq!(refused(""), "line 1: no columns");
        assert_eq!(refused("time,requests"), "line 1: no column `at_s`");
        assert_eq!(refused("at_s,load"), "line 1: no column `requests` or `arrivals_per_s`");
        let both = "at_s,requests,arrivals_per_s";
        assert_eq!(refused(both), "line 1: either `requests` or `arrivals_per_s`, not both");
        assert_eq!(refused("at_s,requests\n"), "line 1: no rows");
        assert_eq!(refused("at_s,requests\n0,-1"), "line 2: `-1` is no number of 0 or more");
        assert_eq!(refused("at_s,requests\n0"), "line 2: `` is no number of 0 or more");
        let back = "at_s,requests\n1,1\n\n1,2";
        assert_eq!(refused(back), "line 4: `at_s` must be later than in the row before");
    }
}
