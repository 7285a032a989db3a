//! A planted bug: a header of `Key: value` lines, then a unified diff.
//!
//! | key | value |
//! |---|---|
//! | Bug | what the code does wrong |
//! | Seen | who had it, or why it is easily made |
//! | Breaks | the promise that it breaks |
//! | Harness | the cargo command, in the root of the workspace, that must fail with it |
//!
//! A line that begins with two spaces goes on with the one before.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// What every header has to tell.
const KEYS: [&str; 4] = ["Bug", "Seen", "Breaks", "Harness"];

/// One patch file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) harness: String,
    /// The files that it changes, from the root of the workspace.
    pub(crate) files: Vec<String>,
}

impl Patch {
    fn parse(path: PathBuf, text: &str) -> Result<Self> {
        let name = path.file_stem().and_then(|name| name.to_str()).context("a name that is not Unicode")?;
        let fields = fields(text);
        let value = |key: &str| {
            let found = fields.iter().find(|(known, _)| known == key);
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        for key in KEYS {
            ensure!(value(key).is_some(), "bugs/{name}.patch does not tell its \"{key}:\"");
        }
        let harness = value("Harness").unwrap_or_default();
        ensure!(harness.starts_with("cargo "), "bugs/{name}.patch: the harness is no command of cargo");
        let files: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("+++ b/"))
            .map(|file| file.split('\t').next().unwrap_or(file).to_owned())
            .collect();
        ensure!(!files.is_empty(), "bugs/{name}.patch holds no diff");
        Ok(Self { name: name.to_owned(), harness, files, path })
    }

    /// The command without what every harness has.
    pub(crate) fn short_harness(&self) -> String {
        let words = self.harness.split(' ').skip(2);
        let telling = |word: &&str| !matches!(*word, "--" | "--package" | "--test" | "--features" | "std");
        words.filter(telling).collect::<Vec<_>>().join(" ")
    }
}

/// Every patch of a folder, by name.
pub(crate) fn all(folder: &Path) -> Result<Vec<Patch>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut patches = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "patch") {
            let text = std::fs::read_to_string(&path)?;
            patches.push(Patch::parse(path, &text)?);
        }
    }
    patches.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(patches)
}

/// The header's keys and values.
fn fields(text: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().take_while(|line| !line.starts_with("diff ") && !line.starts_with("--- ")) {
        if let (Some(rest), Some((_, value))) = (line.strip_prefix("  "), fields.last_mut()) {
            value.push(' ');
            value.push_str(rest.trim());
        } else if let Some((key, value)) = line.split_once(": ") {
            fields.push((key.to_owned(), value.trim().to_owned()));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "Bug: one thing\n  and another\nSeen: somewhere\nBreaks: a promise\n\
                         Harness: cargo test --package blockyard-core --test it -- crash::cuts\n\n\
                         diff --git a/x b/x\n--- a/x\n+++ b/x\n";

    #[test]
    fn a_header_is_read() {
        let patch = Patch::parse("bugs/sync-skipped.patch".into(), PATCH).expect("whole");
        assert_eq!((&*patch.name, &patch.files[..]), ("sync-skipped", &["x".to_owned()][..]));
        assert_eq!(patch.harness, "cargo test --package blockyard-core --test it -- crash::cuts");
        assert_eq!(patch.short_harness(), "blockyard-core it crash::cuts");
        assert_eq!(fields(PATCH)[0].1, "one thing and another");
    }

    #[test]
    fn a_header_that_leaves_something_out_is_refused() {
        for key in KEYS {
            let without = PATCH.replace(&format!("{key}:"), "Else:");
            let error = Patch::parse("bugs/x.patch".into(), &without).expect_err("incomplete");
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
