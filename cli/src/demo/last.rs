//! The last word: the Blockyard file that is left is opened again, verified page by page and
//! compared record by record.

use std::path::Path;

use anyhow::{Context, Result};
use blockyard::Store;

use super::engines;
use super::progress::Progress;
use super::rows::Model;
use super::verify::Comparison;

/// What was found.
pub(crate) struct Check {
    /// Blocks that were verified.
    pub(crate) blocks: u64,
    /// Bytes of their contents.
    pub(crate) bytes: u64,
    /// Length of the file in bytes.
    pub(crate) file_bytes: u64,
    /// Whatever is not as it should be, in words.
    pub(crate) problems: Vec<String>,
}

/// Verifies the file and compares all its blocks with the model.
///
/// # Errors
/// A file that cannot be opened or read.
pub(crate) fn check(file: &Path, model: &Model, progress: &Progress) -> Result<Check> {
    let store = Store::open(file).with_context(|| format!("cannot open {} again", file.display()))?;
    let report = store
        .verify(|seen| progress.say(format!("verify · {} of {} blocks", seen.blocks, seen.total_blocks)))?;
    let mut problems: Vec<String> = report.problems.iter().map(|problem| problem.message.clone()).collect();

    let mut comparison = Comparison::new(model);
    engines::read_blocks(&store, &mut |id, bytes| comparison.see(id, bytes))?;
    problems.extend(comparison.finish());
    store.close()?;
    progress.step();
    let file_bytes = std::fs::metadata(file)?.len();
    Ok(Check { blocks: report.blocks, bytes: report.bytes, file_bytes, problems })
}
