//! The engine over memory, on the host.

use crate::device::Device;
use crate::engine::{Engine, Settings};
use crate::error::Error;
use crate::scan::Span;
use blockyard_core::{Digest, Durability, ReadError};
use std::collections::BTreeMap;
use std::ops::Bound;

const SETTINGS: Settings = Settings {
    page_size: 512,
    journal_length: 32 << 10,
    chunk_size: 4096,
    growth: 64 << 10,
    cache: 16 << 10,
    file_id: [7; 16],
    read_only: false,
    create: true,
};
const ALL: (u64, u64) = (0, u64::MAX);

fn open(device: &Device) -> Engine {
    Engine::open(device.clone(), &SETTINGS).expect("it opens")
}

fn put(engine: &mut Engine, name: &str, value: &[u8]) {
    let batch = engine.begin();
    engine.put(batch, name.as_bytes(), value, 0).expect("it fits");
    engine.commit(&[batch], Durability::Durable).expect("there is room");
}

fn span(lower: Bound<&str>, upper: Bound<&str>, forward: bool) -> Span {
    let owned = |bound: Bound<&str>| bound.map(|name| name.as_bytes().to_vec());
    Span { lower: owned(lower), upper: owned(upper), forward }
}

fn names(engine: &mut Engine, snapshot: u32, span: Span) -> Vec<String> {
    let mut names = Vec::new();
    let scanned = engine.scan(snapshot, span, false, |name, _, _| {
        names.push(String::from_utf8_lossy(name).into_owned());
        true
    });
    scanned.expect("nothing is damaged");
    names
}

fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn what_is_put_is_there_again_whatever_its_length() {
    let device = Device::memory(Vec::new());
    let lengths = [0, 1, 127, 128, 129, 511, 512, 4096, 4097, 20_000, 100_000];
    let mut engine = open(&device);
    for length in lengths {
        put(&mut engine, &format!("block/{length:06}"), &bytes(length as u64, length));
    }
    for turn in 0..2 {
        for length in lengths {
            let name = format!("block/{length:06}");
            let value = bytes(length as u64, length);
            let found = engine.get(0, name.as_bytes(), ALL).expect("readable").expect("there");
            assert_eq!(found, value, "{name}, turn {turn}");
            let (start, end) = (length as u64 / 3, length as u64 / 2);
            let part = engine.get(0, name.as_bytes(), (start, end)).expect("readable").expect("there");
            assert_eq!(part, value[start as usize..end as usize], "part of {name}");
        }
        assert_eq!(engine.get(0, b"absent", ALL), Ok(None));
        engine.settle().expect("it folds");
        engine = open(&device);
    }
}

#[test]
fn a_walk_merges_what_is_pending_in_both_directions() {
    let device = Device::memory(Vec::new());
    let mut engine = open(&device);
    for index in 0..200 {
        put(&mut engine, &format!("{index:03}"), &bytes(index, 40));
    }
    engine.checkpoint().expect("it folds");
    let batch = engine.begin();
    for index in (0..200).step_by(3) {
        engine.delete(batch, format!("{index:03}").as_bytes()).expect("it fits");
    }
    engine.put(batch, b"100", b"new", 0).expect("it fits");
    engine.put(batch, b"zzz", b"new", 0).expect("it fits");
    engine.commit(&[batch], Durability::Buffered).expect("there is room");
    let mut expected: Vec<String> = (0..200).filter(|it| it % 3 != 0).map(|it| format!("{it:03}")).collect();
    expected.push("zzz".to_owned());
    assert_eq!(names(&mut engine, 0, span(Bound::Unbounded, Bound::Unbounded, true)), expected);
    let mut reversed = names(&mut engine, 0, span(Bound::Unbounded, Bound::Unbounded, false));
    reversed.reverse();
    assert_eq!(reversed, expected);
    let inner = span(Bound::Excluded("050"), Bound::Included("056"), true);
    assert_eq!(names(&mut engine, 0, inner), ["052", "053", "055", "056"]);
    let back = span(Bound::Included("050"), Bound::Excluded("056"), false);
    assert_eq!(names(&mut engine, 0, back), ["055", "053", "052", "050"]);
    assert!(names(&mut engine, 0, span(Bound::Included("9"), Bound::Included("1"), true)).is_empty());
}

/// What a snapshot sees must stay in the file while checkpoints free it and new blocks want its pages.
#[test]
fn a_snapshot_stays_while_everything_is_overwritten() {
    let device = Device::memory(Vec::new());
    let mut engine = open(&device);
    let mut held = Vec::new();
    let mut model = BTreeMap::new();
    for round in 0..60_u64 {
        for index in 0..6_u64 {
            let name = format!("block {index}");
            let value = bytes(round * 100 + index, (index as usize * 1500) + 30);
            put(&mut engine, &name, &value);
            model.insert(name, value);
        }
        if round % 7 == 0 {
            held.push((engine.snapshot(), model.clone()));
        }
        if round % 3 == 0 {
            engine.checkpoint().expect("it folds");
        }
        if held.len() > 3 {
            engine.release(held.remove(0).0);
        }
        for (snapshot, model) in &held {
            for (name, value) in model {
                let found = engine.get(*snapshot, name.as_bytes(), ALL).expect("readable");
                assert!(found.as_ref() == Some(value), "{name} in round {round}");
            }
        }
    }
    let length = device.image().len();
    assert!(length < 1 << 20, "pages of released snapshots are used again: {length}");
}

#[test]
fn a_batch_that_fails_is_still_there_and_a_number_is_used_once() {
    let device = Device::memory(Vec::new());
    let mut engine = open(&device);
    let batch = engine.begin();
    engine.put(batch, b"name", b"value", 5).expect("it fits");
    assert!(matches!(engine.put(batch, b"", b"value", 0), Err(Error::Batch(_))));
    assert_eq!(engine.commit(&[batch, 99], Durability::Durable), Err(Error::Gone));
    engine.commit(&[batch], Durability::Durable).expect("there is room");
    assert_eq!(engine.commit(&[batch], Durability::Durable), Err(Error::Gone));
    assert_eq!(engine.find(0, b"name").expect("readable").map(|it| it.tag), Some(5));
    assert_eq!(engine.get(77, b"name", ALL), Err(Error::Gone));
}

/// Pages of values whose batch was dropped must be handed out again.
#[test]
fn what_was_written_ahead_and_dropped_leaves_nothing_behind() {
    let device = Device::memory(Vec::new());
    let mut engine = open(&device);
    put(&mut engine, "kept", &bytes(1, 50_000));
    for _ in 0..100 {
        let batch = engine.begin();
        engine.put(batch, b"dropped", &bytes(2, 50_000), 0).expect("it fits");
        engine.release(batch);
        let writer = engine.begin_writer();
        engine.write(writer, &bytes(3, 30_000)).expect("it fits");
        engine.release(writer);
        put(&mut engine, "other", b"value");
        engine.checkpoint().expect("it folds");
    }
    assert!(device.image().len() < 1 << 20, "{}", device.image().len());
    assert_eq!(engine.get(0, b"kept", ALL).expect("readable"), Some(bytes(1, 50_000)));
}

/// A page or a tab that goes away while a file is created leaves one without, or with half of, its
/// superblocks. It could never be opened again.
#[test]
fn a_creation_that_was_cut_short_is_made_anew() {
    let whole = Device::memory(Vec::new());
    drop(open(&whole));
    let image = whole.image();
    for cut in [0, 512, 8192, 40_000] {
        let device = Device::memory(vec![0; cut]);
        put(&mut open(&device), "name", b"value");
    }
    // The first superblock is written to the last two of the four slots.
    let (first, second) = (2 * 4096, 3 * 4096);
    for (lost, torn) in
        [(second, first..first + 256), (second, first + 5..first + 512), (first, second + 100..second + 300)]
    {
        let mut image = image.clone();
        image[lost..][..512].fill(0);
        image[torn].fill(0);
        put(&mut open(&Device::memory(image)), "name", b"value");
    }
    // What holds a commit is never taken for that.
    put(&mut open(&whole), "name", b"value");
    let mut damaged = whole.image();
    for slot in damaged.chunks_mut(4096).take(4) {
        slot[..512].fill(0xa5);
    }
    let refused = Engine::open(Device::memory(damaged), &SETTINGS).map(drop);
    assert!(matches!(refused, Err(Error::Open(_))), "{refused:?}");
}

/// A file of another kind that is shorter than the slots of the superblocks, or all zeros behind them, was taken for one
/// whose creation was cut short, and written over.
#[test]
fn a_file_of_another_kind_is_left_alone() {
    let text = b"{ \"name\": \"my program\", \"private\": true }\n".repeat(50);
    let behind = |length, at, bytes: &[u8]| {
        let mut image = vec![0; length];
        image[at..at + bytes.len()].copy_from_slice(bytes);
        image
    };
    let whole = Device::memory(Vec::new());
    drop(open(&whole));
    for image in [
        text.clone(),
        vec![1],
        behind(40_000, 0, &text),
        behind(16_384, 4, b"text"),
        behind(40_000, 4096, b"BLOKYARD"),
        behind(40_000, 8192, b"text"),
        behind(40_000, 8192 + 600, b"text"),
        behind(40_000, 39_999, b"t"),
        // One of ours, cut off by somebody who copied it.
        whole.image()[..8192 + 300].to_vec(),
    ] {
        let device = Device::memory(image.clone());
        let opened = Engine::open(device.clone(), &SETTINGS).map(drop);
        assert!(matches!(opened, Err(Error::Open(_))), "{opened:?}");
        assert!(device.image() == image, "it was written over");
    }
}

#[test]
fn damage_is_reported_by_its_class_and_hides_nothing_else() {
    let device = Device::memory(Vec::new());
    let mut engine = open(&device);
    let (good, bad) = (bytes(1, 3000), bytes(2, 3000));
    put(&mut engine, "good", &good);
    put(&mut engine, "bad", &bad);
    engine.settle().expect("it folds");
    drop(engine);
    let mut image = device.image();
    // The journal holds them too, in front.
    let at = image.windows(64).rposition(|window| window == &bad[100..164]).expect("its bytes are there");
    image[at] ^= 1;
    let mut engine = open(&Device::memory(image));
    let error = engine.get(0, b"bad", ALL).expect_err("it is damaged");
    assert!(matches!(error, Error::Read(ReadError::Corrupted(_))));
    assert_eq!(error.code(), "Corrupt");
    assert_eq!(engine.get(0, b"good", ALL), Ok(Some(good)));
}

/// A value that is in the cache since it was written is the one that the file holds, whichever way it went there.
#[test]
fn what_was_written_is_read_from_the_cache_as_from_the_file() {
    let device = Device::memory(Vec::new());
    let settings = Settings { cache: 512 << 10, ..SETTINGS };
    let open = |device| Engine::open(device, &settings).expect("it opens");
    let mut engine = open(device.clone());
    let mut model = BTreeMap::new();
    // One value in a record, some in runs of their own, small ones and deletions between them.
    for round in 0..12_u64 {
        let batch = engine.begin();
        for index in 0..round * 4 + 1 {
            let name = format!("{:02}", (index * 7 + round) % 40);
            let value = bytes(round * 100 + index, (index as usize * 211) % 2300);
            if index % 5 == 3 {
                engine.delete(batch, name.as_bytes()).expect("it fits");
                model.remove(&name);
            } else {
                engine.put(batch, name.as_bytes(), &value, index).expect("it fits");
                model.insert(name, value);
            }
        }
        engine.commit(&[batch], Durability::Durable).expect("there is room");
        if round % 2 == 1 {
            engine.checkpoint().expect("it folds");
            let misses = engine.hits_and_misses().1;
            let mut others = open(Device::memory(device.image()));
            for (name, value) in &model {
                let found =
                    [&mut engine, &mut others].map(|it| it.get(0, name.as_bytes(), ALL).expect("readable"));
                assert!(found.iter().all(|found| found.as_ref() == Some(value)), "{name} in round {round}");
            }
            let read = (engine.hits_and_misses().1 - misses, others.hits_and_misses().1);
            assert!(read.0 < read.1, "reads of the device: {read:?}");
        }
    }
}

#[test]
fn a_chunk_whose_digest_was_computed_elsewhere_is_as_good_as_one_that_was_not() {
    let device = Device::memory(Vec::new());
    let mut engine = open(&device);
    let value = bytes(9, 3 * 4096 + 100);
    let mut found = Vec::new();
    for (name, given) in [("computed", false), ("given", true)] {
        let (writer, batch) = (engine.begin_writer(), engine.begin());
        for chunk in value.chunks(4096) {
            let done = match given {
                // The last piece is no whole chunk, so its digest is not looked at.
                true if chunk.len() < 4096 => engine.write_chunk(writer, chunk, Digest::default()),
                true => engine.write_chunk(writer, chunk, Digest::of(chunk)),
                false => engine.write(writer, chunk),
            };
            done.expect("there is room");
        }
        engine.finish_writer(writer, batch, name.as_bytes(), 0).expect("it is there");
        engine.commit(&[batch], Durability::Durable).expect("there is room");
        let located = engine.find(0, name.as_bytes()).expect("readable").expect("there");
        found.push((located.length, located.chunks(), located.digest()));
        assert_eq!(engine.get(0, name.as_bytes(), ALL), Ok(Some(value.clone())), "{name}");
    }
    assert_eq!(found[0], found[1]);
    let (writer, batch) = (engine.begin_writer(), engine.begin());
    for chunk in value.chunks(4096) {
        engine.write_chunk(writer, chunk, Digest::of(b"something else")).expect("there is room");
    }
    engine.finish_writer(writer, batch, b"wrong", 0).expect("it is there");
    engine.commit(&[batch], Durability::Durable).expect("there is room");
    assert!(engine.get(0, b"wrong", ALL).is_err(), "a digest of other bytes is damage");
}

/// A snapshot from before the file was replaced showed another one's state: the numbers of each opening began at 1.
#[test]
fn a_number_of_one_opening_is_none_of_another() {
    let device = Device::memory(Vec::new());
    let mut first = open(&device);
    put(&mut first, "name", b"value");
    let number = first.snapshot();
    drop(first);
    let mut second = Engine::open(device, &Settings { file_id: [9; 16], ..SETTINGS }).expect("it opens");
    let own = second.snapshot();
    assert_eq!(second.get(number, b"name", ALL), Err(Error::Gone));
    assert_eq!([number, own].map(|it| second.holds(it)), [false, true]);
    assert_eq!(second.get(own, b"name", ALL), Ok(Some(b"value".to_vec())));
}

/// What was committed goes into the cache behind its answer, or before whoever comes next.
#[test]
fn what_was_committed_is_in_the_cache_whoever_puts_it_there() {
    let mut engine = open(&Device::memory(Vec::new()));
    for (turn, early) in [true, false].into_iter().enumerate() {
        let name = format!("block {turn}");
        put(&mut engine, &name, &bytes(turn as u64, 3000));
        if early {
            engine.keep();
        }
        let before = engine.hits_and_misses();
        let found = engine.get(0, name.as_bytes(), ALL);
        assert_eq!(found, Ok(Some(bytes(turn as u64, 3000))));
        assert_eq!(engine.hits_and_misses(), before, "it is still in the journal");
        engine.checkpoint().expect("there is room");
        assert_eq!(engine.get(0, name.as_bytes(), ALL), Ok(Some(bytes(turn as u64, 3000))));
        let (hits, _) = engine.hits_and_misses();
        assert!(hits > before.0, "its bytes are in the cache");
    }
}

/// Of batch after batch only the last goes into the cache; its buffer goes from one to the next.
#[test]
fn much_after_much_is_not_kept_in_between() {
    let settings = Settings { cache: 4 << 20, growth: 1 << 20, journal_length: 128 << 10, ..SETTINGS };
    let mut engine = Engine::open(Device::memory(Vec::new()), &settings).expect("it opens");
    let (much, value) = (200 << 10, |turn| bytes(turn, 2000));
    let put = |engine: &mut Engine, turn: u64| {
        let batch = engine.begin_for(much);
        for index in 0..100 {
            let name = format!("{turn}/{index}");
            engine.put(batch, name.as_bytes(), &value(turn * 100 + index), 0).expect("it fits");
        }
        engine.commit(&[batch], Durability::Durable).expect("there is room");
    };
    // Reading, idling and a small commit come between as well as another large one.
    for turn in 0..5 {
        put(&mut engine, turn);
        match turn {
            2 => engine.keep(),
            3 => self::put(&mut engine, "small", b"x"),
            _ => {}
        }
    }
    let misses = [0, 1, 2, 3, 4].map(|turn| {
        let before = engine.hits_and_misses().1;
        for index in 0..100 {
            let found = engine.get(0, format!("{turn}/{index}").as_bytes(), ALL);
            assert_eq!(found, Ok(Some(value(turn * 100 + index))), "{turn}/{index}");
        }
        engine.hits_and_misses().1 - before
    });
    assert!(misses[..2].iter().all(|&misses| misses >= 100), "{misses:?}");
    assert!(misses[2..].iter().all(|&misses| misses < 50), "{misses:?}");
}
