//! Compares what an engine holds with what it must hold, byte for byte.

use anyhow::Result;

use super::engines::Engine;
use super::rows::Model;

/// The first difference, in words; `None` if every record is there, with exactly its bytes, and
/// nothing else.
///
/// # Errors
/// What the engine fails with while it reads.
pub(crate) fn compare(engine: &mut dyn Engine, model: &Model) -> Result<Option<String>> {
    let mut comparison = Comparison::new(model);
    engine.read_all(&mut |id, bytes| comparison.see(id, bytes))?;
    Ok(comparison.finish())
}

/// A comparison under way.
pub(crate) struct Comparison<'a> {
    model: &'a Model,
    seen: Vec<bool>,
    problem: Option<String>,
}

impl<'a> Comparison<'a> {
    /// Nothing seen yet.
    pub(crate) fn new(model: &'a Model) -> Self {
        Self { model, seen: vec![false; model.rows().len()], problem: None }
    }

    /// Takes one record that the engine holds.
    pub(crate) fn see(&mut self, id: u32, bytes: &[u8]) {
        let index = id as usize;
        let found = match (self.model.rows().get(index), self.seen.get_mut(index)) {
            (Some(row), Some(seen)) if row.bytes == bytes => {
                if std::mem::replace(seen, true) {
                    Some(format!("record {id} is there twice"))
                } else {
                    None
                }
            }
            (Some(row), _) => Some(format!(
                "record {id} differs: {} bytes where {} were written, or other bytes",
                bytes.len(),
                row.bytes.len()
            )),
            (None, _) => Some(format!("record {id} was never written")),
        };
        if self.problem.is_none() {
            self.problem = found;
        }
    }

    /// The first difference, if there is one.
    pub(crate) fn finish(self) -> Option<String> {
        let missing = || self.seen.iter().position(|seen| !seen).map(|id| format!("record {id} is missing"));
        self.problem.clone().or_else(missing)
    }
}
