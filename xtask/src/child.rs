//! Running a program whose output is read, and that may hang.

use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

const SIGXCPU: i32 = 24;

/// What became of a program.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) success: bool,
    /// It had to be killed, because it took too long.
    pub(crate) timed_out: bool,
    /// It had used up the time of the processor that `ulimit -S -t` gave it.
    pub(crate) out_of_time: bool,
    /// What it said on both channels, a line at a time as it came.
    pub(crate) output: String,
}

/// What to do with the output besides keeping it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    Silent,
    Live,
}

/// Runs a program to its end, or kills it with all it has started when `limit` is over.
pub(crate) fn run(command: impl Into<Command>, limit: Duration, echo: Echo) -> Result<Ended> {
    run_until(command, limit, echo, |_| false)
}

/// As [`run`], and kills it too when it has said a line that is `enough`.
pub(crate) fn run_until(
    command: impl Into<Command>,
    limit: Duration,
    echo: Echo,
    enough: impl Fn(&str) -> bool,
) -> Result<Ended> {
    let mut command: Command = command.into();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let (sender, lines) = mpsc::channel();
    let channels: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|it| Box::new(it) as Box<dyn Read + Send>),
        child.stderr.take().map(|it| Box::new(it) as Box<dyn Read + Send>),
    ];
    for channel in channels.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || forward(channel, &sender));
    }
    drop(sender);
    let (mut output, mut timed_out, mut heard) = (String::new(), false, false);
    let deadline = Instant::now() + limit;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if echo == Echo::Live {
                    print!("{line}");
                }
                output.push_str(&line);
                if !heard && enough(&line) {
                    heard = true;
                    kill_with_descendants(&mut child)?;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                timed_out = true;
                kill_with_descendants(&mut child)?;
                break;
            }
        }
    }
    let status = child.wait().context("cannot learn how a program ended")?;
    let success = status.success() && !timed_out && !heard;
    Ok(Ended { success, timed_out, out_of_time: status.signal() == Some(SIGXCPU), output })
}

fn forward(channel: impl Read, sender: &mpsc::Sender<String>) {
    let mut channel = BufReader::new(channel);
    let mut line = Vec::new();
    while channel.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
            return;
        }
        line.clear();
    }
}

/// The youngest first, so that none of them is left to start another.
pub(crate) fn kill_with_descendants(child: &mut Child) -> Result<()> {
    let mut family = vec![child.id()];
    let parents = parents();
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    for id in family.iter().skip(1).rev() {
        // It may have ended by itself.
        let _ = Command::new("kill").args(["-KILL", &id.to_string()]).stderr(Stdio::null()).status();
    }
    child.kill().context("cannot kill a program that hangs")
}

/// A process as the system sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// It has ended, and its parent has not asked yet how.
    pub(crate) has_ended: bool,
    /// Time of processors, its own and that of the children that it has waited for.
    pub(crate) work: Duration,
}

/// The state of a child that was not waited for; None on systems that do not tell.
pub(crate) fn state(id: u32) -> Option<State> {
    State::parse(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

impl State {
    fn parse(stat: &str) -> Option<Self> {
        // The program's name, in brackets, may hold anything: the rest comes behind it.
        let words: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let hundredths =
            words.get(11..15)?.iter().map(|word| word.parse::<u64>().ok()).sum::<Option<u64>>()?;
        Some(Self { has_ended: *words.first()? == "Z", work: Duration::from_millis(hundredths * 10) })
    }
}

/// Every process of the machine with its parent.
fn parents() -> Vec<(u32, u32)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let parent_of = |entry: std::fs::DirEntry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The program's name, in brackets, may hold anything: the numbers come behind it.
        let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
        Some((id, parent))
    };
    entries.filter_map(parent_of).collect()
}

/// The last lines of a long output, each cut where it gets long too.
pub(crate) fn tail(output: &str, lines: usize) -> String {
    let all: Vec<String> = output.trim_end().lines().map(|line| line.chars().take(200).collect()).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_state_is_read_behind_any_name() {
        let stat = "7 (a b) Z) Z 1 7 7 0 -1 4 1 2 3 4 100 20 3000 400 20 0 1 0 5";
        assert_eq!(State::parse(stat), Some(State { has_ended: true, work: Duration::from_millis(35_200) }));
        assert_eq!(State::parse("7 (a) R 1"), None);
        assert!(!state(std::process::id()).expect("this one runs").has_ended);
    }

    #[test]
    fn both_channels_and_the_status_are_kept() {
        let ended = run(shell("echo out; echo err >&2; exit 3"), Duration::MAX / 4, Echo::Silent);
        let ended = ended.expect("sh is there");
        assert!(!ended.success && !ended.timed_out);
        assert_eq!(tail("one\ntwo\nthree\n", 2), "two\nthree");
        assert!(ended.output.contains("out\n") && ended.output.contains("err\n"), "{}", ended.output);
    }

    #[test]
    fn what_hangs_or_has_said_enough_is_killed_with_its_children() {
        let failed = |line: &str| line.starts_with("FAILED");
        // No shell is left to say that what it ran was killed.
        let script = "echo begun; echo FAILED; exec sleep 1000";
        let ended = run_until(shell(script), Duration::MAX / 4, Echo::Silent, failed).expect("sh is there");
        assert!(!ended.success && !ended.timed_out && !ended.out_of_time);
        assert_eq!(ended.output, "begun\nFAILED\n");
        let script = "ulimit -S -t 1; while true; do true; done";
        let ended = run(shell(script), Duration::MAX / 4, Echo::Silent).expect("sh is there");
        assert!(ended.out_of_time && !ended.timed_out && !ended.success);
        let script = "echo begun; (sleep 1000; echo never) & wait";
        let ended = run(shell(script), Duration::from_millis(300), Echo::Silent).expect("sh is there");
        assert!(ended.timed_out && !ended.success);
        assert_eq!(ended.output, "begun\n");
        assert!(!parents().iter().any(|(_, parent)| *parent == std::process::id()), "a child is left");
    }
}
