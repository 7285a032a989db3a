//! Threads that each write their commits in order until they are refused, and what must be left of them.
//!
//! A commit of thread T is a batch: the block `T/n` and the number n in `T/last`. So of each thread a
//! prefix is left, none half, whatever happened; with everything that was answered durable; and of all
//! together a prefix too, which shows where numbers are known.

use crate::model::pattern;
use crate::support::block_on;
use blockyard::{Durability, Error, Sequence, Snapshot, Store, WriteBatch};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a commit is handed in, in turn.
const WAYS: u64 = 6;

/// What a thread knows of its commits.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) thread: u64,
    /// Commits that were tried.
    pub(crate) tried: u64,
    /// The number of those that were answered.
    known: BTreeMap<u64, u64>,
    /// The number of the last that was answered durable.
    pub(crate) durable: u64,
    /// What it was refused with at last.
    pub(crate) refused: Option<Error>,
    /// A call into the store panicked.
    pub(crate) panicked: bool,
    /// Tickets are dropped, too: what becomes of their commits nobody is told.
    drops_tickets: bool,
}

fn name(thread: u64, number: u64) -> String {
    format!("{thread}/{number:06}")
}

fn last(thread: u64) -> String {
    format!("{thread}/last")
}

fn value(thread: u64, number: u64) -> Vec<u8> {
    let length = [20, 700, 9000, 100, 3000, 33_000, 1, 1500][(number % 8) as usize];
    pattern(thread << 32 | number, 0, length)
}

/// A snapshot shows whole commits of a thread, and shows them as long as it is held.
pub(crate) fn assert_whole(thread: u64, snapshot: &Snapshot) {
    let found = snapshot.get(last(thread)).expect("a snapshot is read whatever has failed");
    let Some(found) = found else {
        return assert!(!snapshot.exists(name(thread, 0)).expect("exists"), "thread {thread}: half a commit");
    };
    let number = u64::from_le_bytes(found.try_into().expect("eight bytes"));
    let newest = snapshot.get(name(thread, number)).expect("get");
    assert!(newest == Some(value(thread, number)), "thread {thread}: half of commit {number}");
    let next = snapshot.exists(name(thread, number + 1)).expect("exists");
    assert!(!next, "thread {thread}: half of commit {}", number + 1);
}

impl Ledger {
    pub(crate) const fn new(thread: u64) -> Self {
        let known = BTreeMap::new();
        Self { thread, tried: 0, known, durable: 0, refused: None, panicked: false, drops_tickets: true }
    }

    /// Where commits are refused and others succeed after them.
    pub(crate) const fn keeping_tickets(mut self) -> Self {
        self.drops_tickets = false;
        self
    }

    fn batch(&self, store: &Store) -> WriteBatch {
        let mut batch = store.batch();
        batch.put(name(self.thread, self.tried), value(self.thread, self.tried)).expect("fits");
        batch.put(last(self.thread), self.tried.to_le_bytes()).expect("fits");
        batch
    }

    /// Makes one commit; false if it was refused. Refused for want of room or by a read that failed, it
    /// has not happened, and may be tried again.
    pub(crate) fn commit(&mut self, store: &Store) -> bool {
        let batch = self.batch(store);
        let way = (self.thread + self.tried) % WAYS;
        let durable = way.is_multiple_of(2);
        let durability = if durable { Durability::Durable } else { Durability::Buffered };
        let call = || match way {
            0 | 1 => store.commit_with(batch, durability).map(Some),
            2 => store.submit(batch, durability)?.wait().map(Some),
            3 | 4 => block_on(store.submit(batch, durability)?).map(Some),
            _ if self.drops_tickets => store.submit(batch, durability).map(|_dropped| None),
            _ => store.commit_with(batch, durability).map(Some),
        };
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(sequence)) => {
                self.answered(sequence, durable);
                true
            }
            Ok(Err(error)) => {
                self.refused = Some(error);
                false
            }
            Err(_) => {
                self.panicked = true;
                false
            }
        }
    }

    fn answered(&mut self, sequence: Option<Sequence>, durable: bool) {
        if let Some(Sequence(sequence)) = sequence {
            let before = self.known.last_key_value().map_or(0, |(_, before)| *before);
            assert!(before < sequence, "thread {}: {sequence} came after {before}", self.thread);
            self.known.insert(self.tried, sequence);
            if durable {
                self.durable = sequence;
            }
        }
        self.tried += 1;
    }

    /// Commits until it is refused, or `most` times.
    pub(crate) fn fill(&mut self, store: &Store, most: u64) {
        while self.tried < most && self.commit(store) {}
    }

    /// Everything that could write is refused, at once.
    pub(crate) fn assert_refused(&self, store: &Store) {
        let refused = |what: &str, result: Result<(), Error>| {
            let told = matches!(result, Err(Error::Poisoned | Error::Closed | Error::Io(_)));
            assert!(told, "{what} after {:?}: {result:?}", self.refused);
        };
        refused("put", store.put("more", "x").map(drop));
        let batch = self.batch(store);
        refused("commit", store.commit_with(batch, Durability::Buffered).map(drop));
        let batch = self.batch(store);
        refused(
            "await",
            store.submit(batch, Durability::Durable).and_then(|ticket| block_on(ticket).map(drop)),
        );
        let batch = self.batch(store);
        refused("wait", store.submit(batch, Durability::Buffered).and_then(|ticket| ticket.wait().map(drop)));
        let mut transaction = match store.transaction() {
            Ok(transaction) => transaction,
            Err(error) => return assert!(matches!(error, Error::Closed), "{error}"),
        };
        transaction.put("more", "x").expect("put");
        refused("transaction", transaction.commit().map(drop));
        refused("sync", store.sync().map(drop));
        refused("flush", store.flush());
        refused("checkpoint", store.checkpoint());
    }

    /// The commits that are left are the first ones, whole, with all that were answered durable. `sequence`
    /// is the last commit of the store.
    pub(crate) fn assert_left(&self, store: &Store, sequence: u64) {
        let Self { thread, .. } = *self;
        assert!(sequence >= self.durable, "commit {} was durable, {sequence} is the last left", self.durable);
        let found = store.get(last(thread)).expect("get");
        let left = found.map_or(0, |bytes| 1 + u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
        assert!(left <= self.tried + 1, "thread {thread} never made {left} commits");
        for number in 0..left {
            let found = store.get(name(thread, number)).expect("get");
            assert!(found == Some(value(thread, number)), "thread {thread}: {number} of {left} is not right");
        }
        let blocks = store.prefix(format!("{thread}/")).count() as u64;
        assert_eq!(
            blocks,
            if left == 0 { 0 } else { left + 1 },
            "thread {thread}: more than {left} are left"
        );
        for (number, known) in &self.known {
            let (is_left, should) = (*number < left, *known <= sequence);
            assert_eq!(
                is_left, should,
                "{number} is commit {known}, {sequence} is the last, {left} are left of {self:?}"
            );
        }
    }
}
