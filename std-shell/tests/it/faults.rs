//! Devices that fail while threads run: everybody is told, nobody waits for ever, reads go on, and a
//! reopen finds what was promised.

use crate::crash::image;
use crate::device::{Call, Hooked, Simulated};
use crate::ledger::{self, Ledger};
use crate::support::{assert_clean, block_on, watched};
use crate::tally::Tally;
use blockyard::{Device, Durability, Error, MemoryDevice, OpenOptions, PutOptions, Store};
use blockyard_sim::device::SimDevice;
use blockyard_sim::fault::{Fault, Fired, Operation};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

fn options() -> OpenOptions {
    OpenOptions::new()
        .create(true)
        .page_size(512)
        .journal_size(48 << 10)
        .chunk_size(64 << 10)
        .growth_step(64 << 10)
        .carry_max(4 << 10)
        .cache_bytes(64 << 10)
        .flush_operations(5)
        .flush_interval(Duration::from_millis(1))
        .verify_writes(true)
}

fn simulated(seed: u64) -> Arc<Simulated> {
    Arc::new(Simulated::new(SimDevice::new(image(&options()), u64::MAX, seed), BTreeSet::new()))
}

/// Threads write until they are refused, or so many commits; others read; `also` runs beside them.
fn load(store: &Store, ledgers: Vec<Ledger>, most: u64, also: impl FnOnce() + Send) -> Vec<Ledger> {
    let threads: Vec<u64> = ledgers.iter().map(|ledger| ledger.thread).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let write = |mut ledger: Ledger| {
            scope.spawn(move || {
                ledger.fill(store, most);
                ledger
            })
        };
        let writers: Vec<_> = ledgers.into_iter().map(write).collect();
        scope.spawn(also);
        for reader in 0..2 {
            let (done, threads) = (&done, &threads);
            scope.spawn(move || {
                let mut held = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    // A failed write or sync is no reason not to read.
                    match store.snapshot() {
                        Ok(snapshot) => held.push(snapshot),
                        Err(error) => assert!(matches!(error, Error::Closed), "{error}"),
                    }
                    for thread in threads.iter().skip(reader) {
                        held.iter().for_each(|snapshot| ledger::assert_whole(*thread, snapshot));
                    }
                    if held.len() > 3 {
                        held.remove(0);
                    }
                    std::thread::yield_now();
                }
            });
        }
        let ledgers = writers.into_iter().map(|writer| writer.join().expect("a writer")).collect();
        done.store(true, Ordering::Relaxed);
        ledgers
    })
}

/// Returns the last commit that is left.
fn assert_left(store: &Store, ledgers: &[Ledger]) -> u64 {
    let sequence = store.snapshot().expect("snapshot").sequence().0;
    ledgers.iter().for_each(|ledger| ledger.assert_left(store, sequence));
    assert_clean(store);
    sequence
}

fn memory(state: Vec<u8>) -> Store {
    options().open_device(MemoryDevice::from(state)).expect("the store opens")
}

/// What must hold once a device has failed under a store: a power cut leaves what was promised, and so
/// does a reopen without one, which goes on and is cut then.
fn aftermath(device: &Arc<Simulated>, store: Store, ledgers: &[Ledger], tally: &Tally) {
    let mut rng = fastrand::Rng::with_seed(ledgers.iter().map(|ledger| ledger.tried).sum());
    let fired = Fired::default();
    for _ in 0..3 {
        assert_left(&memory(device.sim.moment().state(&mut rng, &fired).to_vec()), ledgers);
    }
    drop(store);
    device.sim.arm([]);
    let store = options().open_device(Arc::clone(device)).expect("the store opens again");
    // What is not left now is lost, and its numbers are given again.
    let left = assert_left(&store, ledgers);
    let more = load(&store, (100..103).map(Ledger::new).collect(), 12, || {});
    assert!(more.iter().all(|ledger| ledger.refused.is_none()), "{more:?}");
    for _ in 0..3 {
        let store = memory(device.sim.moment().state(&mut rng, &fired).to_vec());
        ledgers.iter().for_each(|ledger| ledger.assert_left(&store, left));
        assert_left(&store, &more);
    }
    if device.sim.has_lied() {
        tally.hit("cache that lied");
    }
}

/// Runs threads into one fault of an operation, the n-th.
fn run_into(operation: Operation, number: u64, threads: u64, closes: bool, tally: &Tally) {
    let device = simulated(number * 31 + threads);
    let store = options().open_device(Arc::clone(&device)).expect("store");
    device.sim.arm([Fault::Fails(operation, number)]);
    let closer = store.clone();
    let close_after = number.div_ceil(2);
    let ledgers = load(&store, (0..threads).map(Ledger::new).collect(), u64::MAX, || {
        while closes && device.sim.count(operation) < close_after {
            std::thread::yield_now();
        }
        if closes {
            match closer.close() {
                Ok(()) => tally.hit("closed in time"),
                Err(_) => tally.hit("closed after the fault"),
            }
        }
    });
    for ledger in &ledgers {
        assert!(!ledger.panicked, "{ledger:?}");
        match &ledger.refused {
            Some(Error::Io(_)) => tally.hit("told of the fault"),
            Some(Error::Poisoned) => tally.hit("told of an earlier fault"),
            Some(Error::Closed) if closes => tally.hit("told of the close"),
            other => panic!("{other:?}"),
        }
        ledger.assert_refused(&store);
    }
    if !closes {
        assert!(store.stats().is_ok_and(|stats| stats.poisoned));
        assert!(matches!(store.clone().close(), Err(Error::Poisoned)));
    }
    aftermath(&device, store, &ledgers, tally);
}

#[test]
fn a_failed_sync_write_or_growth_reaches_everybody() {
    let tally = Arc::new(Tally::default());
    let counted = Arc::clone(&tally);
    watched(move |alive| {
        let mut rng = fastrand::Rng::with_seed(5);
        for (operation, most) in [(Operation::Sync, 25), (Operation::Write, 60), (Operation::Grow, 4)] {
            for round in 0..8 {
                alive.tell();
                run_into(operation, rng.u64(..most), rng.u64(2..=8), round % 4 == 3, &counted);
            }
        }
    });
    tally.demand("faults", &["told of the fault", "told of an earlier fault", "cache that lied"]);
}

/// A device that panics at its n-th call of a kind.
fn run_into_panic(call: Call, number: u64, threads: u64, tally: &Tally) {
    let device = simulated(number * 17 + threads);
    let calls = Arc::new(AtomicU64::new(u64::MAX));
    let counting = Arc::clone(&calls);
    let hooked = Hooked::new(Arc::clone(&device), move |asked| {
        if asked == call && counting.fetch_sub(1, Ordering::Relaxed) == 0 {
            panic!("the device panics");
        }
        Ok(())
    });
    let store = options().open_device(hooked).expect("store");
    calls.store(number, Ordering::Relaxed);
    let ledgers = load(&store, (0..threads).map(Ledger::new).collect(), u64::MAX, || {});
    for ledger in &ledgers {
        match &ledger.refused {
            Some(Error::Poisoned) => tally.hit("told of a panic"),
            None if ledger.panicked => tally.hit("panicked itself"),
            other => panic!("{other:?}"),
        }
        ledger.assert_refused(&store);
    }
    if ledgers.iter().all(|ledger| !ledger.panicked) {
        tally.hit("background thread panicked");
    }
    aftermath(&device, store, &ledgers, tally);
}

#[test]
fn a_device_that_panics_leaves_nobody_waiting() {
    let tally = Arc::new(Tally::default());
    let counted = Arc::clone(&tally);
    watched(move |alive| {
        let mut rng = fastrand::Rng::with_seed(9);
        for (call, most) in [(Call::Sync, 25), (Call::Write, 60), (Call::Grow, 4)] {
            for _ in 0..6 {
                alive.tell();
                run_into_panic(call, rng.u64(..most), rng.u64(2..=6), &counted);
            }
        }
    });
    tally.demand("panics", &["told of a panic", "panicked itself"]);
}

/// The background thread ended in a panic of the device: commits that were only awaited were never made
/// or refused from then on, and whoever awaited them waited for ever.
#[test]
fn tickets_are_answered_after_the_background_thread_met_a_panic() {
    watched(|_| {
        let armed = Arc::new(AtomicBool::new(false));
        let panics = Arc::clone(&armed);
        let device = Hooked::new(MemoryDevice::new(), move |call| {
            let background = std::thread::current().name() == Some("blockyard-flush");
            if call == Call::Sync && background && panics.swap(false, Ordering::SeqCst) {
                panic!("the device panics");
            }
            Ok(())
        });
        let store = options().open_device(device).expect("store");
        armed.store(true, Ordering::SeqCst);
        // Synced in the background.
        let buffered = PutOptions { durability: Some(Durability::Buffered), ..PutOptions::default() };
        store.put_with("buffered", "x", buffered).expect("put");
        while store.stats().is_ok() {
            std::thread::yield_now();
        }
        let mut batch = store.batch();
        batch.put("awaited", "x").expect("fits");
        let ticket = store.submit(batch, Durability::Durable).expect("nobody knows of it yet");
        let answer = block_on(ticket);
        assert!(matches!(answer, Err(Error::Poisoned)), "{answer:?}");
        Ledger::new(0).assert_refused(&store);
        assert!(matches!(store.close(), Err(Error::Poisoned)));
    });
}

#[test]
fn a_full_device_refuses_commits_of_all_threads_and_takes_them_again() {
    let tally = Arc::new(Tally::default());
    let counted = Arc::clone(&tally);
    watched(move |alive| {
        for threads in [2, 5, 8] {
            alive.tell();
            let start = image(&options());
            let limit = start.len() as u64 + (1 << 20);
            let device = Arc::new(Simulated::new(SimDevice::new(start, limit, threads), BTreeSet::new()));
            let store = options().open_device(Arc::clone(&device)).expect("store");
            // In runs that the largest value finds room in again.
            for index in 0..10 {
                store.put(format!("ballast {index}"), vec![1; 60_000]).expect("put");
            }
            let ledgers = (0..threads).map(Ledger::new).map(Ledger::keeping_tickets).collect();
            let mut ledgers = load(&store, ledgers, u64::MAX, || {});
            for ledger in &ledgers {
                assert!(matches!(ledger.refused, Some(Error::Full)), "{ledger:?}");
                counted.hit("full");
            }
            assert!(!store.stats().expect("stats").poisoned);
            assert_left(&store, &ledgers);
            for index in 0..10 {
                assert!(store.delete(format!("ballast {index}")).expect("a full device can delete"));
            }
            for ledger in &mut ledgers {
                for _ in 0..2 {
                    // What is deleted is free after a checkpoint, unless somebody looks at it: the
                    // verifier pins pages as any reader does, for a moment.
                    while !ledger.commit(&store) {
                        assert!(matches!(ledger.refused, Some(Error::Full)), "{ledger:?}");
                        let folded = store.checkpoint();
                        assert!(matches!(folded, Ok(()) | Err(Error::Full)), "{folded:?}");
                    }
                }
                counted.hit("room again");
            }
            assert_left(&store, &ledgers);
            assert!(device.length().expect("length") <= limit);
            store.close().expect("close");
            let store = options().open_device(device).expect("store");
            assert_left(&store, &ledgers);
        }
    });
    tally.demand("full", &["full", "room again"]);
}

#[test]
fn reads_that_fail_poison_nothing() {
    let tally = Arc::new(Tally::default());
    let counted = Arc::clone(&tally);
    watched(move |_| {
        let device = simulated(77);
        let store = options().cache_bytes(0).open_device(Arc::clone(&device)).expect("store");
        let ledgers = (0..3).map(Ledger::new).map(Ledger::keeping_tickets).collect();
        let mut ledgers = load(&store, ledgers, 30, || {});
        store.checkpoint().expect("checkpoint");
        device.sim.arm([Fault::ReadsFail(5, 400)]);
        std::thread::scope(|scope| {
            for ledger in &mut ledgers {
                let (store, device, tally) = (&store, &device, &counted);
                scope.spawn(move || {
                    // Until all reads that were to fail have failed, and all is well again.
                    while device.sim.count(Operation::Read) < 420 || ledger.tried < 60 {
                        if !ledger.commit(store) {
                            let io = matches!(ledger.refused, Some(Error::Io(_)));
                            assert!(io, "{ledger:?}");
                            tally.hit("commit met a failed read");
                        }
                        match store.get(format!("{}/{:06}", ledger.thread, ledger.tried / 2)) {
                            Ok(found) => assert!(found.is_some()),
                            Err(error) => {
                                assert!(matches!(error, Error::Io(_)), "{error}");
                                tally.hit("read failed");
                            }
                        }
                    }
                });
            }
        });
        assert!(!store.stats().expect("stats").poisoned);
        assert_left(&store, &ledgers);
        store.close().expect("close");
        let store = options().open_device(device).expect("store");
        assert_left(&store, &ledgers);
    });
    tally.demand("failed reads", &["read failed"]);
}
