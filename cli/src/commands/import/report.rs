//! What an import did and what it left out.

use crate::failure::Outcome;
use crate::output::{self, Out};
use crate::progress::{self, Progress};
use crate::size::{count, human};
use blockyard::Sequence;
use serde::Serialize;
use std::fmt::Display;
use std::path::Path;

/// Tells what is left out as it happens, and counts.
pub(super) struct Report<'a> {
    progress: &'a Progress,
    counts: Counts,
}

/// The figures of an import.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Files stored.
    files: u64,
    /// Their bytes.
    bytes: u64,
    /// Entries that are not stored by design.
    skipped: u64,
    /// Entries that should have been stored and were not.
    pub(super) failed: u64,
}

/// [`Counts`] in JSON.
#[derive(Debug, Serialize)]
struct JsonCounts {
    files: u64,
    bytes: u64,
    skipped: u64,
    failed: u64,
    sequence: u64,
}

impl<'a> Report<'a> {
    /// Nothing done so far.
    pub(super) fn new(progress: &'a Progress) -> Self {
        Self { progress, counts: Counts::default() }
    }

    /// A file of `bytes` bytes was stored.
    pub(super) fn stored(&mut self, bytes: u64) {
        self.counts.files += 1;
        self.counts.bytes += bytes;
    }

    /// An entry is not of a kind that is stored.
    pub(super) fn skipped(&mut self, path: &Path, reason: &str) {
        self.counts.skipped += 1;
        self.progress.remark(format_args!("skipped {}: {reason}", path.display()));
    }

    /// An entry could not be stored.
    pub(super) fn failed(&mut self, what: impl Display, reason: impl Display) {
        self.counts.failed += 1;
        self.progress.complain(format_args!("cannot import {what}: {reason}"));
    }

    /// The figures.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }
}

impl Counts {
    /// Shows the figures: to a machine that asked, or to a person who watches.
    pub(super) fn show(&self, json: bool, sequence: Sequence) -> Outcome<()> {
        let Self { files, bytes, skipped, failed } = *self;
        if json {
            let mut out = Out::new();
            out.json(&JsonCounts { files, bytes, skipped, failed, sequence: sequence.0 })?;
            out.flush()?;
        } else if progress::is_seen() {
            let files = count(files, "file", "files");
            output::remark(format_args!(
                "imported {files}, {}; {skipped} skipped, {failed} failed",
                human(bytes)
            ));
        }
        Ok(())
    }
}
