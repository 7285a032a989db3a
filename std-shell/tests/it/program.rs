//! Random programs for threads that share a store, and what they are made of.

use crate::model::Name;
use proptest::collection::vec;
use proptest::prelude::*;

/// Names that all threads share.
pub(crate) const NAMES: u8 = 12;

/// Lengths of values, in classes: empty, within a leaf, carried, in pages, in chunks.
pub(crate) const SIZES: u8 = 7;

/// The classes that fit into a batch.
const BATCH_SIZES: u8 = 6;

/// How a batch is handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Commit,
    Wait,
    Await,
    Drop,
}

/// How a block is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look {
    Get,
    GetInto,
    GetRef,
    GetWith,
    Exists,
    Metadata,
    /// A range, in percent of the block: from where, how much.
    Range(u8, u8),
}

/// Which blocks are walked over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Walk {
    All,
    Prefix(u8),
    Range(u8, u8),
}

impl Walk {
    /// Whether a name lies on the way.
    pub(crate) fn covers(self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(number) => name.starts_with(&prefix(number)),
            Self::Range(from, to) => (key(from)..key(to)).contains(&name.to_vec()),
        }
    }
}

/// From which end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Front,
    Back,
    Both,
}

/// A step of a program.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Put {
        name: u8,
        size: u8,
        durable: bool,
    },
    Delete {
        name: u8,
        durable: bool,
    },
    Batch {
        changes: Vec<(u8, Option<u8>)>,
        how: How,
        durable: bool,
    },
    /// Put if the block is what it was a moment before.
    CompareAndPut {
        name: u8,
        size: u8,
    },
    /// With a change of `meddled` by somebody else before it commits.
    Transaction {
        reads: Vec<u8>,
        writes: Vec<(u8, Option<u8>)>,
        meddled: Option<u8>,
    },
    Rename {
        from: u8,
        to: u8,
    },
    /// In pieces of so many bytes; perhaps given up.
    Stream {
        name: u8,
        size: u8,
        piece: u16,
        given_up: bool,
    },
    Look {
        name: u8,
        look: Look,
    },
    Walk {
        walk: Walk,
        end: End,
    },
    Snapshot,
    /// Look at a snapshot that was taken before.
    LookBack {
        name: u8,
        look: Look,
        walk: Walk,
        end: End,
    },
    Sync,
    Checkpoint,
    Verify,
}

/// The name of a number: two families, one of them long.
pub(crate) fn key(number: u8) -> Name {
    let mut name = prefix(number);
    name.extend_from_slice(format!("{number:02}").as_bytes());
    if number.is_multiple_of(5) {
        name.extend_from_slice(&[b'-'; 40]);
    }
    name
}

/// What the names of a family begin with.
pub(crate) fn prefix(number: u8) -> Name {
    if number.is_multiple_of(2) { b"even/".to_vec() } else { b"odd/".to_vec() }
}

/// The length of a class in a store of this page size.
pub(crate) const fn length(class: u8, page: u32) -> usize {
    let page = page as usize;
    match class {
        0 => 0,
        1 => 20,
        2 => page / 8,
        3 => page / 4 + 1,
        4 => 3 * page + 5,
        5 => 12 * page,
        _ => 40 * page + 77,
    }
}

fn change(sizes: u8) -> impl Strategy<Value = (u8, Option<u8>)> {
    (0..NAMES, prop_oneof![3 => (0..sizes).prop_map(Some), 1 => Just(None)])
}

fn look() -> impl Strategy<Value = Look> {
    prop_oneof![
        2 => Just(Look::Get),
        1 => Just(Look::GetInto),
        1 => Just(Look::GetRef),
        1 => Just(Look::GetWith),
        1 => Just(Look::Exists),
        1 => Just(Look::Metadata),
        2 => (0..100_u8, 1..=100_u8).prop_map(|(from, share)| Look::Range(from, share)),
    ]
}

fn walk() -> impl Strategy<Value = (Walk, End)> {
    let walk = prop_oneof![
        Just(Walk::All),
        (0..2_u8).prop_map(Walk::Prefix),
        (0..NAMES, 0..NAMES).prop_map(|(from, to)| Walk::Range(from, to)),
    ];
    (walk, prop_oneof![Just(End::Front), Just(End::Back), Just(End::Both)])
}

fn step() -> impl Strategy<Value = Step> {
    let how = prop_oneof![
        3 => Just(How::Commit),
        1 => Just(How::Wait),
        1 => Just(How::Await),
        1 => Just(How::Drop),
    ];
    // One commit in three has its own sync.
    let durable = || prop::bool::weighted(0.33);
    prop_oneof![
        6 => (0..NAMES, 0..SIZES, durable()).prop_map(|(name, size, durable)| Step::Put { name, size, durable }),
        4 => (0..NAMES, durable()).prop_map(|(name, durable)| Step::Delete { name, durable }),
        5 => (vec(change(BATCH_SIZES), 1..6), how, durable())
            .prop_map(|(changes, how, durable)| Step::Batch { changes, how, durable }),
        3 => (0..NAMES, 0..BATCH_SIZES).prop_map(|(name, size)| Step::CompareAndPut { name, size }),
        3 => (vec(0..NAMES, 0..3), vec(change(BATCH_SIZES), 0..3), prop::option::weighted(0.2, 0..NAMES))
            .prop_map(|(reads, writes, meddled)| Step::Transaction { reads, writes, meddled }),
        3 => (0..NAMES, 0..NAMES).prop_map(|(from, to)| Step::Rename { from, to }),
        3 => (0..NAMES, 0..SIZES, 1..9000_u16, prop::bool::weighted(0.2))
            .prop_map(|(name, size, piece, given_up)| Step::Stream { name, size, piece, given_up }),
        8 => (0..NAMES, look()).prop_map(|(name, look)| Step::Look { name, look }),
        3 => walk().prop_map(|(walk, end)| Step::Walk { walk, end }),
        3 => Just(Step::Snapshot),
        4 => (0..NAMES, look(), walk())
            .prop_map(|(name, look, (walk, end))| Step::LookBack { name, look, walk, end }),
        1 => Just(Step::Sync),
        1 => Just(Step::Checkpoint),
        1 => prop_oneof![3 => Just(Step::Sync), 1 => Just(Step::Verify)],
    ]
}

/// A program for each of several threads.
pub(crate) fn programs(threads: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<Vec<Step>>> {
    vec(vec(step(), 6..36), threads)
}

/// The sizes of a store, all small, so that little work meets all limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) page: u32,
    pub(crate) verify_writes: bool,
}

pub(crate) fn shape() -> impl Strategy<Value = Shape> {
    let page = prop_oneof![Just(512_u32), Just(4096)];
    (page, any::<bool>()).prop_map(|(page, verify_writes)| Shape { page, verify_writes })
}

impl Shape {
    pub(crate) fn options(self) -> blockyard::OpenOptions {
        let page = u64::from(self.page);
        blockyard::OpenOptions::new()
            .create(true)
            .page_size(self.page)
            .journal_size(48 * page)
            .chunk_size(16 * self.page)
            .growth_step(64 * page)
            .carry_max(4 * page)
            .cache_bytes(64 * page as usize)
            .flush_operations(7)
            .flush_interval(std::time::Duration::from_millis(2))
            .verify_writes(self.verify_writes)
    }
}
