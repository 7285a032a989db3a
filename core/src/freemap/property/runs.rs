//! A set of pages as runs: what the free map is compared with.

use crate::ids::{Extent, PageIndex};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Disjoint runs, from start to end; neighbours stay apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Runs(BTreeMap<u64, u64>);

impl Runs {
    /// The runs that share a page with `from..to`, cut to it.
    pub(super) fn within(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let before = self.0.range(..from).next_back().filter(|&(_, &end)| end > from);
        let behind = self.0.range(from..to.max(from));
        before.into_iter().chain(behind).map(move |(&start, &end)| (start.max(from), end.min(to)))
    }

    pub(super) fn meets(&self, extent: Extent) -> bool {
        self.within(extent.start.0, extent.end()).next().is_some()
    }

    pub(super) fn covers(&self, extent: Extent) -> bool {
        let covered: u64 = self.within(extent.start.0, extent.end()).map(|(start, end)| end - start).sum();
        covered == extent.pages
    }

    /// Adds pages of which none may be there.
    pub(super) fn add(&mut self, extent: Extent) {
        assert!(!self.meets(extent), "{extent:?} has an owner");
        self.0.insert(extent.start.0, extent.end());
    }

    /// Takes a run out that was added as it is.
    pub(super) fn take(&mut self, extent: Extent) {
        assert_eq!(self.0.remove(&extent.start.0), Some(extent.end()));
    }

    pub(super) fn extents(&self) -> Vec<Extent> {
        self.0.iter().map(|(&start, &end)| Extent::new(PageIndex(start), end - start)).collect()
    }

    pub(super) fn pages(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }
}
