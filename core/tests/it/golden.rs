//! Images that the first version of the format wrote. They are never written again: what opens today
//! opens for ever. A change of the format takes a new version and images of its own beside these.
//!
//! `BLOCKYARD_WRITE_GOLDEN=1` writes those that are missing.

use crate::support::*;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::device::VecDevice;
use blockyard_core::format::VERSION;
use blockyard_core::overlay::Overlay;
use blockyard_core::store::BlockLocation;
use std::path::PathBuf;

const SMALL_PAGES: Shape =
    Shape { journal_pages: 16, chunk_pages: 2, growth: 8, carry_max: 1024, ..Shape::SMALL };
const LARGE_PAGES: Shape =
    Shape { journal_pages: 4, chunk_pages: 1, growth: 1, carry_max: 4096, ..Shape::LARGE };

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Bytes that only arithmetic makes, so that no crate's next version changes them.
fn pattern(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Every kind of block, some of them changed, renamed and deleted. What is folded in and what stays in
/// the journal is the caller's choice.
fn write<O: Overlay + Default>(shape: &Shape, unfolded: bool) -> (Vec<u8>, Model) {
    let mut store: TestStore<O> = shape.new_store(shape.device(1 << 10));
    let mut model = Model::new();
    let inline = store.geometry().max_inline();
    let chunk = store.geometry().chunk_size() as usize;
    for (index, length) in [0, 1, inline, inline + 1, chunk].into_iter().enumerate() {
        let name = format!("put/{index}").into_bytes();
        let value = pattern(index as u32, length);
        put(&mut store, &name, &value, Durable).unwrap();
        model.insert(name.clone(), (name.len() as u64, value));
    }
    let mut many = batch(store.geometry());
    for index in 0..40_u32 {
        let name = format!("many/{index:02}").into_bytes();
        let value = pattern(100 + index, 20 + index as usize);
        many.put(&name, &value, u64::from(index)).unwrap();
        model.insert(name, (u64::from(index), value));
    }
    store.commit(&mut [many], Buffered).unwrap();
    store.checkpoint().unwrap();
    let value = pattern(7, 3 * chunk + 5);
    stream(&mut store, b"streamed", u64::MAX, &value, Durable).unwrap();
    model.insert(b"streamed".to_vec(), (u64::MAX, value));
    let mut scratch = batch(store.geometry());
    store.rename(b"put/4", b"\xff\x00 any bytes", &mut scratch, Durable).unwrap();
    let block = model.remove(&b"put/4"[..]).unwrap();
    model.insert(b"\xff\x00 any bytes".to_vec(), block);
    delete(&mut store, b"many/07", Durable).unwrap();
    model.remove(&b"many/07"[..]);
    if !unfolded {
        store.checkpoint().unwrap();
    }
    (trimmed(store.into_device().bytes()), model)
}

/// Without the zeros at the end, which a device may put back.
fn trimmed(image: &[u8]) -> Vec<u8> {
    let end = image.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    image[..end.next_multiple_of(512)].to_vec()
}

const LENGTH: usize = 512 << 10;

/// Name, shape, and whether the last changes are still in the journal.
const IMAGES: [(&str, &Shape, bool); 3] = [
    ("v1-pages-512.by", &SMALL_PAGES, false),
    ("v1-pages-512-unfolded.by", &SMALL_PAGES, true),
    ("v1-pages-4096.by", &LARGE_PAGES, false),
];

fn golden(name: &str, shape: &Shape, unfolded: bool) -> Vec<u8> {
    let path = path(name);
    if std::env::var_os("BLOCKYARD_WRITE_GOLDEN").is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, write::<Heap>(shape, unfolded).0).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn opens_with<O: Overlay + Default>() {
    for (name, shape, unfolded) in IMAGES {
        let image = golden(name, shape, unfolded);
        let (_, model) = write::<Heap>(shape, unfolded);
        let mut whole = image.clone();
        whole.resize(LENGTH, 0);
        let device = || VecDevice::from_bytes(whole.clone(), 512, LENGTH as u64);
        let (mut store, recovery) =
            shape.open_with::<O, _>(device(), |options| options.read_only = true).unwrap();
        assert_eq!(recovery.records > 0, unfolded, "{name}");
        assert_same(&contents(&mut store), &model, name);
        assert_eq!(store.file_id(), *b"a test's file id");
        assert_eq!(store.device().bytes(), whole, "{name}: reading only writes nothing");

        let (mut store, _) = shape.open::<O, _>(device()).unwrap();
        assert_same(&contents(&mut store), &model, name);
        assert_sound(&mut store, &model, name);
        let streamed = store.info(b"streamed").unwrap().unwrap();
        assert!(matches!(streamed.location, BlockLocation::Chunks { count: 4, .. }), "{name}");
    }
}

#[test]
fn golden_images_open_with_bodies_on_the_heap() {
    assert_eq!(VERSION, 1, "a new version wants images of its own");
    opens_with::<Heap>();
}

#[test]
fn golden_images_open_with_bodies_in_the_journal() {
    opens_with::<Fixed>();
}

/// The writer may place things elsewhere one day, which is no change of the format; then this test goes
/// on with an image of that day. Until then equal bytes say that nothing changed unnoticed.
#[test]
fn the_same_changes_still_write_the_same_bytes() {
    for (name, shape, unfolded) in IMAGES {
        let golden = golden(name, shape, unfolded);
        assert!(golden.len() < 60 * shape.page_size as usize + 100_000, "{name} has {} bytes", golden.len());
        for written in [write::<Heap>(shape, unfolded).0, write::<Fixed>(shape, unfolded).0] {
            let differs = written.iter().zip(&golden).position(|(written, golden)| written != golden);
            assert_eq!(differs, None, "{name}: first byte that differs");
            assert_eq!(written.len(), golden.len(), "{name}");
        }
    }
}
