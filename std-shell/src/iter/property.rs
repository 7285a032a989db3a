//! Walks against a plain map: over random stores, of which some is folded in, some is being folded in and some is pending,
//! from both ends, of everything, of prefixes and of ranges, taken up again after whatever came between.

use super::{Item, Iter};
use crate::{Durability, OpenOptions, Snapshot, Store};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

type Model = BTreeMap<Vec<u8>, Arc<[u8]>>;

/// Stores; each has a history of its own.
const STORES: u64 = 60;

/// Where a name begins.
const PREFIXES: [&[u8]; 5] = [b"", b"a", b"\0", b"\xff\xff", b"a name of sixteen"];

/// Of few bytes and of lengths about sixteen, so that names begin with each other and differ late.
fn name(random: &mut fastrand::Rng) -> Vec<u8> {
    let length = *random.choice(&[1, 2, 3, 4, 15, 16, 17, 30]).expect("some");
    let mut name = random.choice(&PREFIXES).expect("some").to_vec();
    name.extend(std::iter::repeat_with(|| *random.choice(b"\0ab\xff").expect("some")).take(length));
    name
}

/// In a leaf or a record of the journal, or in pages of its own.
fn value(random: &mut fastrand::Rng) -> Arc<[u8]> {
    let lengths = [0, 1, 16, 16, 90, 256, 256, 900, 3000, 4096];
    bytes(*random.choice(&lengths).expect("some"), random)
}

fn bytes(length: usize, random: &mut fastrand::Rng) -> Arc<[u8]> {
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// A walk, and what is left for it to come by.
struct Walk {
    iter: Iter,
    rest: VecDeque<(Vec<u8>, Arc<[u8]>)>,
    held: Vec<(Item, Vec<u8>, Arc<[u8]>)>,
}

fn assert_item(item: &Item, name: &[u8], value: &[u8], random: &mut fastrand::Rng) {
    assert_eq!(item.name(), name);
    // Looked at in one way or another, or not at all: what a walk does ahead depends on it.
    match random.u8(0..6) {
        0 => assert_eq!(&*item.value().expect("value"), value),
        1 => item.with_value(|bytes| assert_eq!(bytes, value)).expect("value"),
        2 => assert_eq!(item.length(), value.len() as u64),
        3 => assert_eq!(item.metadata().length, value.len() as u64),
        _ => {}
    }
}

impl Walk {
    fn new(source: &Source<'_>, model: &Model, random: &mut fastrand::Rng) -> Self {
        let bound = |random: &mut fastrand::Rng| match random.u8(0..3) {
            0 => Bound::Unbounded,
            1 => Bound::Included(name(random)),
            _ => Bound::Excluded(name(random)),
        };
        let prefix = random.choice(&PREFIXES).expect("some");
        let (iter, rest): (Iter, VecDeque<_>) = match random.u8(0..4) {
            0 | 1 => (source.iter(), model.iter().collect()),
            2 => (source.prefix(prefix), model.iter().filter(|(name, _)| name.starts_with(prefix)).collect()),
            _ => {
                let range = (bound(random), bound(random));
                let lies_in = |name: &Vec<u8>| std::ops::RangeBounds::contains(&range, name);
                let rest = model.iter().filter(|(name, _)| lies_in(name)).collect();
                (source.range(range.clone()), rest)
            }
        };
        let rest = rest.into_iter().map(|(name, value)| (name.clone(), Arc::clone(value))).collect();
        Self { iter, rest, held: Vec::new() }
    }

    /// Goes on by one block; false at the end.
    fn step(&mut self, forward: bool, random: &mut fastrand::Rng) -> bool {
        let expected = if forward { self.rest.pop_front() } else { self.rest.pop_back() };
        let lent = random.bool();
        let found = match (lent, forward) {
            (true, true) => self.iter.advance(),
            (true, false) => self.iter.advance_back(),
            _ => None,
        };
        if lent {
            match (&expected, found) {
                (Some((name, value)), Some(item)) => assert_item(item.expect("item"), name, value, random),
                (expected, found) => {
                    assert_eq!(expected.is_some(), found.is_some(), "{:?} is expected", expected);
                }
            }
        } else {
            let found = if forward { self.iter.next() } else { self.iter.next_back() };
            match (expected.clone(), found) {
                (Some((name, value)), Some(item)) => {
                    let item = item.expect("item");
                    assert_item(&item, &name, &value, random);
                    if random.u8(0..8) == 0 {
                        self.held.push((item, name, value));
                    }
                }
                (expected, found) => {
                    assert_eq!(expected.is_some(), found.is_some(), "{:?} is expected", expected);
                }
            }
        }
        expected.is_some()
    }

    /// Goes on by some blocks: one way, the other, or both.
    fn go_on(&mut self, most: usize, random: &mut fastrand::Rng) -> bool {
        let direction = random.u8(0..4);
        for _ in 0..random.usize(0..=most) {
            let forward = match direction {
                0 => random.bool(),
                1 => false,
                _ => true,
            };
            if !self.step(forward, random) {
                assert!(self.iter.next().is_none() && self.iter.next_back().is_none(), "it has ended");
                return false;
            }
        }
        true
    }

    fn finish(mut self, random: &mut fastrand::Rng) {
        while self.go_on(1000, random) {}
        for (item, name, value) in self.held {
            assert_item(&item, &name, &value, random);
        }
    }
}

/// What a walk starts from.
enum Source<'s> {
    Store(&'s Store),
    Snapshot(&'s Snapshot),
}

impl Source<'_> {
    fn iter(&self) -> Iter {
        match self {
            Self::Store(store) => store.iter(),
            Self::Snapshot(snapshot) => snapshot.iter(),
        }
    }

    fn prefix(&self, prefix: &[u8]) -> Iter {
        match self {
            Self::Store(store) => store.prefix(prefix),
            Self::Snapshot(snapshot) => snapshot.prefix(prefix),
        }
    }

    fn range(&self, range: (Bound<Vec<u8>>, Bound<Vec<u8>>)) -> Iter {
        match self {
            Self::Store(store) => store.range(range),
            Self::Snapshot(snapshot) => snapshot.range(range),
        }
    }
}

/// Commits some changes: a few, or many, whose memory a table shares.
fn change(store: &Store, model: &mut Model, names: &[Vec<u8>], many: bool, random: &mut fastrand::Rng) {
    let mut batch = store.batch();
    for _ in 0..if many { random.usize(8..100) } else { random.usize(1..4) } {
        let name = random.choice(names).expect("some").clone();
        if random.u8(0..4) == 0 {
            batch.delete(&name).expect("delete");
            model.remove(&name);
        } else {
            let value = value(random);
            batch.put(&name, &value).expect("put");
            model.insert(name, value);
        }
    }
    let durability = if random.bool() { Durability::Durable } else { Durability::Buffered };
    store.commit_with(batch, durability).expect("commit");
}

/// A block in several chunks.
fn put_large(store: &Store, model: &mut Model, names: &[Vec<u8>], random: &mut fastrand::Rng) {
    let (name, value) = (random.choice(names).expect("some"), bytes(random.usize(4097..12_000), random));
    store.put(name, &value).expect("put");
    model.insert(name.clone(), value);
}

fn rename(store: &Store, model: &mut Model, names: &[Vec<u8>], random: &mut fastrand::Rng) {
    let (from, to) = (random.choice(names).expect("some"), random.choice(names).expect("some"));
    if from != to
        && !model.contains_key(to)
        && let Some(value) = model.remove(from)
    {
        store.rename(from, to).expect("rename");
        model.insert(to.clone(), value);
    }
}

/// Freezes what is pending, or folds another leaf of it in, some steps.
fn fold_some(store: &Store, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..4) {
        store.inner().engine().expect("open").engine.checkpoint_step().expect("a step");
    }
}

fn live(seed: u64) -> u64 {
    let random = &mut fastrand::Rng::with_seed(seed);
    let store = OpenOptions::new()
        .page_size(*random.choice(&[512, 4096]).expect("some"))
        .journal_size(1 << 20)
        .chunk_size(4096)
        .cache_bytes(*random.choice(&[0, 20 << 10, 8 << 20]).expect("some"))
        .open_in_memory()
        .expect("store");
    let names: Vec<_> = (0..random.usize(1..300)).map(|_| name(random)).collect();
    let (mut model, mut walks, mut snapshots, mut begun) = (Model::new(), Vec::new(), VecDeque::new(), 0);
    for _ in 0..random.usize(10..60) {
        match random.u8(0..13) {
            12 => put_large(&store, &mut model, &names, random),
            0 | 1 => change(&store, &mut model, &names, false, random),
            2 => change(&store, &mut model, &names, true, random),
            3 => rename(&store, &mut model, &names, random),
            4 => fold_some(&store, random),
            5 => {
                // A walk that begins now finds both tables full, unless the background thread was quicker.
                change(&store, &mut model, &names, true, random);
                fold_some(&store, random);
                change(&store, &mut model, &names, true, random);
                walks.push(Walk::new(&Source::Store(&store), &model, random));
                begun += 1;
            }
            6 if random.bool() => store.checkpoint().expect("checkpoint"),
            7 => {
                snapshots.push_back((store.snapshot().expect("snapshot"), model.clone()));
                if snapshots.len() > 3 {
                    snapshots.pop_front();
                }
            }
            8 if !snapshots.is_empty() => {
                let (snapshot, model) = random.choice(&snapshots).expect("some");
                walks.push(Walk::new(&Source::Snapshot(snapshot), model, random));
                begun += 1;
            }
            9 if !walks.is_empty() => {
                walks.swap_remove(random.usize(0..walks.len())).finish(random);
            }
            10 => walks.retain_mut(|walk| walk.go_on(100, random)),
            _ => {
                let mut walk = Walk::new(&Source::Store(&store), &model, random);
                begun += 1;
                if walk.go_on(100, random) {
                    walks.push(walk);
                }
            }
        }
    }
    walks.into_iter().for_each(|walk| walk.finish(random));
    begun
}

/// A reviewer had this test outside of the repository: walks met deletions, ends and each other in ways that nobody had
/// thought of.
#[test]
fn walks_come_by_what_a_plain_map_has_whatever_comes_between() {
    /// Says which store it was.
    struct Telling(u64);
    impl Drop for Telling {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("walks of the store with seed {} differ: WALKS_SEED={0} runs it alone", self.0);
            }
        }
    }
    let only: Option<u64> = std::env::var("WALKS_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seeds = only.map_or(0..STORES, |seed| seed..seed + 1);
    let walks: u64 = seeds
        .map(|seed| {
            let _telling = Telling(seed);
            live(seed)
        })
        .sum();
    assert!(only.is_some() || walks > 5 * STORES, "{walks} walks");
}
