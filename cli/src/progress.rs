//! Progress of long work, on standard error and only when that is a terminal.
//!
//! A bar appears after a quarter of a second, so that quick work stays quiet.

use crate::output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::cell::Cell;
use std::fmt::Display;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

const DELAY: Duration = Duration::from_millis(250);
const REDRAWS_A_SECOND: u8 = 10;

/// The progress of one piece of work, counted in bytes.
pub(crate) struct Progress {
    bar: ProgressBar,
    started: Instant,
    waiting: Cell<bool>,
}

/// Whether somebody could see a bar: then it is worth finding out how much there is to do.
pub(crate) fn is_seen() -> bool {
    io::stderr().is_terminal()
}

impl Progress {
    /// Work called `label`, of `total` bytes if that is known.
    pub(crate) fn new(label: &'static str, total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        let template = match total {
            Some(_) => "{prefix} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {wide_msg}",
            None => "{prefix} {spinner} {bytes} {bytes_per_sec} {wide_msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_prefix(label);
        Self { bar, started: Instant::now(), waiting: Cell::new(is_seen()) }
    }

    /// `bytes` more were done.
    pub(crate) fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        self.show_when_due();
    }

    /// `done` of `total` bytes are done.
    pub(crate) fn set(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.show_when_due();
    }

    /// What is being worked on.
    pub(crate) fn message(&self, text: impl FnOnce() -> String) {
        if !self.bar.is_hidden() {
            self.bar.set_message(text());
        }
    }

    /// Tells an error in one line, above the bar.
    pub(crate) fn complain(&self, message: impl Display) {
        self.bar.suspend(|| output::complain(message));
    }

    /// Tells something worth knowing in one line, above the bar.
    pub(crate) fn remark(&self, message: impl Display) {
        self.bar.suspend(|| output::remark(message));
    }

    fn show_when_due(&self) {
        if self.waiting.get() && self.started.elapsed() >= DELAY {
            self.waiting.set(false);
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(REDRAWS_A_SECOND));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
