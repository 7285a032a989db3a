//! Streams: chunks that are read ahead, or whose digests come later.

use crate::device::{Call, Hooked};
use crate::support::{Place, assert_clean, bytes};
use blockyard::{Error, MemoryDevice, OpenOptions, Store};
use std::io::{self, BufRead as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Chunks of which some are read ahead.
const CHUNK: usize = 256 << 10;
const CHUNKS: usize = 11;

fn options() -> OpenOptions {
    OpenOptions::new().create(true).journal_size(256 << 10).chunk_size(CHUNK as u32)
}

/// A block of some chunks and a piece.
fn put_large(store: &Store) -> Vec<u8> {
    let data = bytes(3, CHUNKS * CHUNK - 1000);
    let mut writer = store.writer("large").expect("writer");
    data.chunks(100_001).for_each(|piece| writer.write_all(piece).expect("write"));
    writer.finish().expect("finish");
    data
}

#[test]
fn streams_write_seek_and_read() {
    let place = Place::new();
    let store = place.create();
    let data = bytes(7, 3_500_000);
    let mut writer = store.writer("large").expect("writer").tag(9);
    for piece in data.chunks(77_777) {
        writer.write_all(piece).expect("write");
    }
    assert!(!store.exists("large").expect("exists"), "nothing is seen before finish");
    writer.finish().expect("finish");
    let mut abandoned = store.writer("abandoned").expect("writer");
    abandoned.write_all(&data).expect("write");
    drop(abandoned);
    for _ in 0..2 {
        let mut reader = store.reader("large").expect("reader").expect("there");
        let mut found = Vec::new();
        reader.read_to_end(&mut found).expect("read");
        assert_eq!(found, data);
        reader.seek(SeekFrom::Start(2_000_000)).expect("seek");
        let mut part = [0; 1000];
        reader.read_exact(&mut part).expect("read");
        assert_eq!(part[..], data[2_000_000..2_001_000]);
        assert_eq!(store.metadata("large").expect("metadata").expect("there").chunks, 4);
        store.rename("large", "moved").expect("rename");
        store.checkpoint().expect("checkpoint");
        store.rename("moved", "large").expect("rename");
    }
    assert!(!store.exists("abandoned").expect("exists"));
    assert_clean(&store);
}

#[test]
fn whoever_seeks_reads_what_is_there() {
    let store = options().open_device(MemoryDevice::new()).expect("store");
    let data = put_large(&store);
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut reader = store.reader("large").expect("reader").expect("there");
        let mut at = 0;
        for _ in 0..random.usize(1..30) {
            if random.u8(..3) == 0 {
                at = random.usize(..=data.len());
                reader.seek(SeekFrom::Start(at as u64)).expect("seek");
            }
            let mut piece = vec![0; random.usize(..2 * CHUNK).min(data.len() - at)];
            reader.read_exact(&mut piece).expect("read");
            assert!(piece == data[at..at + piece.len()], "seed {seed}: {} bytes at {at}", piece.len());
            at += piece.len();
        }
    }
}

/// Damage in a chunk that was read ahead is told when the reader comes to it, neither before nor after.
#[test]
fn damage_is_told_where_it_lies() {
    let place = Place::new();
    let store = options().open(&place.path).expect("store");
    let data = put_large(&store);
    store.close().expect("close");
    let whole = std::fs::read(&place.path).expect("the file");
    for bad in 0..CHUNKS {
        let mut file = whole.clone();
        let start = &data[bad * CHUNK..][..64];
        let page =
            file.chunks(4096).position(|page| page.starts_with(start)).expect("the chunk is in the file");
        let at = page * 4096 + 5000;
        file[at] ^= 1;
        std::fs::write(&place.path, file).expect("the damaged file");
        let store = place.open();
        let mut reader = store.reader("large").expect("reader").expect("there");
        let mut found = Vec::new();
        let error = loop {
            let length = match reader.fill_buf() {
                Ok([]) => panic!("chunk {bad} was read"),
                Ok(bytes) => {
                    found.extend_from_slice(bytes);
                    bytes.len()
                }
                Err(error) => break error,
            };
            reader.consume(length);
        };
        assert!(found == data[..bad * CHUNK], "chunk {bad}: {} bytes", found.len());
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
        assert!(matches!(cause, Some(Error::Corrupted { .. })), "{error:?}");
        // What lies behind it can be read.
        let next = data.len().min((bad + 1) * CHUNK);
        reader.seek(SeekFrom::Start(next as u64)).expect("seek");
        found.clear();
        reader.read_to_end(&mut found).expect("the rest");
        assert!(found == data[next..], "behind chunk {bad}");
    }
}

/// A read that fails once: it is told if the chunk was asked for, and read again if it was to be read ahead.
#[test]
fn a_chunk_that_cannot_be_read_ahead_is_read_again() {
    let (reads, fails) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(u64::MAX)));
    let device = {
        let (reads, fails) = (Arc::clone(&reads), Arc::clone(&fails));
        Hooked::new(MemoryDevice::new(), move |call| {
            let fail =
                call == Call::Read && reads.fetch_add(1, Ordering::SeqCst) == fails.load(Ordering::SeqCst);
            if fail { Err(io::Error::other("once")) } else { Ok(()) }
        })
    };
    let store = options().cache_bytes(4 << 20).open_device(device).expect("store");
    let data = put_large(&store);
    store.checkpoint().expect("checkpoint");
    let mut told = 0;
    for number in 0..2 * CHUNKS as u64 {
        fails.store(reads.load(Ordering::SeqCst) + number, Ordering::SeqCst);
        let Ok(reader) = store.reader("large") else { continue };
        let (mut reader, mut found) = (reader.expect("there"), Vec::new());
        while found.len() < data.len() {
            match reader.fill_buf() {
                Ok(bytes) => found.extend_from_slice(bytes),
                Err(_) => {
                    told += 1;
                    continue;
                }
            }
            reader.seek(SeekFrom::Start(found.len() as u64)).expect("seek");
        }
        assert!(found == data, "read {number} failed");
    }
    assert!((1..=2).contains(&told), "{told} were told");
}
