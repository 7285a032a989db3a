//! What a store keeps beside its free map: records, a superblock, a checkpoint under way.

use super::super::MapTop;
use super::runs::Runs;
use crate::ids::Extent;
use alloc::vec::Vec;

/// What a journal record says of allocation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) cursor: u64,
    pub(super) limit: u64,
    pub(super) wrapped: bool,
    pub(super) pages: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) extents: Vec<Extent>,
    pub(super) record: Record,
    /// The checkpoint under way folds it in.
    pub(super) frozen: bool,
    pub(super) settled: bool,
}

/// What a superblock says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Superblock {
    pub(super) top: MapTop,
    pub(super) cursor: u64,
    pub(super) pages: u64,
}

/// A checkpoint under way.
#[derive(Clone, Debug)]
pub(super) struct Fold {
    pub(super) next: Runs,
    pub(super) placed: Vec<Extent>,
    pub(super) freed: Vec<Extent>,
}
