//! What a child does, as it follows from a seed: the child performs it, the harness computes from it what
//! must be in the file.
//!
//! 1. Commit `n` of a thread is a function of the seed, the thread, `n`, and the state that the thread's
//!    commits 1 to n - 1 made. So both sides know it without talking.
//! 2. Every name belongs to one thread, and says to which. Names of all threads lie among each other, and
//!    a batch spreads over them.
//! 3. Every commit changes something: it takes exactly one sequence number.

use std::collections::BTreeMap;

use crate::random::Random;

/// The name of a block.
pub(crate) type Name = Vec<u8>;

/// The blocks of one thread.
pub(crate) type State = BTreeMap<Name, Value>;

/// What a block holds: bytes that follow from a stamp that no other value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Value {
    stamp: u64,
    length: u32,
}

impl Value {
    pub(crate) const fn new(stamp: u64, length: u32) -> Self {
        Self { stamp, length }
    }

    #[cfg(test)]
    pub(crate) const fn length(self) -> u64 {
        self.length as u64
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        Random::new(self.stamp).bytes(self.length as usize)
    }
}

/// A change in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Put(Name, Value),
    Delete(Name),
}

/// One commit's way through the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Put(Name, Value),
    /// Written piece by piece.
    Stream(Name, Value),
    Delete(Name),
    Rename(Name, Name),
    Batch(Vec<Change>),
    /// A batch that is not waited for before the next commit.
    Queued(Vec<Change>),
    /// A batch after reading what is there.
    Transaction(Vec<Change>),
}

/// What a thread does between two commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upkeep {
    Checkpoint,
    Sync,
    /// A large block is begun and given up.
    Abandon,
}

/// A commit, and what comes before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) ordinal: u64,
    pub(crate) durable: bool,
    pub(crate) upkeep: Option<Upkeep>,
    pub(crate) operation: Operation,
}

/// The options of a workload; together with the ordinals to run they say everything.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Workload {
    /// Everything follows from it
    #[arg(long)]
    pub(crate) seed: u64,
    /// Threads that commit
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: u64,
    /// Some batches are not waited for before the next commit
    #[arg(long)]
    pub(crate) queued: bool,
    /// Bytes of a page
    #[arg(long, default_value_t = 4096)]
    pub(crate) page: u32,
    /// Pages of the journal
    #[arg(long, default_value_t = 16)]
    pub(crate) journal: u32,
    /// Pages of a chunk
    #[arg(long, default_value_t = 4)]
    pub(crate) chunk: u32,
    /// Pages by which the file grows
    #[arg(long, default_value_t = 32)]
    pub(crate) growth: u32,
}

impl Workload {
    /// A workload drawn from its seed.
    pub(crate) fn drawn(seed: u64) -> Self {
        let mut random = Random::of(&[seed, 0x0073_6861_7065]);
        let page = *random.pick(&[512, 4096, 4096, 16_384]);
        Self {
            seed,
            threads: random.within(1, 4),
            queued: random.chance(70),
            page,
            journal: *random.pick(&[8, 16, 40]),
            chunk: *random.pick(&[2, 4, 8]),
            growth: *random.pick(&[8, 32, 200]),
        }
    }

    /// The same as options of the command line.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let Self { seed, threads, queued, page, journal, chunk, growth } = self;
        let mut all = vec![format!("--seed={seed}"), format!("--threads={threads}")];
        all.extend(queued.then(|| "--queued".to_owned()));
        all.extend([format!("--page={page}"), format!("--journal={journal}")]);
        all.extend([format!("--chunk={chunk}"), format!("--growth={growth}")]);
        all
    }

    /// How the store is opened.
    pub(crate) fn options(&self) -> blockyard::OpenOptions {
        blockyard::OpenOptions::new()
            .create(true)
            .page_size(self.page)
            .journal_size(u64::from(self.page) * u64::from(self.journal))
            .chunk_size(self.page * self.chunk)
            .growth_step(u64::from(self.page) * u64::from(self.growth))
    }

    const fn chunk_bytes(&self) -> u64 {
        self.page as u64 * self.chunk as u64
    }
}

/// Kinds of names, by the lengths of what they usually hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Small,
    Medium,
    Large,
}

/// The thread that a name belongs to; None for a name that no workload has.
pub(crate) fn owner(name: &[u8]) -> Option<u64> {
    let (rest, digits) = name.split_last_chunk::<2>()?;
    let thread = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (rest.last() == Some(&b'~')).then_some(thread)
}

/// A thread's commits, one after the other, and the state they make.
#[derive(Clone, Debug)]
pub(crate) struct Planner {
    workload: Workload,
    thread: u64,
    ordinal: u64,
    state: State,
}

impl Planner {
    pub(crate) fn new(workload: &Workload, thread: u64) -> Self {
        Self { workload: workload.clone(), thread, ordinal: 0, state: State::new() }
    }

    /// Commits applied so far.
    pub(crate) const fn ordinal(&self) -> u64 {
        self.ordinal
    }

    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    /// The thread's next commit.
    pub(crate) fn plan(&self) -> Commit {
        let ordinal = self.ordinal + 1;
        let mut draw =
            Draw { planner: self, random: Random::of(&[self.workload.seed, self.thread, ordinal]) };
        let upkeep = match draw.random.below(100) {
            0..5 => Some(Upkeep::Checkpoint),
            5..9 => Some(Upkeep::Sync),
            9..12 => Some(Upkeep::Abandon),
            _ => None,
        };
        let durable = draw.random.chance(60);
        Commit { ordinal, durable, upkeep, operation: draw.operation() }
    }

    /// The next commit, applied.
    pub(crate) fn advance(&mut self) -> Commit {
        let commit = self.plan();
        self.apply(&commit);
        commit
    }

    /// Applies commits until `ordinal` of them are.
    pub(crate) fn advance_to(&mut self, ordinal: u64) {
        while self.ordinal < ordinal {
            self.advance();
        }
    }

    /// Applies the next commit.
    pub(crate) fn apply(&mut self, commit: &Commit) {
        debug_assert_eq!(commit.ordinal, self.ordinal + 1, "commits are applied in order");
        self.ordinal = commit.ordinal;
        match &commit.operation {
            Operation::Put(name, value) | Operation::Stream(name, value) => {
                self.state.insert(name.clone(), *value);
            }
            Operation::Delete(name) => {
                self.state.remove(name);
            }
            Operation::Rename(from, to) => {
                if let Some(value) = self.state.remove(from) {
                    self.state.insert(to.clone(), value);
                }
            }
            Operation::Batch(changes) | Operation::Queued(changes) | Operation::Transaction(changes) => {
                for change in changes {
                    match change {
                        Change::Put(name, value) => self.state.insert(name.clone(), *value),
                        Change::Delete(name) => self.state.remove(name),
                    };
                }
            }
        }
    }
}

/// Draws one commit.
struct Draw<'a> {
    planner: &'a Planner,
    random: Random,
}

impl Draw<'_> {
    fn operation(&mut self) -> Operation {
        let filled = self.planner.state.len() >= 4;
        match self.random.below(100) {
            0..30 => self.put(Class::Small),
            30..40 => self.put(Class::Medium),
            40..45 => self.put(Class::Large),
            45..52 if filled => Operation::Delete(self.live()),
            52..62 if filled => self.rename(),
            62..72 => Operation::Transaction(self.changes()),
            72..82 if self.planner.workload.queued => Operation::Queued(self.changes()),
            _ => Operation::Batch(self.changes()),
        }
    }

    fn put(&mut self, class: Class) -> Operation {
        let (name, value) = (self.name(class), self.value(class));
        if self.random.chance(30) { Operation::Stream(name, value) } else { Operation::Put(name, value) }
    }

    fn rename(&mut self) -> Operation {
        let from = self.live();
        loop {
            let class = *self.random.pick(&[Class::Small, Class::Small, Class::Medium, Class::Large]);
            let to = self.name(class);
            if to != from {
                return Operation::Rename(from, to);
            }
        }
    }

    /// One to ten changes of different names, none of which is the deletion of what is not there.
    fn changes(&mut self) -> Vec<Change> {
        let mut changes = BTreeMap::new();
        for _ in 0..self.random.within(1, 10) {
            if self.planner.state.len() >= 4 && self.random.chance(25) {
                changes.insert(self.live(), None);
            } else {
                let class = *self.random.pick(&[Class::Small, Class::Small, Class::Medium]);
                let value = self.value(class);
                changes.insert(self.name(class), Some(value));
            }
        }
        let change = |(name, value)| match value {
            Some(value) => Change::Put(name, value),
            None => Change::Delete(name),
        };
        changes.into_iter().map(change).collect()
    }

    /// A name that is there.
    fn live(&mut self) -> Name {
        let at = self.random.below(self.planner.state.len() as u64) as usize;
        self.planner.state.keys().nth(at).cloned().unwrap_or_default()
    }

    fn name(&mut self, class: Class) -> Name {
        let thread = self.planner.thread;
        let space = self.random.below(4);
        let text = match (class, self.random.below(16)) {
            (Class::Small, 0) => self.long(space),
            (Class::Small, number) => format!("{space:02}/small/{number:02}"),
            (Class::Medium, number) => format!("medium/{:02}/{space:02}", number % 3),
            (Class::Large, number) => format!("{thread:02}/large/{}", number % 2),
        };
        format!("{text}~{thread:02}").into_bytes()
    }

    /// As long as a name may be with its ending.
    fn long(&mut self, space: u64) -> String {
        let most = (self.planner.workload.page as usize / 8).min(1024) - 3;
        let text = format!("{space:02}/long/{}/", self.random.below(2));
        text.clone() + &"n".repeat(most - text.len())
    }

    fn value(&mut self, class: Class) -> Value {
        let (page, chunk) = (u64::from(self.planner.workload.page), self.planner.workload.chunk_bytes());
        let length = match class {
            Class::Small => match self.random.below(4) {
                0 => self.random.within(8, 64),
                1 => page / 4 + self.random.within(0, 4) - 2,
                2 => self.random.within(8, page),
                _ => self.random.within(64, 1200).min(chunk),
            },
            Class::Medium => self.random.within(page, 5 * page).min(chunk).min(20_000),
            Class::Large => chunk * self.random.within(2, 4) + self.random.within(0, chunk),
        };
        Value::new(self.random.next(), length as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload() -> Workload {
        Workload { threads: 2, queued: true, ..Workload::drawn(11) }
    }

    #[test]
    fn both_sides_compute_the_same_commits() {
        let (mut one, mut other) = (Planner::new(&workload(), 1), Planner::new(&workload(), 1));
        for _ in 0..300 {
            assert_eq!(one.plan(), other.advance());
            one.advance();
        }
        assert_eq!(one.state(), other.state());
        assert!(one.state().keys().all(|name| owner(name) == Some(1)));
    }

    #[test]
    fn every_commit_changes_the_state_and_every_operation_occurs() {
        let mut planner = Planner::new(&workload(), 0);
        let mut seen = [0; 7];
        for _ in 0..500 {
            let before = planner.state().clone();
            let commit = planner.advance();
            assert_ne!(&before, planner.state(), "{commit:?}");
            seen[match commit.operation {
                Operation::Put(..) => 0,
                Operation::Stream(..) => 1,
                Operation::Delete(_) => 2,
                Operation::Rename(..) => 3,
                Operation::Batch(_) => 4,
                Operation::Queued(_) => 5,
                Operation::Transaction(_) => 6,
            }] += 1;
        }
        assert!(seen.iter().all(|&count| count > 10), "{seen:?}");
    }

    #[test]
    fn a_name_without_an_owner_is_nobodys() {
        assert_eq!(owner(b"probe"), None);
        assert_eq!(owner(b"a02"), None);
        assert_eq!(owner(b"a~02"), Some(2));
    }
}
