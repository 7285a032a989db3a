//! A table of committed changes, by name and version, read while it is written.
//!
//! 1. Versions lie one behind the other as they came, which moves none. A hash table has the newest version of each
//!    name, and each version the one before it: a reader at sequence S takes the first one that is not above S, so what a
//!    commit inserts is unseen until its sequence is published.
//! 2. Their order by name, which walks and checkpoints need and commits do not, is made up by whoever comes to need it
//!    ([`Memtable::put_in_order`]): versions of a name lie together there, the newest first.
//! 3. The lock is held for one look-up, one insert, or the ordering or copying of a few versions, never across I/O.
//! 4. The number of versions is told without the lock; it is raised before what was inserted is published.
//! 5. All memory comes from an earlier table, as far as there is some.
//! 6. What names and bodies lie in stays where it is, and a walk that has copied where they are looks at them without the
//!    lock ([`pieces`]).

mod changes;
mod cursor;
mod memory;
mod order;
mod pieces;
#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
mod version;
mod walk;

use crate::buffer::Pool;
use blockyard_core::overlay::Entry;
pub(crate) use changes::{ChangeKind, Changes};
pub(crate) use cursor::Cursor;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
pub(crate) use memory::Lent;
use memory::Memory;
use order::Order;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use pieces::Pieces;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicUsize};
pub(crate) use version::Slot;
use version::{Number, Version, head};
pub(crate) use walk::Portion;

/// Versions in a piece of memory: 8 KiB.
const PIECE: usize = 64;

/// The most pieces of memory for versions, and the most leaves of their order, 1.3 KiB each, that are kept for the tables to
/// come; and room in the hash table for as many versions.
const SPARE: usize = 512;

/// How many versions are put in order at once: a commit that comes meanwhile waits for some 20 to 100 µs.
const PORTION: usize = 256;

/// Versions of a name that are looked through for an old one before the order is asked, which may have to be made up first.
const MANY: usize = 4096;

/// The same where a file claims sequences that do not ascend.
const FEW: usize = 32;

/// Versions by number, in pieces of memory that are never moved, and what they lie in.
#[derive(Debug, Default)]
struct Versions {
    pieces: Vec<Vec<Version>>,
    count: u32,
    spare: Vec<Vec<Version>>,
    memory: Memory,
}

/// Where a version lies.
const fn place(number: Number) -> (usize, usize) {
    let index = number.get() as usize - 1;
    (index / PIECE, index % PIECE)
}

impl Versions {
    fn get(&self, number: Number) -> &Version {
        let (piece, at) = place(number);
        &self.pieces[piece][at]
    }

    fn get_mut(&mut self, number: Number) -> &mut Version {
        let (piece, at) = place(number);
        &mut self.pieces[piece][at]
    }

    fn push(&mut self, version: Version) -> Number {
        let number = Number::MIN.saturating_add(self.count);
        let (piece, _) = place(number);
        if piece == self.pieces.len() {
            let fresh = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(PIECE));
            self.pieces.push(fresh);
        }
        self.pieces[piece].push(version);
        self.count += 1;
        number
    }

    /// Forgets all; `pool` gets the memory.
    fn clear(&mut self, pool: &Pool) {
        keep(&mut self.pieces, &mut self.spare, Vec::clear);
        self.count = 0;
        self.memory.clear(pool);
    }
}

/// Takes what is emptied of a list to those that are kept, as far as there is room.
fn keep<T>(list: &mut Vec<T>, kept: &mut Vec<T>, clear: impl Fn(&mut T)) {
    list.truncate(SPARE.saturating_sub(kept.len()));
    kept.extend(list.drain(..).map(|mut item| {
        clear(&mut item);
        item
    }));
    list.shrink_to(2 * SPARE);
}

/// The newest version of a name, and its name's hash: a hash table that grows looks at no version and no name, for commits wait
/// meanwhile.
#[derive(Clone, Copy, Debug)]
struct Newest {
    number: Number,
    hash: u32,
}

/// A hash for the table, which takes the low bits for the place and the high ones to tell those of a place apart.
const fn spread(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}

/// What the lock guards.
#[derive(Debug)]
struct Inner {
    versions: Versions,
    /// The newest version of each name.
    newest: HashTable<Newest>,
    state: RandomState,
    order: Order,
    /// Whether each name's versions came in the order of their sequences.
    ascending: bool,
    /// Versions that are in order; those behind are not yet.
    ordered: u32,
    /// Those that are being put in order.
    portion: Vec<Number>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            versions: Versions::default(),
            newest: HashTable::new(),
            state: RandomState::default(),
            order: Order::default(),
            ascending: true,
            ordered: 0,
            portion: Vec::new(),
        }
    }
}

impl Inner {
    /// The newest version of a name.
    fn newest(&self, name: &[u8]) -> Option<Number> {
        let (head, hash) = (head(name), self.state.hash_one(name) as u32);
        let found = self.newest.find(spread(hash), |newest| newest.is_of(hash, head, name, &self.versions));
        found.map(|newest| newest.number)
    }

    /// The newest version of a name that is not above `sequence`.
    fn get(&self, name: &[u8], sequence: u64) -> Found<'_> {
        let mut number = self.newest(name);
        for _ in 0..if self.ascending { MANY } else { FEW } {
            let Some(version) = number.map(|number| self.versions.get(number)) else { return Found::Nothing };
            if version.sequence <= sequence {
                return Found::This(version);
            }
            number = version.older;
        }
        Found::InOrder
    }

    /// As [`get`](Self::get), by the order, which is complete.
    fn get_in_order(&self, name: &[u8], sequence: u64) -> Option<&Version> {
        let spot = self.order.seek(name, sequence, &self.versions);
        let version = self.versions.get(self.order.from(spot).next()?);
        version.is_of(head(name), name, &self.versions.memory).then_some(version)
    }

    /// Inserts a version.
    fn insert(&mut self, name: &[u8], entry: &Entry, place: memory::Place) {
        let (head, hash) = (head(name), self.state.hash_one(name) as u32);
        let Self { versions, newest, ascending, .. } = self;
        let is_it = |newest: &Newest| newest.is_of(hash, head, name, versions);
        let Some(found) = newest.find_mut(spread(hash), is_it) else {
            let number = versions.push(Version::new(name, entry, place, None));
            newest.insert_unique(spread(hash), Newest { number, hash }, |newest| spread(newest.hash));
            return;
        };
        let mut newer = None;
        let mut older = Some(found.number);
        // The engine's sequences ascend. A hostile file's may not, and its order does not matter behind the first few.
        for _ in 0..FEW {
            match older.map(|older| versions.get(older)) {
                Some(version) if version.sequence > entry.sequence.0 => {
                    (newer, older, *ascending) = (older, version.older, false);
                }
                _ => break,
            }
        }
        match older.map(|older| (older, *versions.get(older))) {
            // Another version of this commit's own is replaced: the last of a batch wins.
            Some((number, same)) if same.sequence == entry.sequence.0 => {
                *versions.get_mut(number) = Version::new(name, entry, place, same.older);
            }
            _ => {
                let number = versions.push(Version::new(name, entry, place, older));
                match newer {
                    Some(newer) => versions.get_mut(newer).older = Some(number),
                    None => found.number = number,
                }
            }
        }
    }

    /// Puts a portion of the versions up to number `target` in order.
    fn order_some(&mut self, target: u32) {
        let end = target.min(self.ordered.saturating_add(PORTION as u32));
        let fresh = self.ordered..end.max(self.ordered);
        self.portion.clear();
        self.portion.extend(fresh.map(|before| Number::MIN.saturating_add(before)));
        // One behind the other they meet the same leaves.
        order::sort(&mut self.portion, &self.versions);
        for number in &self.portion {
            self.order.insert(*number, &self.versions);
        }
        self.ordered = self.ordered.max(end);
    }
}

impl Newest {
    fn is_of(&self, hash: u32, head: u128, name: &[u8], versions: &Versions) -> bool {
        self.hash == hash && versions.get(self.number).is_of(head, name, &versions.memory)
    }
}

/// What a look-up comes to.
enum Found<'v> {
    Nothing,
    This(&'v Version),
    /// The name has so many versions that the order has to tell.
    InOrder,
}

/// Memory of a table that is gone, for the one to come.
#[derive(Debug, Default)]
pub(crate) struct Spare(Inner);

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    inner: RwLock<Inner>,
    versions: AtomicUsize,
}

impl Memtable {
    /// An empty table that uses the memory of earlier ones.
    pub(crate) fn reusing(mut spare: Spare, pool: &Arc<Pool>) -> Self {
        spare.0.versions.memory.draw_from(pool);
        Self { inner: RwLock::new(spare.0), versions: AtomicUsize::new(0) }
    }

    /// Takes the table's memory for another one, and gives that of names and bodies to `pool`.
    pub(crate) fn into_spare(self, pool: &Pool) -> Spare {
        let mut inner = self.inner.into_inner();
        inner.versions.clear(pool);
        inner.newest.clear();
        inner.newest.shrink_to(SPARE * PIECE, |newest| spread(newest.hash));
        inner.order.clear();
        (inner.ordered, inner.ascending) = (0, true);
        Spare(inner)
    }

    /// Calls `look` with the newest version of `name` not above `sequence`.
    fn look_up<R>(&self, name: &[u8], sequence: u64, look: impl FnOnce(&Version, &Pieces) -> R) -> Option<R> {
        if self.is_empty() {
            return None;
        }
        let inner = self.inner.read();
        match inner.get(name, sequence) {
            Found::Nothing => return None,
            Found::This(version) => return Some(look(version, &inner.versions.memory)),
            Found::InOrder => drop(inner),
        }
        let inner = self.in_order();
        inner.get_in_order(name, sequence).map(|version| look(version, &inner.versions.memory))
    }

    /// The newest version of `name` not above `sequence`.
    pub(crate) fn get(&self, name: &[u8], sequence: u64) -> Option<Slot> {
        self.look_up(name, sequence, Version::slot)
    }

    /// The newest entry of `name`.
    pub(crate) fn entry(&self, name: &[u8]) -> Option<Entry> {
        self.look_up(name, u64::MAX, |version, _| version.entry())
    }

    /// Calls `look` with the body of the version of `name` that `sequence` made.
    pub(crate) fn with_body(&self, name: &[u8], sequence: u64, look: impl FnOnce(&[u8])) -> bool {
        let look = |version: &Version, memory: &Pieces| {
            let found = version.sequence == sequence;
            if found {
                look(version.body(memory));
            }
            found
        };
        self.look_up(name, sequence, look).unwrap_or(false)
    }

    /// Inserts a version. Its bytes are copied, unless they lie in `lent` memory.
    pub(crate) fn insert(&self, name: &[u8], entry: &Entry, body: &[u8], lent: Option<Lent>) {
        let mut inner = self.inner.write();
        let memory = &mut inner.versions.memory;
        let found = lent.and_then(|lent| memory.find(lent, name, body));
        let place = found.unwrap_or_else(|| memory.copy(name, body));
        inner.insert(name, entry, place);
        self.versions.store(inner.versions.count as usize, atomic::Ordering::Release);
    }

    /// Takes in a batch's memory that versions will lie in.
    pub(crate) fn borrow(&self, names: &Arc<[u8]>, bodies: Option<&Arc<[u8]>>) -> Lent {
        self.inner.write().versions.memory.borrow(names, bodies)
    }

    /// Puts everything in order that was inserted so far, a portion at a time, between which others come in.
    pub(crate) fn put_in_order(&self) {
        drop(self.in_order());
    }

    /// The table, with everything in order that had been inserted when this was called.
    fn in_order(&self) -> RwLockReadGuard<'_, Inner> {
        let target = self.len() as u32;
        loop {
            let inner = self.inner.read();
            if inner.ordered >= target {
                return inner;
            }
            drop(inner);
            let mut inner = self.inner.write();
            inner.order_some(target);
            // A commit that waits goes first: it would be kept out by whoever asks again at once.
            RwLockWriteGuard::unlock_fair(inner);
        }
    }

    /// Whether there is no version.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of versions.
    pub(crate) fn len(&self) -> usize {
        self.versions.load(atomic::Ordering::Acquire)
    }
}
