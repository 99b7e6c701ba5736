//! Text in columns.

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows under a header, in columns as wide as their widest cell, two spaces apart.
pub(super) struct Grid {
    aligns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let aligns = columns.iter().map(|(_, align)| *align).collect();
        Self { aligns, rows: vec![columns.iter().map(|(name, _)| (*name).into()).collect()] }
    }

    /// Adds a row, which must have a cell for every column.
    pub fn push(&mut self, row: Vec<String>) {
        assert_eq!(row.len(), self.aligns.len(), "a row has a cell for every column");
        self.rows.push(row);
    }

    /// The text, each row with its line end.
    pub fn render(&self) -> String {
        let width = |column: usize| {
            self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.aligns.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, align), width) in row.iter().zip(&self.aligns).zip(&widths) {
                let cell = match align {
                    Align::Left => format!("{cell:<width$}  "),
                    Align::Right => format!("{cell:>width$}  "),
                };
                line.push_str(&cell);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A number with three significant digits, but all digits before the point.
pub(super) fn short(number: f64) -> String {
    match number.abs() {
        _ if number == 0.0 => "0".into(),
        size if size < 9.995 => format!("{number:.2}"),
        size if size < 99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// Milliseconds in a unit that people like: `0.25 ms`, `12.5 ms`, `1.50 s`.
pub(super) fn short_ms(ms: f64) -> String {
    if ms < 999.5 { format!("{} ms", short(ms)) } else { format!("{} s", short(ms / 1e3)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let shown = [0.0, 0.123, 1.0, 9.99, 9.999, 12.34, 99.97, 1234.5, -2.5].map(short);
        assert_eq!(shown, ["0", "0.12", "1.00", "9.99", "10.0", "12.3", "100", "1234", "-2.50"]);
        assert_eq!(
            [0.25, 12.5, 999.6, 1500.0].map(short_ms),
            ["0.25 ms", "12.5 ms", "1.00 s", "1.50 s"]
        );
    }
}
