//! What a child tells: one line for each thing, written at once and unbuffered, so that what is in the pipe
//! is what the child had been told when it died.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::str::FromStr;
use std::sync::Mutex;

use anyhow::{Context as _, bail};

/// Why something was refused, as far as callers tell errors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// It was not refused.
    Fine,
    Full,
    Io,
    Poisoned,
    Other,
}

impl Kind {
    pub(crate) const fn of(error: &blockyard::Error) -> Self {
        match error {
            blockyard::Error::Full => Self::Full,
            blockyard::Error::Io(_) => Self::Io,
            blockyard::Error::Poisoned => Self::Poisoned,
            _ => Self::Other,
        }
    }

    pub(crate) const fn of_open(error: &blockyard::OpenError) -> Self {
        match error {
            blockyard::OpenError::Full => Self::Full,
            blockyard::OpenError::Io { .. } => Self::Io,
            _ => Self::Other,
        }
    }

    const NAMES: [(Self, &str); 5] = [
        (Self::Fine, "fine"),
        (Self::Full, "full"),
        (Self::Io, "io"),
        (Self::Poisoned, "poisoned"),
        (Self::Other, "other"),
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(kind, _)| kind == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let found = Self::NAMES.iter().find(|(_, name)| *name == text);
        found.map(|(kind, _)| *kind).with_context(|| format!("no kind {text:?}"))
    }
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// About to open the file.
    Opening,
    /// The file is open; so many journal records were replayed.
    Opened { records: u64 },
    /// The store's own thread has this number, and the child waits.
    Flusher { thread: u64 },
    /// The file could not be opened.
    Unopened { kind: Kind },
    /// About to commit.
    Try { thread: u64, ordinal: u64 },
    /// A commit was answered; its sequence is 0 where the API does not tell it.
    Ack { thread: u64, ordinal: u64, sequence: u64, durable: bool },
    /// Everything up to the sequence was answered durable.
    Synced { sequence: u64 },
    /// Something was refused; ordinal 0 is what is not a commit.
    Refused { thread: u64, ordinal: u64, kind: Kind },
    /// The store did what it must not; the rest of the line says what.
    Wrong { what: String },
    /// The store was closed, with this result.
    Closed { kind: Kind },
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => write!(f, "opening"),
            Self::Opened { records } => write!(f, "opened {records}"),
            Self::Flusher { thread } => write!(f, "flusher {thread}"),
            Self::Unopened { kind } => write!(f, "unopened {kind}"),
            Self::Try { thread, ordinal } => write!(f, "try {thread} {ordinal}"),
            Self::Ack { thread, ordinal, sequence, durable } => {
                let word = if *durable { "durable" } else { "buffered" };
                write!(f, "ack {thread} {ordinal} {sequence} {word}")
            }
            Self::Synced { sequence } => write!(f, "synced {sequence}"),
            Self::Refused { thread, ordinal, kind } => write!(f, "refused {thread} {ordinal} {kind}"),
            Self::Wrong { what } => write!(f, "wrong {}", what.escape_debug()),
            Self::Closed { kind } => write!(f, "closed {kind}"),
        }
    }
}

impl FromStr for Line {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Some(what) = text.strip_prefix("wrong ") {
            return Ok(Self::Wrong { what: what.to_owned() });
        }
        let words: Vec<&str> = text.split(' ').collect();
        Ok(match words[..] {
            ["opening"] => Self::Opening,
            ["opened", records] => Self::Opened { records: records.parse()? },
            ["flusher", thread] => Self::Flusher { thread: thread.parse()? },
            ["unopened", kind] => Self::Unopened { kind: kind.parse()? },
            ["try", thread, ordinal] => Self::Try { thread: thread.parse()?, ordinal: ordinal.parse()? },
            ["ack", thread, ordinal, sequence, word @ ("durable" | "buffered")] => Self::Ack {
                thread: thread.parse()?,
                ordinal: ordinal.parse()?,
                sequence: sequence.parse()?,
                durable: word == "durable",
            },
            ["synced", sequence] => Self::Synced { sequence: sequence.parse()? },
            ["refused", thread, ordinal, kind] => {
                Self::Refused { thread: thread.parse()?, ordinal: ordinal.parse()?, kind: kind.parse()? }
            }
            ["closed", kind] => Self::Closed { kind: kind.parse()? },
            _ => bail!("the child said {text:?}"),
        })
    }
}

/// Where a child writes its lines.
#[derive(Debug)]
pub(crate) struct Reporter {
    pipe: Mutex<File>,
}

impl Reporter {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let pipe = std::io::stdout().as_fd().try_clone_to_owned().context("cannot write to the harness")?;
        Ok(Self { pipe: Mutex::new(File::from(pipe)) })
    }

    /// Writes a line by one call of the operating system. Without a harness there is nothing left to do.
    pub(crate) fn tell(&self, line: &Line) {
        let text = format!("{line}\n");
        let mut pipe = self.pipe.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if pipe.write_all(text.as_bytes()).is_err() {
            std::process::exit(3);
        }
    }

    pub(crate) fn wrong(&self, what: impl Into<String>) {
        self.tell(&Line::Wrong { what: what.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_as_they_were_told() {
        let lines = [
            Line::Opening,
            Line::Opened { records: 4 },
            Line::Flusher { thread: 77 },
            Line::Unopened { kind: Kind::Full },
            Line::Try { thread: 1, ordinal: 2 },
            Line::Ack { thread: 1, ordinal: 2, sequence: 3, durable: true },
            Line::Ack { thread: 1, ordinal: 2, sequence: 0, durable: false },
            Line::Synced { sequence: 9 },
            Line::Refused { thread: 0, ordinal: 7, kind: Kind::Poisoned },
            Line::Wrong { what: "two words".to_owned() },
            Line::Closed { kind: Kind::Fine },
        ];
        for line in lines {
            assert_eq!(line.to_string().parse::<Line>().expect("a line"), line);
        }
        assert!("ack 1 2 3 maybe".parse::<Line>().is_err());
        assert!("try 1".parse::<Line>().is_err());
    }
}
