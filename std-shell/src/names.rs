//! Names that were read lately and where their bytes are in the cache: a point read of one of them looks at no
//! layer, no page of the registry and no lock but that of the frame with the bytes.
//!
//! 1. An entry says what a view of sequence `filled` saw: these bytes, or no block.
//! 2. Each set of entries has the highest sequence that changed a name belonging to it, noted before that
//!    sequence is published ([`Names::changed`]). An entry holds for a view of sequence `s` if the set did not
//!    change behind the lesser of `filled` and `s`: then nothing that one of the two sees and the other does not
//!    has to do with the name. Checkpoints do not matter: they change no block.
//! 3. An entry is written under its own version counter, odd meanwhile; readers take nothing from an entry whose
//!    counter was odd or moved. There are no locks to wait for: who finds an entry being written goes without.
//! 4. A reader loads the set's mark after the entry. If it saw an entry that was filled by a view of a commit, it
//!    sees that commit's mark as well, for the filler had seen it.

use crate::cache::Handle;
use foldhash::fast::RandomState;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Longest name that is kept, in words.
const NAME_WORDS: usize = 10;

/// Longest name that is kept, in bytes.
const LONGEST: usize = 8 * NAME_WORDS;

/// One name; all zeros when it was never used. A name of up to 16 bytes lies in the entry's first cache line.
#[derive(Debug, zerocopy::FromZeros)]
#[repr(C, align(128))]
struct Entry {
    /// Odd while the entry is being written.
    version: AtomicU64,
    filled: AtomicU64,
    /// Of the bytes; none for a name without a block.
    handle: AtomicU64,
    /// Where the block lies in those bytes: start and end, 32 bits each.
    range: AtomicU64,
    /// Length of the name and some bits of its hash.
    tag: AtomicU64,
    name: [AtomicU64; NAME_WORDS],
}

#[derive(Debug, zerocopy::FromZeros)]
#[repr(C)]
struct Set {
    first: Entry,
    second: Entry,
}

const _: () = assert!(size_of::<Set>() == 256, "two entries, two cache lines each");

/// Where a name's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// There is no block of that name.
    Absent,
    /// Here, if they are still there.
    Here(Handle, Range<usize>),
}

/// The table.
#[derive(Debug)]
pub(crate) struct Names {
    /// A power of two of them, or none. Memory that was never touched is not there.
    sets: Box<[Set]>,
    /// The sequence that changed each set last. Apart from the sets: a batch marks hundreds of them, which lie in as many
    /// pages of memory.
    changed: Box<[AtomicU64]>,
    state: RandomState,
}

/// A name's words, the last filled up with zeros.
fn words(name: &[u8]) -> impl Iterator<Item = u64> {
    let (whole, rest) = name.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then_some(u64::from_le_bytes(last));
    whole.iter().map(|word| u64::from_le_bytes(*word)).chain(last)
}

impl Names {
    /// A table for a store whose cache has so many bytes.
    pub(crate) fn new(cache_bytes: usize) -> Self {
        use zerocopy::FromZeros as _;
        let sets = Self::sets(cache_bytes);
        // Without memory for it the store does without.
        let memory = <[Set]>::new_box_zeroed_with_elems(sets)
            .and_then(|memory| Ok((memory, <[AtomicU64]>::new_box_zeroed_with_elems(sets)?)));
        let (sets, changed) = memory.unwrap_or_default();
        Self { sets, changed, state: RandomState::default() }
    }

    const fn sets(cache_bytes: usize) -> usize {
        match (cache_bytes / 16 / size_of::<Set>()).checked_ilog2() {
            Some(power) => 1 << power,
            None => 0,
        }
    }

    const OF_A_SET: usize = size_of::<Set>() + size_of::<AtomicU64>();

    /// Bytes of the table, if all of it was used, of a store whose cache has so many: a sixteenth at most, and a thirtieth of that for
    /// the marks.
    pub(crate) const fn bytes_of(cache_bytes: usize) -> usize {
        Self::sets(cache_bytes) * Self::OF_A_SET
    }

    /// The set of a name, by number, and its tag there.
    fn place(&self, name: &[u8]) -> Option<(usize, u64)> {
        let last = self.changed.len().checked_sub(1)?;
        let hash = self.state.hash_one(name);
        Some((hash as usize & last, hash >> 32 << 16 | name.len() as u64 & 0xffff))
    }

    /// Notes that the commit `sequence`, not yet published, changes a name. For the one who holds the engine.
    pub(crate) fn changed(&self, name: &[u8], sequence: u64) {
        if let Some((set, _)) = self.place(name)
            && let changed = &self.changed[set]
            && changed.load(Ordering::Relaxed) < sequence
        {
            changed.store(sequence, Ordering::Release);
        }
    }

    /// What is known of a name for a view of a sequence.
    pub(crate) fn find(&self, name: &[u8], sequence: u64) -> Option<Known> {
        let (number, tag) = self.place(name)?;
        let set = &self.sets[number];
        let (filled, known) =
            [&set.first, &set.second].into_iter().find_map(|entry| entry.read(name, tag))?;
        let holds = self.changed[number].load(Ordering::Acquire) <= filled.min(sequence);
        holds.then_some(known)
    }

    /// Whether what a view of a sequence saw would hold for anybody who comes later.
    pub(crate) fn would_learn(&self, name: &[u8], sequence: u64) -> bool {
        let unchanged = |(set, _): (usize, u64)| self.changed[set].load(Ordering::Acquire) <= sequence;
        name.len() <= LONGEST && self.place(name).is_some_and(unchanged)
    }

    /// Notes what a view of a sequence saw.
    pub(crate) fn learn(&self, name: &[u8], sequence: u64, known: &Known) {
        if name.len() > LONGEST {
            return;
        }
        let Some((number, tag)) = self.place(name) else { return };
        if self.changed[number].load(Ordering::Acquire) > sequence {
            return;
        }
        self.sets[number].entry_for(tag).write(name, tag, sequence, known);
    }

    /// What the entry says in which a name would be noted: the bytes of what it says no more then, unless
    /// somebody else is quicker.
    pub(crate) fn outdated_by(&self, name: &[u8]) -> Handle {
        let entry = self.place(name).map(|(number, tag)| self.sets[number].entry_for(tag));
        entry.map_or(Handle::NONE, |entry| Handle::from_word(entry.handle.load(Ordering::Relaxed)))
    }
}

impl Set {
    /// The entry of a name, or the one that it would take.
    fn entry_for(&self, tag: u64) -> &Entry {
        let tagged = |entry: &Entry| entry.tag.load(Ordering::Relaxed) == tag;
        let Self { first, second } = self;
        match () {
            () if tagged(first) => first,
            () if tagged(second) => second,
            () if first.version.load(Ordering::Relaxed) == 0 => first,
            () if second.version.load(Ordering::Relaxed) == 0 => second,
            () if first.filled.load(Ordering::Relaxed) <= second.filled.load(Ordering::Relaxed) => first,
            () => second,
        }
    }
}

impl Entry {
    /// What the entry says, if it is about this name.
    fn read(&self, name: &[u8], tag: u64) -> Option<(u64, Known)> {
        let version = self.version.load(Ordering::Acquire);
        if version % 2 == 1 || self.tag.load(Ordering::Relaxed) != tag || name.len() > LONGEST {
            return None;
        }
        let same = self.name.iter().zip(words(name)).all(|(kept, word)| kept.load(Ordering::Relaxed) == word);
        let filled = self.filled.load(Ordering::Relaxed);
        let handle = Handle::from_word(self.handle.load(Ordering::Relaxed));
        let range = self.range.load(Ordering::Relaxed);
        // What was loaded above was loaded before the version is looked at again.
        fence(Ordering::Acquire);
        if !same || version == 0 || self.version.load(Ordering::Relaxed) != version {
            return None;
        }
        let known = match handle {
            Handle::NONE => Known::Absent,
            handle => Known::Here(handle, (range >> 32) as usize..range as u32 as usize),
        };
        Some((filled, known))
    }

    /// Writes the entry, unless somebody else does just now.
    fn write(&self, name: &[u8], tag: u64, filled: u64, known: &Known) {
        let version = self.version.load(Ordering::Relaxed);
        let (handle, range) = match known {
            Known::Absent => (Handle::NONE, 0),
            Known::Here(handle, range) => match (u32::try_from(range.start), u32::try_from(range.end)) {
                (Ok(start), Ok(end)) if *handle != Handle::NONE => {
                    (*handle, u64::from(start) << 32 | u64::from(end))
                }
                _ => return,
            },
        };
        let (writing, done) = (version.wrapping_add(1), version.wrapping_add(2));
        let claim = |now| self.version.compare_exchange(version, now, Ordering::Acquire, Ordering::Relaxed);
        if version % 2 == 1 || claim(writing).is_err() {
            return;
        }
        // Who sees anything of what follows sees the odd version.
        fence(Ordering::Release);
        self.tag.store(tag, Ordering::Relaxed);
        self.filled.store(filled, Ordering::Relaxed);
        self.handle.store(handle.to_word(), Ordering::Relaxed);
        self.range.store(range, Ordering::Relaxed);
        for (kept, word) in self.name.iter().zip(words(name)) {
            kept.store(word, Ordering::Relaxed);
        }
        self.version.store(done, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(number: u64) -> Known {
        Known::Here(Handle::from_word(number), 0..number as usize)
    }

    #[test]
    fn an_entry_holds_as_far_as_its_set_did_not_change() {
        let names = Names::new(1 << 20);
        names.changed(b"name", 5);
        names.learn(b"name", 4, &here(4));
        assert_eq!(names.find(b"name", 4), None, "filled by a view from before the change");
        names.learn(b"name", 7, &here(7));
        assert_eq!(names.find(b"name", 9), Some(here(7)));
        assert_eq!(names.find(b"name", 5), Some(here(7)));
        assert_eq!(names.find(b"name", 4), None, "a view from before the change");
        assert_eq!(names.find(b"nam", 9), None);
        names.changed(b"name", 8);
        assert_eq!(names.find(b"name", 7), None, "what is not published yet may not be ruled out");
        names.learn(b"name", 8, &Known::Absent);
        assert_eq!(names.find(b"name", 8), Some(Known::Absent));
    }

    #[test]
    fn names_of_any_length_are_told_apart() {
        let names = Names::new(1 << 20);
        let all: Vec<Vec<u8>> = (1..=LONGEST + 2).map(|length| vec![0; length]).collect();
        for (name, number) in all.iter().zip(1..) {
            names.learn(name, 1, &here(number));
        }
        let found = all.iter().zip(1..).filter(|(name, number)| match names.find(name, 1) {
            Some(known) => known == here(*number),
            None => false,
        });
        let found = found.count();
        assert!(found > LONGEST * 3 / 4, "{found} are kept, the rest shared their set with two others");
        assert!(all.iter().all(|name| name.len() <= LONGEST || names.find(name, 1).is_none()));
    }

    #[test]
    fn a_store_without_a_cache_knows_no_names() {
        let names = Names::new(0);
        names.changed(b"name", 1);
        names.learn(b"name", 2, &here(2));
        assert_eq!(names.find(b"name", 2), None);
        assert_eq!(Names::bytes_of(4095), 0);
    }

    /// One thread commits values that tell their sequence, others read at the published one and fill the table.
    #[test]
    fn threads_never_see_another_commit_than_their_view_does() {
        let names = Names::new(16 * 256);
        let published = AtomicU64::new(1);
        let keys: Vec<Vec<u8>> = (0..4u8).map(|key| vec![key; 3 + 20 * usize::from(key)]).collect();
        // The commit that wrote key `k` last, as a view of `sequence` sees it: the keys take turns.
        let value = |key: u64, sequence: u64| sequence - (sequence - key) % 4;
        let hits = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut random = fastrand::Rng::new();
                    loop {
                        let sequence = published.load(Ordering::Acquire);
                        if sequence > 30_000 {
                            return;
                        }
                        let key = random.u64(0..4);
                        let expected = value(key, sequence + 4);
                        match names.find(&keys[key as usize], sequence) {
                            Some(known) => {
                                hits.fetch_add(1, Ordering::Relaxed);
                                assert_eq!(known, here(expected), "key {key} at {sequence}");
                            }
                            None => names.learn(&keys[key as usize], sequence, &here(expected)),
                        }
                    }
                });
            }
            scope.spawn(|| {
                for sequence in 2..=30_001 {
                    names.changed(&keys[(sequence % 4) as usize], sequence);
                    if sequence % 16 == 0 {
                        std::thread::yield_now();
                    }
                    // On a busy machine the readers may not have come to anything yet.
                    while sequence == 30_001 && hits.load(Ordering::Relaxed) == 0 {
                        std::thread::yield_now();
                    }
                    published.store(sequence, Ordering::Release);
                }
            });
        });
        assert!(hits.load(Ordering::Relaxed) > 0, "nothing was ever found");
    }
}
