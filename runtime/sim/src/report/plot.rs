//! Pictures of runs side by side.

mod axis;
mod curve;
mod figure;
mod raster;

use plotters::style::RGBColor;

pub use figure::WIDTH;
pub use raster::png;

pub(super) use axis::Axis;
pub(super) use curve::{Shape, Span};
pub(super) use figure::{Curve, Entry, Figure, Legend, Panel, Section, Stroke};

use super::grid::{short, short_ms};
use crate::outcome::{DeploymentRun, Quantiles, Row, Run};

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlotError {
    /// There is nothing to be seen.
    #[error("there is nothing to plot")]
    Nothing,
    /// The drawing failed.
    #[error("draw the plot: {0}")]
    Draw(String),
    /// The SVG could not be read.
    #[error("read the SVG: {0}")]
    Read(String),
    /// The PNG could not be written.
    #[error("encode the PNG: {0}")]
    Encode(String),
    /// There is no such width.
    #[error("a PNG cannot be {width} pixels wide; allowed: 1 to {most}")]
    Width {
        /// What was asked for.
        width: u32,
        /// The most there is.
        most: u32,
    },
    /// The picture is too large.
    #[error("a PNG cannot be {width} by {height} pixels")]
    Size {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
}

/// Colors that people with any kind of color vision can tell apart: first those of Okabe and Ito
/// (2008) without the yellow, which is too pale on white, then some by Tol (2021).
const COLORS: [RGBColor; 12] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x00, 0x00, 0x00),
    RGBColor(0x88, 0x22, 0x55),
    RGBColor(0x99, 0x99, 0x33),
    RGBColor(0x33, 0x22, 0x88),
    RGBColor(0x44, 0xaa, 0x99),
    RGBColor(0xcc, 0x66, 0x77),
];

/// What all runs share is drawn in this color.
pub(super) const NEUTRAL: RGBColor = RGBColor(0x55, 0x55, 0x55);

/// The color of the thing with this index. After twelve they repeat.
pub(super) fn color(index: usize) -> RGBColor {
    COLORS[index % COLORS.len()]
}

/// One quantile of some quantiles.
type Quantile = fn(Quantiles) -> f64;

const QUANTILES: [(&str, Quantile, Stroke); 3] = [
    ("p50", |latency| latency.p50_ms, Stroke::Thin),
    ("p95", |latency| latency.p95_ms, Stroke::Dashed),
    ("p99", |latency| latency.p99_ms, Stroke::Solid),
];

/// Draws all runs in one picture, as SVG. The same runs give the same bytes.
///
/// For every deployment there is a legend, which says what each run cost and what became of its
/// requests, and panels that share the time: arrivals, replicas, waiting requests and latency.
///
/// # Errors
///
/// [`PlotError::Nothing`] if no run has a deployment.
pub fn svg(title: &str, runs: &[Run]) -> Result<String, PlotError> {
    let mut names: Vec<&str> = Vec::new();
    for deployment in runs.iter().flat_map(|run| &run.deployments) {
        if !names.contains(&deployment.name.as_str()) {
            names.push(&deployment.name);
        }
    }
    if names.is_empty() {
        return Err(PlotError::Nothing);
    }
    let seconds = runs.iter().map(|run| run.duration.as_secs_f64()).fold(0.0, f64::max);
    let sections = names.iter().map(|name| {
        let lanes: Vec<Lane<'_>> =
            runs.iter().enumerate().filter_map(|(index, run)| Lane::of(run, name, index)).collect();
        let heading = (names.len() > 1).then(|| format!("Deployment {name}"));
        Section { heading, legend: legend(&lanes), panels: panels(&lanes) }
    });
    Figure { title: title.into(), seconds, sections: sections.collect() }.draw()
}

/// One run of one deployment, with its color.
struct Lane<'a> {
    label: &'a str,
    color: RGBColor,
    interval: f64,
    run: &'a DeploymentRun,
}

impl<'a> Lane<'a> {
    fn of(run: &'a Run, deployment: &str, index: usize) -> Option<Self> {
        let found = run.deployments.iter().find(|found| found.name == deployment)?;
        let interval = run.interval.as_secs_f64();
        Some(Self { label: &run.label, color: color(index), interval, run: found })
    }

    fn curve(&self, stroke: Stroke, shape: Shape, value: impl Fn(&Row) -> Option<f64>) -> Curve {
        let mut from = 0.0;
        let span = |row: &Row| {
            let to = row.at.as_secs_f64();
            let span = Span { from, to, value: value(row) };
            from = to;
            span
        };
        let spans = self.run.rows.iter().map(span).collect();
        Curve { color: self.color, stroke, shape, spans }
    }

    fn arrivals(&self) -> Curve {
        let interval = self.interval.max(1e-9);
        self.curve(Stroke::Solid, Shape::Steps, |row| Some(row.arrived as f64 / interval))
    }
}

fn legend(lanes: &[Lane<'_>]) -> Legend {
    let columns = ["replica-seconds", "p50", "p95", "p99", "failed", "rejected"];
    let entry = |lane: &Lane<'_>| {
        let summary = &lane.run.summary;
        let latency = |(_, quantile, _): (&str, Quantile, Stroke)| {
            summary.latency.map_or("-".into(), |latency| short_ms(quantile(latency)))
        };
        let mut cells = vec![short(summary.replica_seconds)];
        cells.extend(QUANTILES.map(latency));
        cells.extend([summary.failed.to_string(), summary.rejected.to_string()]);
        Entry { color: lane.color, name: lane.label.into(), cells }
    };
    let columns = columns.map(Into::into).to_vec();
    Legend { columns, entries: lanes.iter().map(entry).collect() }
}

fn panels(lanes: &[Lane<'_>]) -> Vec<Panel> {
    let steps = |stroke, value: fn(&Row) -> u32| {
        lanes
            .iter()
            .map(move |lane| lane.curve(stroke, Shape::Steps, |row| Some(f64::from(value(row)))))
    };
    let targets = steps(Stroke::Dashed, |row| row.target);
    let replicas = targets.chain(steps(Stroke::Solid, |row| row.ready)).collect();
    let queued = steps(Stroke::Solid, |row| row.queued).collect();
    let mut panels = vec![
        amounts("Requests per second", 110, arrivals(lanes)),
        amounts("Replicas: ready (solid) and target (dashed)", 200, replicas),
        amounts("Requests waiting", 120, queued),
    ];
    panels.extend(latency(lanes));
    panels
}

/// The arrivals of all runs; as one curve if all are the same, which they usually are.
fn arrivals(lanes: &[Lane<'_>]) -> Vec<Curve> {
    let mut curves: Vec<Curve> = lanes.iter().map(Lane::arrivals).collect();
    if curves.windows(2).all(|pair| pair[0].spans == pair[1].spans) {
        curves.truncate(1);
        curves.iter_mut().for_each(|curve| curve.color = NEUTRAL);
    }
    curves
}

/// A panel with as much room as its curves need.
pub(super) fn amounts(title: &str, height: i32, curves: Vec<Curve>) -> Panel {
    let most = values(&curves).fold(0.0, f64::max);
    Panel { title: title.into(), height, axis: Axis::amounts(most), curves }
}

fn values(curves: &[Curve]) -> impl Iterator<Item = f64> {
    curves.iter().flat_map(|curve| &curve.spans).filter_map(|span| span.value)
}

/// No panel if nothing is known. All quantiles in one panel for one run. Of several runs each quantile has its own panel, where
/// they can be compared, with the same axis.
fn latency(lanes: &[Lane<'_>]) -> Vec<Panel> {
    let curves = |quantile: Quantile, stroke| {
        let curve =
            |lane: &Lane<'_>| lane.curve(stroke, Shape::Straight, |row| row.latency.map(quantile));
        lanes.iter().map(curve).collect::<Vec<_>>()
    };
    let of_quantile = QUANTILES.map(|(name, quantile, stroke)| (name, curves(quantile, stroke)));
    if of_quantile.iter().all(|(_, curves)| values(curves).next().is_none()) {
        return Vec::new();
    }
    let axis = Axis::millis(of_quantile.iter().flat_map(|(_, curves)| values(curves)));
    let scale = if axis.is_log() { ", logarithmic" } else { "" };
    if lanes.len() == 1 {
        let title = format!("Latency: p50 (thin), p95 (dashed) and p99 (solid){scale}");
        let curves = of_quantile.into_iter().flat_map(|(_, curves)| curves).collect();
        return vec![Panel { title, height: 200, axis, curves }];
    }
    let panel = |(name, mut curves): (&str, Vec<Curve>)| {
        curves.iter_mut().for_each(|curve| curve.stroke = Stroke::Solid);
        let title = format!("Latency {name}{scale}");
        Panel { title, height: 120, axis: axis.clone(), curves }
    };
    of_quantile.map(panel).into()
}
