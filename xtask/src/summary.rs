//! `cargo xtask test`: every step, whatever fails, then a table and one line of totals.
//!
//! Each step is a process of its own, this program once more. Some run side by side ([`beside`]); what a step said is
//! printed when it ends, and the table is in order all the same.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use xshell::Shell;

use crate::beside::{self, End, Job, Report, Told};
use crate::child;
use crate::steps::Step;
use crate::toolchain::build_folder;

/// How to run all steps.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Arguments {
    /// Steps at a time; what they say comes when they end
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// End what still runs after so many minutes, and fail it with what it said so far
    #[arg(long)]
    limit: Option<u64>,
}

/// The word before the name of a step that is part of a run of all.
pub(crate) const PART: &str = "part";

/// What became of a step.
struct Outcome {
    name: &'static str,
    /// Why the step failed; None when it passed.
    failure: Option<String>,
    time: Duration,
    work: Duration,
}

/// Runs every step, prints the summary and returns failure when any step failed or could not run.
pub(crate) fn run_all(shell: &Shell, arguments: Arguments) -> Result<ExitCode> {
    let Arguments { jobs, limit } = arguments;
    let begun = Instant::now();
    let deadline = limit.map(|minutes| begun + Duration::from_mins(minutes));
    let steps = Step::all();
    let parts = parts(shell, &steps)?;
    let mut outcomes = Vec::new();
    beside::run(parts, jobs, deadline, |told| match told {
        Told::Begun(name) => println!("==== {name}: begun ===="),
        Told::Ended(report) => outcomes.push(told_of(report)),
    });
    outcomes.sort_by_key(|outcome| steps.iter().position(|step| step.name() == outcome.name));
    print!("\n{}{}", reasons(&outcomes), table(&outcomes));
    println!("{:.1} minutes", begun.elapsed().as_secs_f64() / 60.0);
    println!("{}", totals(&outcomes));
    Ok(if all_passed(&outcomes, steps.len()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every one of so many steps, and none left out.
fn all_passed(outcomes: &[Outcome], steps: usize) -> bool {
    outcomes.len() == steps && outcomes.iter().all(|outcome| outcome.failure.is_none())
}

/// One step with the amounts that a run of all steps has for it. Its last words are the reason, if it fails.
pub(crate) fn run_part(shell: &Shell, name: &str) -> Result<ExitCode> {
    let step = Step::all().into_iter().find(|step| step.name() == name);
    let step = step.with_context(|| format!("a run of all steps has no step {name}"))?;
    let Err(error) = step.run(shell) else { return Ok(ExitCode::SUCCESS) };
    println!("{REASON}{error:#}");
    Ok(ExitCode::FAILURE)
}

/// Begins the reason for which a step failed.
const REASON: &str = "reason: ";

/// The steps as programs.
fn parts(shell: &Shell, steps: &[Step]) -> Result<Vec<Job>> {
    let folder = build_folder(shell, "steps");
    shell.create_dir(&folder)?;
    // A step builds the workspace, and this program with it.
    let program = folder.join("xtask");
    let itself = std::env::current_exe().context("where is this program?")?;
    std::fs::copy(&itself, &program).with_context(|| format!("cannot copy {}", itself.display()))?;
    let (early, others): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.is_early());
    Ok(early.into_iter().chain(others).map(|step| part(&program, &folder, step)).collect())
}

fn part(program: &Path, folder: &Path, step: &Step) -> Job {
    let name = step.name();
    let mut command = Command::new(program);
    command.args([PART, name]);
    Job { name, command, needs: step.needs(), log: folder.join(name).with_extension("log") }
}

/// Prints what a step said and how it ended.
fn told_of(report: &Report) -> Outcome {
    let Report { name, end, output, time, work } = report;
    let (said, reason) =
        output.rsplit_once(REASON).map_or((&**output, None), |(said, why)| (said, Some(why)));
    print!("\n==== {name} ====\n{said}");
    let failure = match end {
        End::Passed => None,
        // One that was killed left no reason.
        End::Failed => Some(
            reason.map_or_else(|| format!("it died; it said:\n{}", child::tail(output, 20)), str::to_owned),
        ),
        End::Late => {
            Some(format!("it had not ended when time was up; it said:\n{}", child::tail(output, 20)))
        }
        End::NotBegun => Some("it had not begun when time was up".to_owned()),
    };
    let failure = failure.map(|reason| reason.trim_end().to_owned());
    let (seconds, processor) = (time.as_secs_f64(), work.as_secs_f64());
    match &failure {
        None => println!("==== {name}: passed in {seconds:.1} s, {processor:.1} s of processors ===="),
        Some(reason) => {
            println!("{reason}\n==== {name}: FAILED in {seconds:.1} s, {processor:.1} s of processors ====")
        }
    }
    Outcome { name, failure, time: *time, work: *work }
}

/// Why steps failed, again: whoever sees only the end of the log sees it too.
fn reasons(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for Outcome { name, failure, .. } in outcomes {
        if let Some(failure) = failure {
            text.push_str(&format!("{name} failed:\n{}\n\n", child::tail(failure, 60)));
        }
    }
    text
}

/// The table of steps. Seconds are by the clock, processor seconds what all processors worked for a step.
fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::from("step      result    seconds  processor\n");
    for Outcome { name, failure, time, work } in outcomes {
        let result = if failure.is_none() { "passed" } else { "FAILED" };
        let reason = failure.as_deref().and_then(|reason| reason.lines().next()).unwrap_or_default();
        let (time, work) = (time.as_secs_f64(), work.as_secs_f64());
        let row = format!("{name:<9} {result:<8} {time:>8.1} {work:>10.1}  {reason}");
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// `N passed, N failed`.
fn totals(outcomes: &[Outcome]) -> String {
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    format!("{} passed, {failed} failed", outcomes.len() - failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_the_steps() {
        let (time, work) = (Duration::from_millis(1500), Duration::from_secs(2));
        let outcomes = [
            Outcome { name: "fmt", failure: None, time, work },
            Outcome { name: "unit", failure: Some("first line\nmore".into()), time, work },
        ];
        let expected = "step      result    seconds  processor\n\
                        fmt       passed        1.5        2.0\n\
                        unit      FAILED        1.5        2.0  first line\n";
        assert_eq!(table(&outcomes), expected);
        assert_eq!(totals(&outcomes), "1 passed, 1 failed");
        // What failed fails the run, and so does a step that nobody heard of.
        assert!(!all_passed(&outcomes, 2));
        assert!(all_passed(&outcomes[..1], 1) && !all_passed(&outcomes[..1], 2));
        assert_eq!(reasons(&outcomes), "unit failed:\nfirst line\nmore\n\n");
    }

    #[test]
    fn a_step_has_passed_only_if_it_ended_well() {
        let failure = |end, output: &str| {
            let (time, work) = (Duration::ZERO, Duration::ZERO);
            told_of(&Report { name: "sim", end, output: output.to_owned(), time, work }).failure
        };
        assert_eq!(failure(End::Passed, "1 passed\n"), None);
        assert_eq!(failure(End::Failed, "1 failed\nreason: lost:\nall\n").as_deref(), Some("lost:\nall"));
        let died = failure(End::Failed, "so far\n").expect("it died");
        assert!(died.contains("died") && died.ends_with("so far"), "{died}");
        assert!(failure(End::Late, "so far\n").expect("it was late").ends_with("so far"));
        assert!(failure(End::NotBegun, "").is_some());
    }

    #[test]
    fn every_step_of_a_run_of_all_is_found_by_its_name() {
        let steps = Step::all();
        for step in &steps {
            assert_eq!(steps.iter().filter(|it| it.name() == step.name()).count(), 1);
        }
    }
}
