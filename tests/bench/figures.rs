//! What is measured, and how it is told: medians with their spread, a table for people and JSON for programs. Knows nothing of what
//! the figures are about.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

/// Some rounds of one measurement.
#[derive(Debug, Clone)]
pub struct Figure {
    group: String,
    name: String,
    unit: &'static str,
    rounds: Vec<f64>,
    baseline: Option<(String, f64)>,
    reach: Option<(String, bool)>,
}

impl Figure {
    pub fn new(group: impl Into<String>, name: impl Into<String>, unit: &'static str, rounds: Vec<f64>) -> Self {
        Self { group: group.into(), name: name.into(), unit, rounds, baseline: None, reach: None }
    }

    /// What it is compared with, measured in the same run.
    pub fn against(mut self, name: &str, value: f64) -> Self {
        self.baseline = Some((name.to_owned(), value));
        self
    }

    /// A ratio to the baseline that is to be reached at least.
    pub fn at_least(mut self, ratio: f64) -> Self {
        let reached = self.ratio().is_some_and(|is| is >= ratio);
        self.reach = Some((format!(">= {ratio:.3} of it"), reached));
        self
    }

    /// A ratio to the baseline that is to be kept under.
    pub fn at_most_times(mut self, ratio: f64) -> Self {
        let reached = self.ratio().is_some_and(|is| is <= ratio);
        self.reach = Some((format!("<= {ratio:.2} x it"), reached));
        self
    }

    /// A value that is to be kept under.
    pub fn at_most(mut self, most: f64) -> Self {
        let reached = self.median() <= most;
        self.reach = Some((format!("<= {}", short(most)), reached));
        self
    }

    pub fn median(&self) -> f64 {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    /// The same rounds in order: so many of them are under the value.
    pub fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let at = (part * sorted.len() as f64) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }

    fn ratio(&self) -> Option<f64> {
        self.baseline.as_ref().map(|(_, value)| self.median() / value)
    }

    fn spread(&self) -> (f64, f64) {
        let min = self.rounds.iter().copied().fold(f64::INFINITY, f64::min);
        (min, self.rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    }

    fn json(&self) -> Value {
        let (min, max) = self.spread();
        json!({
            "group": self.group,
            "name": self.name,
            "unit": self.unit,
            "median": self.median(),
            "min": min,
            "max": max,
            "rounds": self.rounds,
            "baseline": self.baseline.as_ref().map(|(name, value)| json!({ "name": name, "value": value })),
            "ratio": self.ratio(),
            "reach": self.reach.as_ref().map(|(text, reached)| json!({ "what": text, "reached": reached })),
        })
    }
}

/// All figures of a run and what they were measured under.
#[derive(Debug, Default)]
pub struct Report {
    pub conditions: Vec<(&'static str, Value)>,
    pub figures: Vec<Figure>,
    /// A quick run judges nothing.
    pub quick: bool,
}

impl Report {
    pub fn note(&mut self, name: &'static str, value: impl Into<Value>) {
        self.conditions.push((name, value.into()));
    }

    pub fn json(&self) -> Value {
        let conditions: serde_json::Map<String, Value> =
            self.conditions.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let figures: Vec<Value> = self.figures.iter().map(Figure::json).collect();
        json!({ "conditions": conditions, "quick": self.quick, "figures": figures })
    }

    /// As Markdown, so that it can be pasted into the README.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let mut line = |text: String| {
            out.push_str(&text);
            out.push('\n');
        };
        for (name, value) in &self.conditions {
            line(format!("- {name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
        }
        line(String::new());
        line("| what | median | min .. max | baseline in this run | ratio | reach |".into());
        line("|---|---:|---:|---|---:|---|".into());
        let mut group = "";
        for figure in &self.figures {
            if figure.group != group {
                group = &figure.group;
                line(format!("| **{group}** | | | | | |"));
            }
            line(figure.row(self.quick));
        }
        out
    }
}

impl Figure {
    fn row(&self, quick: bool) -> String {
        let (min, max) = self.spread();
        let mut row = String::new();
        let mut cell = |text: String| {
            // Writing into a string does not fail.
            let _ = write!(row, "| {text} ");
        };
        cell(self.name.clone());
        cell(format!("{} {}", short(self.median()), self.unit));
        cell(if self.rounds.len() > 1 { format!("{} .. {}", short(min), short(max)) } else { "one".into() });
        cell(self.baseline.as_ref().map_or(String::new(), |(name, value)| format!("{name}: {}", short(*value))));
        cell(self.ratio().map_or(String::new(), short));
        cell(match &self.reach {
            Some((what, _)) if quick => what.clone(),
            Some((what, reached)) => format!("{what}: {}", if *reached { "reached" } else { "MISSED" }),
            None => String::new(),
        });
        row + "|"
    }
}

/// A number as people read it.
pub fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => {
            let digits = format!("{value:.0}");
            let mut out = String::new();
            for (i, c) in digits.chars().enumerate() {
                if i > 0 && (digits.len() - i).is_multiple_of(3) && out != "-" {
                    out.push(',');
                }
                out.push(c);
            }
            out
        }
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// So many in that time, a second.
pub fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
