//! bugs/mutants.md: the mutants that survive, and why that is no gap in the tests.
//!
//! A heading names the file, an item the change, the line of code that it is made in, and the reason:
//!
//! ```text
//! ## core/src/journal.rs
//! - `replace < with <= in write_ring` at `if first < bytes.len() {`: writes nothing once more.
//! ```

use std::fmt;

use anyhow::{Context, Result, ensure};

use super::mutant::Mutant;

/// A survivor with a reason.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Explained {
    file: String,
    change: String,
    code: String,
    /// How many mutants it was found to explain.
    pub(super) uses: usize,
}

impl Explained {
    /// Whether it is about this mutant, which changes this line of code.
    pub(super) fn explains(&self, mutant: &Mutant, code: &str) -> bool {
        (&*self.file, &*self.change, &*self.code) == (&*mutant.file, &*mutant.change, code)
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, change, code, .. } = self;
        write!(f, "{file}: {change} at `{code}`")
    }
}

/// Reads the document.
pub(super) fn parse(text: &str) -> Result<Vec<Explained>> {
    let mut explained = Vec::new();
    let mut file = None;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            file = Some(heading.trim());
        } else if let Some(item) = line.strip_prefix("- `") {
            let file = file.context("an item of bugs/mutants.md before any file's heading")?;
            let parts = item.split_once("` at `").and_then(|(change, rest)| {
                let (code, reason) = rest.split_once("`:")?;
                Some((change, code, reason.trim()))
            });
            let (change, code, reason) =
                parts.with_context(|| format!("bugs/mutants.md cannot be read: {line}"))?;
            ensure!(!reason.is_empty(), "bugs/mutants.md gives no reason: {line}");
            let (file, change, code) = (file.to_owned(), change.to_owned(), code.to_owned());
            explained.push(Explained { file, change, code, uses: 0 });
        }
    }
    Ok(explained)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::mutant::tests::mutant;

    #[test]
    fn a_survivor_is_found_by_its_change_and_its_code() {
        let text = "# Survivors\nWords.\n\n## a.rs\n- `replace < with <=` at `if a < b {`: nothing is done\n  once more.\n";
        let [explained] = &parse(text).expect("readable")[..] else { panic!("one item") };
        let source = "fn f() {\n    if a < b {\n    }\n}\n";
        let mutant = mutant(source, (1, 4), "<", "<=");
        assert_eq!(mutant.code(source), "if a < b {");
        assert!(explained.explains(&mutant, "if a < b {"));
        assert!(!explained.explains(&mutant, "if b < c {"));
    }

    #[test]
    fn what_has_no_reason_or_no_file_is_refused() {
        for text in ["## a.rs\n- `x` at `y`:\n", "- `x` at `y`: why\n", "## a.rs\n- `x`: why\n"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
