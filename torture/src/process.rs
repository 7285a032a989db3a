//! Children of the harness: started, listened to, killed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, ensure};

use crate::account::Account;
use crate::examine::Standing;
use crate::report::Line;

/// The words of a command line that runs a child on `file` from where `standing` is.
pub(crate) fn child_words(standing: &Standing, file: &Path, commits: u64) -> Result<Vec<String>> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let path = |path: &Path| path.to_str().map(str::to_owned).context("a path that is not UTF-8");
    let mut words = vec![path(&program)?, "child".to_owned(), format!("--file={}", path(file)?)];
    words.extend(standing.workload().arguments());
    words.extend([standing.argument(), format!("--commits={commits}")]);
    Ok(words)
}

/// A child that is running.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<Result<Line>>,
    errors: JoinHandle<String>,
}

/// What became of a child.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// What it wrote besides its lines.
    pub(crate) errors: String,
}

impl Running {
    /// Starts a command line whose output is a child's lines.
    pub(crate) fn start(words: &[String]) -> Result<Self> {
        let (program, arguments) = words.split_first().context("an empty command line")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let output = child.stdout.take().context("the child has no output")?;
        let mut errors = child.stderr.take().context("the child has no error output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n') {
                let parse = |line: Vec<u8>| String::from_utf8_lossy(&line).parse();
                let line = line.map_err(anyhow::Error::from).and_then(parse);
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            // What can no longer be read is not needed.
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Self { child, lines, errors })
    }

    /// Starts a strace that attaches to what is running, and waits until it has.
    pub(crate) fn attach(words: &[String]) -> Result<Self> {
        let (program, arguments) = words.split_first().context("an empty command line")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let mut said = BufReader::new(child.stderr.take().context("strace has no error output")?);
        let mut text = String::new();
        while !text.contains(" attached") {
            let length = said.read_line(&mut text).context("cannot hear strace")?;
            ensure!(length > 0, "strace did not attach: {}", text.trim());
        }
        let (_, lines) = channel();
        let errors = std::thread::spawn(move || {
            // What it says at the end is of no interest, but it must be able to say it.
            let _ = said.read_to_string(&mut text);
            text
        });
        Ok(Self { child, lines, errors })
    }

    /// Lets a child go on that waits for a line.
    pub(crate) fn go(&mut self) -> Result<()> {
        let input = self.child.stdin.as_mut().context("the child has no input")?;
        input.write_all(b"\n").context("the child does not listen")
    }

    /// The next line; None when the child has ended.
    pub(crate) fn line(&self) -> Result<Option<Line>> {
        self.lines.recv().ok().transpose()
    }

    /// Kills the child by SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().context("cannot kill the child")
    }

    /// Takes the rest of the lines into account and waits for the end.
    pub(crate) fn finish(mut self, account: &mut Account) -> Result<Ended> {
        while let Some(line) = self.line()? {
            account.take(line);
        }
        let status = self.child.wait().context("cannot wait for the child")?;
        let errors = self.errors.join().unwrap_or_default();
        Ok(Ended { status, errors })
    }
}
