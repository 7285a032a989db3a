//! All bugs in one build, each of which a number in the environment brings to life: a build for each would take most
//! of the time. What is not a change of functions' bodies ([`functions`]) is left to be planted alone.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use super::LIMIT;
use super::functions::{self, Piece};
use super::patch::Patch;
use crate::child::{self, Echo};
use crate::messages::{self, Errors};
use crate::scratch::Scratch;
use crate::weave::{self, Constant, Woven};

/// Crates that bugs are woven into: a folder and the root that is in it.
const CRATES: [(&str, &str); 2] =
    [("core/src/", "core/src/lib.rs"), ("std-shell/src/", "std-shell/src/lib.rs")];

/// A bug that may be woven.
struct Bug {
    index: usize,
    pieces: Vec<Piece>,
}

/// Weaves what can be into the copy and builds the harnesses of it; the indexes of what is in.
pub(super) fn plant(shell: &Shell, scratch: &Scratch<'_>, patches: &[Patch]) -> Result<BTreeSet<usize>> {
    let mut bugs = Vec::new();
    for (index, patch) in patches.iter().enumerate() {
        bugs.extend(pieces(scratch, patch)?.map(|pieces| Bug { index, pieces }));
    }
    let mut constant = Constant::Woven;
    while !bugs.is_empty() {
        scratch.refresh()?;
        let woven = weave(&scratch.tree, &bugs, constant)?;
        bugs.retain(|bug| woven.count(bug.index) == bug.pieces.len());
        let harnesses = bugs.iter().map(|bug| patches[bug.index].harness.as_str());
        let Some(Errors { places, rendered }) = build(shell, scratch, harnesses)? else {
            return Ok(bugs.iter().map(|bug| bug.index).collect());
        };
        let found: BTreeSet<usize> = places.iter().filter_map(|(file, line)| woven.at(file, *line)).collect();
        bugs.retain(|bug| !found.contains(&bug.index));
        match (found.is_empty(), constant) {
            (false, _) => println!("{} bugs do not compile beside the others", found.len()),
            (true, Constant::Woven) => constant = Constant::Left,
            (true, Constant::Left) => {
                println!(
                    "with all bugs in it does not compile; each is built alone:\n{}",
                    child::tail(&rendered, 40)
                );
                bugs.clear();
            }
        }
    }
    Ok(BTreeSet::new())
}

/// The patch as bodies of functions; None if it is more than that, or does not apply.
fn pieces(scratch: &Scratch<'_>, patch: &Patch) -> Result<Option<Vec<Piece>>> {
    let mut before = Vec::new();
    for file in &patch.files {
        let Ok(text) = std::fs::read_to_string(scratch.tree.join(file)) else { return Ok(None) };
        before.push((file, text));
    }
    if scratch.apply(&patch.path, false).is_err() {
        return Ok(None);
    }
    let mut pieces = Some(Vec::new());
    for (file, before) in before {
        let after = std::fs::read_to_string(scratch.tree.join(file));
        let after = after.with_context(|| format!("{} removes {file}", patch.name))?;
        let found = functions::pieces(file, &before, &after);
        pieces = pieces.zip(found).map(|(mut all, found)| {
            all.extend(found);
            all
        });
    }
    scratch.apply(&patch.path, true)?;
    let known = |piece: &Piece| CRATES.iter().any(|(folder, _)| piece.file.starts_with(folder));
    Ok(pieces.filter(|pieces| !pieces.is_empty() && pieces.iter().all(known)))
}

fn weave(tree: &Path, bugs: &[Bug], constant: Constant) -> Result<Woven> {
    let mut woven = Woven::default();
    for (folder, root) in CRATES {
        let all = bugs.iter().flat_map(|bug| bug.pieces.iter().map(|piece| piece.change(bug.index)));
        let changes = all.filter(|change| change.file.starts_with(folder));
        woven = woven.and(weave::weave(tree, root, changes, constant)?);
    }
    Ok(woven)
}

/// Builds harnesses; the errors of the first that does not compile.
fn build<'p>(
    shell: &Shell,
    scratch: &Scratch<'_>,
    harnesses: impl Iterator<Item = &'p str>,
) -> Result<Option<Errors>> {
    for words in harnesses.map(building).collect::<BTreeSet<_>>() {
        let command = cmd!(shell, "cargo {words...} --message-format=json");
        let ended = scratch.run(command, LIMIT, Echo::Silent)?;
        if !ended.success {
            return Ok(Some(messages::errors(&ended.output)));
        }
    }
    Ok(None)
}

/// Cargo's words to build what a harness runs.
fn building(harness: &str) -> Vec<&str> {
    let mut words: Vec<&str> = harness.split(' ').skip(1).take_while(|word| *word != "--").collect();
    match words.first_mut() {
        Some(word) if *word == "run" => *word = "build",
        _ => words.push("--no-run"),
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_harness_is_built_without_being_run() {
        let test = "cargo test --package a --test it -- b::c";
        assert_eq!(building(test), ["test", "--package", "a", "--test", "it", "--no-run"]);
        assert_eq!(building("cargo run --package a -- --seeds 1"), ["build", "--package", "a"]);
    }
}
