//! What a recovery would not take in again is refused before it is recorded. Once it was answered durable, and the
//! file did not open any more: damage in front of whatever was committed behind it.

use crate::support::*;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::batch::{BatchError, GrowBytes};
use blockyard_core::device::VecDevice;
use blockyard_core::error::WriteError;
use blockyard_core::format::ChunkRef;
use blockyard_core::overlay::Overlay;
use blockyard_core::store::StagedChunk;
use blockyard_core::{Batch, Digest, PageIndex};

/// Commits one more block, and opens what a power cut leaves behind it: everything committed is there.
fn goes_on<O: Overlay + Default>(mut store: TestStore<O>, shape: Shape) {
    put(&mut store, b"after", b"kept", Durable).unwrap();
    let expected = contents(&mut store);
    let image = store.into_device().bytes().to_vec();
    let (mut store, _) = shape.open::<O, _>(VecDevice::from_bytes(image, 512, 1 << 30)).unwrap();
    assert_same(&contents(&mut store), &expected, "recovered");
    assert_sound(&mut store, &expected, "recovered");
}

fn small<O: Overlay + Default>() -> TestStore<O> {
    let mut store = Shape::SMALL.new_store(Shape::SMALL.device(4096));
    put(&mut store, b"before", b"kept too", Durable).unwrap();
    store
}

/// A writer that was told that its list is full committed the chunks that it had as a block of all the bytes.
fn a_failed_writer_commits_nothing<O: Overlay + Default>() {
    let mut store = small::<O>();
    let mut chunk = vec![0; 512];
    let mut scratch = batch(store.geometry());
    let mut writer = store.writer::<2>(b"block", 0, &mut chunk).unwrap();
    assert_eq!(
        writer.write(&[7; 4 * 512]),
        Err(WriteError::BatchTooLarge),
        "four chunks where two are possible"
    );
    assert_eq!(writer.write(b"more"), Err(WriteError::BatchUnfit));
    assert_eq!(writer.finish(&mut scratch, Durable), Err(WriteError::BatchUnfit));
    assert_eq!(get(&mut store, b"block"), None);
    goes_on(store, Shape::SMALL);
}

#[test]
fn a_writer_that_failed_commits_nothing() {
    a_failed_writer_commits_nothing::<Heap>();
    a_failed_writer_commits_nothing::<Fixed>();
}

/// The same of one that met a full device: it committed what it had taken before that as the block.
#[test]
fn a_writer_that_met_a_full_device_commits_nothing() {
    let shape = Shape { chunk_pages: 16, growth: 0, ..Shape::SMALL };
    let mut store: TestStore<Heap> = shape.new_store(shape.device(shape.front_pages() + 120));
    let mut chunk = vec![0; 16 * 512];
    let mut scratch = batch(store.geometry());
    let mut writer = store.writer::<64>(b"block", 0, &mut chunk).unwrap();
    let written = bytes(1, 64 * 16 * 512).chunks(1000).try_for_each(|piece| writer.write(piece));
    assert_eq!(written, Err(WriteError::Full));
    assert_eq!(writer.finish(&mut scratch, Durable), Err(WriteError::BatchUnfit));
    assert_eq!(get(&mut store, b"block"), None);
    goes_on(store, shape);
}

/// A list of too few chunks, of too many or of none was read back as something else, or as no block at all.
#[test]
fn a_list_that_is_not_the_blocks_is_refused() {
    let mut store = small::<Heap>();
    store.begin_staged();
    let chunk = store.write_chunk(&[1; 512], Digest::of(&[1; 512])).unwrap().to_ref();
    let mut one = batch(store.geometry());
    for (length, list, needed) in
        [(1024, &[chunk][..], 2), (512, &[chunk, chunk], 1), (0, &[], 0), (512, &[], 1)]
    {
        let refused = Err(BatchError::ChunkCount { listed: list.len(), needed });
        assert_eq!(one.put_chunks(b"block", length, 0, 512, list), refused);
        assert_eq!(
            one.put_chunks(b"block", length, 0, 0, list),
            Err(BatchError::ChunkCount { listed: list.len(), needed: 0 })
        );
    }
    assert!(one.is_empty());
    // Chunks are whole pages, but the last of a block.
    one.put_chunks(b"block", 500, 0, 500, &[chunk]).unwrap();
    assert_eq!(store.commit(&mut [one], Durable), Err(WriteError::BatchUnfit));
    store.end_staged();
    goes_on(store, Shape::SMALL);
}

/// A batch is filled by the limits of the geometry that it was made for: an inline value of larger pages is none here.
#[test]
fn a_batch_of_another_geometry_is_refused() {
    let larger = Shape { page_size: 1024, ..Shape::SMALL };
    let longer = Shape { chunk_pages: 8, ..Shape::SMALL };
    for other in [larger, longer, Shape::LARGE] {
        let other: TestStore<Heap> = other.new_store(other.device(4096));
        for length in [5, 200, 500] {
            let mut store = small::<Heap>();
            let mut many = [batch(store.geometry()), batch(other.geometry())];
            many[0].put(b"fits", b"alone", 0).unwrap();
            many[1].put(b"name", &vec![1; length], 0).unwrap();
            let before = store.counters();
            assert_eq!(store.commit(&mut many, Durable), Err(WriteError::BatchUnfit));
            assert_eq!(store.counters(), before, "nothing was written");
            many[1].clear();
            store.commit(&mut many, Durable).unwrap();
            goes_on(store, Shape::SMALL);
        }
    }
}

/// Pages that the file does not have, or that are none of a block's, in an extent or in a list.
#[test]
fn pages_that_no_block_has_are_refused() {
    let mut store = small::<Heap>();
    let (first, end) = (Shape::SMALL.front_pages(), store.pages());
    let digest = Digest::of(&[1; 512]);
    for page in [0, first - 1, first, first + 15, end, 1 << 40, u64::MAX] {
        let mut one = batch(store.geometry());
        one.put_extent(b"name", 512, 0, digest, PageIndex(page)).unwrap();
        assert_eq!(store.commit(&mut [one], Buffered), Err(WriteError::BatchUnfit), "page {page}");
        let chunk = |page| StagedChunk { page: PageIndex(page), digest }.to_ref();
        let lists: [&[ChunkRef]; 2] = [&[chunk(first + 20), chunk(page)], &[chunk(page), chunk(first + 20)]];
        for list in lists {
            let mut one = batch(store.geometry());
            one.put_chunks(b"name", 1024, 0, 512, list).unwrap();
            assert_eq!(store.commit(&mut [one], Buffered), Err(WriteError::BatchUnfit), "page {page}");
        }
    }
    let mut one = batch(store.geometry());
    one.put_extent(b"name", 5 * 512, 0, digest, PageIndex(first + 16)).unwrap();
    assert_eq!(store.commit(&mut [one], Buffered), Err(WriteError::BatchUnfit), "longer than a chunk");
    goes_on(store, Shape::SMALL);
}

/// A buffer that breaks its promise: asked for more than it has, it loses a page and a half of what it holds.
struct Forgetful(Vec<u8>);

impl AsRef<[u8]> for Forgetful {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for Forgetful {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl GrowBytes for Forgetful {
    fn append(&mut self, bytes: &[u8]) -> bool {
        GrowBytes::append(&mut self.0, bytes)
    }
    fn set_length(&mut self, length: usize) -> bool {
        let grows = length > self.0.len();
        self.0.truncate(if grows { self.0.len().saturating_sub(512 + 256) } else { length });
        !grows
    }
}

/// A value was written as far as it was there and answered durable, with a digest that it does not have.
#[test]
fn a_value_that_its_buffer_cut_short_is_refused() {
    let mut store = small::<Heap>();
    // One that gets pages of its own, the last of them not full.
    let mut one = Batch::new(store.geometry(), Vec::new(), Forgetful(Vec::new()));
    one.put(b"block", &bytes(1, 3 * 512 + 100), 0).unwrap();
    assert_eq!(store.commit(&mut [one], Buffered), Err(WriteError::BatchTooLarge));
    assert_eq!(get(&mut store, b"block"), None);
    goes_on(store, Shape::SMALL);
}
