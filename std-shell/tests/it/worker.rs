//! A thread that runs its program on a shared store and writes down what it did and saw.
//!
//! Before and after each step the number of the newest visible commit is read. What a step saw has to
//! have been so at some moment between the two, what it committed has a number above the first.

use crate::device::Simulated;
use crate::model::{Action, Content, Found, Name, pattern};
use crate::program::{End, How, Look, SIZES, Shape, Step, Walk, key, length, prefix};
use crate::support::block_on;
use crate::tally::Tally;
use blockyard::{Digest, Durability, Error, Iter, PutOptions, Sequence, Snapshot, Store, Transaction};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

/// What was seen, and between which two commits.
pub(crate) enum Seen {
    Block {
        name: Name,
        found: Option<Found>,
    },
    Walk {
        walk: Walk,
        found: Vec<(Name, Found)>,
    },
    /// The commit succeeded at `at` (the last commit that it may have seen): what was read at the
    /// beginning, not after `begun`, was still there.
    Guarded {
        reads: Vec<(Name, Option<Found>)>,
        begun: u64,
        at: u64,
    },
    /// The commit was refused: one of the names was changed.
    Conflict {
        names: Vec<Name>,
    },
}

/// Something seen, with the numbers of the newest commits before and after.
pub(crate) struct Sighting {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) seen: Seen,
}

/// What a batch puts and deletes.
type Changes = Vec<(Name, Option<Content>)>;

/// What a thread did and saw.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) commits: Vec<(u64, Action)>,
    /// Commits whose tickets were dropped, each with a block of its own that tells its number.
    pub(crate) dropped: Vec<(Name, Changes)>,
    pub(crate) sightings: Vec<Sighting>,
}

/// A thread's work.
pub(crate) struct Worker<'a> {
    pub(crate) store: Store,
    pub(crate) shape: Shape,
    pub(crate) thread: u64,
    /// Told what was answered durable.
    pub(crate) device: Option<&'a Arc<Simulated>>,
    /// All commits are durable, so that everything that can be seen has to be.
    pub(crate) all_durable: bool,
    pub(crate) tally: &'a Tally,
    pub(crate) record: Record,
    /// Values made so far.
    made: u64,
    held: Vec<Snapshot>,
}

/// The reads that a store and a snapshot have in common.
enum View<'a> {
    Now(&'a Store),
    Then(&'a Snapshot),
}

macro_rules! on_view {
    ($view:expr, $reads:ident => $call:expr) => {
        match $view {
            View::Now($reads) => $call,
            View::Then($reads) => $call,
        }
    };
}

impl<'a> Worker<'a> {
    pub(crate) fn new(
        store: Store,
        shape: Shape,
        thread: u64,
        device: Option<&'a Arc<Simulated>>,
        tally: &'a Tally,
    ) -> Self {
        let (record, made, held, all_durable) = (Record::default(), 0, Vec::new(), false);
        Self { store, shape, thread, device, all_durable, tally, record, made, held }
    }

    pub(crate) fn run(mut self, program: &[Step]) -> Record {
        let mut newest = 0;
        for step in program {
            let first = self.newest();
            assert!(newest <= first, "what was visible is not any more");
            if self.all_durable {
                self.durable(Sequence(first));
            }
            self.step(step, first);
            newest = self.newest();
        }
        self.record
    }

    /// The newest visible commit.
    fn newest(&self) -> u64 {
        self.store.snapshot().expect("snapshot").sequence().0
    }

    const fn durability(&self, durable: bool) -> Durability {
        if durable || self.all_durable { Durability::Durable } else { Durability::Buffered }
    }

    fn content(&mut self, class: u8) -> Content {
        self.made += 1;
        let seed = self.thread << 32 | self.made;
        Content { seed, length: length(class, self.shape.page) as u64, tag: seed % 5 }
    }

    /// Notes a commit, and tells the device if it was answered durable.
    fn committed(
        &mut self,
        what: &'static str,
        sequence: Sequence,
        action: Action,
        durable: bool,
        first: u64,
    ) {
        self.tally.hit(what);
        assert!(sequence.0 > first, "{what}: a commit has a number that was visible before it began");
        assert!(self.newest() >= sequence.0, "{what}: an answered commit is not visible");
        self.record.commits.push((sequence.0, action));
        if durable {
            self.durable(sequence);
        }
    }

    fn durable(&self, sequence: Sequence) {
        if let Some(device) = self.device {
            device.sim.acknowledge(sequence.0);
            // The very moment when a promise was made is the hardest.
            if sequence.0.is_multiple_of(16) {
                device.keep_moment();
            }
        }
    }

    fn saw(&mut self, what: &'static str, first: u64, seen: Seen) {
        self.tally.hit(what);
        let last = self.newest();
        self.record.sightings.push(Sighting { first, last, seen });
    }

    fn step(&mut self, step: &Step, first: u64) {
        match step {
            Step::Put { name, size, durable } => self.put(*name, *size, *durable, first),
            Step::Delete { name, durable } => self.delete(*name, *durable, first),
            Step::Batch { changes, how, durable } => self.batch(changes, *how, *durable, first),
            Step::CompareAndPut { name, size } => self.compare_and_put(*name, *size, first),
            Step::Transaction { reads, writes, meddled } => self.transaction(reads, writes, *meddled, first),
            Step::Rename { from, to } => self.rename(*from, *to, first),
            Step::Stream { name, size, piece, given_up } => {
                self.stream(*name, *size, usize::from(*piece), *given_up, first);
            }
            Step::Look { name, look } => {
                let found = self.look(&View::Now(&self.store), *name, *look);
                self.saw(told(*look), first, Seen::Block { name: key(*name), found });
            }
            Step::Walk { walk, end } => {
                let items = items(&View::Now(&self.store), *walk);
                let last = self.newest();
                let seen = Seen::Walk { walk: *walk, found: walked(items, *end) };
                self.tally.hit(told_end(*end));
                self.record.sightings.push(Sighting { first, last, seen });
            }
            Step::Snapshot => {
                self.held.push(self.store.snapshot().expect("snapshot"));
                if self.held.len() > 3 {
                    self.held.remove(0);
                }
            }
            Step::LookBack { name, look, walk, end } => self.look_back(*name, *look, *walk, *end),
            Step::Sync => {
                let sequence = self.store.sync().expect("sync");
                assert!(sequence.0 >= first, "a sync leaves out what was visible before it");
                self.durable(sequence);
            }
            Step::Checkpoint => self.store.checkpoint().expect("checkpoint"),
            Step::Verify => {
                let report = self.store.verify(|_| {}).expect("verify");
                assert!(report.is_clean(), "{report:?}");
                self.tally.hit("verification under load");
            }
        }
    }

    fn put(&mut self, name: u8, size: u8, durable: bool, first: u64) {
        let content = self.content(size);
        let options = PutOptions { tag: content.tag, durability: Some(self.durability(durable)) };
        let sequence = self.store.put_with(key(name), content.bytes(), options).expect("put");
        let what = if size + 1 == SIZES { "put of several chunks" } else { "put" };
        self.committed(what, sequence, Action::Set(vec![(key(name), Some(content))]), durable, first);
    }

    fn delete(&mut self, name: u8, durable: bool, first: u64) {
        let name = key(name);
        let there = self.store.exists(&name).expect("exists");
        match self.store.delete_with(&name, self.durability(durable)).expect("delete") {
            Some(sequence) => {
                // What it deleted was there the moment before.
                let found = Some(Found::default());
                let seen = Seen::Block { name: name.clone(), found };
                self.record.sightings.push(Sighting { first: sequence.0 - 1, last: sequence.0 - 1, seen });
                self.committed("delete", sequence, Action::Set(vec![(name, None)]), durable, first);
            }
            None => {
                let what = if there { "delete that came too late" } else { "delete of nothing" };
                self.saw(what, first, Seen::Block { name, found: None });
            }
        }
    }

    fn contents(&mut self, changes: &[(u8, Option<u8>)]) -> Changes {
        let change = |(name, size): &(u8, Option<u8>)| (key(*name), size.map(|size| self.content(size)));
        changes.iter().map(change).collect()
    }

    fn batch(&mut self, changes: &[(u8, Option<u8>)], how: How, durable: bool, first: u64) {
        let mut changes = self.contents(changes);
        if how == How::Drop {
            let witness = format!("dropped/{}/{}", self.thread, self.made);
            let content = self.content(1);
            changes.push((witness.into_bytes(), Some(content)));
        }
        let mut batch = self.store.batch();
        for (name, content) in &changes {
            match content {
                Some(content) => batch.put_tagged(name, content.bytes(), content.tag).expect("fits"),
                None => batch.delete(name).expect("fits"),
            }
        }
        let durability = self.durability(durable);
        let (what, sequence) = match how {
            How::Commit => ("batch", self.store.commit_with(batch, durability)),
            How::Wait => {
                let ticket = self.store.submit(batch, durability).expect("submit");
                ("ticket waited for", ticket.wait())
            }
            How::Await => {
                let ticket = self.store.submit(batch, durability).expect("submit");
                ("ticket awaited", block_on(ticket))
            }
            How::Drop => {
                drop(self.store.submit(batch, durability).expect("submit"));
                self.tally.hit("ticket dropped");
                let (witness, _) = changes.last().expect("the witness");
                self.record.dropped.push((witness.clone(), changes));
                return;
            }
        };
        self.committed(what, sequence.expect("commit"), Action::Set(changes), durable, first);
    }

    fn compare_and_put(&mut self, name: u8, size: u8, first: u64) {
        let name = key(name);
        let expected = self.store.get(&name).expect("get");
        let mut transaction = self.store.transaction().expect("transaction");
        let begun = self.newest();
        let found = transaction.get(&name).expect("get");
        if found != expected {
            transaction.rollback();
            let found = found.map(|bytes| Found::bytes(&bytes));
            return self.saw("compare that failed", first, Seen::Block { name, found });
        }
        let content = self.content(size);
        transaction.put_tagged(&name, content.bytes(), content.tag).expect("put");
        let reads = vec![(name.clone(), found.map(|bytes| Found::bytes(&bytes)))];
        let changes = vec![(name, Some(content))];
        self.finish(transaction, reads, changes, "compare and put", (first, begun));
    }

    fn transaction(&mut self, reads: &[u8], writes: &[(u8, Option<u8>)], meddled: Option<u8>, first: u64) {
        let mut transaction = self.store.transaction().expect("transaction");
        let begun = self.newest();
        let mut seen = Vec::new();
        for name in reads {
            let found = transaction.get(key(*name)).expect("get");
            seen.push((key(*name), found.map(|bytes| Found::bytes(&bytes))));
        }
        let changes = self.contents(writes);
        for (name, content) in &changes {
            match content {
                Some(content) => transaction.put_tagged(name, content.bytes(), content.tag).expect("put"),
                None => drop(transaction.delete(name).expect("delete")),
            }
        }
        if let Some(name) = meddled {
            self.put(name, 1, false, first);
        }
        self.finish(transaction, seen, changes, "transaction", (first, begun));
    }

    /// Commits a transaction that began between two commits.
    fn finish(
        &mut self,
        transaction: Transaction,
        reads: Vec<(Name, Option<Found>)>,
        changes: Changes,
        what: &'static str,
        (first, begun): (u64, u64),
    ) {
        let names: Vec<Name> =
            reads.iter().map(|(name, _)| name).chain(changes.iter().map(|(name, _)| name)).cloned().collect();
        match transaction.commit_with(Durability::Durable) {
            Ok(sequence) => {
                // One that writes nothing has no number of its own.
                let at = if changes.is_empty() { sequence.0 } else { sequence.0 - 1 };
                self.saw("transaction's reads", first, Seen::Guarded { reads, begun, at });
                if changes.is_empty() {
                    self.tally.hit("transaction that only reads");
                } else {
                    self.committed(what, sequence, Action::Set(changes), true, first);
                }
            }
            Err(Error::Conflict) => self.saw("conflict", first, Seen::Conflict { names }),
            Err(error) => panic!("{error}"),
        }
    }

    fn rename(&mut self, from: u8, to: u8, first: u64) {
        let (from, to) = (key(from), key(to));
        match self.store.rename(&from, &to) {
            // Nothing changes, and no number is taken.
            Ok(_) if from == to => {
                let found = Some(Found::default());
                self.saw("rename to itself", first, Seen::Block { name: from, found });
            }
            Ok(sequence) => self.committed("rename", sequence, Action::Move(from, to), true, first),
            Err(Error::NotFound) => {
                self.saw("rename of nothing", first, Seen::Block { name: from, found: None });
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn stream(&mut self, name: u8, size: u8, piece: usize, given_up: bool, first: u64) {
        let content = self.content(size);
        let writer = self.store.writer(key(name)).expect("writer").tag(content.tag);
        let mut writer = writer.durability(self.durability(false));
        for start in (0..content.length).step_by(piece) {
            let now = piece.min((content.length - start) as usize);
            writer.write_bytes(&pattern(content.seed, start, now)).expect("write");
        }
        assert_eq!(writer.len(), content.length);
        if given_up {
            return self.tally.hit("stream given up");
        }
        let sequence = writer.finish().expect("finish");
        self.committed("stream", sequence, Action::Set(vec![(key(name), Some(content))]), false, first);
    }

    fn look_back(&mut self, name: u8, look: Look, walk: Walk, end: End) {
        let Some(snapshot) = self.held.first() else { return };
        let at = snapshot.sequence().0;
        let found = self.look(&View::Then(snapshot), name, look);
        let walked = walked(items(&View::Then(snapshot), walk), end);
        self.tally.hit("look at a snapshot");
        let seen = [Seen::Block { name: key(name), found }, Seen::Walk { walk, found: walked }];
        let sightings = seen.map(|seen| Sighting { first: at, last: at, seen });
        self.record.sightings.extend(sightings);
    }

    fn look(&self, view: &View<'_>, name: u8, look: Look) -> Option<Found> {
        let name = key(name);
        match look {
            Look::Get => {
                on_view!(view, reads => reads.get(name)).expect("get").map(|bytes| Found::bytes(&bytes))
            }
            Look::GetInto => {
                let mut buf = vec![0; length(SIZES - 1, self.shape.page)];
                let length = on_view!(view, reads => reads.get_into(name, &mut buf)).expect("get_into")?;
                Some(Found::bytes(&buf[..length]))
            }
            Look::GetRef => on_view!(view, reads => reads.get_ref(name))
                .expect("get_ref")
                .map(|bytes| Found::bytes(&bytes)),
            Look::GetWith => on_view!(view, reads => reads.get_with(name, Found::bytes)).expect("get_with"),
            Look::Exists => on_view!(view, reads => reads.exists(name)).expect("exists").then(Found::default),
            Look::Metadata => {
                let metadata = on_view!(view, reads => reads.metadata(name)).expect("metadata")?;
                Some(Found::metadata(&metadata))
            }
            Look::Range(from, share) => {
                let mut reader = on_view!(view, reads => reads.reader(name)).expect("reader")?;
                let whole = reader.len();
                let start = whole * u64::from(from) / 100;
                let wanted = ((whole - start) * u64::from(share)).div_ceil(100);
                reader.seek(SeekFrom::Start(start)).expect("seek");
                let mut bytes = Vec::new();
                reader.take(wanted).read_to_end(&mut bytes).expect("read");
                let bytes = Some((start, bytes.len(), Digest::of(&bytes)));
                Some(Found { length: Some(whole), bytes, ..Found::default() })
            }
        }
    }
}

const fn told(look: Look) -> &'static str {
    match look {
        Look::Get => "get",
        Look::GetInto => "get_into",
        Look::GetRef => "get_ref",
        Look::GetWith => "get_with",
        Look::Exists => "exists",
        Look::Metadata => "metadata",
        Look::Range(..) => "range read",
    }
}

const fn told_end(end: End) -> &'static str {
    match end {
        End::Front => "walk forwards",
        End::Back => "walk backwards",
        End::Both => "walk from both ends",
    }
}

fn items(view: &View<'_>, walk: Walk) -> Iter {
    match walk {
        Walk::All => on_view!(view, reads => reads.iter()),
        Walk::Prefix(number) => on_view!(view, reads => reads.prefix(prefix(number))),
        Walk::Range(from, to) => on_view!(view, reads => reads.range(key(from)..key(to))),
    }
}

/// All items in the order of their names, whichever end they were taken from.
fn walked(mut items: Iter, end: End) -> Vec<(Name, Found)> {
    let (mut front, mut back) = (Vec::new(), Vec::new());
    for turn in 0.. {
        let from_front = match end {
            End::Front => true,
            End::Back => false,
            End::Both => turn % 3 == 0,
        };
        let item = if from_front { items.next() } else { items.next_back() };
        let Some(item) = item else { break };
        let item = item.expect("item");
        let value = item.value().expect("value");
        assert!(item.with_value(|shown| *shown == *value).expect("value"), "shown other bytes");
        let found = Found { bytes: Found::bytes(&value).bytes, ..Found::metadata(&item.metadata()) };
        if from_front { &mut front } else { &mut back }.push((item.name().to_vec(), found));
    }
    front.extend(back.into_iter().rev());
    front
}
