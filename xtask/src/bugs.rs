//! `cargo xtask bugs`: bugs planted on purpose, each of which the tests have to catch.
//!
//! A harness that catches no planted bug proves nothing. `bugs/` holds patches against the tree; each
//! names the harness that has to fail with it ([`patch`]). They are applied, one at a time, to a copy of
//! the tree ([`Scratch`]) whose builds are kept, so that each costs compiling one crate.
//!
//! A bug is caught when its harness, which passed without it, reports a failed test. That it does not
//! compile, runs for ever or fails in another way catches nothing.

mod patch;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use xshell::{Shell, cmd};

use crate::child::{self, Echo, Ended};
use crate::scratch::Scratch;
use crate::tally::Tally;
use crate::test_output::TestOutput;
use patch::Patch;

/// Far more than a harness takes, with compiling.
const LIMIT: Duration = Duration::from_mins(10);

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
    let mut tally = Tally::default();
    // Harness by harness: what the last one compiled serves the next.
    patches.sort_by(|a, b| (&a.harness, &a.name).cmp(&(&b.harness, &b.name)));
    let sound = passing_harnesses(shell, &scratch, &patches, &mut tally);
    let mut rows = Vec::new();
    for patch in &patches {
        let start = Instant::now();
        let caught = if sound.contains(patch.harness.as_str()) {
            plant(shell, &scratch, patch)
        } else {
            Err(anyhow!("its harness does not pass without it"))
        };
        let (time, harness) = (start.elapsed(), patch.short_harness());
        let result = caught.as_deref().map_or("NOT CAUGHT", |test| test).to_owned();
        rows.push(Row { name: patch.name.clone(), harness, result, time });
        tally.record(&patch.name, caught.map(drop));
    }
    print!("{}", table(&rows));
    tally.finish()
}

/// The harnesses that pass on the tree as it is.
fn passing_harnesses<'p>(
    shell: &Shell,
    scratch: &Scratch<'_>,
    patches: &'p [Patch],
    tally: &mut Tally,
) -> BTreeSet<&'p str> {
    let mut passing = BTreeSet::new();
    let harnesses: BTreeSet<&str> = patches.iter().map(|patch| patch.harness.as_str()).collect();
    for harness in harnesses {
        let result = run_harness(shell, scratch, harness).and_then(|ended| passes(&ended));
        if result.is_ok() {
            passing.insert(harness);
        }
        tally.record(&format!("without a bug: {harness}"), result);
    }
    passing
}

/// At least one test, and none failed.
fn passes(ended: &Ended) -> Result<()> {
    let passed = TestOutput::parse(&ended.output).passed;
    ensure!(ended.success, "it fails:\n{}", child::tail(&ended.output, 25));
    ensure!(passed > 0, "it runs no test: was one renamed?");
    Ok(())
}

/// Runs a harness on the tree as it is now.
fn run_harness(shell: &Shell, scratch: &Scratch<'_>, harness: &str) -> Result<Ended> {
    let words = harness.split(' ').skip(1);
    scratch.run(cmd!(shell, "cargo {words...}"), LIMIT, Echo::Silent)
}

/// Applies a patch, runs its harness and takes it back; the test that failed.
fn plant(shell: &Shell, scratch: &Scratch<'_>, patch: &Patch) -> Result<String> {
    let name = &patch.name;
    scratch.apply(&patch.path, false).with_context(|| {
        format!(
            "bugs/{name}.patch does not apply any more: make the same mistake in today's code, put the output \
             of `git diff` in place of the diff below the header, and take it out again by `git apply -R \
             bugs/{name}.patch`"
        )
    })?;
    let ended = run_harness(shell, scratch, &patch.harness);
    scratch.apply(&patch.path, true)?;
    caught(&ended?)
}

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
