//! Records in the wrong order or company under right digests, and what verification says of them.

use super::forge::{Forge, LIMIT, cell_at};
use super::{SMALL, Watched, image};
use crate::support::*;
use blockyard_core::Durability::Buffered;
use blockyard_core::error::{OpenError, WriteError};
use blockyard_core::format::{InternalCell, cell_kind, op_kind};
use blockyard_core::store::{Problem, Verification};
use blockyard_core::tree::NodeView;
use blockyard_core::{Digest, Structure};

/// Where the cells of a kind are: the path to their leaf, and their number in it.
fn cells_of(forge: &Forge, wanted: u8) -> Vec<(Vec<usize>, usize)> {
    let leaves = forge
        .paths()
        .into_iter()
        .filter(|path| NodeView::parse(&forge.node_bytes(path)).unwrap().level() == 0);
    let cells = leaves.flat_map(|path| {
        let node = forge.node_bytes(&path);
        let count = NodeView::parse(&node).unwrap().len();
        let found = (0..count).filter(move |&index| node[cell_at(&node, index)] == wanted);
        found.map(|index| (path.clone(), index)).collect::<Vec<_>>()
    });
    cells.collect()
}

/// Verification did not compare a key with the one in the leaf before, nor a list of chunks with its
/// block: a file with wrong keys, chunks or digests under right digests was called sound, and blocks in it
/// could not be found or read. Every such forgery is now told, and an unchanged one is not.
#[test]
fn verification_tells_keys_and_chunks_that_do_not_belong() {
    let image = image(&SMALL);
    let problems = |change: &dyn Fn(&mut Forge)| {
        let mut forge = Forge::new(&image.bytes);
        // What verification reads is the registry; the journal may stay as it is.
        change(&mut forge);
        let device = Watched::new(forge.bytes(), LIMIT);
        let opened = SMALL.open_with::<Heap, _>(device, |options| options.read_only = true);
        let mut findings = Findings::default();
        verify_both_ways(&mut opened.unwrap().0, &mut findings).unwrap();
        findings.problems
    };
    let registry = |(_, problem): &(Option<Vec<u8>>, Problem)| matches!(problem, Problem::Damaged(damage) if damage.what == Structure::Registry);
    let plain = Forge::new(&image.bytes);
    // Both superblock copies of the other generation are gone.
    let superblocks = problems(&|_| {});
    assert_eq!(superblocks.len(), 2, "{superblocks:?}");

    let mut told = 0;
    let mut expect = |what: &str, name: Option<&[u8]>, change: &dyn Fn(&mut Forge)| {
        let found = problems(change);
        let ours: Vec<_> = found.iter().filter(|found| registry(found)).collect();
        assert!(!ours.is_empty(), "{what}: {found:?}");
        assert!(name.is_none() || ours.iter().any(|found| found.0.as_deref() == name), "{what}: {found:?}");
        told += 1;
    };
    // The last key of a leaf above the first of the next one, and the first below the last before.
    let inline = cells_of(&plain, cell_kind::INLINE);
    for (path, index) in &inline {
        for byte in [0, 0xFF] {
            if (index, byte) == (&0, 0) && path.iter().all(|index| *index == 0) {
                continue;
            }
            expect(&format!("name of {path:?} {index} begins with {byte}"), None, &|forge| {
                forge.node(path, &mut |page| {
                    let at = cell_at(page, *index) + 8;
                    page[at] = byte;
                });
            });
        }
    }
    // A separator above the first key that it leads to, and one below the last key before.
    for path in
        plain.paths().iter().filter(|path| NodeView::parse(&plain.node_bytes(path)).unwrap().level() > 0)
    {
        for index in 0..NodeView::parse(&plain.node_bytes(path)).unwrap().len() {
            for byte in [0, 0xFF] {
                if byte == 0 && index == 0 {
                    continue;
                }
                expect(&format!("separator {index} of {path:?} begins with {byte}"), None, &|forge| {
                    forge.node(path, &mut |page| {
                        let at = cell_at(page, index) + InternalCell::SIZE;
                        page[at] = byte;
                    });
                });
            }
        }
    }
    let chunks = cells_of(&plain, cell_kind::CHUNK);
    for (path, index) in &chunks {
        expect("a chunk of another number", Some(b"chunks"), &|forge| {
            forge.node(path, &mut |page| {
                let at = cell_at(page, *index) + 4;
                page[at] += 7;
            });
        });
        expect("a chunk of another length", Some(b"chunks"), &|forge| {
            forge.node(path, &mut |page| {
                let at = cell_at(page, *index) + 8 + b"chunks".len() + 40;
                page[at] ^= 1;
            });
        });
    }
    let heads = cells_of(&plain, cell_kind::HEAD);
    for (path, index) in &heads {
        for (what, at) in [("digest of the block", 32), ("length", 16), ("chunk size", 97)] {
            expect(what, Some(b"chunks"), &|forge| {
                forge.node(path, &mut |page| {
                    let at = cell_at(page, *index) + 8 + b"chunks".len() + at;
                    page[at] ^= 4;
                });
            });
        }
    }
    assert!(inline.len() > 10 && chunks.len() == 2 && heads.len() == 1 && told > 40, "{told} forgeries");
}

/// Where keys go back, a search for the last one leads to where the walk was before: in steps, with a checkpoint before each, it went
/// round for ever. Found in review.
#[test]
fn verification_in_steps_ends_where_keys_go_back() {
    let image = image(&SMALL);
    let plain = Forge::new(&image.bytes);
    let mut overtaken = 0;
    for (path, index) in &cells_of(&plain, cell_kind::INLINE) {
        let mut forge = Forge::new(&image.bytes);
        forge.node(path, &mut |page| {
            let at = cell_at(page, *index) + 8;
            page[at] = 0;
        });
        forge.records.clear();
        forge.superblock.epoch = (forge.superblock.epoch.get() + 1).into();
        let (mut store, _) = SMALL.open::<Heap, _>(Watched::new(forge.bytes(), u64::MAX)).unwrap();
        let mut verification = Verification::new([0; 64]);
        let (mut findings, mut steps) = (Findings::default(), 0_u64);
        while store.verify_step(&mut verification, &mut findings).unwrap() {
            steps += 1;
            assert!(steps < 2000, "{path:?} {index}: it does not come to an end");
            put(&mut store, b"~", &bytes(steps, 20), Buffered).ok();
            overtaken += u64::from(store.checkpoint().is_ok());
        }
    }
    assert!(overtaken > 100, "{overtaken} checkpoints came between");
}

/// When a block's head stood in one leaf and its chunks in the next, chunks under another name were taken for
/// its own, because the separator between the leaves had that name: the block was called sound and could
/// not be read. Found by fuzzing.
#[test]
fn chunks_of_another_name_in_the_next_leaf_are_told() {
    let mut golden = include_bytes!("../../golden/v1-pages-512.by").to_vec();
    golden.resize(512 << 10, 0);
    let plain = Forge::new(&golden);
    let (heads, chunks) = (cells_of(&plain, cell_kind::HEAD), cells_of(&plain, cell_kind::CHUNK));
    let (path, index) = &heads[0];
    assert!(chunks.iter().all(|chunk| chunk.0 != *path), "the chunks stand in another leaf");
    let mut forge = Forge::new(&golden);
    forge.node(path, &mut |page| {
        let at = cell_at(page, *index) + 8;
        assert_eq!(&page[at..at + 8], b"streamed");
        page[at + 4] = b'`';
    });
    let opened =
        SMALL.open_with::<Heap, _>(Watched::new(forge.bytes(), LIMIT), |options| options.read_only = true);
    let mut findings = Findings::default();
    verify_both_ways(&mut opened.unwrap().0, &mut findings).unwrap();
    for name in [&b"stre`med"[..], b"streamed"] {
        let told = findings.problems.iter().any(|(of, _)| of.as_deref() == Some(name));
        assert!(told, "{}: {:?}", name.escape_ascii(), findings.problems);
    }
}

/// A block whose pages were said to be the free map's own was called sound if as many pages were lost
/// elsewhere; deleting it freed the map's pages. Now verification tells it, the deletion is refused, and so is a
/// record of the journal that names such pages.
#[test]
fn a_block_in_the_pages_of_the_free_map_is_told() {
    let image = image(&SMALL);
    let slots = Forge::new(&image.bytes).superblock.first_group.get() + 2;
    let extents = cells_of(&Forge::new(&image.bytes), cell_kind::EXTENT);
    assert!(extents.len() >= 2);
    for (path, index) in &extents {
        let mut forge = Forge::new(&image.bytes);
        let contents = Digest::of(&image.bytes[slots as usize * 512..][..512]);
        let mut name = Vec::new();
        forge.node(path, &mut |page| {
            let at = cell_at(page, *index);
            let length = usize::from(page[at + 2]);
            name = page[at + 8..at + 8 + length].to_vec();
            let value = at + 8 + length;
            page[value + 16..value + 24].copy_from_slice(&512_u64.to_le_bytes());
            page[value + 24..value + 32].copy_from_slice(&slots.to_le_bytes());
            page[value + 32..value + 64].copy_from_slice(&contents.0);
        });
        forge.records.clear();
        forge.superblock.epoch = (forge.superblock.epoch.get() + 1).into();
        let (mut store, _) = SMALL.open::<Heap, _>(Watched::new(forge.bytes(), LIMIT)).unwrap();
        let mut findings = Findings::default();
        verify_both_ways(&mut store, &mut findings).unwrap();
        let unmarked = |(of, problem): &(Option<Vec<u8>>, Problem)| {
            of.as_ref() == Some(&name) && matches!(problem, Problem::Unmarked(_))
        };
        assert!(findings.problems.iter().any(unmarked), "{:?}", findings.problems);
        delete(&mut store, &name, Buffered).unwrap();
        let Err(WriteError::Corrupted(damage)) = store.checkpoint() else {
            panic!("a page of the map was freed")
        };
        assert_eq!(damage.what, Structure::FreeMap);
    }

    // The extent of the journal: of three, the one whose record says so.
    let mut forge = Forge::new(&image.bytes);
    let kind = |record: &super::forge::Record| record.meta.first() == Some(&op_kind::EXTENT);
    let record = forge.records.iter_mut().find(|record| kind(record)).expect("one of them is an extent");
    let at = record.meta.len() - 8;
    record.meta[at..].copy_from_slice(&slots.to_le_bytes());
    let opened = SMALL.open::<Heap, _>(Watched::new(forge.bytes(), LIMIT));
    assert!(matches!(opened, Err(OpenError::Corrupted(damage)) if damage.what == Structure::Journal));
}
