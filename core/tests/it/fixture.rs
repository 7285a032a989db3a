//! What a power cut left, kept as a file: a journal of every kind of record, and behind it one that
//! never reached the device in full. Recovery says of it what it said when it was made.
//!
//! `BLOCKYARD_REGENERATE=1 cargo test -p blockyard-core fixture` writes it anew; a change of its bytes
//! is a change of the format, or needs a reason in CHANGELOG.md.

use crate::support::*;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::device::VecDevice;
use blockyard_core::format::RecordHeader;
use blockyard_core::overlay::Overlay;
use blockyard_core::store::{Memory, Recovery};
use blockyard_core::{Digest, Sequence};

const SHAPE: Shape = Shape {
    page_size: 512,
    journal_pages: 12,
    chunk_pages: 2,
    memory: Memory { levels: 4, map_pages: 6, staging: 8 << 10 },
    growth: 1,
    groups_ahead: 1,
    carry_max: 700,
};

fn path() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1-torn-512.by")
}

/// Bytes that depend on nothing but their name.
fn pattern(name: &str, length: usize) -> Vec<u8> {
    let digests = (0_u64..).map(|round| Digest::of(&[name.as_bytes(), &round.to_le_bytes()].concat()));
    digests.flat_map(|digest| digest.0).take(length).collect()
}

/// The image as it was made, what must be in it, and what recovery says.
fn make() -> (Vec<u8>, Model, Recovery) {
    let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(1 << 12));
    let mut model = Model::new();
    let put_in = |store: &mut TestStore<Heap>, model: &mut Model, name: &str, length, durability| {
        let value = pattern(name, length);
        put(store, name.as_bytes(), &value, durability).unwrap();
        model.insert(name.into(), (name.len() as u64, value));
    };
    for name in ["b", "a", "ä name in UTF-8", "a/longer/name/with/parts"] {
        put_in(&mut store, &mut model, name, 80 + name.len(), Buffered);
    }
    put_in(&mut store, &mut model, "empty", 0, Durable);
    put_in(&mut store, &mut model, "extent", 800, Durable);
    let value = pattern("chunks", 2 * 1024 + 5);
    stream(&mut store, b"chunks", 99, &value, Durable).unwrap();
    model.insert(b"chunks".into(), (99, value));
    store.checkpoint().unwrap();

    let from = store.sequence();
    put_in(&mut store, &mut model, "inline", 50, Buffered);
    put_in(&mut store, &mut model, "carried", 300, Durable);
    put_in(&mut store, &mut model, "placed", 900, Buffered);
    let value = pattern("new chunks", 1024 + 1);
    stream(&mut store, b"new chunks", 98, &value, Buffered).unwrap();
    model.insert(b"new chunks".into(), (98, value));
    delete(&mut store, b"a", Buffered).unwrap();
    model.remove(&b"a"[..]);
    let mut scratch = batch(store.geometry());
    store.rename(b"extent", b"renamed", &mut scratch, Durable).unwrap();
    let renamed = model.remove(&b"extent"[..]).unwrap();
    model.insert(b"renamed".into(), renamed);
    store.seal().unwrap();
    let to = store.sequence();

    let (geometry, position) = (*store.geometry(), store.superblock().journal_position.get());
    let behind = position + store.journal_used();
    put(&mut store, b"torn", &pattern("torn", 80), Buffered).unwrap();
    let mut image = store.into_device().bytes().to_vec();
    let at = (geometry.journal_offset() + behind % geometry.journal_length()) as usize;
    assert_eq!(image[at..at + 4], RecordHeader::MAGIC, "the last record begins there");
    // Its operations never came to the device.
    image[at + RecordHeader::SIZE..at + RecordHeader::SIZE + 64].fill(0);
    let recovery = Recovery { records: 7, from, to, watermark: to, torn_tail: true, damage: None };
    (image, model, recovery)
}

#[test]
fn the_writer_still_makes_the_same_bytes() {
    let (image, ..) = make();
    assert!(image.len() < 64 << 10, "{} bytes", image.len());
    if std::env::var_os("BLOCKYARD_REGENERATE").is_some() {
        std::fs::write(path(), &image).unwrap();
    }
    let fixture = std::fs::read(path()).unwrap();
    let differs = fixture.iter().zip(&image).position(|(kept, made)| kept != made);
    assert_eq!((differs, fixture.len()), (None, image.len()), "the first byte that differs");
}

fn opens_with<O: Overlay + Default>() {
    let fixture = std::fs::read(path()).unwrap();
    let (_, mut model, expected) = make();
    for read_only in [true, false] {
        let device = VecDevice::from_bytes(fixture.clone(), 512, 1 << 20);
        let (mut store, recovery) =
            SHAPE.open_with::<O, _>(device, |options| options.read_only = read_only).unwrap();
        assert_eq!(recovery, expected);
        assert_same(&contents(&mut store), &model, "recovered");
        if read_only {
            let root = store.root();
            let commits_to = (root.sequence, root.height, root.digest.to_string());
            assert_eq!(
                commits_to,
                (Sequence(ROOT.0), ROOT.1, ROOT.2.to_owned()),
                "the registry below the journal"
            );
            assert_eq!(store.into_device().bytes(), fixture, "reading only writes nothing");
            continue;
        }
        assert_sound(&mut store, &model, "recovered");
        put(&mut store, b"one more", b"fresh", Durable).unwrap();
        model.insert(b"one more".into(), (8, b"fresh".into()));
        let (mut store, recovery) = SHAPE.open::<O, _>(store.into_device()).unwrap();
        assert!(!recovery.torn_tail && recovery.to == Sequence(expected.to.0 + 1), "{recovery:?}");
        assert_same(&contents(&mut store), &model, "one commit later");
    }
}

#[test]
fn a_torn_journal_recovers_with_bodies_on_the_heap() {
    opens_with::<Heap>();
}

#[test]
fn a_torn_journal_recovers_with_bodies_in_the_journal() {
    opens_with::<Fixed>();
}

/// Sequence, height and digest of the registry.
const ROOT: (u64, u32, &str) = (7, 2, "4f58fe8192d29f8a1c6c28cc40e9aeba3b702abb55d1a89a097b5239d7dd7f69");
