//! The names that an iterator covers.

use crate::source::NodePage;
use blockyard_core::tree::Key;
use std::collections::Bound;
use std::ops::RangeBounds;

/// A range of names.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(super) lower: Bound<Vec<u8>>,
    pub(super) upper: Bound<Vec<u8>>,
}

impl Span {
    pub(crate) const fn all() -> Self {
        Self { lower: Bound::Unbounded, upper: Bound::Unbounded }
    }

    /// Names that begin with `prefix`: up to the next name that does not.
    pub(crate) fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        while end.pop_if(|last| *last == u8::MAX).is_some() {}
        let upper = match end.last_mut() {
            Some(last) => {
                *last += 1;
                Bound::Excluded(end)
            }
            None => Bound::Unbounded,
        };
        Self { lower: Bound::Included(prefix.to_vec()), upper }
    }

    pub(crate) fn range<N: AsRef<[u8]>>(range: &impl RangeBounds<N>) -> Self {
        let owned = |bound: Bound<&N>| bound.map(|name| name.as_ref().to_vec());
        Self { lower: owned(range.start_bound()), upper: owned(range.end_bound()) }
    }

    /// The far end, seen from where an iterator comes from.
    pub(super) fn until(&self, forward: bool) -> Bound<&[u8]> {
        if forward { &self.upper } else { &self.lower }.as_ref().map(Vec::as_slice)
    }

    /// Where an iterator begins, and whether that name belongs to it; None at the very end.
    pub(super) fn start(&self, forward: bool) -> Option<(&[u8], bool)> {
        match if forward { &self.lower } else { &self.upper } {
            Bound::Included(name) => Some((name.as_slice(), true)),
            Bound::Excluded(name) => Some((name.as_slice(), false)),
            Bound::Unbounded => None,
        }
    }

    /// The key before which a walk begins; None at the very end.
    pub(super) fn start_key(&self, forward: bool) -> Option<Key<'_>> {
        let (name, inclusive) = self.start(forward)?;
        // Behind all chunks of a name, or before them.
        Some(if inclusive == forward { Key::first(name) } else { Key { name, chunk: u32::MAX } })
    }

    /// The first of a leaf's records that do not lie in front of the span.
    pub(super) fn first_in(&self, leaf: &NodePage) -> usize {
        match &self.lower {
            Bound::Included(name) => leaf.node.search(leaf, Key::first(name)).0,
            Bound::Excluded(name) => behind(leaf, name),
            Bound::Unbounded => 0,
        }
    }

    /// The first of a leaf's records that lie behind the span.
    pub(super) fn end_in(&self, leaf: &NodePage) -> usize {
        match &self.upper {
            Bound::Included(name) => behind(leaf, name),
            Bound::Excluded(name) => leaf.node.search(leaf, Key::first(name)).0,
            Bound::Unbounded => leaf.node.len(),
        }
    }
}

/// The first of a leaf's records behind all that belong to a name.
fn behind(leaf: &NodePage, name: &[u8]) -> usize {
    let (at, same) = leaf.node.search(leaf, Key { name, chunk: u32::MAX });
    at + usize::from(same)
}
