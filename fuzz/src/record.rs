//! Target `record`: a journal of any records at all.
//!
//! The bytes compose records, operation by operation or raw, change some bytes of them and lay them into
//! the journal of a small file, mostly with right digests. What the engine takes in of it must be
//! what a second reader of the same bytes, written here, makes of it; then everything is asked of it.

use crate::device::Watched;
use crate::hostile::{Opening, exercise};
use crate::image::patch;
use crate::input::Input;
use crate::reseal::{newest, reseal};
use crate::ring::Ring;
use crate::setup::{Heap, Setup, TestStore, batch, pattern};
use blockyard_core::Digest;
use blockyard_core::Durability::Buffered;
use blockyard_core::device::VecDevice;
use blockyard_core::format::{ChunkRef, OpHeader, RecordHeader, SuperblockFacts, op_kind, record_kind};
use blockyard_core::store::Recovery;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const PAGE: u64 = Setup::SMALL.page_size as u64;

/// What is known of a block without its bytes: tag, length, sequence.
type Listing = BTreeMap<Vec<u8>, (u64, u64, u64)>;

/// A file with a registry and an empty journal.
struct Base {
    image: Vec<u8>,
    superblock: SuperblockFacts,
    listing: Listing,
}

static BASE: LazyLock<Base> = LazyLock::new(|| {
    let mut store: TestStore<Heap, VecDevice> =
        Setup::SMALL.create(VecDevice::new(512, 1 << 20)).expect("possible sizes");
    let geometry = *store.geometry();
    let mut listing = Listing::new();
    for (name, length) in [("a", 20), ("b", 900), ("c", 128), ("dd", 0), ("e", 512)] {
        let mut one = batch(&geometry);
        one.put(name.as_bytes(), &pattern(5, length), 6).expect("it fits");
        let sequence = store.commit(&mut [one], Buffered).expect("there is room");
        listing.insert(name.into(), (6, length as u64, sequence.0));
    }
    let mut chunk = vec![0; 1024];
    let mut scratch = batch(&geometry);
    let mut writer = store.writer::<4>(b"chunks", 7, &mut chunk).expect("a writer");
    writer.write(&pattern(6, 2500)).expect("there is room");
    let sequence = writer.finish(&mut scratch, Buffered).expect("there is room");
    listing.insert(b"chunks".to_vec(), (7, 2500, sequence.0));
    store.checkpoint().expect("there is room");
    // Once more, so that the journal does not begin at its start.
    let (store, _) = Setup::SMALL.open::<Heap, _>(store.into_device(), |_| {}).expect("it can be opened");
    let superblock = *store.superblock();
    let mut image = store.into_device().bytes().to_vec();
    image.resize((superblock.pages.get() * PAGE) as usize, 0);
    Base { image, superblock, listing }
});

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let opening = Opening::draw(&mut input);
    let flags = input.byte();
    let mut image = BASE.image.clone();
    let geometry = BASE.superblock.geometry().expect("possible sizes");
    let ring = Ring::new(&geometry);
    let start = BASE.superblock.journal_position.get();
    let mut journal = Vec::new();
    let mut sequence = BASE.superblock.sequence.get();
    for _ in 0..input.byte() % 6 {
        // Behind a sync a record has a unit of its own.
        let unit = if input.byte() < 128 { 8 } else { PAGE as usize };
        journal.resize(journal.len().next_multiple_of(unit), 0);
        let position = start + journal.len() as u64;
        journal.extend(record(&mut input, position, &mut sequence));
    }
    if flags >= 248 {
        journal.extend(input.take(256));
    }
    for _ in 0..flags % 4 {
        let all = 0..journal.len();
        patch(&mut journal, &all, &mut input);
    }
    journal.truncate(geometry.journal_length() as usize);
    ring.write(&mut image, start, &journal);
    if flags & 4 == 0 {
        reseal(&mut image, flags & 8 == 0);
    }
    compare(&image);
    exercise(image, PAGE as u32, opening, input);
}

/// One record, not sealed.
fn record(input: &mut Input<'_>, position: u64, sequence: &mut u64) -> Vec<u8> {
    let superblock = &BASE.superblock;
    let (mut meta, mut data) = (Vec::new(), Vec::new());
    let operations = input.byte() % 7;
    let first = *sequence + u64::from(operations > 0);
    *sequence = first + u64::from(input.byte() > 200);
    for _ in 0..operations {
        operation(input, *sequence, &mut meta, &mut data);
    }
    let kind = if operations > 0 { record_kind::COMMIT } else { record_kind::SEAL };
    let mut odd = |value: u64| if input.byte() > 250 { input.number() } else { value };
    let header = RecordHeader {
        magic: RecordHeader::MAGIC,
        kind: (odd(kind.into()) as u32).into(),
        file_id: superblock.file_id,
        epoch: odd(superblock.epoch.get()).into(),
        first_sequence: odd(first).into(),
        sequence: odd(*sequence).into(),
        watermark: odd(*sequence - u64::from(position.is_multiple_of(16))).into(),
        position: odd(position).into(),
        pages: odd(superblock.pages.get()).into(),
        cursor: odd(superblock.cursor.get()).into(),
        limit: odd(0).into(),
        wrapped: (odd(0) as u32).into(),
        operations: (odd(operations.into()) as u32).into(),
        meta_length: (odd(meta.len() as u64) as u32).into(),
        data_length: (odd(data.len() as u64) as u32).into(),
        reserved: [0; 24],
        previous: [0; 32],
        meta_digest: [0; 32],
        digest: [0; 32],
    };
    let mut bytes = [header.bytes(), &meta, &data].concat();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn operation(input: &mut Input<'_>, sequence: u64, meta: &mut Vec<u8>, data: &mut Vec<u8>) {
    let name = match input.byte() % 10 {
        0 => b"chunks".to_vec(),
        1 => vec![b'n'; 64],
        2 => input.take(2).to_vec(),
        number => [b"a", b"b", b"c", b"e", b"x", b"y", b"z"][usize::from(number - 3)].to_vec(),
    };
    let kind = if input.byte() > 250 { input.byte() } else { 1 + input.byte() % 6 };
    let length = match kind {
        op_kind::DELETE | op_kind::MOVE => 0,
        op_kind::INLINE => [0, 1, 60, 128][usize::from(input.byte() % 4)],
        _ => [1, 129, 512, 700, 1024][usize::from(input.byte() % 5)],
    };
    let chunk_size =
        if kind == op_kind::CHUNKS { [512, 1024, 300][usize::from(input.byte() % 3)] } else { 0 };
    let head = OpHeader {
        kind,
        reserved: 0,
        name_length: (name.len() as u16).into(),
        chunk_size: chunk_size.into(),
        length: if input.byte() > 248 { input.number() } else { length }.into(),
        tag: u64::from(input.byte()).into(),
        sequence: sequence.into(),
        digest: [0; 32],
    };
    meta.extend(head.bytes());
    meta.extend(&name);
    match kind {
        op_kind::INLINE => meta.extend(pattern(7, length as usize)),
        op_kind::CARRIED => {
            meta.extend(page(input).to_le_bytes());
            data.extend(pattern(8, length as usize));
        }
        op_kind::EXTENT => meta.extend(page(input).to_le_bytes()),
        op_kind::CHUNKS => {
            for _ in 0..length.div_ceil(u64::from(chunk_size)) {
                meta.extend(ChunkRef { page: page(input).into(), digest: [0; 32] }.bytes());
            }
        }
        _ => {}
    }
}

/// A page: mostly a free one, or of the file, or any.
fn page(input: &mut Input<'_>) -> u64 {
    let pages = BASE.superblock.pages.get();
    match input.byte() {
        number @ 0..100 => (BASE.superblock.cursor.get() + u64::from(number % 16)).min(pages - 1),
        number @ 100..240 => pages.saturating_sub(u64::from(number - 100)),
        _ => input.number(),
    }
}

/// What the engine takes in is what is there.
fn compare(image: &[u8]) {
    let device = Watched::new(image.to_vec(), 512, image.len() as u64, 20_000);
    let change = |options: &mut blockyard_core::store::OpenOptions| {
        (options.read_only, options.salvage) = (true, true);
    };
    let Ok((mut store, recovery)) = Setup::SMALL.open::<Heap, _>(device, change) else { return };
    let mut found = Listing::new();
    let mut name = [0; 1024];
    let mut after: Option<Vec<u8>> = None;
    while let Some(length) = store.next_name(after.as_deref(), &mut name).expect("a sound registry") {
        let name = name[..length].to_vec();
        let info = store.info(&name).expect("a sound registry").expect("it is listed");
        found.insert(name.clone(), (info.tag, info.length, info.sequence.0));
        after = Some(name);
    }
    assert_eq!(found, expected(image, &recovery));
}

/// The same, read by other means: the first records of the chain, as many as were recovered.
fn expected(image: &[u8], recovery: &Recovery) -> Listing {
    let superblock = newest(image).expect("it was opened");
    let ring = Ring::new(&superblock.geometry().expect("it was opened"));
    let mut listing = BASE.listing.clone();
    let (mut head, mut chain) = (superblock.journal_position.get(), superblock.chain);
    let mut last = superblock.sequence.get();
    for _ in 0..recovery.records {
        let header = [head.next_multiple_of(8), head.next_multiple_of(512)].into_iter().find_map(|at| {
            let header = RecordHeader::read(&ring.read(image, at, RecordHeader::SIZE as u64)?)?;
            (header.is_valid() && header.previous == chain && header.position.get() == at).then_some(header)
        });
        let header = header.expect("a record that was recovered");
        let at = header.position.get() + RecordHeader::SIZE as u64;
        let meta = ring.read(image, at, header.meta_length.get().into()).expect("inside");
        assert_eq!(Digest::of(&meta).0, header.meta_digest);
        apply(&meta, header.operations.get(), &mut listing);
        (head, chain) = (header.position.get() + header.record_length(), header.digest);
        last = header.sequence.get();
    }
    assert_eq!(recovery.to.0, last);
    listing
}

fn apply(meta: &[u8], operations: u32, listing: &mut Listing) {
    let mut rest = meta;
    for _ in 0..operations {
        let head = OpHeader::read(rest).expect("checked");
        let (name, body) = rest[OpHeader::SIZE..].split_at(usize::from(head.name_length.get()));
        let length = head.length.get();
        let skip = match head.kind {
            op_kind::INLINE => length as usize,
            op_kind::CARRIED | op_kind::EXTENT => 8,
            op_kind::CHUNKS => length.div_ceil(head.chunk_size.get().into()) as usize * ChunkRef::SIZE,
            op_kind::DELETE | op_kind::MOVE => 0,
            kind => panic!("an operation of kind {kind} was taken in"),
        };
        if matches!(head.kind, op_kind::DELETE | op_kind::MOVE) {
            listing.remove(name);
        } else {
            listing.insert(name.to_vec(), (head.tag.get(), length, head.sequence.get()));
        }
        rest = &body[skip..];
    }
    assert!(rest.is_empty(), "operations without a rest");
}
