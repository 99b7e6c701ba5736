//! Reading traces, strictly.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::number::{self, Seconds};
use super::{COUNT_MAX, Series, Trace};

/// The most rows: at 16 bytes each they take 1.6 GB.
pub(super) const ROWS_MAX: u64 = 100_000_000;

/// The most deployments that one trace may name.
const DEPLOYMENTS_MAX: usize = 10_000;

/// Why a trace was refused.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// There is not even a header.
    #[error("the trace is empty; its first line must name the columns, at least at_s or at_ms")]
    Empty,
    /// There is a header and nothing else.
    #[error("the trace has a header and no rows")]
    NoRows,
    /// A line was refused.
    #[error("line {line}: {reason}")]
    Line {
        /// The line, counted from 1.
        line: u64,
        /// Why.
        reason: Reason,
    },
    /// The input failed.
    #[error("read the trace")]
    Input(#[source] io::Error),
}

/// Why a line was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum Reason {
    #[error("there is no header; the first line must name the columns, at least at_s or at_ms")]
    NoHeader,
    #[error("unknown column `{0}`; known are at_s, at_ms, deployment, service_ms, count")]
    UnknownColumn(String),
    #[error("column {0} is given twice")]
    ColumnTwice(&'static str),
    #[error("a column with the time is missing: at_s in seconds or at_ms in milliseconds")]
    NoTime,
    #[error("at_s and at_ms are both given; one must go")]
    TwoTimes,
    #[error("count and service_ms are both given; service_ms needs a row per request")]
    CountWithService,
    #[error("the header names {expected} columns, this row has {found}")]
    Fields { found: usize, expected: usize },
    #[error("not UTF-8 text")]
    NotUtf8,
    #[error("a cell goes over several lines; is its quote not closed?")]
    Lines,
    #[error("{column} `{value}` is not a number")]
    NotANumber { column: &'static str, value: String },
    #[error("{column} `{value}` is not a finite number")]
    NotFinite { column: &'static str, value: String },
    #[error("{column} `{value}` is negative")]
    Negative { column: &'static str, value: String },
    #[error("{column} `{value}` is over 10 years")]
    TooLong { column: &'static str, value: String },
    #[error("{column} `{value}` is not a whole number")]
    NotWhole { column: &'static str, value: String },
    #[error("{column} `{value}` is over {}", COUNT_MAX)]
    TooMany { column: &'static str, value: String },
    #[error("deployment is empty")]
    NoDeployment,
    #[error("more than {} deployments", DEPLOYMENTS_MAX)]
    Deployments,
    #[error("more than {0} rows")]
    Rows(u64),
    #[error("time goes back from {before} s to {at} s")]
    Back { before: Seconds, at: Seconds },
    #[error("two intervals start at {0} s")]
    SameStart(Seconds),
    #[error(
        "the interval from {from} s to {to} s is not {expected} s long like the first; \
         quiet intervals need rows with count 0"
    )]
    Uneven { from: Seconds, to: Seconds, expected: Seconds },
    #[error("the only interval of its deployment; at least two rows tell how long one is")]
    OneInterval,
}

/// Where the columns are.
struct Columns {
    fields: usize,
    at: usize,
    time: (&'static str, usize),
    deployment: Option<usize>,
    service: Option<usize>,
    count: Option<usize>,
}

/// The rows of one deployment so far.
#[derive(Default)]
struct Rows {
    first_line: u64,
    at: Vec<u64>,
    service: Vec<u64>,
    count: Vec<u32>,
}

pub(super) fn read(input: impl io::Read, rows_max: u64) -> Result<Trace, TraceError> {
    let mut lines = Lines::new(input);
    if !lines.next()? {
        return Err(TraceError::Empty);
    }
    let columns = Columns::parse(&lines.record).map_err(at_line(lines.number()))?;
    let mut table = Table { columns, names: BTreeMap::new(), series: Vec::new(), latest: 0 };
    let mut rows = 0;
    while lines.next()? {
        let line = lines.number();
        rows += 1;
        if rows > rows_max {
            return Err(at_line(line)(Reason::Rows(rows_max)));
        }
        table.add(&lines.record, line).map_err(at_line(line))?;
    }
    if rows == 0 { Err(TraceError::NoRows) } else { table.finish() }
}

/// The lines that are not blank, one at a time.
struct Lines<R> {
    reader: csv::Reader<io::Chain<R, &'static [u8]>>,
    record: csv::ByteRecord,
}

impl<R: io::Read> Lines<R> {
    fn new(input: R) -> Self {
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            // A carriage return before it is cut off with the spaces.
            .terminator(csv::Terminator::Any(b'\n'))
            // The last line ends like all others, so that lines can be counted by their ends.
            .from_reader(input.chain(&b"\n"[..]));
        Self { reader, record: csv::ByteRecord::new() }
    }

    /// Whether there is one more.
    fn next(&mut self) -> Result<bool, TraceError> {
        loop {
            // Bytes of any kind and number are accepted here, so nothing but the input can fail.
            let read = self.reader.read_byte_record(&mut self.record);
            if !read.map_err(|error| TraceError::Input(error.into()))? {
                return Ok(false);
            }
            if self.record.len() != 1 || !self.record[0].trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    /// The number of the line that was read last.
    fn number(&self) -> u64 {
        if self.record.as_slice().contains(&b'\n') {
            // Such a row is refused. Where it starts is known unless blank lines are before it.
            return self.record.position().map_or(1, csv::Position::line);
        }
        self.reader.position().line() - 1
    }
}

fn at_line(line: u64) -> impl FnOnce(Reason) -> TraceError {
    move |reason| TraceError::Line { line, reason }
}

fn cell(record: &csv::ByteRecord, index: usize) -> Result<&str, Reason> {
    let bytes = record.get(index).unwrap_or_default();
    let text = std::str::from_utf8(bytes).map_err(|_| Reason::NotUtf8)?;
    if text.contains('\n') { Err(Reason::Lines) } else { Ok(text.trim()) }
}

impl Columns {
    fn parse(header: &csv::ByteRecord) -> Result<Self, Reason> {
        let names = (0..header.len()).map(|index| cell(header, index));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        if names.iter().all(|name| name.parse::<f64>().is_ok()) {
            return Err(Reason::NoHeader);
        }
        const KNOWN: [&str; 5] = ["at_s", "at_ms", "deployment", "service_ms", "count"];
        let mut places = [None; KNOWN.len()];
        for (index, name) in names.iter().enumerate() {
            let known = KNOWN.iter().position(|known| known == name);
            let known = known.ok_or_else(|| Reason::UnknownColumn((*name).into()))?;
            if places[known].replace(index).is_some() {
                return Err(Reason::ColumnTwice(KNOWN[known]));
            }
        }
        let [at_s, at_ms, deployment, service, count] = places;
        let (at, time) = match (at_s, at_ms) {
            (Some(at), None) => (at, ("at_s", 9)),
            (None, Some(at)) => (at, ("at_ms", 6)),
            (None, None) => return Err(Reason::NoTime),
            (Some(_), Some(_)) => return Err(Reason::TwoTimes),
        };
        if count.is_some() && service.is_some() {
            return Err(Reason::CountWithService);
        }
        Ok(Self { fields: names.len(), at, time, deployment, service, count })
    }
}

struct Table {
    columns: Columns,
    names: BTreeMap<String, usize>,
    series: Vec<(Option<String>, Rows)>,
    /// The time of the row before, of whatever deployment.
    latest: u64,
}

impl Table {
    fn add(&mut self, record: &csv::ByteRecord, line: u64) -> Result<(), Reason> {
        let columns = &self.columns;
        if record.len() != columns.fields {
            return Err(Reason::Fields { found: record.len(), expected: columns.fields });
        }
        let at = number::nanos(columns.time.0, cell(record, columns.at)?, columns.time.1)?;
        if at < self.latest {
            return Err(Reason::Back { before: Seconds(self.latest), at: Seconds(at) });
        }
        let service = match columns.service.map(|index| cell(record, index)).transpose()? {
            Some("") => Some(Series::NO_SERVICE),
            Some(text) => Some(number::nanos("service_ms", text, 6)?),
            None => None,
        };
        let count = match columns.count {
            Some(index) => Some(number::count("count", cell(record, index)?)?),
            None => None,
        };
        let name = columns.deployment.map(|index| cell(record, index)).transpose()?;
        let rows = self.rows(name, line)?;
        if count.is_some() {
            rows.check_interval(at)?;
        }
        rows.at.push(at);
        rows.service.extend(service);
        rows.count.extend(count);
        self.latest = at;
        Ok(())
    }

    /// The rows of `name`, which are made if there are none.
    fn rows(&mut self, name: Option<&str>, line: u64) -> Result<&mut Rows, Reason> {
        let found = match name {
            Some("") => return Err(Reason::NoDeployment),
            Some(name) => self.names.get(name).copied(),
            None => (!self.series.is_empty()).then_some(0),
        };
        let index = found.unwrap_or(self.series.len());
        if found.is_none() {
            if index == DEPLOYMENTS_MAX {
                return Err(Reason::Deployments);
            }
            if let Some(name) = name {
                self.names.insert(name.into(), index);
            }
            let rows = Rows { first_line: line, ..Rows::default() };
            self.series.push((name.map(Into::into), rows));
        }
        Ok(&mut self.series[index].1)
    }

    fn finish(self) -> Result<Trace, TraceError> {
        let counts = self.columns.count.is_some();
        let series = self.series.into_iter().map(|(name, mut rows)| {
            rows.at.shrink_to_fit();
            rows.service.shrink_to_fit();
            rows.count.shrink_to_fit();
            let series = match rows.at[..] {
                _ if !counts => Series::Requests { at: rows.at, service: rows.service },
                [.., before, end] => {
                    Series::Counts { at: rows.at, count: rows.count, last: end - before }
                }
                _ => return Err(at_line(rows.first_line)(Reason::OneInterval)),
            };
            Ok((name, Arc::new(series)))
        });
        Ok(Trace { series: series.collect::<Result<_, _>>()? })
    }
}

impl Rows {
    /// Checks that an interval that starts at `at` lets the one before be as long as the first.
    fn check_interval(&self, at: u64) -> Result<(), Reason> {
        let Some(&from) = self.at.last() else { return Ok(()) };
        if from == at {
            return Err(Reason::SameStart(Seconds(at)));
        }
        let [first, second, ..] = self.at[..] else { return Ok(()) };
        let expected = second - first;
        // Enough for times that were rounded, too little to hide a missing row.
        if (at - from).abs_diff(expected) > expected / 100 {
            let (from, to) = (Seconds(from), Seconds(at));
            return Err(Reason::Uneven { from, to, expected: Seconds(expected) });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_rows_is_bounded() {
        assert!(read(&b"at_s\n1\n2\n"[..], 2).is_ok());
        let error = read(&b"at_s\n1\n2\n3\n"[..], 2).unwrap_err();
        assert_eq!(error.to_string(), "line 4: more than 2 rows");
    }
}
