//! Courses of values, and the points that a line through them needs.

/// What held from one time to another, in seconds; none where nothing is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::report) struct Span {
    pub from: f64,
    pub to: f64,
    pub value: Option<f64>,
}

/// How a line goes from one value to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Shape {
    /// In steps, as for a state.
    Steps,
    /// Straight from middle to middle, as for a measurement.
    Straight,
}

/// A point: seconds and value.
pub(super) type Point = (f64, f64);

/// The lines through `spans`, one for each stretch without gaps.
///
/// If there are more spans than `columns`, which divide `seconds`, every column keeps its smallest
/// and its largest value, so that a picture shows every peak and stays small.
pub(super) fn lines(spans: &[Span], shape: Shape, seconds: f64, columns: usize) -> Vec<Vec<Point>> {
    let mut lines = vec![Vec::new()];
    let gap = |lines: &mut Vec<Vec<Point>>| {
        if lines.last().is_some_and(|line| !line.is_empty()) {
            lines.push(Vec::new());
        }
    };
    if spans.len() > columns {
        for column in envelope(spans, seconds / columns as f64) {
            match column {
                None => gap(&mut lines),
                Some(points) => extend(&mut lines, &points),
            }
        }
    } else {
        for span in spans {
            match (span.value, shape) {
                (None, _) => gap(&mut lines),
                (Some(v), Shape::Steps) => extend(&mut lines, &[(span.from, v), (span.to, v)]),
                (Some(v), Shape::Straight) => {
                    extend(&mut lines, &[((span.from + span.to) / 2.0, v)]);
                }
            }
        }
    }
    lines.into_iter().filter(|line| !line.is_empty()).map(straightened).collect()
}

fn extend(lines: &mut [Vec<Point>], points: &[Point]) {
    lines.last_mut().expect("there is always a line").extend_from_slice(points);
}

/// The first smallest and the first largest value of each column, in their order; none for columns
/// without values. Columns without spans are left out.
fn envelope(spans: &[Span], width: f64) -> impl Iterator<Item = Option<[Point; 2]>> {
    let column = move |span: &Span| ((span.from + span.to) / 2.0 / width) as u64;
    spans.chunk_by(move |a, b| column(a) == column(b)).map(|spans| {
        let known = || spans.iter().filter_map(|span| Some((span.from, span.value?)));
        let least = known().reduce(|a, b| if b.1 < a.1 { b } else { a })?;
        let most = known().reduce(|a, b| if b.1 > a.1 { b } else { a })?;
        Some(if least.0 <= most.0 { [least, most] } else { [most, least] })
    })
}

/// Without the points between others of the same value.
fn straightened(line: Vec<Point>) -> Vec<Point> {
    let mut kept: Vec<Point> = Vec::with_capacity(line.len());
    for point in line {
        if let [.., (_, before), last] = &mut kept[..]
            && *before == point.1
            && last.1 == point.1
        {
            *last = point;
        } else {
            kept.push(point);
        }
    }
    kept
}

/// The parts of `line` that are drawn where it is dashed: `on` seconds of every `period`, and
/// whole jumps.
///
/// Time is what is cut, not the line's length, so that the number of dashes is bounded however
/// steeply the line goes up and down.
pub(super) fn dashes(line: &[Point], on: f64, period: f64) -> Vec<Vec<Point>> {
    let mut dashes = Dashes::default();
    for pair in line.windows(2) {
        let [(from, low), (to, high)] = [pair[0], pair[1]];
        if from == to {
            dashes.add(None, &[pair[0], pair[1]]);
            continue;
        }
        let at = |time: f64| (time, low + (high - low) * (time - from) / (to - from));
        for dash in (from / period) as u64..=(to / period) as u64 {
            let start = dash as f64 * period;
            let (begin, end) = (start.max(from), (start + on).min(to));
            if begin < end {
                dashes.add(Some(dash), &[at(begin), at(end)]);
            }
        }
    }
    dashes.lines
}

#[derive(Default)]
struct Dashes {
    lines: Vec<Vec<Point>>,
    /// Which dash the last line is; none for a jump.
    last: Option<u64>,
}

impl Dashes {
    /// Adds a part, which continues the last line if it belongs to the same dash.
    fn add(&mut self, dash: Option<u64>, part: &[Point; 2]) {
        if dash.is_none() || self.last != dash {
            self.lines.push(part.to_vec());
        } else if let Some(line) = self.lines.last_mut() {
            line.push(part[1]);
        }
        self.last = dash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(values: &[Option<f64>]) -> Vec<Span> {
        let span = |(index, value): (u32, &Option<f64>)| Span {
            from: f64::from(index),
            to: f64::from(index + 1),
            value: *value,
        };
        (0..).zip(values).map(span).collect()
    }

    #[test]
    fn steps_keep_their_corners_only() {
        let spans = spans(&[Some(1.0), Some(1.0), Some(1.0), Some(2.0)]);
        let expected = [(0.0, 1.0), (3.0, 1.0), (3.0, 2.0), (4.0, 2.0)];
        assert_eq!(lines(&spans, Shape::Steps, 4.0, 100), [expected]);
    }

    #[test]
    fn gaps_break_a_line() {
        let spans = spans(&[None, Some(1.0), Some(2.0), None, None, Some(3.0)]);
        let expected = [vec![(1.5, 1.0), (2.5, 2.0)], vec![(5.5, 3.0)]];
        assert_eq!(lines(&spans, Shape::Straight, 6.0, 100), expected);
    }

    #[test]
    fn long_courses_keep_every_peak() {
        let mut values = vec![Some(5.0); 100_000];
        values[12_345] = Some(99.0);
        values[67_890] = Some(0.0);
        values[50_000..50_300].fill(None);
        let drawn = lines(&spans(&values), Shape::Steps, 100_000.0, 1000);
        assert_eq!(drawn.len(), 2);
        let points: Vec<Point> = drawn.concat();
        assert!(points.len() < 20, "{points:?}");
        assert!(points.contains(&(12_345.0, 99.0)) && points.contains(&(67_890.0, 0.0)));
    }

    #[test]
    fn dashes_follow_the_line() {
        let line = [(0.0, 1.0), (3.0, 1.0), (3.0, 5.0), (8.0, 5.0)];
        let expected = [
            vec![(0.0, 1.0), (2.0, 1.0)],
            vec![(3.0, 1.0), (3.0, 5.0)],
            vec![(3.0, 5.0), (5.0, 5.0)],
            vec![(6.0, 5.0), (8.0, 5.0)],
        ];
        assert_eq!(dashes(&line, 2.0, 3.0), expected);
        // However wild the line, there are no more dashes than periods.
        let wild: Vec<Point> =
            (0..1000).map(|i| (f64::from(i) / 100.0, f64::from(i % 7))).collect();
        assert_eq!(dashes(&wild, 2.0, 3.0).len(), 4);
    }
}
