//! The faults that strace puts into a child's calls, and what the child must have said afterwards.

use std::fmt;

use anyhow::{Result, ensure};

use crate::account::Account;
use crate::report::Kind;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It fails and nothing was done.
    Error(&'static str),
    /// The process dies by SIGKILL as it makes the call.
    Kill,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Often {
    Once,
    /// That call and every later one.
    Forever,
}

/// A kind of fault; the number of the call makes it one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) call: &'static str,
    pub(crate) effect: Effect,
    pub(crate) often: Often,
    /// Reserving space is not supported besides, so that growing takes its other way.
    pub(crate) no_reserving: bool,
}

const fn fails(call: &'static str, error: &'static str, often: Often) -> Fault {
    Fault { call, effect: Effect::Error(error), often, no_reserving: false }
}

const fn kills(call: &'static str) -> Fault {
    Fault { call, effect: Effect::Kill, often: Often::Once, no_reserving: false }
}

/// Every kind of fault.
pub(crate) const FAULTS: [Fault; 21] = [
    fails("pwrite64", "EIO", Often::Once),
    fails("pwrite64", "ENOSPC", Often::Once),
    fails("pwrite64", "EIO", Often::Forever),
    fails("fdatasync", "EIO", Often::Once),
    fails("fdatasync", "EIO", Often::Forever),
    fails("fdatasync", "ENOSPC", Often::Once),
    fails("fsync", "EIO", Often::Once),
    fails("fallocate", "ENOSPC", Often::Once),
    fails("fallocate", "ENOSPC", Often::Forever),
    fails("fallocate", "EIO", Often::Once),
    fails("fallocate", "EOPNOTSUPP", Often::Once),
    fails("fallocate", "EOPNOTSUPP", Often::Forever),
    fails("fallocate", "EINTR", Often::Once),
    Fault { no_reserving: true, ..fails("ftruncate", "ENOSPC", Often::Once) },
    Fault { no_reserving: true, ..fails("ftruncate", "EIO", Often::Once) },
    fails("pread64", "EIO", Often::Once),
    fails("pread64", "EIO", Often::Forever),
    kills("pwrite64"),
    kills("fdatasync"),
    kills("fallocate"),
    Fault { no_reserving: true, ..kills("ftruncate") },
];

/// What a fault does to a store, as the library promises it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consequence {
    /// Nothing can be written any more.
    Poisoned,
    /// What needed room is refused, and goes through when there is some.
    Full,
    /// Nothing is to be noticed.
    None,
    /// What needed the bytes is refused; nothing was written, so the store is as good as before.
    Unread,
    /// Opening a new file fails, opening one that was there goes on.
    Directory,
    /// The process is gone.
    Dead,
}

impl Fault {
    /// The options of strace for the fault at the call number `at`.
    pub(crate) fn options(&self, at: u64) -> Vec<String> {
        let Self { call, effect, often, no_reserving } = self;
        let effect = match effect {
            Effect::Error(error) => format!("error={error}"),
            Effect::Kill => "signal=SIGKILL".to_owned(),
        };
        let more = if *often == Often::Forever { "+" } else { "" };
        let mut all = Vec::new();
        if *no_reserving {
            all.push("--inject=fallocate:error=EOPNOTSUPP".to_owned());
        }
        all.push(format!("--inject={call}:{effect}:when={at}{more}"));
        all
    }

    /// The lines of a trace that show that the fault happened.
    pub(crate) fn happened(&self, trace: &str) -> u64 {
        let own = |line: &&str| match self.effect {
            Effect::Error(error) => {
                line.contains(&format!("{}(", self.call))
                    && line.contains(error)
                    && line.contains("(INJECTED)")
                    || line.contains(&format!("{} resumed", self.call)) && line.contains("(INJECTED)")
            }
            Effect::Kill => line.contains("killed by SIGKILL"),
        };
        trace.lines().filter(own).count() as u64
    }

    const fn consequence(&self) -> Consequence {
        match (self.call.as_bytes(), &self.effect) {
            (_, Effect::Kill) => Consequence::Dead,
            (b"fsync", _) => Consequence::Directory,
            (b"pread64", _) => Consequence::Unread,
            (b"fallocate" | b"ftruncate", Effect::Error(error)) => match error.as_bytes() {
                b"ENOSPC" => Consequence::Full,
                b"EOPNOTSUPP" | b"EINTR" => Consequence::None,
                _ => Consequence::Poisoned,
            },
            _ => Consequence::Poisoned,
        }
    }

    /// Whether what the child said fits what was done to it. `planned` is the number of commits that it
    /// would have made.
    pub(crate) fn judge(&self, account: &Account, planned: u64) -> Result<()> {
        let Account { unopened, closed, refusals, acks, .. } = account;
        let all_done = *acks == planned && *closed == Some(Kind::Fine);
        match self.consequence() {
            Consequence::Dead => {
                ensure!(closed.is_none(), "the child went on after its death");
            }
            Consequence::Poisoned => {
                let told = *unopened == Some(Kind::Io)
                    || matches!(closed, Some(Kind::Io))
                    || *closed == Some(Kind::Poisoned)
                        && refusals.iter().all(|kind| matches!(kind, Kind::Io | Kind::Poisoned));
                ensure!(
                    told,
                    "the error was not told as one that poisons: {unopened:?} {refusals:?} {closed:?}"
                );
            }
            Consequence::Full if self.often == Often::Once => {
                ensure!(
                    *unopened == Some(Kind::Full)
                        || all_done && refusals.iter().all(|kind| *kind == Kind::Full)
                        || *closed == Some(Kind::Full) && *acks == planned,
                    "no room once, then room again: {unopened:?} {refusals:?} {acks} of {planned} {closed:?}"
                );
            }
            Consequence::Full => {
                ensure!(
                    *unopened == Some(Kind::Full)
                        || refusals.iter().all(|kind| *kind == Kind::Full)
                            && matches!(closed, Some(Kind::Fine | Kind::Full)),
                    "no room was told as something else: {unopened:?} {refusals:?} {closed:?}"
                );
            }
            Consequence::None => {
                ensure!(
                    all_done && refusals.is_empty(),
                    "{acks} of {planned} commits, {refusals:?} {closed:?}"
                );
            }
            Consequence::Unread => {
                let other = refusals.iter().find(|kind| **kind != Kind::Io);
                ensure!(other.is_none(), "a failed read was told as {refusals:?}");
                ensure!(
                    *unopened == Some(Kind::Io) || matches!(closed, Some(Kind::Fine | Kind::Io)),
                    "a failed read ended in {unopened:?} {closed:?}"
                );
                ensure!(
                    self.often == Often::Forever || unopened.is_some() || *acks == planned,
                    "after one failed read {acks} of {planned} commits were made: {refusals:?}"
                );
            }
            Consequence::Directory => {
                ensure!(*unopened == Some(Kind::Io) || all_done, "{unopened:?} {closed:?}");
            }
        }
        Ok(())
    }

    /// Nothing is answered durable by the thread whose sync or write has just failed.
    pub(crate) fn no_promise_after(&self, trace: &str) -> Result<()> {
        if self.consequence() != Consequence::Poisoned {
            return Ok(());
        }
        let mut lines = trace.lines();
        let Some(failed) = lines.find(|line| line.contains(self.call) && line.contains("(INJECTED)")) else {
            return Ok(());
        };
        let thread = failed.split(' ').next().unwrap_or_default();
        let promise = lines.find(|line| line.starts_with(thread) && line.contains("\"ack "));
        ensure!(promise.is_none(), "answered after a failed {}: {}", self.call, promise.unwrap_or_default());
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, effect, often, no_reserving } = self;
        match effect {
            Effect::Error(error) => write!(f, "{call} {error}")?,
            Effect::Kill => write!(f, "{call} SIGKILL")?,
        }
        f.write_str(if *often == Often::Forever { " for ever" } else { "" })?;
        f.write_str(if *no_reserving { " without fallocate" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_after_a_failed_sync_is_seen() {
        let fault = fails("fdatasync", "EIO", Often::Once);
        let fine = "7 fdatasync(4) = 0\n7 write(3, \"ack 0 1 1 durable\\n\", 18) = 18\n";
        let failed = "7 fdatasync(4) = -1 EIO (Input/output error) (INJECTED)\n";
        let promise = "7 write(3, \"ack 0 2 2 durable\\n\", 18) = 18\n";
        assert!(fault.no_promise_after(fine).is_ok());
        assert!(fault.no_promise_after(&format!("{fine}{failed}")).is_ok());
        assert!(fault.no_promise_after(&format!("{fine}{failed}{promise}")).is_err());
        assert_eq!(fault.happened(&format!("{fine}{failed}")), 1);
        assert_eq!(fault.happened(fine), 0);
    }

    #[test]
    fn a_swallowed_error_is_seen() {
        let fault = fails("fdatasync", "EIO", Often::Once);
        let mut account = Account::new(&[0]);
        (account.acks, account.closed) = (5, Some(Kind::Fine));
        assert!(fault.judge(&account, 5).is_err());
        account.closed = Some(Kind::Poisoned);
        account.refusals = vec![Kind::Io];
        assert!(fault.judge(&account, 5).is_ok());
        account.refusals = vec![Kind::Full];
        assert!(fault.judge(&account, 5).is_err());
        let full = fails("fallocate", "ENOSPC", Often::Once);
        account.closed = Some(Kind::Poisoned);
        assert!(full.judge(&account, 5).is_err());
    }
}
