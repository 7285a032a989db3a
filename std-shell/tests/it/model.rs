//! What a store should hold after each commit, from the numbers that the commits were answered.

use blockyard::Digest;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(crate) type Name = Vec<u8>;

/// The bytes that `seed` stands for, from `start` on: no two seeds have a word in common by more than
/// accident.
pub(crate) fn pattern(seed: u64, start: u64, length: usize) -> Vec<u8> {
    let word = |index: u64| {
        // SplitMix64 at any place.
        let state = (seed.wrapping_mul(0xD1B5_4A32_D192_ED03))
            .wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    };
    let skipped = (start % 8) as usize;
    let mut bytes = Vec::with_capacity(length + 16);
    for index in start / 8..(start + length as u64).div_ceil(8) {
        bytes.extend_from_slice(&word(index));
    }
    bytes.drain(..skipped.min(bytes.len()));
    bytes.truncate(length);
    bytes
}

/// A block's content, told without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) seed: u64,
    pub(crate) length: u64,
    pub(crate) tag: u64,
}

impl Content {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        pattern(self.seed, 0, self.length as usize)
    }
}

/// What a commit does.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Later changes of a name win.
    Set(Vec<(Name, Option<Content>)>),
    Move(Name, Name),
}

/// A block as a commit left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) sequence: u64,
    pub(crate) content: Content,
}

/// What was seen of a block; what is None was not looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    pub(crate) sequence: Option<u64>,
    pub(crate) tag: Option<u64>,
    pub(crate) length: Option<u64>,
    /// Where the bytes begin that were read, how many, and their digest.
    pub(crate) bytes: Option<(u64, usize, Digest)>,
}

impl Found {
    pub(crate) fn bytes(bytes: &[u8]) -> Self {
        let length = bytes.len();
        Self { length: Some(length as u64), bytes: Some((0, length, Digest::of(bytes))), ..Self::default() }
    }

    pub(crate) fn metadata(metadata: &blockyard::Metadata) -> Self {
        Self {
            sequence: Some(metadata.sequence.0),
            tag: Some(metadata.tag),
            length: Some(metadata.length),
            bytes: None,
        }
    }

    /// Whether a version looks like that.
    fn is(&self, version: Version, digests: &Digests) -> bool {
        let Version { sequence, content } = version;
        self.sequence.is_none_or(|seen| seen == sequence)
            && self.tag.is_none_or(|seen| seen == content.tag)
            && self.length.is_none_or(|seen| seen == content.length)
            && self
                .bytes
                .is_none_or(|(start, length, digest)| digests.of(content.seed, start, length) == digest)
    }
}

/// Digests of patterns that were asked for before.
#[derive(Default)]
struct Digests(RefCell<HashMap<(u64, u64, usize), Digest>>);

impl Digests {
    fn of(&self, seed: u64, start: u64, length: usize) -> Digest {
        let mut known = self.0.borrow_mut();
        *known.entry((seed, start, length)).or_insert_with(|| Digest::of(&pattern(seed, start, length)))
    }
}

/// All states of a store, one for each commit.
pub(crate) struct Timeline {
    pub(crate) last: u64,
    /// By name: the commit that changed it, and what it was from then on.
    changes: BTreeMap<Name, Vec<(u64, Option<Content>)>>,
    digests: Digests,
}

impl Timeline {
    /// Replays all commits. Every number up to the last has to be somebody's.
    pub(crate) fn replay(commits: impl IntoIterator<Item = (u64, Action)>) -> Self {
        let mut sorted = BTreeMap::new();
        for (sequence, action) in commits {
            let twice = sorted.insert(sequence, action);
            assert!(twice.is_none(), "two commits have the number {sequence}: {twice:?}");
        }
        let numbers: BTreeSet<u64> = sorted.keys().copied().collect();
        let last = numbers.last().copied().unwrap_or(0);
        let missing: Vec<u64> = (1..=last).filter(|number| !numbers.contains(number)).collect();
        assert!(missing.is_empty(), "nobody was answered the numbers {missing:?}");
        let mut timeline = Self { last, changes: BTreeMap::new(), digests: Digests::default() };
        for (sequence, action) in sorted {
            match action {
                Action::Set(changes) => {
                    changes.into_iter().for_each(|(name, content)| timeline.set(name, sequence, content));
                }
                Action::Move(from, to) => {
                    let moved = timeline.at(&from, sequence - 1);
                    let moved =
                        moved.unwrap_or_else(|| panic!("commit {sequence} renamed what was not there"));
                    timeline.set(from, sequence, None);
                    timeline.set(to, sequence, Some(moved.content));
                }
            }
        }
        timeline
    }

    fn set(&mut self, name: Name, sequence: u64, content: Option<Content>) {
        let changes = self.changes.entry(name).or_default();
        changes.pop_if(|(last, _)| *last == sequence);
        // Deleting what is not there changes nothing.
        if content.is_some() || changes.last().is_some_and(|(_, before)| before.is_some()) {
            changes.push((sequence, content));
        }
    }

    /// A block after the commit `sequence`.
    pub(crate) fn at(&self, name: &[u8], sequence: u64) -> Option<Version> {
        let changes = self.changes.get(name)?;
        let behind = changes.partition_point(|(number, _)| *number <= sequence);
        let (sequence, content) = changes.get(behind.checked_sub(1)?)?;
        content.map(|content| Version { sequence: *sequence, content })
    }

    /// All blocks after the commit `sequence`.
    pub(crate) fn state(&self, sequence: u64) -> BTreeMap<&Name, Version> {
        let versions = self.changes.keys().map(|name| (name, self.at(name, sequence)));
        versions.filter_map(|(name, version)| Some((name, version?))).collect()
    }

    /// Whether commits after `after`, up to `last`, changed a block.
    pub(crate) fn changed(&self, name: &[u8], after: u64, last: u64) -> bool {
        let mut changes = self.changes.get(name).into_iter().flatten();
        changes.any(|(number, _)| (after + 1..=last).contains(number))
    }

    /// Whether what was seen of a name was there after some commit from `first` to `last`.
    pub(crate) fn was(&self, name: &[u8], seen: Option<&Found>, first: u64, last: u64) -> bool {
        let changes = self.changes.get(name).into_iter().flatten();
        let moments = changes.map(|(number, _)| *number).filter(|number| (first + 1..=last).contains(number));
        std::iter::once(first).chain(moments).any(|moment| match (seen, self.at(name, moment)) {
            (None, None) => true,
            (Some(seen), Some(there)) => seen.is(there, &self.digests),
            _ => false,
        })
    }

    /// Whether what was seen of all names that `covers` says was there after some commit from `first` to
    /// `last`: all of it at one moment.
    pub(crate) fn was_all(
        &self,
        seen: &[(Name, Found)],
        covers: impl Fn(&[u8]) -> bool,
        first: u64,
        last: u64,
    ) -> bool {
        (first..=last).any(|moment| {
            let state = self.state(moment);
            let mut there = state.iter().filter(|(name, _)| covers(name));
            let same = seen.iter().all(|(name, found)| {
                there
                    .next()
                    .is_some_and(|(other, version)| *other == name && found.is(*version, &self.digests))
            });
            same && there.next().is_none()
        })
    }
}
