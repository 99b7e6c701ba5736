//! A picture of what requests cost: a panel for each workload, a bar for each server.

use std::error::Error as StdError;

use anyhow::{Result, anyhow};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::numbers::Spread;

use super::{contender::Contender, summary::Summary};

/// A drawing's coordinates are whole numbers. With two per pixel edges are sharp.
const UNITS: i32 = 2;

/// Widths and heights in pixels.
const WIDTH: i32 = 1000;
const MARGIN: i32 = 16;
const LEFT: i32 = 250;
const RIGHT: i32 = 190;
const HEAD: i32 = 52;
const PANEL_TITLE: i32 = 30;
const ROW: i32 = 24;
const BAR: i32 = 14;
const MARKS: i32 = 34;

const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FAINT_INK: RGBColor = RGBColor(0x66, 0x66, 0x66);
const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
/// Colors that people with any kind of color vision can tell apart (Okabe and Ito, 2008).
const OWN: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const OTHER: RGBColor = RGBColor(0xe6, 0x9f, 0x00);
const YARDSTICK: RGBColor = RGBColor(0x99, 0x99, 0x99);

/// From this ratio of the largest to the smallest value on, an axis is logarithmic.
const LOG_FROM: f64 = 15.0;

/// The servers of one workload.
pub struct Panel {
    title: String,
    bars: Vec<Bar>,
}

struct Bar {
    name: &'static str,
    color: RGBColor,
    cpu_us: Spread,
    ratio: Option<Spread>,
}

impl Panel {
    pub fn of(summary: &Summary) -> Self {
        let color = |name: &str| {
            let is = |contender: &&Contender| contender.name() == name;
            match Contender::ALL.iter().find(is) {
                Some(Contender::Native) => YARDSTICK,
                Some(Contender::Samovar(_)) => OWN,
                _ => OTHER,
            }
        };
        let bars = summary.outcomes.iter().map(|outcome| Bar {
            name: outcome.name,
            color: color(outcome.name),
            cpu_us: outcome.full.cpu_us(),
            ratio: summary.cost_ratio(outcome),
        });
        Self { title: summary.workload.name().into(), bars: bars.collect() }
    }

    fn height(&self) -> i32 {
        PANEL_TITLE + ROW * self.bars.len() as i32 + MARKS
    }
}

/// What values lie between, and where marks stand.
#[derive(Clone, Debug, PartialEq)]
struct Axis {
    least: f64,
    most: f64,
    is_log: bool,
    marks: Vec<f64>,
}

impl Axis {
    /// Holds all `values`, which are above 0.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (least, most) = values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        if most < LOG_FROM * least || most <= 0.0 {
            let step = nice(most.max(1e-9) / 5.0);
            let count = (most / step).ceil().max(1.0) as usize;
            let marks: Vec<f64> = (0..=count).map(|mark| mark as f64 * step).collect();
            return Self { least: 0.0, most: count as f64 * step, is_log: false, marks };
        }
        // A bar has a length only from some value on; half of the least keeps the shortest visible.
        let (first, last) = ((least / 2.0).log10().floor() as i32, most.log10().ceil() as i32);
        let marks: Vec<f64> = (first..=last).map(|power| 10_f64.powi(power)).collect();
        Self { least: marks[0], most: marks[marks.len() - 1], is_log: true, marks }
    }

    /// Where a value stands, in units.
    fn place(&self, value: f64) -> i32 {
        let share = match self.is_log {
            true => (value.max(self.least) / self.least).ln() / (self.most / self.least).ln(),
            false => value / self.most,
        };
        let (from, to) = (LEFT * UNITS, (WIDTH - RIGHT) * UNITS);
        from + (share.clamp(0.0, 1.0) * f64::from(to - from)).round() as i32
    }
}

/// The least of 1, 2 and 5 times a power of ten that is at least `step`.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn StdError>>;

/// Draws all panels below each other, as SVG.
///
/// # Errors
///
/// When the drawing fails.
pub fn svg(panels: &[Panel]) -> Result<String> {
    let height = HEAD + panels.iter().map(Panel::height).sum::<i32>() + MARGIN;
    let size = ((WIDTH * UNITS) as u32, (height * UNITS) as u32);
    let mut svg = String::new();
    let draw = |svg: &mut String| -> Drawn {
        let root = SVGBackend::with_string(svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let title = "CPU time of the server per request";
        write(&root, title, (MARGIN, MARGIN), 18, INK, HPos::Left)?;
        let text = "Bars: medians of the rounds. Lines: the least and the most.";
        write(&root, text, (MARGIN, MARGIN + 20), 11, FAINT_INK, HPos::Left)?;
        let mut top = HEAD;
        for panel in panels {
            panel.draw(&root, top)?;
            top += panel.height();
        }
        Ok(root.present()?)
    };
    draw(&mut svg).map_err(|error| anyhow!("draw the plot: {error}"))?;
    // The size in pixels; what is inside stays in units.
    let own = format!("width=\"{}\" height=\"{}\"", size.0, size.1);
    Ok(svg.replacen(&own, &format!("width=\"{WIDTH}\" height=\"{height}\""), 1))
}

impl Panel {
    fn draw(&self, root: &Area<'_>, top: i32) -> Drawn {
        let axis = Axis::of(self.bars.iter().flat_map(|bar| [bar.cpu_us.least, bar.cpu_us.most]));
        let scale = if axis.is_log { ", logarithmic" } else { "" };
        let title = format!("{} (µs{scale})", self.title);
        write(root, &title, (MARGIN, top + PANEL_TITLE - 14), 14, INK, HPos::Left)?;
        let (first, last) = (top + PANEL_TITLE, top + self.height() - MARKS);
        for mark in &axis.marks {
            let x = axis.place(*mark);
            let line = [(x, first * UNITS), (x, last * UNITS)];
            root.draw(&PathElement::new(line, GRID.stroke_width(UNITS as u32)))?;
            let label = format!("{}", (mark * 1e6).round() / 1e6);
            write(root, &label, (x / UNITS, last + 9), 11, FAINT_INK, HPos::Center)?;
        }
        for (index, bar) in self.bars.iter().enumerate() {
            bar.draw(root, first + ROW * index as i32, &axis)?;
        }
        Ok(())
    }
}

impl Bar {
    fn draw(&self, root: &Area<'_>, top: i32, axis: &Axis) -> Drawn {
        let middle = top + ROW / 2;
        write(root, self.name, (LEFT - 8, middle), 12, INK, HPos::Right)?;
        let Spread { median, least, most } = self.cpu_us;
        let (upper, lower) = ((middle - BAR / 2) * UNITS, (middle + BAR / 2) * UNITS);
        let bar = [(LEFT * UNITS, upper), (axis.place(median), lower)];
        root.draw(&Rectangle::new(bar, self.color.filled()))?;
        let (from, to) = (axis.place(least), axis.place(most));
        let ink = INK.stroke_width((3 * UNITS / 2) as u32);
        let end = BAR / 4 * UNITS;
        let y = middle * UNITS;
        for line in [
            [(from, y), (to, y)],
            [(from, y - end), (from, y + end)],
            [(to, y - end), (to, y + end)],
        ] {
            root.draw(&PathElement::new(line, ink))?;
        }
        let ratio = self.ratio.map(|ratio| {
            format!(", {:.digits$} ×", ratio.median, digits = digits(ratio.median) + 1)
        });
        let text =
            format!("{median:.digits$} µs{}", ratio.unwrap_or_default(), digits = digits(median));
        let place = (WIDTH - RIGHT + 12, middle);
        write(root, &text, place, 12, INK, HPos::Left)
    }
}

/// Digits behind the point that say something.
fn digits(value: f64) -> usize {
    usize::from(value < 100.0)
}

/// Writes one line with its middle, in pixels, at the given height.
fn write(
    root: &Area<'_>,
    text: &str,
    (x, y): (i32, i32),
    size: i32,
    color: RGBColor,
    h_pos: HPos,
) -> Drawn {
    // Plotters divides by this factor when it writes the size down.
    let font = ("sans-serif", f64::from(size * UNITS) * 1.24).into_font();
    let pos = Pos::new(h_pos, VPos::Center);
    let style = TextStyle { font, color: color.to_backend_color(), pos };
    Ok(root.draw_text(text, &style, (x * UNITS, y * UNITS))?)
}

#[cfg(test)]
mod tests {
    use samovar_tests::pictures::check_svg;

    use super::*;

    #[test]
    fn axes_hold_all_values() {
        let axis = Axis::of([3.0, 37.0].into_iter());
        assert_eq!((axis.marks.clone(), axis.is_log), (vec![0.0, 10.0, 20.0, 30.0, 40.0], false));
        assert_eq!(axis.place(0.0), LEFT * UNITS);
        assert_eq!(axis.place(40.0), (WIDTH - RIGHT) * UNITS);
        let axis = Axis::of([7.0, 4300.0].into_iter());
        assert_eq!((axis.marks, axis.is_log), (vec![1.0, 10.0, 100.0, 1000.0, 10_000.0], true));
        assert!(!Axis::of(std::iter::empty()).is_log);
    }

    #[test]
    fn bars_of_all_servers_are_drawn() {
        let bar = |name, median| Bar {
            name,
            color: OWN,
            cpu_us: Spread { median, least: median / 2.0, most: median * 2.0 },
            ratio: Some(Spread { median: 1.25, least: 1.0, most: 2.0 }),
        };
        let bars = vec![bar("one", 10.0), bar("two", 4000.0)];
        let svg = svg(&[Panel { title: "hello".into(), bars }]).unwrap();
        check_svg(&svg);
        for text in ["one", "two", "hello (µs, logarithmic)", "4000 µs, 1.25 ×"] {
            assert!(svg.contains(text), "{text}");
        }
        // The ground, and a rectangle for each bar.
        assert_eq!(svg.matches("<rect").count(), 3);
    }
}
