//! Decisions of a policy beside those of a candidate for its place.

use std::time::Duration;

use super::PlotError;
use super::grid::{Align, Grid, short};
use super::plot::{
    Curve, Entry, Figure, Legend, NEUTRAL, Section, Shape, Span, Stroke, amounts, color,
};

/// The most rows of the table; the first ones are shown.
const ROWS_MAX: usize = 50;

/// What a policy wanted in one tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decided {
    /// When, since the first tick that is looked at.
    pub at: Duration,
    /// Requests inside: waiting and being served.
    pub load: u32,
    /// Replicas that the policy asked for; none if it held or did not answer.
    pub wish: Option<f64>,
    /// What the host made of it.
    pub target: u32,
}

/// Ticks that both sides have, oldest first.
fn pairs<'a>(
    now: &'a [Decided],
    candidate: &'a [Decided],
) -> impl Iterator<Item = (&'a Decided, &'a Decided)> {
    let find = |at| candidate.binary_search_by_key(&at, |decided| decided.at).ok();
    now.iter().filter_map(move |live| Some((live, &candidate[find(live.at)?])))
}

/// Draws the load, and below it both targets, as SVG. Both slices must be in the order of time.
///
/// # Errors
///
/// [`PlotError::Nothing`] if there is no tick.
pub fn decisions_svg(
    title: &str,
    now: &[Decided],
    candidate: &[Decided],
) -> Result<String, PlotError> {
    if now.is_empty() && candidate.is_empty() {
        return Err(PlotError::Nothing);
    }
    let end = [now, candidate].into_iter().flatten().map(|decided| decided.at).max();
    let seconds = end.unwrap_or_default().as_secs_f64();
    let loads = if now.is_empty() { candidate } else { now };
    let load = curve(loads, seconds, NEUTRAL, Stroke::Solid, |decided| decided.load);
    // The candidate lies on top and is dashed, so that where both agree both are seen.
    let targets = vec![
        curve(now, seconds, color(0), Stroke::Solid, |decided| decided.target),
        curve(candidate, seconds, color(1), Stroke::Dashed, |decided| decided.target),
    ];
    let entry = |name: &str, index, decided: &[Decided]| Entry {
        color: color(index),
        name: name.into(),
        cells: vec![short(cost(decided)), changes(decided).to_string()],
    };
    let legend = Legend {
        columns: vec!["replica-seconds".into(), "changes".into()],
        entries: vec![entry("now", 0, now), entry("candidate (dashed)", 1, candidate)],
    };
    let panels = vec![
        amounts("Requests waiting and being served", 160, vec![load]),
        amounts("Target: now (solid) and candidate (dashed)", 240, targets),
    ];
    let sections = vec![Section { heading: None, legend, panels }];
    Figure { title: title.into(), seconds, sections }.draw()
}

fn curve(
    decided: &[Decided],
    end: f64,
    color: plotters::style::RGBColor,
    stroke: Stroke,
    value: fn(&Decided) -> u32,
) -> Curve {
    let until = |index: usize| decided.get(index).map_or(end, |next| next.at.as_secs_f64());
    let span = |(index, this): (usize, &Decided)| Span {
        from: this.at.as_secs_f64(),
        to: until(index + 1),
        value: Some(f64::from(value(this))),
    };
    let spans = decided.iter().enumerate().map(span).collect();
    Curve { color, stroke, shape: Shape::Steps, spans }
}

/// Replica-seconds that the targets add up to.
fn cost(decided: &[Decided]) -> f64 {
    let seconds = |pair: &[Decided]| pair[1].at.saturating_sub(pair[0].at).as_secs_f64();
    decided.windows(2).map(|pair| f64::from(pair[0].target) * seconds(pair)).sum()
}

fn changes(decided: &[Decided]) -> usize {
    decided.windows(2).filter(|pair| pair[0].target != pair[1].target).count()
}

/// Where the two differ: one row for each stretch of ticks in which both targets stayed the same
/// and were not equal, at most 50, and a line that sums up. Both slices must be in the order of
/// time; ticks that only one has are left out.
pub fn decisions_table(now: &[Decided], candidate: &[Decided]) -> String {
    let pairs: Vec<_> = pairs(now, candidate).collect();
    let stretches: Vec<_> = pairs
        .chunk_by(|a, b| (a.0.target, a.1.target) == (b.0.target, b.1.target))
        .filter(|stretch| stretch[0].0.target != stretch[0].1.target)
        .collect();
    let mut text = String::new();
    if !stretches.is_empty() {
        let names =
            ["from", "to", "ticks", "load", "now", "wish", "candidate", "wish", "difference"];
        let mut grid = Grid::new(&names.map(|name| (name, Align::Right)));
        for stretch in stretches.iter().take(ROWS_MAX) {
            grid.push(row(stretch));
        }
        text = grid.render();
    }
    if stretches.len() > ROWS_MAX {
        text += &format!("and {} more stretches\n", stretches.len() - ROWS_MAX);
    }
    let differ: usize = stretches.iter().map(|stretch| stretch.len()).sum();
    let (live, other): (Vec<Decided>, Vec<Decided>) = pairs.iter().copied().unzip();
    let (before, after) = (short(cost(&live)), short(cost(&other)));
    text += &format!("the targets differ in {differ} of {} ticks; ", pairs.len());
    text + &format!("replica-seconds wanted: {before} now, {after} with the candidate\n")
}

fn row(stretch: &[(&Decided, &Decided)]) -> Vec<String> {
    let (first, last) = (stretch[0], stretch[stretch.len() - 1]);
    let seconds = |at: Duration| format!("{:.1} s", at.as_secs_f64());
    let loads = stretch.iter().map(|(live, _)| live.load);
    let (least, most) = (loads.clone().min().unwrap_or(0), loads.max().unwrap_or(0));
    let wish = |decided: &Decided| decided.wish.map_or("hold".into(), short);
    let difference = i64::from(first.1.target) - i64::from(first.0.target);
    vec![
        seconds(first.0.at),
        seconds(last.0.at),
        stretch.len().to_string(),
        if least == most { least.to_string() } else { format!("{least}..{most}") },
        first.0.target.to_string(),
        wish(first.0),
        first.1.target.to_string(),
        wish(first.1),
        format!("{difference:+}"),
    ]
}
