//! `cargo xtask test`: every step, whatever fails, then a table and one line of totals.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use xshell::Shell;

use crate::child;
use crate::steps::Step;

/// What became of a step.
struct Outcome {
    name: &'static str,
    /// Why the step failed; None when it passed.
    failure: Option<String>,
    time: Duration,
}

/// Runs every step, prints the summary and returns failure when any step failed or could not run.
pub(crate) fn run_all(shell: &Shell) -> ExitCode {
    let outcomes: Vec<_> = Step::all().iter().map(|step| run_one(shell, step)).collect();
    print!("\n{}{}", reasons(&outcomes), table(&outcomes));
    let all_passed = outcomes.iter().all(|outcome| outcome.failure.is_none());
    if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_one(shell: &Shell, step: &Step) -> Outcome {
    let name = step.name();
    println!("\n==== {name} ====");
    let start = Instant::now();
    let failure = step.run(shell).err().map(|error| format!("{error:#}"));
    let time = start.elapsed();
    match &failure {
        None => println!("==== {name}: passed in {:.1} s ====", time.as_secs_f64()),
        Some(reason) => println!("{reason}\n==== {name}: FAILED in {:.1} s ====", time.as_secs_f64()),
    }
    Outcome { name, failure, time }
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

/// The table of steps; its last line is `N passed, N failed`.
fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::from("step      result    seconds\n");
    for Outcome { name, failure, time } in outcomes {
        let result = if failure.is_none() { "passed" } else { "FAILED" };
        let reason = failure.as_deref().and_then(|reason| reason.lines().next()).unwrap_or_default();
        let row = format!("{name:<9} {result:<8} {:>8.1}  {reason}", time.as_secs_f64());
        text.push_str(row.trim_end());
        text.push('\n');
    }
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    let passed = outcomes.len() - failed;
    text + &format!("{passed} passed, {failed} failed\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_the_steps() {
        let time = Duration::from_millis(1500);
        let outcomes = [
            Outcome { name: "fmt", failure: None, time },
            Outcome { name: "unit", failure: Some("first line\nmore".into()), time },
        ];
        let expected = "step      result    seconds\n\
                        fmt       passed        1.5\n\
                        unit      FAILED        1.5  first line\n\
                        1 passed, 1 failed\n";
        assert_eq!(table(&outcomes), expected);
        assert_eq!(reasons(&outcomes), "unit failed:\nfirst line\nmore\n\n");
    }
}
