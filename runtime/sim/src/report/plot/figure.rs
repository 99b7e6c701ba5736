//! Panels above each other that share the time, drawn as SVG.

use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::PlotError;
use super::axis::Axis;
use super::curve::{self, Shape, Span};

/// A drawing's coordinates are whole numbers. With two per pixel lines are smooth.
const UNITS: i32 = 2;

/// Widths and heights in pixels.
const LEFT: i32 = 76;
const RIGHT: i32 = 24;
const MARGIN: i32 = 16;
const TITLE: i32 = 30;
const HEADING: i32 = 28;
const LEGEND_ROW: i32 = 19;
const PANEL_TITLE: i32 = 32;
const TIME_LABELS: i32 = 22;
const TIME_TITLE: i32 = 22;
const CELL: i32 = 112;

/// The width in which all plots are laid out, in pixels.
pub const WIDTH: u32 = 1200;

const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FAINT_INK: RGBColor = RGBColor(0x66, 0x66, 0x66);
const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
const FRAME: RGBColor = RGBColor(0x99, 0x99, 0x99);

/// A whole picture.
pub(in crate::report) struct Figure {
    pub title: String,
    /// How long all panels are.
    pub seconds: f64,
    pub sections: Vec<Section>,
}

/// Panels that belong together, under a legend.
pub(in crate::report) struct Section {
    pub heading: Option<String>,
    pub legend: Legend,
    pub panels: Vec<Panel>,
}

/// What the colors mean, with some numbers.
pub(in crate::report) struct Legend {
    /// What the numbers are.
    pub columns: Vec<String>,
    pub entries: Vec<Entry>,
}

/// A line of the legend.
pub(in crate::report) struct Entry {
    pub color: RGBColor,
    pub name: String,
    /// One for each of the legend's columns.
    pub cells: Vec<String>,
}

/// A pair of axes with curves.
pub(in crate::report) struct Panel {
    pub title: String,
    /// In pixels, without the title.
    pub height: i32,
    pub axis: Axis,
    pub curves: Vec<Curve>,
}

/// A line in a panel.
pub(in crate::report) struct Curve {
    pub color: RGBColor,
    pub stroke: Stroke,
    pub shape: Shape,
    pub spans: Vec<Span>,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Stroke {
    Solid,
    Thin,
    Dashed,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Figure {
    /// The picture as SVG: the same bytes for the same figure.
    pub fn draw(&self) -> Result<String, PlotError> {
        let (width, height) = (WIDTH as i32, self.height());
        let (units_wide, units_high) = ((width * UNITS) as u32, (height * UNITS) as u32);
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (units_wide, units_high));
            let root = root.into_drawing_area();
            self.draw_on(&root).map_err(|error| PlotError::Draw(error.to_string()))?;
            root.present().map_err(|error| PlotError::Draw(error.to_string()))?;
        }
        // The size in pixels; what is inside stays in units.
        let own = format!("width=\"{units_wide}\" height=\"{units_high}\"");
        Ok(svg.replacen(&own, &format!("width=\"{width}\" height=\"{height}\""), 1))
    }

    fn height(&self) -> i32 {
        MARGIN + TITLE + self.sections.iter().map(Section::height).sum::<i32>()
    }

    fn draw_on(&self, root: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
        root.fill(&WHITE)?;
        write(root, &self.title, (MARGIN, MARGIN), 18, INK, HPos::Left)?;
        let mut top = MARGIN + TITLE;
        for section in &self.sections {
            section.draw(root, top, self.seconds)?;
            top += section.height();
        }
        Ok(())
    }
}

impl Section {
    fn height(&self) -> i32 {
        let panels: i32 = self.panels.iter().map(|panel| panel.height + PANEL_TITLE).sum();
        self.heading_height() + self.legend.height() + panels + TIME_LABELS + TIME_TITLE + MARGIN
    }

    fn heading_height(&self) -> i32 {
        if self.heading.is_some() { HEADING } else { 0 }
    }

    fn draw(
        &self,
        root: &Area<'_>,
        mut top: i32,
        seconds: f64,
    ) -> Result<(), Box<dyn std::error::Error>> {
        if let Some(heading) = &self.heading {
            write(root, heading, (MARGIN, top), 15, INK, HPos::Left)?;
            top += HEADING;
        }
        self.legend.draw(root, top)?;
        top += self.legend.height();
        let (time, unit) = Axis::time(seconds);
        for (index, panel) in self.panels.iter().enumerate() {
            write(root, &panel.title, (LEFT, top + 13), 12, INK, HPos::Left)?;
            top += PANEL_TITLE;
            let last = index + 1 == self.panels.len();
            panel.draw(root, top, &time, if last { TIME_LABELS } else { 0 })?;
            top += panel.height;
        }
        let middle = (LEFT + WIDTH as i32 - RIGHT) / 2;
        let title = format!("time in {unit}");
        write(root, &title, (middle, top + TIME_LABELS), 12, INK, HPos::Center)?;
        Ok(())
    }
}

impl Legend {
    fn height(&self) -> i32 {
        LEGEND_ROW * (1 + self.entries.len() as i32)
    }

    fn draw(&self, root: &Area<'_>, mut top: i32) -> Result<(), Box<dyn std::error::Error>> {
        // The numbers stand in columns from the right.
        let count = self.columns.len() as i32;
        let column = |index: usize| WIDTH as i32 - RIGHT - CELL * (count - 1 - index as i32);
        let name_end = WIDTH as i32 - RIGHT - CELL * count;
        for (index, name) in self.columns.iter().enumerate() {
            write(root, name, (column(index), top), 11, FAINT_INK, HPos::Right)?;
        }
        for entry in &self.entries {
            top += LEGEND_ROW;
            let (left, right, middle) = (LEFT * UNITS, (LEFT + 24) * UNITS, (top + 6) * UNITS);
            let swatch = [(left, middle - UNITS), (right, middle + UNITS)];
            root.draw(&Rectangle::new(swatch, entry.color.filled()))?;
            let name = shortened(&entry.name, ((name_end - LEFT - 32) / 7) as usize);
            write(root, &name, (LEFT + 32, top), 12, INK, HPos::Left)?;
            for (index, cell) in entry.cells.iter().enumerate() {
                write(root, cell, (column(index), top), 12, INK, HPos::Right)?;
            }
        }
        Ok(())
    }
}

impl Panel {
    fn draw(
        &self,
        root: &Area<'_>,
        top: i32,
        time: &Axis,
        labels: i32,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let size = ((WIDTH as i32 - RIGHT) * UNITS, (self.height + labels) * UNITS);
        let area = root.clone().shrink((0, top * UNITS), size);
        let mut chart = ChartBuilder::on(&area)
            .set_label_area_size(LabelAreaPosition::Left, LEFT * UNITS)
            .set_label_area_size(LabelAreaPosition::Bottom, labels * UNITS)
            .build_cartesian_2d(time.clone(), self.axis.clone())?;
        let label = style(11, FAINT_INK, HPos::Center);
        chart
            .configure_mesh()
            .x_labels(time.len())
            .y_labels(self.axis.len())
            .bold_line_style(GRID.stroke_width(UNITS as u32))
            .light_line_style(TRANSPARENT)
            .axis_style(FRAME.stroke_width(UNITS as u32))
            .label_style(label)
            .set_all_tick_mark_size(4 * UNITS)
            .draw()?;
        let end = plotters::coord::ranged1d::Ranged::range(time).end;
        let columns = (WIDTH as i32 - LEFT - RIGHT) as usize;
        let second = end / columns as f64;
        for curve in &self.curves {
            let lines = curve::lines(&curve.spans, curve.shape, end, columns);
            let lines = match curve.stroke {
                Stroke::Solid | Stroke::Thin => lines,
                Stroke::Dashed => {
                    let cut = |line: Vec<_>| curve::dashes(&line, 5.0 * second, 8.0 * second);
                    lines.into_iter().flat_map(cut).collect()
                }
            };
            let (width, opacity) = match curve.stroke {
                Stroke::Solid => (2 * UNITS, 0.9),
                Stroke::Dashed => (3 * UNITS / 2, 0.9),
                Stroke::Thin => (UNITS, 0.7),
            };
            let style = curve.color.mix(opacity).stroke_width(width as u32);
            chart.draw_series(lines.into_iter().map(|line| PathElement::new(line, style)))?;
        }
        Ok(())
    }
}

fn style(size: i32, color: RGBColor, h_pos: HPos) -> TextStyle<'static> {
    // Plotters divides by this factor when it writes the size down.
    let font = ("sans-serif", f64::from(size * UNITS) * 1.24).into_font();
    let color = color.to_backend_color();
    TextStyle { font, color, pos: Pos::new(h_pos, VPos::Top) }
}

/// Writes one line with its top, in pixels, at the given place.
fn write(
    root: &Area<'_>,
    text: &str,
    (left, top): (i32, i32),
    size: i32,
    color: RGBColor,
    h_pos: HPos,
) -> Result<(), Box<dyn std::error::Error>> {
    let text = shortened(text, 140);
    root.draw_text(&text, &style(size, color, h_pos), (left * UNITS, top * UNITS))?;
    Ok(())
}

/// At most `most` characters of `text`, without those that XML or a line cannot hold.
fn shortened(text: &str, most: usize) -> String {
    let allowed = |c: &char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
    let clean: String = text.chars().filter(allowed).collect();
    if clean.chars().count() <= most {
        return clean;
    }
    clean.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
