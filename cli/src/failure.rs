//! How a command ends: exit codes, and failures that are told in one line.

use crate::name;
use crate::output;
use blockyard::{Error, OpenError};
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Exit codes of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything that was asked for was done.
    Fine = 0,
    /// Something is damaged, was not found, or failed on the way.
    Problem = 1,
    /// The command was asked for in a way that cannot work.
    Usage = 2,
    /// The file could not be opened or created.
    CannotOpen = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command stopped before its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read standard output has gone: nothing to tell, and nothing is wrong.
    Hangup,
    /// A message of one line, `<what> … <what to do>`.
    Told {
        /// The exit code that goes with it.
        exit: Exit,
        /// The message, without the leading `blockyard: `.
        message: String,
    },
}

/// What a command, or a part of one, came to.
pub(crate) type Outcome<T = Exit> = Result<T, Failure>;

impl Failure {
    /// A failure that is the user's to correct on the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Told { exit: Exit::Usage, message: message.into() }
    }

    /// A failure on the way.
    pub(crate) fn problem(message: impl Into<String>) -> Self {
        Self::Told { exit: Exit::Problem, message: message.into() }
    }

    /// `path` could not be opened or created as a Blockyard file.
    pub(crate) fn open(path: &Path, error: &OpenError) -> Self {
        Self::Told {
            exit: Exit::CannotOpen,
            message: format!("cannot open {}: {}", path.display(), why_closed(error)),
        }
    }

    /// The store refused `doing` (say, `"cannot remove x"`).
    pub(crate) fn store(doing: impl Display, error: &Error) -> Self {
        let exit = match error {
            Error::NameEmpty | Error::NameTooLong { .. } => Exit::Usage,
            _ => Exit::Problem,
        };
        Self::Told { exit, message: format!("{doing}: {}", why(error)) }
    }

    /// The operating system, or the store behind a reader or writer, refused `doing`.
    pub(crate) fn io(doing: impl Display, error: &io::Error) -> Self {
        Self::problem(format!("{doing}: {}", why_io(error)))
    }

    /// There is no block of this name.
    pub(crate) fn not_found(block: &[u8], file: &Path) -> Self {
        Self::problem(format!(
            "there is no block {} in {}; `blockyard ls` shows those there are",
            name::shown(block),
            file.display()
        ))
    }

    /// Standard output refused bytes.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Hangup,
            _ => Self::problem(format!("cannot write to standard output: {error}")),
        }
    }

    /// Tells the user, on standard error, and gives the exit code.
    pub(crate) fn report(&self) -> Exit {
        match self {
            Self::Hangup => Exit::Fine,
            Self::Told { exit, message } => {
                output::complain(message);
                *exit
            }
        }
    }
}

/// What the store's error means and what to do, where the context has named the block already.
pub(crate) fn why(error: &Error) -> String {
    match error {
        Error::Corrupted { damage, .. } => {
            format!("{damage}; run `blockyard verify`, and restore what it names from a backup")
        }
        Error::Io(error) => format!("the file failed: {error}; run the command again when that is mended"),
        error => error.to_string(),
    }
}

/// [`why`] for an error of a reader or writer, which may hold one of the store.
pub(crate) fn why_io(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    inner.map_or_else(|| error.to_string(), why)
}

/// What an error of opening means and what to do, where the context has named the file already.
fn why_closed(error: &OpenError) -> String {
    match error {
        OpenError::Io { source, .. } => source.to_string(),
        OpenError::NotFound(_) => "there is no such file; make one with `blockyard create`".to_owned(),
        OpenError::AlreadyExists(_) => "it exists already; use it, or choose another name".to_owned(),
        OpenError::Locked(_) => "it is open elsewhere; close it there, or wait".to_owned(),
        OpenError::NotBlockyard(_) => "it is not a Blockyard file; check the path".to_owned(),
        OpenError::ReadOnly => "it cannot be written; make it writable, or only read it".to_owned(),
        OpenError::Full => "no space is left on the device; make room first".to_owned(),
        OpenError::Corrupted(damage) => {
            format!("{damage}; restore it from a backup, or rescue what can be read with --salvage")
        }
        error => error.to_string(),
    }
}
