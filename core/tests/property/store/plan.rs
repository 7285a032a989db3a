//! What is tried on a store: its sizes, the transitions and the strategies that draw them.

use blockyard_core::store::Memory;
use blockyard_sim::fixture::Shape;
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;
use std::collections::BTreeSet;

/// Which overlay holds what is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Heap,
    Fixed,
}

/// What may be changed when a store is opened again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Working {
    pub(crate) kind: Kind,
    pub(crate) levels: usize,
    pub(crate) map_pages: usize,
    pub(crate) staging: usize,
    pub(crate) growth: u64,
    pub(crate) carry_max: u64,
    pub(crate) unit: u32,
}

/// The sizes of a file and of its device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) page_size: u32,
    pub(crate) journal_pages: u64,
    pub(crate) chunk_pages: u32,
    pub(crate) working: Working,
    /// Pages behind the journal that the device can have; None: as many as it takes.
    pub(crate) room: Option<u64>,
    /// The device has all its pages from the start.
    pub(crate) whole: bool,
}

impl Setup {
    pub(crate) fn shape(&self, working: &Working) -> Shape {
        let Working { levels, map_pages, staging, growth, carry_max, .. } = *working;
        Shape {
            page_size: self.page_size,
            journal_pages: self.journal_pages,
            chunk_pages: self.chunk_pages,
            memory: Memory { levels, map_pages, staging },
            growth,
            groups_ahead: 1,
            carry_max,
        }
    }
}

/// How long a value is, by the borders that it lies at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Small(u16),
    Inline(i8),
    Pages(u8, i8),
    Carry(i8),
    Staging(i8),
    Chunk(i8),
    Any(u32),
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put { name: u8, length: Length, seed: u16 },
    Delete { name: u8 },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Finish {
    /// With room for so many chunks.
    Commit {
        few_chunks: bool,
    },
    Abandon,
}

#[derive(Clone, Debug)]
pub(crate) enum Transition {
    Commit { group: Vec<Vec<Change>>, durable: bool },
    DeleteAll { one_by_one: bool },
    Rename { from: u8, to: u8, durable: bool },
    Stream { name: u8, chunks: u8, less: Length, buffer: u8, piece: u16, finish: Finish, durable: bool },
    StageBegin,
    StageWrite { length: Length, seed: u16 },
    StageEnd { name: Option<u8>, durable: bool },
    Look { name: u8, piece: u16, from: u16 },
    Contents,
    NextName { after: u8, cut: u8 },
    WalkTree,
    Checkpoint,
    CheckpointSteps(u8),
    Seal,
    Sync,
    Verify,
    Refused { name: u8 },
    Reopen,
    ReopenReadOnly { salvage: bool, kind: Kind },
    ReopenWith(Working),
}

/// What the transitions so far lead one to expect: enough to draw names that exist.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) setup: Setup,
    present: BTreeSet<u8>,
    staging: bool,
}

/// Names are numbered; see `World::name`.
pub(crate) const NAMES: u8 = 60;

fn working(page_size: u32) -> impl Strategy<Value = Working> {
    let page = u64::from(page_size);
    let units: Vec<u32> = [1, 512, 1024, 4096].into_iter().filter(|&unit| unit <= page_size).collect();
    let carry = prop_oneof![Just(0), Just(page + 88), Just(8 * page), Just(64 << 10)];
    let levels = prop_oneof![5 => Just(12_usize), 1 => Just(8), 1 => 2..6_usize];
    let staging = prop_oneof![Just(0_u64), Just(3 * page + 100), Just(16 * page)];
    let kind = prop_oneof![Just(Kind::Heap), Just(Kind::Fixed)];
    (kind, levels, 6..20_usize, staging, 1..80_u64, carry, proptest::sample::select(units)).prop_map(
        |(kind, levels, map_pages, staging, growth, carry_max, unit)| Working {
            kind,
            levels,
            map_pages,
            staging: staging as usize,
            growth,
            carry_max,
            unit,
        },
    )
}

fn setup() -> impl Strategy<Value = Setup> {
    let page = prop_oneof![12 => Just(9_u32), 3 => Just(10), 3 => Just(12), 1 => Just(14), 1 => Just(16)];
    page.prop_flat_map(|bits| {
        let page_size = 1 << bits;
        let room = prop::option::of(40..600_u64);
        let journal = prop_oneof![Just(4_u64), Just(5), Just(9), Just(33), Just(64)];
        (working(page_size), journal, prop_oneof![1..5_u32, Just(16)], room, any::<bool>()).prop_map(
            move |(working, journal_pages, chunk_pages, room, whole)| Setup {
                page_size,
                journal_pages,
                chunk_pages,
                working,
                room,
                whole,
            },
        )
    })
}

fn length() -> impl Strategy<Value = Length> {
    let near = || -1..=1_i8;
    prop_oneof![
        6 => any::<u16>().prop_map(Length::Small),
        3 => near().prop_map(Length::Inline),
        4 => (1..4_u8, near()).prop_map(|(pages, by)| Length::Pages(pages, by)),
        1 => near().prop_map(Length::Carry),
        1 => near().prop_map(Length::Staging),
        2 => near().prop_map(Length::Chunk),
        2 => any::<u32>().prop_map(Length::Any),
    ]
}

/// A name, rather one that exists.
fn name(present: &BTreeSet<u8>) -> BoxedStrategy<u8> {
    if present.is_empty() {
        return (0..NAMES).boxed();
    }
    let known: Vec<u8> = present.iter().copied().collect();
    prop_oneof![proptest::sample::select(known), 0..NAMES].boxed()
}

fn change(present: &BTreeSet<u8>) -> impl Strategy<Value = Change> + use<> {
    prop_oneof![
        4 => (name(present), length(), any::<u16>())
            .prop_map(|(name, length, seed)| Change::Put { name, length, seed }),
        1 => name(present).prop_map(|name| Change::Delete { name }),
    ]
}

fn small_change() -> impl Strategy<Value = Change> {
    (0..NAMES, any::<u8>(), any::<u16>()).prop_map(|(name, length, seed)| Change::Put {
        name,
        length: Length::Small(u16::from(length)),
        seed,
    })
}

/// Commits: one change, a batch, a group, and more than a small journal or overlay takes at once.
fn commits(present: &BTreeSet<u8>) -> BoxedStrategy<Transition> {
    let batch = |most| prop::collection::vec(change(present), 0..most);
    let one = prop::collection::vec(prop::collection::vec(change(present), 1..2), 1..2);
    let large = prop::collection::vec(prop::collection::vec(small_change(), 20..80), 1..4);
    let group = prop_oneof![
        5 => one,
        4 => prop::collection::vec(batch(12), 1..2),
        3 => prop::collection::vec(batch(5), 2..5),
        1 => large,
    ];
    (group, any::<bool>()).prop_map(|(group, durable)| Transition::Commit { group, durable }).boxed()
}

fn streams(present: &BTreeSet<u8>) -> BoxedStrategy<Transition> {
    let finish = prop_oneof![
        5 => Just(Finish::Commit { few_chunks: false }),
        1 => Just(Finish::Commit { few_chunks: true }),
        1 => Just(Finish::Abandon),
    ];
    (name(present), 0..5_u8, length(), 0..4_u8, 1..3000_u16, finish, any::<bool>())
        .prop_map(|(name, chunks, less, buffer, piece, finish, durable)| Transition::Stream {
            name,
            chunks,
            less,
            buffer,
            piece,
            finish,
            durable,
        })
        .boxed()
}

fn staging(present: &BTreeSet<u8>, staging: bool) -> BoxedStrategy<Transition> {
    if !staging {
        return Just(Transition::StageBegin).boxed();
    }
    // Only behind whole chunks can another one follow.
    let lengths = prop_oneof![3 => Just(Length::Chunk(0)), 1 => length()];
    prop_oneof![
        3 => (lengths, any::<u16>()).prop_map(|(length, seed)| Transition::StageWrite { length, seed }),
        1 => (prop::option::weighted(0.8, name(present)), any::<bool>())
            .prop_map(|(name, durable)| Transition::StageEnd { name, durable }),
    ]
    .boxed()
}

fn openings(page_size: u32) -> BoxedStrategy<Transition> {
    let kind = prop_oneof![Just(Kind::Heap), Just(Kind::Fixed)];
    prop_oneof![
        2 => Just(Transition::Reopen),
        1 => (any::<bool>(), kind).prop_map(|(salvage, kind)| Transition::ReopenReadOnly { salvage, kind }),
        2 => working(page_size).prop_map(Transition::ReopenWith),
    ]
    .boxed()
}

impl ReferenceStateMachine for Plan {
    type State = Self;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Self> {
        setup().prop_map(|setup| Self { setup, present: BTreeSet::new(), staging: false }).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Transition> {
        let present = &state.present;
        let look = (name(present), 1..3000_u16, any::<u16>())
            .prop_map(|(name, piece, from)| Transition::Look { name, piece, from });
        let steps = (1..4_u8).prop_map(Transition::CheckpointSteps);
        let rename = (name(present), name(present), any::<bool>())
            .prop_map(|(from, to, durable)| Transition::Rename { from, to, durable });
        let names = (0..NAMES, 0..3_u8).prop_map(|(after, cut)| Transition::NextName { after, cut });
        let whole = prop_oneof![
            4 => steps,
            2 => Just(Transition::Checkpoint),
            2 => Just(Transition::Seal),
            1 => Just(Transition::Sync),
            1 => Just(Transition::Verify),
            1 => Just(Transition::WalkTree),
            1 => Just(Transition::Contents),
        ];
        prop_oneof![
            30 => commits(present),
            1 => any::<bool>().prop_map(|one_by_one| Transition::DeleteAll { one_by_one }),
            10 => rename,
            9 => streams(present),
            12 => staging(present, state.staging),
            12 => look,
            3 => names,
            20 => whole,
            3 => (0..NAMES).prop_map(|name| Transition::Refused { name }),
            6 => openings(state.setup.page_size),
        ]
        .boxed()
    }

    fn apply(mut state: Self, transition: &Transition) -> Self {
        match transition {
            Transition::Commit { group, .. } => {
                for change in group.iter().flatten() {
                    match change {
                        Change::Put { name, .. } => state.present.insert(*name),
                        Change::Delete { name } => state.present.remove(name),
                    };
                }
            }
            Transition::DeleteAll { .. } => state.present.clear(),
            Transition::Rename { from, to, .. } if state.present.remove(from) => {
                state.present.insert(*to);
            }
            Transition::Stream { name, finish: Finish::Commit { .. }, .. } => _ = state.present.insert(*name),
            Transition::StageBegin => state.staging = true,
            Transition::StageEnd { name, .. } => {
                state.staging = false;
                state.present.extend(name);
            }
            Transition::Reopen | Transition::ReopenReadOnly { .. } | Transition::ReopenWith(_) => {
                state.staging = false;
            }
            _ => {}
        }
        state
    }
}
