//! Walks through a table in the order of names.

use super::order::Spot;
use super::version::{Change, Slot};
use super::{Inner, Memtable};

/// How much is copied at once.
#[derive(Clone, Copy)]
pub(crate) struct Portion<'a> {
    /// Up to the first name that is not wanted.
    pub(crate) wanted: &'a dyn Fn(&[u8]) -> bool,
    /// So many names.
    pub(crate) most: usize,
}

impl Memtable {
    /// The least name above `after` (or not below, if `inclusive`) that has a version not above
    /// `sequence`, with the newest such version.
    pub(crate) fn next(&self, after: Option<&[u8]>, inclusive: bool, sequence: u64) -> Option<Slot> {
        if self.is_empty() {
            return None;
        }
        let inner = self.in_order();
        let Inner { versions, order, .. } = &*inner;
        let start = start(&inner, after, inclusive);
        // Too new: an older version may be visible, or the next name.
        let mut behind = order.from(start).map(|number| versions.get(number));
        behind.find(|version| version.sequence <= sequence).map(|version| version.slot(&versions.memory))
    }

    /// Copies to `into` the newest versions not above `sequence` of a portion of the names above `after` (or not
    /// below, if `inclusive`). Answers whether there may be more.
    pub(crate) fn copy_next(
        &self,
        after: Option<&[u8]>,
        inclusive: bool,
        sequence: u64,
        portion: Portion<'_>,
        into: &mut Vec<Change>,
    ) -> bool {
        let inner = self.in_order();
        let Inner { versions, order, .. } = &*inner;
        let (start, memory) = (start(&inner, after, inclusive), &versions.memory);
        let mut copied = 0;
        for version in order.from(start).map(|number| versions.get(number)) {
            let name = version.name(memory);
            // Of several versions of a name the first that is not too new counts.
            let seen = copied > 0 && into.last().is_some_and(|last| last.name() == name);
            if version.sequence > sequence || seen {
                continue;
            }
            if !(portion.wanted)(name) {
                return false;
            }
            if copied == portion.most {
                return true;
            }
            into.push(version.change(memory));
            copied += 1;
        }
        false
    }

    /// As [`copy_next`](Self::copy_next), of names below `before` (of all, if None), from the greatest down.
    pub(crate) fn copy_previous(
        &self,
        before: Option<&[u8]>,
        sequence: u64,
        portion: Portion<'_>,
        into: &mut Vec<Change>,
    ) -> bool {
        let inner = self.in_order();
        let Inner { versions, order, .. } = &*inner;
        let (end, memory) = (before.map(|before| order.seek(before, u64::MAX, versions)), &versions.memory);
        let mut copied = 0;
        for version in order.before(end).map(|number| versions.get(number)) {
            let name = version.name(memory);
            if version.sequence > sequence {
                continue;
            }
            if let Some(last) = into.last_mut().filter(|last| copied > 0 && last.name() == name) {
                // Newer versions of a name come later on this way.
                *last = version.change(memory);
                continue;
            }
            if !(portion.wanted)(name) {
                return false;
            }
            if copied == portion.most {
                return true;
            }
            into.push(version.change(memory));
            copied += 1;
        }
        false
    }
}

/// Where a walk begins.
fn start(inner: &Inner, after: Option<&[u8]>, inclusive: bool) -> Spot {
    match after {
        Some(after) if !inclusive => inner.order.behind(after, &inner.versions),
        Some(after) => inner.order.seek(after, u64::MAX, &inner.versions),
        None => Spot::FIRST,
    }
}
