//! The registry: a copy-on-write B+tree from (name, chunk number) to where the bytes are.
//!
//! 1. A page of the tree is never changed once a superblock refers to it: a fold writes new pages.
//! 2. A parent holds the digest of each child, the superblock that of the root; no byte of a node
//!    is looked at before its digest was compared ([`NodeView::verified`]).
//! 3. Keys ascend strictly through the leaves; a parent's key for a child is not above the child's
//!    first key and above everything to the left.
//! 4. Levels fall by one from parent to child, so that no hostile page can make a walk endless.

mod builder;
mod fold;
mod node;
#[cfg(all(test, not(loom)))]
mod property;
mod search;

pub(crate) use builder::{BuildSpace, NodeSink};
pub(crate) use fold::{Balance, Fold, FoldHost, FoldSpace, Settled};
pub use node::{Child, Key, NodeView, Place, Record};
pub use search::{Cursor, Found, NodeSource, lookup, lookup_chunk, lookup_page};
pub(crate) use search::{FORMAT_HEIGHT, MAX_HEIGHT};
