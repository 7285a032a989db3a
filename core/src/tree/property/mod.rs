//! The tree alone: any changes, folded in one after the other, leave what a map holds.
//!
//! 1. After every fold each key is found, nothing else is, and a walk in either direction meets all records.
//! 2. Every node has the digest, level, order and separators that it must have.
//! 3. The pages in use are those that the tree leads to: none is lost, none freed twice, none freed that was
//!    written by the same fold.
//! 4. A fold that is given up between two steps and begun anew gives the same.

mod host;
mod walk;

use crate::budget::{Tally, check, pattern};
use crate::digest::Digest;
use crate::format::{ChunkRef, U64};
use crate::ids::{PageIndex, Sequence};
use crate::overlay::{Entry, Value};
use alloc::vec::Vec;
use host::{Block, Body, World};
use proptest::prelude::*;
use proptest::sample::Index;

static TALLY: Tally = Tally::new();

/// A name: one of few, so that they meet again, or any.
#[derive(Clone, Debug)]
enum Name {
    Of(u16),
    Long(u16),
    Any(Vec<u8>),
    Present(Index),
}

#[derive(Clone, Debug)]
enum Content {
    Inline(u16),
    Extent(u8),
    Chunks(u8),
}

#[derive(Clone, Debug)]
enum Change {
    Put(Name, Content),
    Delete(Name),
    /// A run of names, as a prefix is emptied.
    DeleteRun(Index, u8),
    /// Runs of so many names, as many kept between them.
    DeleteStripes(u8),
    Move(Index, Name),
}

#[derive(Clone, Debug)]
struct Round {
    changes: Vec<Change>,
    /// After so many steps the fold is given up and begun anew.
    give_up_after: Option<u8>,
}

fn names() -> impl Strategy<Value = Name> {
    prop_oneof![
        6 => (0..400_u16).prop_map(Name::Of),
        2 => (0..60_u16).prop_map(Name::Long),
        1 => prop::collection::vec(any::<u8>(), 1..64).prop_map(Name::Any),
        3 => any::<Index>().prop_map(Name::Present),
    ]
}

fn changes() -> impl Strategy<Value = Change> {
    let content = prop_oneof![
        6 => prop_oneof![any::<u16>(), 0..20_u16].prop_map(Content::Inline),
        2 => (1..6_u8).prop_map(Content::Extent),
        1 => (2..40_u8).prop_map(Content::Chunks),
    ];
    prop_oneof![
        48 => (names(), content).prop_map(|(name, content)| Change::Put(name, content)),
        16 => names().prop_map(Change::Delete),
        3 => (any::<Index>(), 1..80_u8).prop_map(|(from, count)| Change::DeleteRun(from, count)),
        1 => (8..60_u8).prop_map(Change::DeleteStripes),
        8 => (any::<Index>(), names()).prop_map(|(from, to)| Change::Move(from, to)),
    ]
}

fn rounds() -> impl Strategy<Value = (usize, Vec<Round>)> {
    let few = prop::collection::vec(changes(), 1..4);
    let many = prop::collection::vec(changes(), 1..160);
    // A leaf here and there loses nearly all it has.
    let thinned = (any::<Index>(), 2..9_u8).prop_map(|(from, count)| Change::DeleteRun(from, count));
    let thinned = prop::collection::vec(thinned, 1..5);
    let round = (prop_oneof![few, many, thinned], prop::option::weighted(0.2, 0..6_u8))
        .prop_map(|(changes, give_up_after)| Round { changes, give_up_after });
    let page = prop_oneof![6 => Just(512_usize), 1 => Just(1024), 1 => Just(4096)];
    (page, prop::collection::vec(round, 1..13))
}

impl World {
    fn name(&self, name: &Name) -> Option<Vec<u8>> {
        let longest = (self.page_size / 8).min(1024);
        match name {
            Name::Of(number) => Some(alloc::format!("{:x}/{number:04}", number % 7).into_bytes()),
            Name::Long(number) => {
                let mut name = alloc::format!("long {:02}", number % 5).into_bytes();
                name.resize(longest - usize::from(number % 3), b'-');
                // They differ in their last bytes only.
                name[longest - 4] = b'a' + (number % 26) as u8;
                Some(name)
            }
            Name::Any(bytes) => Some(bytes[..bytes.len().min(longest)].to_vec()),
            Name::Present(at) => (!self.after.is_empty())
                .then(|| self.after.keys().nth(at.index(self.after.len())).expect("inside").clone()),
        }
    }

    fn content(&mut self, content: &Content) -> Body {
        let size = self.page_size as u64;
        match content {
            Content::Inline(length) => {
                let length = usize::from(*length) % (self.page_size / 4 + 1);
                Body::Inline(pattern(self.sequence, length))
            }
            Content::Extent(pages) => {
                let length = u64::from(*pages) * size - self.sequence % size;
                Body::Extent {
                    page: self.fresh(length),
                    length,
                    digest: Digest::of(&self.sequence.to_le_bytes()),
                }
            }
            Content::Chunks(count) => {
                let chunk_size = 2 * self.page_size as u32;
                let length =
                    u64::from(*count) * u64::from(chunk_size) - self.sequence % u64::from(chunk_size);
                let chunk = |world: &mut Self, index: u64| {
                    let rest = length - index * u64::from(chunk_size);
                    let digest = Digest::of(&[world.sequence, index].map(u64::to_le_bytes).concat());
                    let page = world.fresh(rest.min(u64::from(chunk_size)));
                    ChunkRef { page: U64::new(page.0), digest: digest.0 }
                };
                let chunks = (0..u64::from(*count)).map(|index| chunk(self, index)).collect();
                Body::Chunks { length, chunk_size, chunks, digest: Digest::of(b"of all") }
            }
        }
    }

    /// Pages that nothing uses.
    fn fresh(&mut self, length: u64) -> PageIndex {
        let page = PageIndex(self.next_page);
        self.next_page += length.div_ceil(self.page_size as u64);
        page
    }

    /// Makes a change pending.
    fn change(&mut self, change: &Change) {
        self.sequence += 1;
        match change {
            Change::Put(name, content) => {
                let Some(name) = self.name(name).filter(|name| !self.inherited.contains(name)) else {
                    return;
                };
                TALLY.hit(match (self.after.contains_key(&name), content) {
                    (true, _) => "put over another",
                    (_, Content::Inline(_)) => "put inline",
                    (_, Content::Extent(_)) => "put an extent",
                    (_, Content::Chunks(_)) => "put chunks",
                });
                let block =
                    Block { sequence: self.sequence, tag: !self.sequence, body: self.content(content) };
                self.freeze(&name, Some(block), false);
            }
            Change::Delete(name) => {
                let Some(name) = self.name(name).filter(|name| !self.inherited.contains(name)) else {
                    return;
                };
                TALLY.hit(if self.after.contains_key(&name) { "delete" } else { "delete nothing" });
                self.freeze(&name, None, false);
            }
            Change::DeleteRun(from, count) => {
                let at = from.index(self.after.len().max(1));
                let run = self.after.keys().skip(at).take(usize::from(*count));
                let names: Vec<_> = run.filter(|name| !self.inherited.contains(*name)).cloned().collect();
                TALLY.add("delete in a run", names.len() as u64);
                names.iter().for_each(|name| self.freeze(name, None, false));
            }
            Change::DeleteStripes(width) => {
                let striped =
                    self.after.keys().enumerate().filter(|(at, _)| at / usize::from(*width) % 2 == 0);
                let names = striped.map(|(_, name)| name).filter(|name| !self.inherited.contains(*name));
                let names: Vec<_> = names.cloned().collect();
                TALLY.add("delete in stripes", names.len() as u64);
                names.iter().for_each(|name| self.freeze(name, None, false));
            }
            Change::Move(from, to) => self.rename(from, to),
        }
    }

    /// The pages of a folded block change hands.
    fn rename(&mut self, from: &Index, to: &Name) {
        let Some(to) = self.name(to) else { return };
        let movable: Vec<_> = self
            .before
            .iter()
            .filter(|(name, block)| {
                !matches!(block.body, Body::Inline(_)) && !self.frozen.contains_key(*name)
            })
            .map(|(name, block)| (name.clone(), block.clone()))
            .collect();
        if movable.is_empty() || self.inherited.contains(&to) {
            return;
        }
        let (from, block) = &movable[from.index(movable.len())];
        if *from == to {
            return;
        }
        TALLY.hit(if *from < to { "rename upwards" } else { "rename downwards" });
        self.freeze(from, None, true);
        let moved = Block { sequence: self.sequence, tag: block.tag, body: block.body.clone() };
        self.freeze(&to, Some(moved), false);
        self.inherited.insert(to);
    }

    /// Puts an entry into the frozen layer; None deletes.
    fn freeze(&mut self, name: &[u8], block: Option<Block>, moved: bool) {
        let base_moved = self.frozen.get(name).map_or(moved, |before| before.base_moved);
        let (sequence, tag) = block.as_ref().map_or((self.sequence, 0), |block| (block.sequence, block.tag));
        let (value, length, digest) = match block.as_ref().map(|block| &block.body) {
            None => (Value::Deleted, 0, Digest::default()),
            Some(Body::Inline(bytes)) => (Value::Inline { at: 0 }, bytes.len() as u64, Digest::default()),
            // A carried value is to the tree what an extent is.
            Some(Body::Extent { page, length, digest }) if length % 2 == 0 => {
                (Value::Carried { at: 0, page: *page }, *length, *digest)
            }
            Some(Body::Extent { page, length, digest }) => (Value::Extent { page: *page }, *length, *digest),
            Some(Body::Chunks { length, chunk_size, digest, .. }) => {
                (Value::Chunks { at: 0, chunk_size: *chunk_size }, *length, *digest)
            }
        };
        let entry =
            Entry { sequence: Sequence(sequence), tag, length, digest, value, base_moved, inherited: false };
        self.frozen.insert(name.to_vec(), entry);
        match block {
            Some(block) => drop(self.after.insert(name.to_vec(), block)),
            None => drop(self.after.remove(name)),
        }
    }
}

fn run((page_size, rounds): (usize, Vec<Round>)) {
    let mut world = World::new(page_size);
    for round in &rounds {
        round.changes.iter().for_each(|change| world.change(change));
        // A checkpoint begins only when there is something to fold in.
        if world.frozen.is_empty() {
            continue;
        }
        let height = world.root.height;
        let folded = world.fold(round.give_up_after).unwrap_or_else(|| {
            TALLY.hit("fold given up");
            world.undo();
            world.fold(None).expect("a fold that nobody gives up comes to its end")
        });
        world.adopt(&folded);
        let root = world.root.height;
        if root != height {
            TALLY.hit(if root > height { "tree grows" } else { "tree shrinks" });
        }
        TALLY.hit(["empty tree", "one leaf", "two levels", "three levels"][root.min(3) as usize]);
        world.assert_sound();
    }
    // To nothing again.
    let names: Vec<_> = world.after.keys().cloned().collect();
    names.iter().for_each(|name| world.freeze(name, None, false));
    if !names.is_empty() {
        let folded = world.fold(None).expect("as before");
        world.adopt(&folded);
    }
    world.assert_sound();
    assert_eq!((world.root.height, world.used.len()), (0, 0), "an empty tree has no page");
}

#[test]
fn a_tree_is_a_map() {
    let kinds = [
        "put over another",
        "put inline",
        "put an extent",
        "put chunks",
        "delete",
        "delete nothing",
        "delete in a run",
        "rename upwards",
        "rename downwards",
        "fold given up",
        "tree grows",
        "tree shrinks",
        "empty tree",
        "one leaf",
        "two levels",
        "three levels",
        "absent name looked up",
        "sought between records",
        "fresh node beside another",
        "delete in stripes",
        "node made even",
    ];
    let regressions = "tests/property/regressions/tree.txt";
    check(("the tree alone", regressions), 160, &rounds(), (&TALLY, &kinds), run);
}
