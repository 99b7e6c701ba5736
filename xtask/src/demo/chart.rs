//! Replicas over time, as numbers and as a picture made of characters.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::number;
use crate::ui;

/// One column of the picture.
const COLUMN: Duration = Duration::from_millis(500);

/// What the status said at one moment.
pub struct Sample {
    /// Since the burst began.
    pub at: Duration,
    pub ready: u32,
    pub starting: u32,
    pub draining: u32,
    pub queued: u32,
}

impl Sample {
    /// None when the status misses one of the numbers.
    pub fn read(status: &Value, at: Duration) -> Option<Self> {
        let replicas = &status["replicas"];
        Some(Self {
            at,
            ready: number(&replicas["ready"])?,
            starting: number(&replicas["starting"])?,
            draining: number(&replicas["draining"])?,
            queued: number(&status["queued"])?,
        })
    }

    pub fn replicas(&self) -> u32 {
        self.ready + self.starting + self.draining
    }

    /// One character per replica.
    pub fn bar(&self) -> String {
        let part = |count: u32, mark: &str| mark.repeat(count as usize);
        let bar = part(self.ready, "#") + &part(self.starting, "+") + &part(self.draining, "-");
        format!("{bar:8}")
    }
}

pub struct Chart {
    started: Instant,
    samples: Vec<Sample>,
    swap_at: Option<Duration>,
}

impl Chart {
    pub fn new(started: Instant) -> Self {
        Self { started, samples: Vec::new(), swap_at: None }
    }

    pub fn now(&self) -> Duration {
        ui::now() - self.started
    }

    pub fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    pub fn mark_swap(&mut self) {
        self.swap_at = Some(self.now());
    }

    pub fn peak(&self) -> u32 {
        self.samples.iter().map(|sample| sample.ready).max().unwrap_or(0)
    }

    pub fn last(&self) -> u32 {
        self.samples.last().map_or(0, Sample::replicas)
    }

    /// The picture: `#` is a replica that serves, `+` one that starts or drains.
    pub fn draw(&self) -> String {
        let column = |at: Duration| (at.as_millis() / COLUMN.as_millis()) as usize;
        let width = self.samples.last().map_or(0, |sample| column(sample.at) + 1);
        let (mut ready, mut all) = (vec![0; width], vec![0; width]);
        for sample in &self.samples {
            let column = column(sample.at);
            ready[column] = ready[column].max(sample.ready);
            all[column] = all[column].max(sample.replicas());
        }
        let top = all.iter().copied().max().unwrap_or(0).max(1);
        let mut text = String::from("replicas over time (# ready, + starting or draining)\n");
        for level in (1..=top).rev() {
            let mark = |column| match (ready[column] >= level, all[column] >= level) {
                (true, _) => '#',
                (false, true) => '+',
                (false, false) => ' ',
            };
            let row: String = (0..width).map(mark).collect();
            writeln!(text, "  {level:2} |{}", row.trim_end()).expect("text takes all");
        }
        writeln!(text, "   0 +{}", "-".repeat(width)).expect("text takes all");
        if let Some(at) = self.swap_at {
            let swap = format!("^ policy swapped at {:.1} s", at.as_secs_f64());
            writeln!(text, "      {}{swap}", " ".repeat(column(at))).expect("text takes all");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_shows_rise_fall_and_swap() {
        let mut chart = Chart::new(ui::now());
        for (at, ready, starting) in
            [(0, 0, 1), (400, 1, 0), (600, 1, 1), (1100, 2, 0), (2000, 0, 0)]
        {
            let at = Duration::from_millis(at);
            chart.add(Sample { at, ready, starting, draining: 0, queued: 0 });
        }
        chart.swap_at = Some(Duration::from_millis(1200));
        let expected = "\
replicas over time (# ready, + starting or draining)
   2 | +#
   1 |###
   0 +-----
        ^ policy swapped at 1.2 s
";
        assert_eq!(chart.draw(), expected);
        assert_eq!((chart.peak(), chart.last()), (2, 0));
    }
}
