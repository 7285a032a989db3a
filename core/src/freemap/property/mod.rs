//! The free map alone: whatever commits, checkpoints and crashes come, no page has two owners.
//!
//! 1. What is handed out is free in the durable map, nobody's since, not pinned, and no map slot.
//! 2. Nothing is refused while a run that is long enough is ahead; with nobody waiting, all that is free is.
//! 3. The number of free pages ahead is never said to be more than it is.
//! 4. A map that is read back from the device says what is in use, bit for bit, and the durable one is not
//!    written while the next is made.

mod disk;
mod found;
mod parts;
mod runs;
mod world;

use crate::budget::{Tally, check};
use alloc::vec::Vec;
use proptest::prelude::*;
use proptest::sample::Index;
use world::World;

static TALLY: Tally = Tally::new();

/// Values of a commit: pages that each needs, and those that it would take on top.
type Sizes = Vec<(u16, u16)>;

#[derive(Clone, Debug)]
enum Event {
    Commit { sizes: Sizes, floor: u8, give_back: u8, refused: bool },
    StageBegin,
    StageWrite(u16),
    StageEnd { committed: bool },
    FoldBegin,
    FoldPlace(u8),
    FoldSettle(u8),
    FoldFree(Index),
    FoldFinish,
    FoldAbandon,
    FoldAtOnce { sizes: Sizes, fails: bool },
    Restart,
    Grow(u32),
    Pin(Option<(Index, u16)>),
    Ask(Index, u16),
    Crash { nodes: u8, again: bool },
    Drain,
}

/// Sizes of a file and where it begins.
#[derive(Clone, Copy, Debug)]
struct Start {
    page_size: u32,
    windows: usize,
    /// Groups and pages beside the border.
    groups: u8,
    by: i16,
    cursor: u16,
}

fn sizes() -> impl Strategy<Value = Sizes> {
    let size = prop_oneof![8 => 1..6_u16, 2 => 6..200_u16, 1 => 1000..3700_u16];
    prop::collection::vec((size, prop_oneof![Just(0), 0..40_u16]), 1..5)
}

fn event() -> impl Strategy<Value = Event> {
    let staging = prop_oneof![
        2 => Just(Event::StageBegin),
        3 => (1..300_u16).prop_map(Event::StageWrite),
        2 => any::<bool>().prop_map(|committed| Event::StageEnd { committed }),
    ];
    let folding = prop_oneof![
        4 => Just(Event::FoldBegin),
        6 => (1..6_u8).prop_map(Event::FoldPlace),
        3 => (1..4_u8).prop_map(Event::FoldSettle),
        8 => any::<Index>().prop_map(Event::FoldFree),
        5 => Just(Event::FoldFinish),
        1 => Just(Event::FoldAbandon),
        1 => (sizes(), any::<bool>()).prop_map(|(sizes, fails)| Event::FoldAtOnce { sizes, fails }),
    ];
    let rest = prop_oneof![
        1 => Just(Event::Restart),
        2 => prop_oneof![1..100_u32, 3000..50_000_u32].prop_map(Event::Grow),
        1 => prop::option::of((any::<Index>(), 1..300_u16)).prop_map(Event::Pin),
        2 => (any::<Index>(), 1..40_u16).prop_map(|(from, pages)| Event::Ask(from, pages)),
        1 => (0..4_u8, any::<bool>()).prop_map(|(nodes, again)| Event::Crash { nodes, again }),
        3 => Just(Event::Drain),
    ];
    let commit = (sizes(), 0..30_u8, 0..4_u8, prop::bool::weighted(0.2))
        .prop_map(|(sizes, floor, give_back, refused)| Event::Commit { sizes, floor, give_back, refused });
    prop_oneof![6 => commit, 2 => staging, 10 => folding, 2 => rest]
}

fn start() -> impl Strategy<Value = Start> {
    let groups = prop_oneof![4 => 0..3_u8, 2 => 9..12_u8, 1 => 99..103_u8];
    let page_size = prop_oneof![6 => Just(512_u32), 1 => Just(1024)];
    (page_size, 6..12_usize, groups, -60..200_i16, any::<u16>())
        .prop_map(|(page_size, windows, groups, by, cursor)| Start { page_size, windows, groups, by, cursor })
}

fn run((start, events): (Start, Vec<Event>)) {
    let mut world = World::new(&start);
    for event in &events {
        world.apply(event);
        world.assert_counts();
    }
    world.settle_all();
    world.drain();
}

#[test]
fn no_page_has_two_owners() {
    let kinds = [
        "commit",
        "commit refused",
        "commit with pages given back",
        "commit after growth",
        "no run ahead",
        "no run above the floor",
        "staged",
        "staged and committed",
        "staged and given up",
        "checkpoint",
        "checkpoint with staged pages",
        "checkpoint with commits behind it",
        "checkpoint given up",
        "commit by checkpoint",
        "commit by checkpoint given up",
        "node placed",
        "extent freed",
        "new round",
        "growth after wrapping",
        "pinned run passed over",
        "crash with commits",
        "crash in the middle of recovery",
        "drained",
        "all ahead looked at",
        "wrapped",
        "two levels of map",
        "three levels of map",
    ];
    let strategy = (start(), prop::collection::vec(event(), 1..150));
    let regressions = "tests/property/regressions/freemap.txt";
    check(("the free map alone", regressions), 120, &strategy, (&TALLY, &kinds), run);
}
