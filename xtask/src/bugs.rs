//! `cargo xtask bugs`: bugs planted on purpose, each of which the tests have to catch.
//!
//! A harness that catches no planted bug proves nothing. `bugs/` holds patches against the tree; each
//! names the harness that has to fail with it ([`patch`]). They go into a copy of the tree ([`Scratch`]):
//! those that change functions all at once ([`bed`]), of which a number in the environment brings one to life;
//! the others alone, one after the other.
//!
//! A bug is caught when its harness, which passed without it, reports a failed test. That it does not
//! compile, runs for ever or fails in another way catches nothing.

mod bed;
mod functions;
mod patch;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use xshell::{Shell, cmd};

use crate::child::{self, Echo, Ended};
use crate::scratch::Scratch;
use crate::tally::Tally;
use crate::test_output::TestOutput;
use crate::weave;
use patch::Patch;

/// Far more than a harness takes, with compiling and beside another step.
const LIMIT: Duration = Duration::from_mins(30);

/// Which bugs.
#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Those alone whose name contains this
    #[arg(long)]
    only: Option<String>,
}

impl Arguments {
    /// Every one.
    pub(crate) const fn all() -> Self {
        Self { only: None }
    }
}

/// A line of the closing table.
struct Row {
    name: String,
    harness: String,
    result: String,
    time: Duration,
}

/// Plants every bug asked for and runs its harness.
pub(crate) fn run(shell: &Shell, arguments: &Arguments) -> Result<()> {
    let mut patches = patch::all(&shell.current_dir().join("bugs"))?;
    if let Some(only) = &arguments.only {
        patches.retain(|patch| patch.name.contains(only.as_str()));
    }
    ensure!(!patches.is_empty(), "no patch of that name in bugs/");
    let scratch = Scratch::new(shell, "bugs")?;
    let tally = Tally::default();
    // Harness by harness: what the last one compiled serves the next.
    patches.sort_by(|a, b| (&a.harness, &a.name).cmp(&(&b.harness, &b.name)));
    let together = bed::plant(shell, &scratch, &patches)?;
    println!("{} of {} bugs are in one build", together.len(), patches.len());
    let mut garden = Garden { shell, scratch, sound: BTreeMap::new(), tally, rows: Vec::new() };
    for (index, patch) in patches.iter().enumerate().filter(|(index, _)| together.contains(index)) {
        let number = weave::number(index).to_string();
        garden.meet(patch, |garden| garden.run(&patch.harness, &number));
    }
    garden.scratch.refresh()?;
    for (_, patch) in patches.iter().enumerate().filter(|(index, _)| !together.contains(index)) {
        garden.meet(patch, |garden| garden.plant(patch));
    }
    garden.rows.sort_by(|a, b| (&a.harness, &a.name).cmp(&(&b.harness, &b.name)));
    print!("{}", table(&garden.rows));
    garden.tally.finish()
}

/// Where bugs are planted, and what came of it.
struct Garden<'a> {
    shell: &'a Shell,
    scratch: Scratch<'a>,
    /// The harnesses that ran without a bug, and whether they passed.
    sound: BTreeMap<String, bool>,
    tally: Tally,
    rows: Vec<Row>,
}

/// The number of no bug.
const NONE: &str = "0";

impl Garden<'_> {
    /// Lets a bug meet its harness, which has to pass without it first.
    fn meet(&mut self, patch: &Patch, with: impl FnOnce(&Self) -> Result<Ended>) {
        let sound = self.is_sound(&patch.harness);
        let start = Instant::now();
        let caught = if sound {
            with(self).and_then(|ended| caught(&ended))
        } else {
            Err(anyhow!("its harness does not pass without it"))
        };
        let (time, harness) = (start.elapsed(), patch.short_harness());
        let result = caught.as_deref().map_or("NOT CAUGHT", |test| test).to_owned();
        self.rows.push(Row { name: patch.name.clone(), harness, result, time });
        self.tally.record(&patch.name, caught.map(drop));
    }

    /// Whether a harness passes without a bug.
    fn is_sound(&mut self, harness: &str) -> bool {
        if let Some(known) = self.sound.get(harness) {
            return *known;
        }
        let result = self.run(harness, NONE).and_then(|ended| passes(&ended));
        let sound = result.is_ok();
        self.tally.record(&format!("without a bug: {harness}"), result);
        self.sound.insert(harness.to_owned(), sound);
        sound
    }

    /// Runs a harness on the tree as it is now, to the first test that fails.
    fn run(&self, harness: &str, number: &str) -> Result<Ended> {
        let words = harness.split(' ').skip(1);
        let command = cmd!(self.shell, "cargo {words...}").env(weave::NUMBER, number);
        let failed = |line: &str| !TestOutput::parse(line).failed.is_empty();
        self.scratch.run_until(command, LIMIT, Echo::Silent, failed)
    }

    /// Applies a patch, runs its harness and takes it back.
    fn plant(&self, patch: &Patch) -> Result<Ended> {
        let name = &patch.name;
        self.scratch.apply(&patch.path, false).with_context(|| {
            format!(
                "bugs/{name}.patch does not apply any more: make the same mistake in today's code, put the output \
                 of `git diff` in place of the diff below the header, and take it out again by `git apply -R \
                 bugs/{name}.patch`"
            )
        })?;
        let ended = self.run(&patch.harness, NONE);
        self.scratch.apply(&patch.path, true)?;
        ended
    }
}

/// At least one test, and none failed.
fn passes(ended: &Ended) -> Result<()> {
    let passed = TestOutput::parse(&ended.output).passed;
    ensure!(ended.success, "it fails:\n{}", child::tail(&ended.output, 25));
    ensure!(passed > 0, "it runs no test: was one renamed?");
    Ok(())
}

/// The test that failed, if one did.
fn caught(ended: &Ended) -> Result<String> {
    let TestOutput { failed, compile_error, died, .. } = TestOutput::parse(&ended.output);
    let tail = || child::tail(&ended.output, 25);
    if ended.success {
        bail!("the harness passes with the bug in: it shows nothing about this");
    }
    if compile_error {
        bail!("the patch applies and does not compile:\n{}", tail());
    }
    if ended.timed_out {
        bail!("the harness hangs with the bug in, where a test should fail:\n{}", tail());
    }
    match failed.first() {
        Some(test) => Ok(test.clone()),
        None if died => Ok("the test's process died".into()),
        None => bail!("the harness ends in an error and no test failed:\n{}", tail()),
    }
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
    let harness_width = rows.iter().map(|row| row.harness.len()).max().unwrap_or_default();
    let (bug, harness) = ("bug", "harness");
    let mut text = format!("{bug:width$}  {harness:harness_width$}  seconds  caught by\n");
    for Row { name, harness, result, time } in rows {
        let seconds = time.as_secs_f64();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:width$}  {harness:harness_width$}  {seconds:7.1}  {result}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(success: bool, timed_out: bool, output: &str) -> Ended {
        Ended { success, timed_out, out_of_time: false, output: output.into() }
    }

    #[test]
    fn only_a_failed_test_catches_a_bug() {
        assert_eq!(caught(&ended(false, false, "test a::b ... FAILED\n")).expect("caught"), "a::b");
        let not_caught = [
            ended(true, false, "test a::b ... ok\n"),
            ended(false, false, "error: could not compile `blockyard-core` (lib) due to 1 error\n"),
            ended(false, true, "test a::b ... \n"),
            ended(false, false, "error: no such subcommand\n"),
        ];
        for ended in not_caught {
            assert!(caught(&ended).is_err(), "{ended:?}");
        }
    }

    #[test]
    fn a_harness_without_tests_does_not_pass() {
        assert!(passes(&ended(true, false, "test result: ok. 0 passed; 0 failed\n")).is_err());
        assert!(passes(&ended(true, false, "test result: ok. 1 passed; 0 failed\n")).is_ok());
    }
}
