//! Walks through a table in the order of names.

use super::changes::{Change, Changes};
use super::order::Spot;
use super::version::{Number, Slot, Version, head};
use super::{Inner, Memtable, Versions};
use std::ops::Bound;

/// How many versions ahead the processor is told to fetch one.
const AHEAD: usize = 8;

/// What is copied at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portion<'a> {
    /// In the order of names, or the other way.
    pub(crate) forward: bool,
    /// What lies behind this name, seen on the way, or at it, if it is included; None is the very end.
    pub(crate) from: Option<(&'a [u8], bool)>,
    /// Up to here.
    pub(crate) until: Bound<&'a [u8]>,
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
        let start = start(&inner, after.map(|after| (after, inclusive)));
        // Too new: an older version may be visible, or the next name.
        let mut behind = order.from(start).map(|number| versions.get(number));
        behind.find(|version| version.sequence <= sequence).map(|version| version.slot(&versions.memory))
    }

    /// Copies the newest versions not above `sequence` of a portion of the names. Answers whether there may be more.
    pub(crate) fn copy(&self, sequence: u64, portion: Portion<'_>) -> (Changes, bool) {
        let inner = self.in_order();
        let Inner { versions, order, .. } = &*inner;
        let (list, more) = if portion.forward {
            let start = start(&inner, portion.from);
            gather(versions, sequence, portion, order.from(start), order.from(start))
        } else {
            let end = portion.from.map(|(name, inclusive)| {
                if inclusive { order.behind(name, versions) } else { order.seek(name, u64::MAX, versions) }
            });
            gather(versions, sequence, portion, order.before(end), order.before(end))
        };
        (Changes::new(list, versions.memory.share()), more)
    }
}

/// Copies of `numbers`, which `coming` names as well.
fn gather(
    versions: &Versions,
    sequence: u64,
    portion: Portion<'_>,
    numbers: impl Iterator<Item = Number>,
    coming: impl Iterator<Item = Number>,
) -> (Vec<Change>, bool) {
    let memory = &versions.memory;
    let mut coming = coming.skip(AHEAD);
    let mut list = Vec::with_capacity(portion.most);
    let mut last: Option<&Version> = None;
    let until = match portion.until {
        Bound::Included(name) => Some((head(name), name, true)),
        Bound::Excluded(name) => Some((head(name), name, false)),
        Bound::Unbounded => None,
    };
    let is_wanted = |version: &Version| {
        until.is_none_or(|(head, name, inclusive)| {
            let order = version.order_to(head, name, memory);
            order.is_eq() && inclusive || if portion.forward { order.is_lt() } else { order.is_gt() }
        })
    };
    for number in numbers {
        if let Some(coming) = coming.next() {
            versions.get(coming).fetch_first();
        }
        let version = versions.get(number);
        if version.sequence > sequence {
            continue;
        }
        if last.is_some_and(|last| version.is_beside(last, memory)) {
            // Of several versions of a name the newest counts, which comes first on one way and last on the other.
            if !portion.forward {
                list.pop();
                list.push(version.change());
            }
            continue;
        }
        if !is_wanted(version) {
            return (list, false);
        }
        if list.len() == portion.most {
            return (list, true);
        }
        list.push(version.change());
        last = Some(version);
    }
    (list, false)
}

/// Where a walk begins that goes up.
fn start(inner: &Inner, from: Option<(&[u8], bool)>) -> Spot {
    match from {
        Some((after, false)) => inner.order.behind(after, &inner.versions),
        Some((from, true)) => inner.order.seek(from, u64::MAX, &inner.versions),
        None => Spot::FIRST,
    }
}
