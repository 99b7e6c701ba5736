//! What was promised, beside what was measured.

use anyhow::{Result, ensure};

/// Measured values that have a bar, in the order they were measured.
#[derive(Debug, Default)]
pub struct Bars {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    what: String,
    bar: String,
    measured: String,
    is_met: bool,
}

impl Bars {
    /// `measured` must be at most `bar`.
    pub fn at_most(&mut self, what: impl Into<String>, measured: f64, bar: f64, unit: &str) {
        self.add(what.into(), measured, ("at most", bar), unit, measured <= bar);
    }

    /// `measured` must be at least `bar`.
    pub fn at_least(&mut self, what: impl Into<String>, measured: f64, bar: f64, unit: &str) {
        self.add(what.into(), measured, ("at least", bar), unit, measured >= bar);
    }

    fn add(&mut self, what: String, measured: f64, bar: (&str, f64), unit: &str, is_met: bool) {
        let (side, bar) = bar;
        let bar = format!("{side} {}{unit}", short(bar));
        self.lines.push(Line { what, bar, measured: format!("{}{unit}", short(measured)), is_met });
    }

    /// Takes over the lines of another mode.
    pub fn extend(&mut self, other: Bars) {
        self.lines.extend(other.lines);
    }

    /// A table of all lines; nothing when there are none.
    pub fn print(&self) {
        if self.lines.is_empty() {
            return;
        }
        println!("\n| what | bar | measured | verdict |\n| --- | --- | --- | --- |");
        for Line { what, bar, measured, is_met } in &self.lines {
            let verdict = if *is_met { "met" } else { "missed" };
            println!("| {what} | {bar} | {measured} | {verdict} |");
        }
    }

    /// # Errors
    ///
    /// When a bar was missed, naming all that were.
    pub fn verdict(&self) -> Result<()> {
        let missed = self.lines.iter().filter(|line| !line.is_met);
        let missed: Vec<_> = missed.map(|line| line.what.as_str()).collect();
        ensure!(missed.is_empty(), "{} bars were missed: {}", missed.len(), missed.join("; "));
        Ok(())
    }
}

/// Three digits that mean something, or all before the point.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_bars_are_named() {
        let mut bars = Bars::default();
        bars.at_most("cost", 5.0, 5.0, " µs");
        bars.at_least("speed", 2e6, 1e6, "/s");
        bars.verdict().unwrap();
        bars.at_most("size", 4097.0, 4096.0, " bytes");
        bars.at_least("truth", f64::NAN, 95.0, " %");
        let error = bars.verdict().unwrap_err().to_string();
        assert_eq!(error, "2 bars were missed: size; truth");
    }

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 0.123, 12.34, 123.4, 1_234_567.8, 4.0];
        assert_eq!(all.map(short).join(" "), "0 0.12 12.3 123 1234568 4");
    }
}
