//! A progress bar on standard error, when that is a terminal. It may not know what takes so long.

use indicatif::{ProgressBar, ProgressStyle};

use crate::context::Context;

/// A bar, or nothing.
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar for work of `total` steps (0: unknown, it only turns); `counted` names what is counted beside it.
    pub fn new(name: &str, total: u64, counted: &str, ctx: &Context) -> Self {
        if ctx.err_width.is_none() {
            return Self(ProgressBar::hidden());
        }
        let (bar, template) = match total {
            0 => (ProgressBar::new_spinner(), format!("{{prefix}} {{spinner}} {{msg}} {counted} · {{elapsed}}")),
            _ => (
                ProgressBar::new(total),
                format!("{{prefix}} {{wide_bar}} {{percent}} % · {{msg}} {counted} · {{eta}}"),
            ),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_prefix(crate::output::harmless(name));
        bar.set_message("0");
        Self(bar)
    }

    /// The work has come so far, and counted so much.
    pub fn at(&self, position: u64, count: u64) {
        self.0.set_position(position);
        self.0.set_message(count.to_string());
    }

    /// Writes something without tearing the bar.
    pub fn aside(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.finish();
    }
}
