//! `exec FILE`: commands from standard input, one a line.
//!
//! | line | answer | meaning |
//! |---|---|---|
//! | `put NAME TEXT` | none | the batch will set NAME to the rest of the line |
//! | `del NAME` | none | the batch will remove NAME |
//! | `get NAME` | `value TEXT` or `missing` | the batch's own changes are seen |
//! | `commit` | `ok SEQUENCE` | the batch is durable: it survives a power cut |
//!
//! Anything that cannot be done is answered by `error …` on one line, and the session goes on.

mod line;
mod pending;
mod session;

use crate::failure::{Exit, Failure, Outcome};
use crate::size::count;
use crate::{opening, output};
use line::{Command, Next};
use session::Session;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

/// Arguments of `exec`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Commands:
  put NAME TEXT   set NAME to the rest of the line (nothing after NAME: an empty block)
  del NAME        remove NAME; it need not exist
  get NAME        answered by `value TEXT` or `missing`; changes not committed yet are seen
  commit          answered by `ok SEQUENCE` when every put and del since the last commit is durable

What cannot be done is answered by `error …` on one line, and the session goes on; a commit that fails
drops its changes. NAME has no spaces; TEXT ends with the line. A line has at most 1 MiB, a batch at most
8 MiB. Every answer is sent at once. Changes not committed at the end of the input are dropped, which is
noted on standard error. The exit code is 1 if any answer was an error, or
if nobody read the answers any more: the session ends then.

Example:
  printf 'put greeting hello\\ncommit\\nget greeting\\n' | blockyard exec notes.by")]
pub(crate) struct Args {
    /// The Blockyard file
    file: PathBuf,
}

/// Runs the session.
pub(super) fn run(args: &Args) -> Outcome {
    let store = opening::for_writing(&args.file)?;
    if io::stdin().is_terminal() {
        output::remark("reading commands from the terminal; end with Ctrl-D");
    }
    let mut session = Session::new(&store, io::stdout().lock());
    let ended = converse(&mut session);
    let (dropped, failed) = (session.pending(), session.has_failed());
    drop(session);
    if dropped > 0 {
        let changes = count(dropped as u64, "change", "changes");
        output::remark(format_args!(
            "{changes} not committed and dropped; end the input with `commit` to keep such"
        ));
    }
    opening::close(store, &args.file)?;
    ended?;
    Ok(if failed { Exit::Problem } else { Exit::Fine })
}

/// An answer went nowhere. Elsewhere a reader that has gone is nothing to tell; here there may be commands that are not
/// carried out, and nobody has heard of the commit before.
fn unheard(error: &io::Error) -> Failure {
    match Failure::stdout(error) {
        Failure::Hangup => Failure::problem(
            "nobody reads the answers any more; the commands behind the last answer were not carried out",
        ),
        told => told,
    }
}

/// Answers line after line until the input ends.
fn converse(session: &mut Session<'_, impl io::Write>) -> Outcome<()> {
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        let next = line::read(&mut input, &mut line)
            .map_err(|error| Failure::io("cannot read commands from standard input", &error))?;
        match next {
            Next::End => return Ok(()),
            Next::TooLong => session.refuse(format_args!("the line is longer than {} bytes", line::MAX_LINE)),
            Next::Line => match Command::parse(&line) {
                Ok(Some(command)) => session.answer(command),
                Ok(None) => Ok(()),
                Err(reason) => session.refuse(reason),
            },
        }
        .map_err(|error| unheard(&error))?;
    }
}
