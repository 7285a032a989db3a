//! A progress bar on standard error, if that is a terminal. It is drawn between measurements only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar of one run.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar of so many steps; silent where standard error is no terminal.
    pub(crate) fn new(steps: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Says what comes next.
    pub(crate) fn say(&self, what: String) {
        self.0.set_message(what);
    }

    /// One step is done.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }

    /// All is done: the bar goes away.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
