//! One mutant after the other, by cargo-mutants itself: a build for each. For what cannot be woven.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::bench::{Bench, LIMIT};
use super::mutant::Mutant;
use super::suite::{Fate, Stage};
use crate::child::{self, Echo};

/// After so many seconds a test hangs.
const SECONDS: &str = "200";

/// The files in which cargo-mutants lists what became of them.
const FILES: [(&str, Fate); 4] = [
    ("caught.txt", Fate::Caught),
    ("timeout.txt", Fate::TimedOut),
    ("unviable.txt", Fate::Unviable),
    ("missed.txt", Fate::Survived),
];

/// Runs one stage with each of them.
pub(super) fn try_each(bench: &Bench<'_>, mutants: &[&Mutant], stage: &Stage) -> Result<Vec<Fate>> {
    let output = bench.scratch.builds.join("fates").join(bench.suite.name);
    if output.exists() {
        std::fs::remove_dir_all(&output)?;
    }
    std::fs::create_dir_all(&output)?;
    let config = output.join("mutants.toml");
    std::fs::write(&config, configuration(mutants))?;
    let cargo = [format!("--features={}", bench.suite.features), format!("--test={}", stage.test)];
    let command = bench
        .tool()
        .args(["--in-place", "--no-shuffle", "--colors=never", "--timeout", SECONDS])
        // The tests passed with the others, when no mutant was alive.
        .arg("--baseline=skip")
        .arg("--config")
        .arg(&config)
        .arg("--output")
        .arg(&output)
        .args(cargo.map(|argument| format!("--cargo-arg={argument}")))
        .args(["--", "--"])
        .args(stage.arguments());
    let ended = bench.scratch.run(command, LIMIT, Echo::Live)?;
    // A survivor is an error to cargo-mutants; whether it worked shows in what it lists.
    let fates = read_fates(&output.join("mutants.out"))?;
    let fate_of = |mutant: &&Mutant| {
        fates.get(&mutant.name).copied().with_context(|| {
            format!("cargo-mutants did not try {}:\n{}", mutant.name, child::tail(&ended.output, 20))
        })
    };
    mutants.iter().map(fate_of).collect()
}

fn read_fates(output: &Path) -> Result<BTreeMap<String, Fate>> {
    let mut fates = BTreeMap::new();
    for (file, fate) in FILES {
        let path = output.join(file);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cargo-mutants left no {}", path.display()))?;
        fates.extend(text.lines().map(|name| (name.to_owned(), fate)));
    }
    Ok(fates)
}

/// A configuration that makes these mutants alone.
fn configuration(mutants: &[&Mutant]) -> String {
    let mut text = String::from("examine_re = [\n");
    for mutant in mutants {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    '^{}$',", pattern(&mutant.name));
    }
    text + "]\n"
}

/// A regular expression for exactly this text.
fn pattern(text: &str) -> String {
    let mut pattern = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() || matches!(letter, ' ' | '_' | '/' | ':') {
            pattern.push(letter);
        } else {
            let _ = write!(pattern, "\\x{{{:x}}}", u32::from(letter));
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::mutant::tests::mutant;

    #[test]
    fn a_pattern_holds_no_sign_with_a_meaning() {
        assert_eq!(pattern("a.rs:1:2: < in F<'q>"), "a\\x{2e}rs:1:2: \\x{3c} in F\\x{3c}\\x{27}q\\x{3e}");
    }

    #[test]
    fn a_configuration_names_each_mutant() {
        let source = "fn f() {\n    1 + 2\n}\n";
        let mutants = ["-", "*"].map(|new| mutant(source, (1, 3), "+", new));
        let pattern = |new: &str| format!("    '^a\\x{{2e}}rs:2:7: replace \\x{{2b}} with {new}$',\n");
        let expected = format!("examine_re = [\n{}{}]\n", pattern("\\x{2d}"), pattern("\\x{2a}"));
        assert_eq!(configuration(&mutants.each_ref()), expected);
    }
}
