//! A suite at work: its mutants woven into one build, and its tests run with each.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xshell::{Cmd, Shell, cmd};

use super::mutant::Mutant;
use super::suite::{Fate, Stage, Suite, UNIT};
use crate::child::{self, Echo, Ended};
use crate::messages::{self, Errors, Programs};
use crate::scratch::Scratch;
use crate::weave::{self, Constant, NUMBER};

/// For a build, and for tests without a mutant.
const LIMIT: Duration = Duration::from_hours(24);
/// Tests in which somebody sleeps for ever are given up after so many times what they take without a mutant, and
/// a moment more.
const PATIENCE: u32 = 5;
const MOMENT: Duration = Duration::from_secs(30);
/// A mutant that takes memory without end gets no more than this, in KiB.
const MEMORY: &str = "8388608";
/// A suite with what it takes to run it.
pub(super) struct Bench<'a> {
    pub(super) suite: &'a Suite,
    pub(super) shell: &'a Shell,
    pub(super) scratch: &'a Scratch<'a>,
    pub(super) program: &'a Path,
}

/// A build.
enum Built {
    Programs(Programs),
    /// The places of its errors: file and line.
    Errors(Vec<(String, usize)>, String),
}

impl Bench<'_> {
    /// The tool that makes the suite's mutants.
    fn tool(&self) -> Cmd<'_> {
        let program = self.program;
        let files = self.suite.files.iter().flat_map(|file| ["--file", file]);
        cmd!(self.shell, "{program} mutants --package blockyard-core").args(files)
    }

    /// Every mutant of the suite.
    pub(super) fn list(&self) -> Result<Vec<Mutant>> {
        let command = self.tool().args(["--no-config", "--list", "--json"]);
        let ended = self.scratch.run(command, LIMIT, Echo::Silent)?;
        ensure!(ended.success, "cargo-mutants lists nothing:\n{}", child::tail(&ended.output, 20));
        Mutant::parse_list(&ended.output)
    }

    /// What becomes of each mutant.
    pub(super) fn run(&self, mutants: &[Mutant]) -> Result<Vec<Fate>> {
        let mut fates = vec![Fate::Survived; mutants.len()];
        let (programs, woven) = self.build(mutants, &mut fates)?;
        let mut limits = Vec::new();
        for stage in self.suite.stages {
            let program = programs.get(stage.test).with_context(|| format!("no test {}", stage.test))?;
            let limit = self.limit(program, stage)?;
            limits.push(limit);
            let chosen = |index: &usize| fates[*index] == Fate::Survived && woven.contains(index);
            let chosen: Vec<usize> = (0..mutants.len()).filter(chosen).collect();
            println!("{} mutants in one build meet {}", chosen.len(), stage.test);
            for index in chosen {
                let begun = Instant::now();
                fates[index] = self.meet(program, stage, Some(index), limit)?.0;
                println!("{} {:.1} s: {}", fates[index], begun.elapsed().as_secs_f64(), mutants[index].name);
            }
        }
        let left = |index: &usize| fates[*index] == Fate::Survived && !woven.contains(index);
        for index in (0..mutants.len()).filter(left).collect::<Vec<_>>() {
            fates[index] = self.alone(&mutants[index], &limits)?;
            println!("{}, built alone: {}", fates[index], mutants[index].name);
        }
        self.scratch.refresh()?;
        Ok(fates)
    }

    /// A build for one mutant, which meets all stages.
    fn alone(&self, mutant: &Mutant, limits: &[Duration]) -> Result<Fate> {
        self.scratch.refresh()?;
        let path = self.scratch.tree.join(&mutant.file);
        let source = std::fs::read_to_string(&path)?;
        std::fs::write(&path, weave::changed(&source, &mutant.span, &mutant.replacement))?;
        let programs = match self.compile()? {
            Built::Programs(programs) => programs,
            Built::Errors(places, _) if !places.is_empty() => return Ok(Fate::Unviable),
            Built::Errors(_, output) => bail!("{}:\n{}", mutant.name, child::tail(&output, 40)),
        };
        for (stage, limit) in self.suite.stages.iter().zip(limits) {
            let program = programs.get(stage.test).with_context(|| format!("no test {}", stage.test))?;
            let (fate, _) = self.meet(program, stage, None, *limit)?;
            if fate != Fate::Survived {
                return Ok(fate);
            }
        }
        Ok(Fate::Survived)
    }

    /// Builds the tests with all mutants that compile, and says which are woven in.
    fn build(&self, mutants: &[Mutant], fates: &mut [Fate]) -> Result<(Programs, BTreeSet<usize>)> {
        let (mut unviable, mut constant) = (BTreeSet::new(), Constant::Woven);
        loop {
            self.scratch.refresh()?;
            if constant == Constant::Woven {
                self.suite.constant.iter().try_for_each(|(file, name)| self.make_ordinary(file, name))?;
            }
            let viable = mutants.iter().enumerate().filter(|(index, _)| !unviable.contains(index));
            let changes = viable.map(|(index, mutant)| mutant.woven(index));
            let woven = weave::weave(&self.scratch.tree, "core/src/lib.rs", changes, constant)?;
            let (errors, output) = match self.compile()? {
                Built::Programs(programs) => return Ok((programs, woven.indexes())),
                Built::Errors(errors, output) => (errors, output),
            };
            let mut found = errors.iter().filter_map(|(file, line)| woven.at(file, *line)).peekable();
            if found.peek().is_none() && constant == Constant::Woven {
                constant = Constant::Left;
                continue;
            }
            if found.peek().is_none() {
                bail!("the engine with its mutants does not compile:\n{}", child::tail(&output, 40));
            }
            for index in found {
                if unviable.insert(index) {
                    fates[index] = Fate::Unviable;
                    println!("{}: {}", fates[index], mutants[index].name);
                }
            }
        }
    }

    fn make_ordinary(&self, file: &str, name: &str) -> Result<()> {
        let path = self.scratch.tree.join(file);
        let source = std::fs::read_to_string(&path)?;
        let (constant, ordinary) = (format!("const fn {name}("), format!("fn {name}("));
        ensure!(source.contains(&constant), "{file} has no constant function {name}");
        Ok(std::fs::write(path, source.replace(&constant, &ordinary))?)
    }

    fn compile(&self) -> Result<Built> {
        let features = self.suite.features;
        let tests = self.suite.stages.iter().flat_map(|stage| match stage.test {
            UNIT => vec!["--lib"],
            test => vec!["--test", test],
        });
        let command = cmd!(self.shell, "cargo test --no-run --package blockyard-core --features {features}");
        let command = command.args(["--message-format=json"]).args(tests);
        let ended = self.scratch.run(command, LIMIT, Echo::Silent)?;
        if ended.success {
            return Ok(Built::Programs(messages::programs(&ended.output)));
        }
        let Errors { places, rendered } = messages::errors(&ended.output);
        Ok(Built::Errors(places, rendered))
    }

    /// How long a stage may take with a mutant, by what it takes without.
    fn limit(&self, program: &Path, stage: &Stage) -> Result<Duration> {
        let begun = Instant::now();
        let (fate, ended) = self.meet(program, stage, None, LIMIT)?;
        let output = child::tail(&ended.output, 20);
        ensure!(fate == Fate::Survived, "{} fails without a mutant:\n{output}", stage.test);
        let limit = begun.elapsed() * PATIENCE + MOMENT;
        println!("{} takes {:.1} s without a mutant", stage.test, begun.elapsed().as_secs_f64());
        Ok(limit)
    }

    /// Runs a stage's tests to the first that fails.
    fn meet(
        &self,
        program: &Path,
        stage: &Stage,
        index: Option<usize>,
        limit: Duration,
    ) -> Result<(Fate, Ended)> {
        let number = index.map_or(0, weave::number).to_string();
        // Who sleeps for ever is told by the test, a while before the limit.
        let patience = limit.saturating_sub(MOMENT * 4 / 5).as_secs();
        let command = cmd!(self.shell, "sh -c")
            .arg(format!(
                "ulimit -v {MEMORY}; ulimit -S -t {}; BLOCKYARD_PATIENCE={patience} exec \"$@\"",
                stage.seconds
            ))
            .arg("sh")
            .arg(program)
            .args(stage.arguments())
            .env(NUMBER, number);
        let failed = |line: &str| line.starts_with("test ") && line.trim_end().ends_with("FAILED");
        let ended = self.scratch.run_until(command, limit, Echo::Silent, failed)?;
        let fate = match &ended {
            Ended { success: true, .. } => Fate::Survived,
            Ended { timed_out: true, .. } | Ended { out_of_time: true, .. } => Fate::TimedOut,
            _ => Fate::Caught,
        };
        Ok((fate, ended))
    }
}
