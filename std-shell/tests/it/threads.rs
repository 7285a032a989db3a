//! Readers, writers, checkpoints and snapshots at once.

use crate::support::{Place, assert_clean, bytes};
use blockyard::{Durability, Error, OpenOptions, PutOptions, Store};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const RELAXED: PutOptions = PutOptions { tag: 0, durability: Some(Durability::Buffered) };
const GROUPS: u64 = 8;
const MEMBERS: u64 = 6;

fn name(group: u64, member: u64) -> String {
    format!("group {group}/member {member}")
}

/// Lengths on every side of the limits: in the record, carried, in pages of its own.
fn length(version: u64, member: u64) -> usize {
    [40, 900, 3000, 5000, 20_000, 70_000][((version + member) % 6) as usize]
}

fn value(group: u64, version: u64, member: u64) -> Vec<u8> {
    let mut value = version.to_le_bytes().to_vec();
    value.extend(bytes(group * 1_000_003 + version * 17 + member, length(version, member)));
    value
}

/// All members of a group were written by one batch, so every view shows one version of them.
fn check(get: impl Fn(&str) -> Option<Vec<u8>>, group: u64) {
    let mut version = None;
    for member in 0..MEMBERS {
        let found = get(&name(group, member)).expect("every member is there from the start");
        let seen = u64::from_le_bytes(found[..8].try_into().expect("eight bytes"));
        assert_eq!(*version.get_or_insert(seen), seen, "half a batch");
        assert!(found == value(group, seen, member), "bytes of another version");
    }
}

fn write_group(store: &Store, group: u64, version: u64, durability: Durability) {
    let mut batch = store.batch();
    for member in 0..MEMBERS {
        batch.put(name(group, member), value(group, version, member)).expect("fits");
    }
    store.commit_with(batch, durability).expect("commit");
}

#[test]
fn every_snapshot_shows_whole_batches_whatever_goes_on() {
    let place = Place::new();
    let options = OpenOptions::new()
        .create(true)
        .journal_size(256 << 10)
        .growth_step(1 << 20)
        .cache_bytes(1 << 20)
        .flush_interval(Duration::from_millis(3));
    let store = options.open(&place.path).expect("store");
    for group in 0..GROUPS {
        write_group(&store, group, 0, Durability::Buffered);
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let store = store.clone();
                scope.spawn(move || {
                    for version in 1..120_u64 {
                        let group = (version * 5 + writer) % (GROUPS / 2) * 2 + writer;
                        let durability =
                            if version % 3 == 0 { Durability::Durable } else { Durability::Buffered };
                        write_group(&store, group, version, durability);
                        if version % 10 == 0 {
                            let (from, to) = (format!("moving {writer}"), format!("moved {writer}"));
                            store.put(&from, value(0, version, 5)).expect("put");
                            store.rename(&from, &to).expect("rename");
                            assert!(store.delete(&to).expect("delete"));
                        }
                    }
                })
            })
            .collect();
        for reader in 0..2_u64 {
            let (store, done) = (store.clone(), &done);
            scope.spawn(move || {
                let mut held = Vec::new();
                let mut round = reader;
                while !done.load(Ordering::Relaxed) {
                    let snapshot = store.snapshot().expect("snapshot");
                    let group = round % GROUPS;
                    check(|name| snapshot.get(name).expect("get"), group);
                    // Old snapshots still see their whole batches after many checkpoints.
                    held.push((snapshot, group));
                    if held.len() > 12 {
                        let (old, group) = held.swap_remove((round % 7) as usize);
                        check(|name| old.get(name).expect("get"), group);
                        let names: Vec<_> =
                            old.prefix("group").map(|item| item.expect("item").name().to_vec()).collect();
                        assert_eq!(names.len() as u64, GROUPS * MEMBERS);
                        assert!(names.is_sorted());
                    }
                    round += 1;
                }
            });
        }
        let ended: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        // The readers end, too, when a writer has failed.
        done.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(|writer| writer.expect("a writer"));
    });
    assert_clean(&store);
    assert!(store.stats().expect("stats").checkpoints > 2, "the test is about checkpoints under load");
    store.close().expect("close");
    let store = place.open();
    for group in 0..GROUPS {
        check(|name| store.get(name).expect("get"), group);
    }
    assert_clean(&store);
}

#[test]
fn closing_under_load_answers_everyone() {
    let place = Place::new();
    let store = place.create();
    let acknowledged: Vec<u64> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4_u64)
            .map(|writer| {
                let store = store.clone();
                scope.spawn(move || {
                    let mut count = 0;
                    loop {
                        let options = PutOptions::default();
                        match store.put_with(format!("{writer}/{count}"), bytes(count, 100), options) {
                            Ok(_) => count += 1,
                            Err(Error::Closed) => return count,
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(50));
        store.clone().close().expect("close");
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    });
    drop(store);
    let store = place.open();
    for (writer, &count) in acknowledged.iter().enumerate() {
        assert_eq!(store.prefix(format!("{writer}/")).count() as u64, count, "writer {writer}");
    }
    assert_clean(&store);
}

#[test]
fn transactions_of_many_threads_add_up() {
    let place = Place::new();
    let store =
        OpenOptions::new().create(true).durability(Durability::Buffered).open(&place.path).expect("store");
    store.put("counter", 0_u64.to_le_bytes()).expect("put");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let store = store.clone();
            scope.spawn(move || {
                for _ in 0..50 {
                    loop {
                        let mut transaction = store.transaction().expect("transaction");
                        let found = transaction.get("counter").expect("get").expect("there");
                        let count = u64::from_le_bytes(found.try_into().expect("eight bytes"));
                        transaction.put("counter", (count + 1).to_le_bytes()).expect("put");
                        match transaction.commit() {
                            Ok(_) => break,
                            Err(Error::Conflict) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
    assert_eq!(store.get("counter").expect("get"), Some(200_u64.to_le_bytes().to_vec()));
}

#[test]
fn fresh_writes_are_read_back_in_the_background() {
    let place = Place::new();
    let store = OpenOptions::new().create(true).verify_writes(true).open(&place.path).expect("store");
    for index in 0..20 {
        store.put(format!("{index}"), bytes(index, 100_000)).expect("put");
    }
    // The verifier is asynchronous by design: wait for it, however long it takes.
    while store.stats().expect("stats").verified_writes < 20 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(store.stats().expect("stats").verify_failures, 0);
}

/// Verification held the engine from its beginning to its end: whoever wrote waited for as long as the file is.
#[test]
fn commits_and_checkpoints_go_on_while_the_store_is_verified() {
    let place = Place::new();
    let store = place.create();
    for number in 0..400_u64 {
        let name = format!("{number:03}");
        store.put_with(&name, bytes(number, 40_000), RELAXED).expect("put");
    }
    store.checkpoint().expect("checkpoint");
    let (commits, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut round = 0;
            while !over.load(Ordering::Relaxed) {
                let name = format!("{:03}", round * 7 % 400);
                if round % 5 == 4 {
                    store.delete(&name).expect("delete");
                }
                store.put_with(&name, bytes(round, 30_000), RELAXED).expect("put");
                commits.fetch_add(1, Ordering::Relaxed);
                round += 1;
                if round % 3 == 0 {
                    store.checkpoint().expect("checkpoint");
                }
            }
        });
        let mut overtaken = 0;
        for _ in 0..100 {
            let before = commits.load(Ordering::Relaxed);
            let report = store.verify(|_| {}).expect("verification runs");
            assert!(report.is_clean(), "{report:?}");
            assert!(report.blocks >= 300, "{report:?}");
            overtaken += u64::from(report.partial);
            // Two might have come before it had the engine, and after.
            if overtaken > 0 && commits.load(Ordering::Relaxed) - before > 2 {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
        assert!(overtaken > 0, "no checkpoint came to its end during a verification");
    });
    let report = store.verify(|_| {}).expect("verification runs");
    assert!(
        report.is_clean() && !report.partial && report.leaked_pages == 0 && report.blocks == 400,
        "{report:?}"
    );
}
