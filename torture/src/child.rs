//! The process that is killed and whose calls fail: opens the store, commits what the workload says, and
//! tells the harness before and after each commit.
//!
//! 1. A commit is announced before the store hears of it and acknowledged after the store answered.
//! 2. After an error that poisoned the store, every further write must be refused as poisoned, and reads
//!    must show what was answered and nothing else.
//! 3. A child never hangs: after [`PATIENCE`] it says so and ends.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use blockyard::{Durability, Error, PutOptions, Store, Ticket, WriteBatch};

use crate::random::Random;
use crate::report::{Kind, Line, Reporter};
use crate::workload::{Change, Commit, Operation, Planner, Upkeep, Workload, owner};

/// How long a child may take; it needs seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a commit is tried again that was refused and did not poison the store.
const TRIES: u32 = 3;

/// Tickets held at once.
const TICKETS: usize = 4;

/// What a child is told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    workload: Workload,
    /// The store's file
    #[arg(long)]
    file: PathBuf,
    /// The last commit of each thread that is in the file already
    #[arg(long, value_delimiter = ',')]
    from: Vec<u64>,
    /// Commits to make in each thread
    #[arg(long)]
    commits: u64,
    /// Do nothing but open the file and wait for the end of standard input
    #[arg(long)]
    linger: bool,
    /// Wait for a line of standard input before the first commit, and say which thread is the store's own
    #[arg(long)]
    wait: bool,
    /// Reading may fail, and is no fault of the store
    #[arg(long)]
    reads_may_fail: bool,
}

/// Runs the child.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let reporter = Arc::new(Reporter::new()?);
    let watchdog = Arc::clone(&reporter);
    std::thread::spawn(move || {
        std::thread::sleep(PATIENCE);
        watchdog.wrong("the child hung");
        std::process::exit(4);
    });
    reporter.tell(&Line::Opening);
    let store = match arguments.workload.options().open(&arguments.file) {
        Ok(store) => store,
        Err(error) => {
            eprintln!("{error}");
            reporter.tell(&Line::Unopened { kind: Kind::of_open(&error) });
            return Ok(ExitCode::SUCCESS);
        }
    };
    reporter.tell(&Line::Opened { records: store.recovery().records });
    if arguments.linger {
        std::io::stdin().read_to_end(&mut Vec::new())?;
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.wait {
        // It names itself when it begins to run.
        let thread = loop {
            match flusher() {
                Some(thread) => break thread,
                None => std::thread::yield_now(),
            }
        };
        reporter.tell(&Line::Flusher { thread });
        std::io::stdin().read_line(&mut String::new())?;
    }
    std::thread::scope(|scope| {
        let worker = |thread| Worker::new(arguments, thread, &store, &reporter);
        for thread in 1..arguments.workload.threads {
            let worker = worker(thread);
            scope.spawn(move || worker.run(arguments.commits));
        }
        // Here, not in a thread: calls are counted in each thread for itself.
        worker(0).run(arguments.commits);
    });
    let poisoned = is_poisoned(&store);
    let kind = store.close().as_ref().err().map_or(Kind::Fine, Kind::of);
    if poisoned && kind != Kind::Poisoned {
        reporter.wrong(format!("closing a poisoned store was answered {kind}"));
    }
    reporter.tell(&Line::Closed { kind });
    Ok(ExitCode::SUCCESS)
}

/// The number by which the operating system knows the store's background thread.
fn flusher() -> Option<u64> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    tasks.flatten().find_map(|task| {
        // The system keeps the first 15 bytes of a name.
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let thread = task.file_name().to_str()?.parse().ok()?;
        "blockyard-flush".starts_with(name.trim()).then_some(thread)
    })
}

fn is_poisoned(store: &Store) -> bool {
    matches!(store.flush(), Err(Error::Poisoned))
}

/// What a commit came to at once.
enum Answer {
    Committed(u64),
    Queued(Ticket),
}

/// A ticket that is not answered yet.
struct Held {
    ordinal: u64,
    durable: bool,
    ticket: Ticket,
}

/// A thread goes on or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    On,
    End,
}

/// One thread of the workload.
struct Worker<'a> {
    planner: Planner,
    thread: u64,
    chunk: usize,
    store: &'a Store,
    reporter: &'a Reporter,
    held: Vec<Held>,
    reads_may_fail: bool,
}

impl<'a> Worker<'a> {
    fn new(arguments: &Arguments, thread: u64, store: &'a Store, reporter: &'a Reporter) -> Self {
        let workload = &arguments.workload;
        let mut planner = Planner::new(workload, thread);
        planner.advance_to(arguments.from.get(thread as usize).copied().unwrap_or(0));
        Self {
            planner,
            thread,
            chunk: (workload.page * workload.chunk) as usize,
            store,
            reporter,
            held: Vec::new(),
            reads_may_fail: arguments.reads_may_fail,
        }
    }

    fn run(mut self, commits: u64) {
        for _ in 0..commits {
            if self.step() == Next::End {
                return;
            }
        }
        self.collect();
    }

    /// One commit, with what comes before it.
    fn step(&mut self) -> Next {
        let commit = self.planner.plan();
        let needs_all_seen = matches!(
            commit.operation,
            Operation::Delete(_) | Operation::Rename(..) | Operation::Transaction(_)
        );
        if (needs_all_seen || self.held.len() >= TICKETS) && self.collect() == Next::End {
            return Next::End;
        }
        if let Some(upkeep) = commit.upkeep
            && let Err(error) = self.upkeep(upkeep, &commit)
            && self.refused(0, &error) == Next::End
        {
            return Next::End;
        }
        for _ in 0..TRIES {
            self.reporter.tell(&Line::Try { thread: self.thread, ordinal: commit.ordinal });
            match self.perform(&commit) {
                Ok(answer) => {
                    self.planner.apply(&commit);
                    match answer {
                        Answer::Committed(sequence) => self.ack(commit.ordinal, sequence, commit.durable),
                        Answer::Queued(ticket) => {
                            let Commit { ordinal, durable, .. } = commit;
                            self.held.push(Held { ordinal, durable, ticket });
                        }
                    }
                    return Next::On;
                }
                Err(error) => {
                    if self.refused(commit.ordinal, &error) == Next::End {
                        return Next::End;
                    }
                }
            }
        }
        Next::End
    }

    fn ack(&self, ordinal: u64, sequence: u64, durable: bool) {
        self.reporter.tell(&Line::Ack { thread: self.thread, ordinal, sequence, durable });
    }

    /// Waits for every ticket.
    fn collect(&mut self) -> Next {
        let mut next = Next::On;
        for Held { ordinal, durable, ticket } in std::mem::take(&mut self.held) {
            match ticket.wait() {
                Ok(sequence) => self.ack(ordinal, sequence.0, durable),
                Err(error) => {
                    // What was queued behind it may have been committed: there is no going on from here.
                    self.reporter.tell(&Line::Refused {
                        thread: self.thread,
                        ordinal,
                        kind: Kind::of(&error),
                    });
                    next = Next::End;
                }
            }
        }
        if next == Next::End && is_poisoned(self.store) {
            self.writes_are_refused();
        }
        next
    }

    fn upkeep(&self, upkeep: Upkeep, commit: &Commit) -> blockyard::Result<()> {
        match upkeep {
            Upkeep::Checkpoint => self.store.checkpoint(),
            Upkeep::Sync => {
                let sequence = self.store.sync()?.0;
                self.reporter.tell(&Line::Synced { sequence });
                Ok(())
            }
            Upkeep::Abandon => {
                let mut writer = self.store.writer(format!("abandoned~{:02}", self.thread))?;
                writer.write_bytes(&Random::new(commit.ordinal).bytes(self.chunk * 5 / 2))
            }
        }
    }

    fn perform(&self, commit: &Commit) -> blockyard::Result<Answer> {
        let durability = if commit.durable { Durability::Durable } else { Durability::Buffered };
        let sequence = match &commit.operation {
            Operation::Put(name, value) => {
                let options = PutOptions { durability: Some(durability), ..PutOptions::default() };
                self.store.put_with(name, value.bytes(), options)?
            }
            Operation::Stream(name, value) => {
                let mut writer = self.store.writer(name)?.durability(durability);
                let bytes = value.bytes();
                for piece in bytes.chunks(self.chunk / 3 + 1) {
                    writer.write_bytes(piece)?;
                }
                writer.finish()?
            }
            Operation::Delete(name) => {
                if !self.store.delete(name)? {
                    self.reporter.wrong(format!("nothing to delete at {}", name.escape_ascii()));
                }
                // The call does not tell the number.
                return Ok(Answer::Committed(0));
            }
            Operation::Rename(from, to) => self.store.rename(from, to)?,
            Operation::Batch(changes) => self.store.commit_with(self.batch(changes)?, durability)?,
            Operation::Queued(changes) => {
                return self.store.submit(self.batch(changes)?, durability).map(Answer::Queued);
            }
            Operation::Transaction(changes) => return self.transaction(changes, durability),
        };
        Ok(Answer::Committed(sequence.0))
    }

    fn batch(&self, changes: &[Change]) -> blockyard::Result<WriteBatch> {
        let mut batch = self.store.batch();
        for change in changes {
            match change {
                Change::Put(name, value) => batch.put(name, value.bytes())?,
                Change::Delete(name) => batch.delete(name)?,
            }
        }
        Ok(batch)
    }

    fn transaction(&self, changes: &[Change], durability: Durability) -> blockyard::Result<Answer> {
        let mut transaction = self.store.transaction()?;
        for change in changes {
            let (Change::Put(name, _) | Change::Delete(name)) = change;
            let expected = self.planner.state().get(name).map(|value| value.bytes());
            if transaction.get(name)? != expected {
                self.reporter.wrong(format!("a transaction read something else in {}", name.escape_ascii()));
            }
            match change {
                Change::Put(name, value) => transaction.put(name, value.bytes())?,
                Change::Delete(name) => {
                    transaction.delete(name)?;
                }
            }
        }
        Ok(Answer::Committed(transaction.commit_with(durability)?.0))
    }

    /// Tells of an error, and whether the thread can go on.
    fn refused(&mut self, ordinal: u64, error: &Error) -> Next {
        eprintln!("thread {}, commit {ordinal}: {error}", self.thread);
        self.reporter.tell(&Line::Refused { thread: self.thread, ordinal, kind: Kind::of(error) });
        if !is_poisoned(self.store) {
            return Next::On;
        }
        let none_held = self.held.is_empty();
        self.collect();
        self.writes_are_refused();
        if none_held {
            self.reads_go_on();
        }
        Next::End
    }

    /// On a poisoned store nothing is written any more, whichever way it is asked.
    fn writes_are_refused(&self) {
        let answers = [
            ("put", self.store.put("refused~00", "value").map(|_| ())),
            ("rename", self.store.rename("refused~00", "refused~01").map(|_| ())),
            ("sync", self.store.sync().map(|_| ())),
            ("checkpoint", self.store.checkpoint()),
        ];
        for (what, answer) in answers {
            if !matches!(answer, Err(Error::Poisoned)) {
                self.reporter.wrong(format!("{what} on a poisoned store was answered {answer:?}"));
            }
        }
    }

    /// Readers of a poisoned store see what was answered, and nothing that was not.
    fn reads_go_on(&self) {
        let mut expected = self.planner.state().clone();
        for item in self.store.iter() {
            let read = item.and_then(|item| Ok((item.value()?.to_vec(), item.name().to_vec())));
            let (bytes, name) = match read {
                Ok(read) => read,
                Err(_) if self.reads_may_fail => return,
                Err(error) => {
                    return self.reporter.wrong(format!("a poisoned store cannot be read: {error}"));
                }
            };
            if owner(&name) != Some(self.thread) {
                continue;
            }
            if expected.remove(&name).map(|value| value.bytes()) != Some(bytes) {
                self.reporter.wrong(format!("a poisoned store shows another {}", name.escape_ascii()));
            }
        }
        if let Some((name, _)) = expected.first_key_value() {
            self.reporter.wrong(format!("a poisoned store does not show {}", name.escape_ascii()));
        }
    }
}
