//! Programs side by side: some at a time, what each says kept apart until it ends.
//!
//! A machine with two processors stands half idle while one step waits for a browser, a disk or a lock; another
//! step works meanwhile (docs/decisions/0026-steps-side-by-side.md). What a program says goes to a file, so that it is
//! read whole and in order. One that fails, dies or hangs takes none of the others along.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::child;

/// How often it is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(50);

/// A program to run.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: &'static str,
    pub(crate) command: Command,
    /// What it has to itself while it runs.
    pub(crate) needs: Needs,
    /// What it says goes here.
    pub(crate) log: PathBuf,
}

/// What a program may not share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing runs beside it: it changes what the others need.
    Everything,
    /// Cargo's folder of builds, for which another would wait.
    Builds,
    Nothing,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Passed,
    Failed,
    /// It was ended with all it had started when time was up.
    Late,
    /// Time was up before it could begin.
    NotBegun,
}

/// What became of a program.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) end: End,
    pub(crate) output: String,
    /// By the clock.
    pub(crate) time: Duration,
    /// Of processors, by it and all it waited for.
    pub(crate) work: Duration,
}

/// A program at work.
struct Running {
    name: &'static str,
    needs: Needs,
    log: PathBuf,
    child: Child,
    begun: Instant,
}

/// Runs all, `lanes` at a time and until `deadline`. They begin in order, but for those that have to wait for what
/// another needs; `told` hears of each as it begins and as it ends.
pub(crate) fn run(
    jobs: Vec<Job>,
    lanes: usize,
    deadline: Option<Instant>,
    mut told: impl FnMut(Told<'_>),
) -> Vec<Report> {
    let mut waiting = VecDeque::from(jobs);
    let (mut running, mut reports) = (Vec::<Running>::new(), Vec::new());
    while !(waiting.is_empty() && running.is_empty()) {
        let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let mut ended = Vec::new();
        while let Some(at) = next(&waiting, &running, lanes).filter(|_| !late) {
            let Some(job) = waiting.remove(at) else { break };
            told(Told::Begun(job.name));
            match Running::begin(job) {
                Ok(begun) => running.push(begun),
                Err(report) => ended.push(report),
            }
        }
        if late {
            ended.extend(waiting.drain(..).map(|job| Report::without_output(job.name, End::NotBegun)));
        }
        let mut at = 0;
        while let Some(one) = running.get_mut(at) {
            match one.look(late) {
                Some(report) => {
                    drop(running.swap_remove(at));
                    ended.push(report);
                }
                None => at += 1,
            }
        }
        let none_ended = ended.is_empty();
        for report in ended {
            told(Told::Ended(&report));
            reports.push(report);
        }
        if none_ended {
            thread::sleep(LOOK);
        }
    }
    reports
}

/// What is heard of programs.
pub(crate) enum Told<'a> {
    Begun(&'static str),
    Ended(&'a Report),
}

/// Which of the waiting may begin.
fn next(waiting: &VecDeque<Job>, running: &[Running], lanes: usize) -> Option<usize> {
    if running.len() >= lanes.max(1) || running.iter().any(|it| it.needs == Needs::Everything) {
        return None;
    }
    let builds = running.iter().any(|it| it.needs == Needs::Builds);
    // What needs everything is not overtaken by what stands behind it.
    let candidates = waiting.iter().position(|job| job.needs == Needs::Everything);
    let first = waiting.front()?;
    if first.needs == Needs::Everything {
        return running.is_empty().then_some(0);
    }
    let free = |job: &Job| job.needs == Needs::Nothing || !builds;
    waiting.iter().take(candidates.unwrap_or(waiting.len())).position(free)
}

impl Report {
    fn without_output(name: &'static str, end: End) -> Self {
        Self { name, end, output: String::new(), time: Duration::ZERO, work: Duration::ZERO }
    }
}

impl Running {
    fn begin(job: Job) -> Result<Self, Report> {
        let Job { name, mut command, needs, log } = job;
        let begun = Instant::now();
        let mut start = || -> Result<Child> {
            let file = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
            command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
            command.spawn().with_context(|| format!("cannot run {command:?}"))
        };
        match start() {
            Ok(child) => Ok(Self { name, needs, log, child, begun }),
            Err(error) => {
                Err(Report { output: format!("{error:#}\n"), ..Report::without_output(name, End::Failed) })
            }
        }
    }

    /// How it ended, if it did; if it is late it has to.
    fn look(&mut self, late: bool) -> Option<Report> {
        // Once it is waited for the system forgets what it took.
        let work = match child::state(self.child.id()) {
            Some(state) if !state.has_ended && !late => return None,
            Some(state) => state.work,
            None => Duration::ZERO,
        };
        let ended = self.child.try_wait();
        let end = match ended {
            Ok(Some(status)) if status.success() => End::Passed,
            Ok(None) if late => {
                // It may end by itself meanwhile.
                let _ = child::kill_with_descendants(&mut self.child);
                let _ = self.child.wait();
                End::Late
            }
            Ok(None) => return None,
            _ => End::Failed,
        };
        let output = match std::fs::read(&self.log) {
            Ok(output) => String::from_utf8_lossy(&output).into_owned(),
            Err(error) => format!("cannot read {}: {error}\n", self.log.display()),
        };
        Some(Report { name: self.name, end, output, time: self.begun.elapsed(), work })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Jobs {
        folder: tempfile::TempDir,
        jobs: Vec<Job>,
    }

    impl Jobs {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().expect("a temporary folder"), jobs: Vec::new() }
        }

        /// A script that stands in the folder of all.
        fn with(mut self, name: &'static str, needs: Needs, script: &str) -> Self {
            let mut command = Command::new("sh");
            command.args(["-c", script]).current_dir(&self.folder);
            self.jobs.push(Job { name, command, needs, log: self.folder.path().join(name) });
            self
        }

        fn run(self, lanes: usize, limit: Option<Duration>) -> (Vec<String>, Vec<Report>) {
            let mut heard = Vec::new();
            let reports = run(self.jobs, lanes, limit.map(|limit| Instant::now() + limit), |told| {
                heard.push(match told {
                    Told::Begun(name) => format!("{name} begun"),
                    Told::Ended(Report { name, end, .. }) => format!("{name} {end:?}"),
                });
            });
            (heard, reports)
        }
    }

    /// Waits until somebody beside it has made a file.
    const WAIT: &str = "until [ -e made ]; do sleep 0.01; done";

    #[test]
    fn what_two_say_is_kept_apart_and_whole() {
        let first = format!("echo a; echo b >&2; {WAIT}; echo c; echo d >&2");
        let jobs = Jobs::new().with("one", Needs::Builds, &first).with(
            "two",
            Needs::Nothing,
            "echo e; touch made; echo f",
        );
        let (heard, mut reports) = jobs.run(2, None);
        assert_eq!(heard[..2], ["one begun", "two begun"]);
        reports.sort_by_key(|report| report.name);
        assert_eq!((&*reports[0].output, &*reports[1].output), ("a\nb\nc\nd\n", "e\nf\n"));
    }

    #[test]
    fn who_fails_or_dies_or_cannot_begin_hides_nobody() {
        let mut jobs = Jobs::new()
            .with("fails", Needs::Nothing, "echo why; exit 3")
            .with("dies", Needs::Nothing, "kill -KILL $$")
            .with("is not there", Needs::Nothing, "")
            .with("passes", Needs::Nothing, "true");
        jobs.jobs[2].command = Command::new("no program of this name");
        let (_, mut reports) = jobs.run(2, None);
        reports.sort_by_key(|report| report.name);
        let ends: Vec<_> = reports.iter().map(|report| (report.name, report.end)).collect();
        let failed = End::Failed;
        assert_eq!(
            ends,
            [("dies", failed), ("fails", failed), ("is not there", failed), ("passes", End::Passed)]
        );
        assert_eq!(reports[1].output, "why\n");
        assert!(reports[2].output.contains("cannot run"), "{}", reports[2].output);
    }

    #[test]
    fn one_at_a_time_is_in_order() {
        let jobs = Jobs::new().with("one", Needs::Nothing, "sleep 0.1").with("two", Needs::Nothing, "true");
        let (heard, _) = jobs.run(1, None);
        assert_eq!(heard, ["one begun", "one Passed", "two begun", "two Passed"]);
    }

    #[test]
    fn who_needs_what_another_has_lets_the_next_one_pass() {
        let jobs = Jobs::new()
            .with("one", Needs::Builds, WAIT)
            .with("two", Needs::Builds, "true")
            .with("three", Needs::Nothing, "touch made")
            .with("alone", Needs::Everything, "true")
            .with("last", Needs::Nothing, "true");
        let (heard, _) = jobs.run(3, None);
        assert_eq!(heard[..2], ["one begun", "three begun"]);
        assert_eq!(heard[6..], ["alone begun", "alone Passed", "last begun", "last Passed"]);
    }

    #[test]
    fn when_time_is_up_everybody_is_told_of_with_what_they_said() {
        let jobs = Jobs::new().with("hangs", Needs::Nothing, "echo so far; sleep 1000 & wait").with(
            "waits",
            Needs::Nothing,
            "true",
        );
        let (heard, reports) = jobs.run(1, Some(Duration::from_millis(500)));
        assert_eq!(heard, ["hangs begun", "waits NotBegun", "hangs Late"]);
        assert_eq!(reports[1].output, "so far\n");
    }

    #[test]
    fn the_work_of_children_counts() {
        let script = "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'";
        let (_, reports) = Jobs::new().with("works", Needs::Nothing, &format!("{script}; true")).run(1, None);
        assert!(reports[0].work > Duration::ZERO, "{reports:?}");
    }
}
