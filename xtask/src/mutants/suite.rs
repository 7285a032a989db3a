//! Which code is changed, and which tests are to notice.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xshell::{Cmd, Shell, cmd};

use super::explained::Mutant;
use crate::child::{self, Echo};
use crate::scratch::Scratch;

/// For all mutants of a suite.
const LIMIT: Duration = Duration::from_hours(24);

/// Files and the tests that they are tested by.
pub(super) struct Suite {
    pub(super) name: &'static str,
    files: &'static [&'static str],
    /// What survives one meets the next: what takes a moment and is enough for most comes first.
    stages: &'static [Stage],
}

/// Some tests.
struct Stage {
    /// Arguments of cargo, for building and for running.
    target: &'static [&'static str],
    /// Tests that are left out.
    without: &'static [&'static str],
    /// After so many seconds they hang.
    seconds: u32,
}

pub(super) const SUITES: [Suite; 2] = [
    Suite {
        name: "queue",
        files: &["core/src/queue.rs", "core/src/queue/*.rs"],
        stages: &[Stage { target: &["--features=std", "--test=queue"], without: &[], seconds: 15 }],
    },
    Suite {
        name: "store",
        files: &[
            "core/src/store/commit.rs",
            "core/src/store/room.rs",
            "core/src/store/checkpoint.rs",
            "core/src/store/open.rs",
            "core/src/store/recover.rs",
            "core/src/store/replay.rs",
            "core/src/journal.rs",
        ],
        stages: &[
            Stage { target: &["--test=few_seeds"], without: &[], seconds: 30 },
            Stage {
                target: &["--test=it"],
                // What takes long, and the seeds again.
                without: &["crash::", "hostile::a_flipped_bit", "sparse::", "bounded::", "large::"],
                seconds: 200,
            },
        ],
    },
];

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// A test failed.
    Caught,
    /// A test ran for ever.
    TimedOut,
    /// It does not compile.
    Unviable,
    /// Every test passed.
    Survived,
}

impl Fate {
    /// The file in which cargo-mutants lists them.
    const FILES: [(&'static str, Self); 4] = [
        ("caught.txt", Self::Caught),
        ("timeout.txt", Self::TimedOut),
        ("unviable.txt", Self::Unviable),
        ("missed.txt", Self::Survived),
    ];
}

/// A suite with what it takes to run it.
pub(super) struct Bench<'a> {
    suite: &'a Suite,
    shell: &'a Shell,
    scratch: &'a Scratch<'a>,
    program: &'a Path,
}

impl Suite {
    pub(super) fn bench<'a>(
        &'a self,
        shell: &'a Shell,
        scratch: &'a Scratch<'a>,
        program: &'a Path,
    ) -> Bench<'a> {
        Bench { suite: self, shell, scratch, program }
    }
}

impl Bench<'_> {
    fn tool(&self) -> Cmd<'_> {
        let program = self.program;
        let files = self.suite.files.iter().flat_map(|file| ["--file", file]);
        cmd!(self.shell, "{program} mutants --package blockyard-core").args(files)
    }

    /// Every mutant of the suite.
    pub(super) fn list(&self) -> Result<Vec<Mutant>> {
        let ended = self.scratch.run(self.tool().args(["--no-config", "--list"]), LIMIT, Echo::Silent)?;
        ensure!(ended.success, "cargo-mutants lists nothing:\n{}", child::tail(&ended.output, 20));
        ended.output.lines().filter(|line| !line.is_empty()).map(Mutant::parse).collect()
    }

    /// Each mutant with what became of it.
    pub(super) fn run(&self, mutants: &[Mutant]) -> Result<Vec<(Mutant, Fate)>> {
        let mut fates: Vec<(Mutant, Fate)> =
            mutants.iter().map(|mutant| (mutant.clone(), Fate::Survived)).collect();
        for stage in self.suite.stages {
            let survivors = fates.extract_if(.., |(_, fate)| *fate == Fate::Survived);
            let survivors: Vec<Mutant> = survivors.map(|(mutant, _)| mutant).collect();
            if !survivors.is_empty() {
                println!("{} mutants meet {}", survivors.len(), stage.target.join(" "));
                fates.extend(self.try_each(&survivors, stage)?);
            }
        }
        Ok(fates)
    }

    fn try_each(&self, mutants: &[Mutant], stage: &Stage) -> Result<Vec<(Mutant, Fate)>> {
        let output = self.scratch.builds.join("fates").join(self.suite.name);
        if output.exists() {
            std::fs::remove_dir_all(&output)?;
        }
        std::fs::create_dir_all(&output)?;
        let config = output.join("mutants.toml");
        std::fs::write(&config, configuration(mutants))?;
        let arguments = stage.target.iter().map(|argument| format!("--cargo-arg={argument}"));
        let seconds = stage.seconds.to_string();
        let command = self
            .tool()
            .args(["--in-place", "--no-shuffle", "--colors=never", "--timeout", &seconds])
            .arg("--config")
            .arg(&config)
            .arg("--output")
            .arg(&output)
            .args(arguments)
            .args(["--", "--"])
            .args(stage.without.iter().flat_map(|test| ["--skip", test]));
        let ended = self.scratch.run(command, LIMIT, Echo::Live)?;
        // A survivor is an error to cargo-mutants; whether it worked shows in what it lists.
        let fates = read_fates(&output.join("mutants.out"))?;
        let fate_of = |mutant: &Mutant| {
            let fate = fates.get(&mutant.name).with_context(|| {
                format!("cargo-mutants did not try {}:\n{}", mutant.name, child::tail(&ended.output, 20))
            })?;
            Ok((mutant.clone(), *fate))
        };
        mutants.iter().map(fate_of).collect()
    }
}

fn read_fates(output: &Path) -> Result<BTreeMap<String, Fate>> {
    let mut fates = BTreeMap::new();
    for (file, fate) in Fate::FILES {
        let path: PathBuf = output.join(file);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cargo-mutants left no {}", path.display()))?;
        fates.extend(text.lines().map(|name| (name.to_owned(), fate)));
    }
    Ok(fates)
}

/// A configuration that makes these mutants alone.
fn configuration(mutants: &[Mutant]) -> String {
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

    #[test]
    fn a_pattern_holds_no_sign_with_a_meaning() {
        assert_eq!(pattern("a.rs:1:2: < in F<'q>"), "a\\x{2e}rs:1:2: \\x{3c} in F\\x{3c}\\x{27}q\\x{3e}");
    }

    #[test]
    fn a_configuration_names_each_mutant() {
        let mutants = ["a.rs:1:2: x", "b.rs:3:4: y"].map(|name| Mutant::parse(name).expect("a name"));
        assert_eq!(
            configuration(&mutants),
            "examine_re = [\n    '^a\\x{2e}rs:1:2: x$',\n    '^b\\x{2e}rs:3:4: y$',\n]\n"
        );
    }
}
