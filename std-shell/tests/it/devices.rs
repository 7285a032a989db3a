//! Stores on devices that are not files.

use crate::device::{Call, Hooked};
use crate::support::{Place, assert_clean, bytes, watched};
use blockyard::{
    Device, Durability, Error, FileDevice, MemoryDevice, OpenError, OpenOptions, Sequence, Store,
};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::time::Duration;

fn small() -> OpenOptions {
    OpenOptions::new().journal_size(128 << 10).growth_step(256 << 10)
}

#[test]
fn a_store_in_memory_does_what_one_in_a_file_does() {
    let store = small().open_in_memory().expect("store");
    assert_eq!(store.path(), None);
    for index in 0..200 {
        store.put(format!("{index:03}"), bytes(index, 3000)).expect("put");
    }
    let large = bytes(1000, 3 << 20);
    store.put("large", &large).expect("put");
    assert!(store.delete("007").expect("delete"));
    store.checkpoint().expect("checkpoint");
    assert_eq!(store.iter().rev().count(), 200);
    assert_eq!(store.get("large").expect("get"), Some(large));
    assert_clean(&store);
    assert!(Store::in_memory().expect("another").iter().next().is_none(), "nothing is shared");
}

#[test]
fn images_go_from_memory_to_a_file_and_back() {
    let memory = MemoryDevice::new();
    let store = small().create_new(true).open_device(memory.clone()).expect("store");
    store.put("first", "in memory").expect("put");
    store.close().expect("close");
    let place = Place::new();
    std::fs::write(&place.path, memory.to_vec()).expect("write");
    let store = place.open();
    assert_eq!(store.path(), Some(place.path.as_path()));
    store.put("second", "in a file").expect("put");
    drop(store);
    let image = std::fs::read(&place.path).expect("read");
    let store = OpenOptions::new().open_device(MemoryDevice::from(image)).expect("store");
    assert_eq!(store.get("first").expect("get").as_deref(), Some(&b"in memory"[..]));
    assert_eq!(store.get("second").expect("get").as_deref(), Some(&b"in a file"[..]));
    assert_clean(&store);
}

#[test]
fn devices_are_created_on_when_they_are_blank_and_asked_for() {
    let refused = OpenOptions::new().open_device(MemoryDevice::new());
    assert!(matches!(refused, Err(OpenError::NotBlockyard(_))));
    let message = refused.expect_err("refused").to_string();
    assert_eq!(message, "the device is not a Blockyard file");
    let something = MemoryDevice::from(bytes(1, 100_000));
    for options in [small().create(true), small().create_new(true)] {
        let refused = options.open_device(something.clone());
        let told = matches!(refused, Err(OpenError::NotBlockyard(_) | OpenError::AlreadyExists(_)));
        assert!(told, "{refused:?}");
    }
    assert_eq!(something.to_vec(), bytes(1, 100_000), "what is there is left alone");
    // As a creation that was cut short leaves it.
    let zeros = MemoryDevice::from(vec![0; 300_000]);
    small().create(true).open_device(zeros.clone()).expect("store").put("x", "y").expect("put");
    let again = small().create_new(true).open_device(zeros.clone());
    assert!(matches!(again, Err(OpenError::AlreadyExists(_))), "{again:?}");
    let store = small().create(true).open_device(zeros).expect("store");
    assert!(store.exists("x").expect("exists"));
}

/// Larger units than a store was made for, and a device that cannot be written.
#[derive(Debug)]
struct Strict(MemoryDevice);

impl Device for Strict {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, buf)
    }
    fn write_at(&self, _offset: u64, _data: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }
    fn grow(&self, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
    fn atomic_unit(&self) -> u32 {
        4096
    }
}

#[test]
fn a_device_of_larger_units_is_refused_for_writing_and_read() {
    let memory = MemoryDevice::new();
    let store = small().create_new(true).open_device(memory.clone()).expect("store");
    store.put("name", bytes(3, 50_000)).expect("put");
    drop(store);
    let refused = OpenOptions::new().open_device(Strict(memory.clone()));
    assert!(matches!(refused, Err(OpenError::Geometry(_))), "{refused:?}");
    let store = OpenOptions::new().read_only(true).open_device(Strict(memory)).expect("store");
    assert_eq!(store.get("name").expect("get"), Some(bytes(3, 50_000)));
    assert!(matches!(store.put("name", "other"), Err(Error::ReadOnly)));
}

#[test]
fn a_device_is_asked_for_no_more_than_a_file_is() {
    let counts: Arc<[AtomicU64; 4]> = Arc::default();
    let counting = Arc::clone(&counts);
    let device = Hooked::new(MemoryDevice::new(), move |call| {
        counting[call as usize].fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let store = small().create_new(true).open_device(device).expect("store");
    let of = |call: Call| counts[call as usize].load(Ordering::Relaxed);
    let [writes, syncs] = [Call::Write, Call::Sync].map(of);
    store.put("name", bytes(1, 1000)).expect("put");
    // The background thread may seal the journal: one more write.
    assert!((1..=2).contains(&(of(Call::Write) - writes)));
    assert_eq!(of(Call::Sync) - syncs, 1);
    let reads = of(Call::Read);
    let mut buf = [0; 1000];
    store.get_into("name", &mut buf).expect("get");
    assert_eq!(of(Call::Read), reads, "what is pending is read from memory");
}

#[test]
fn a_device_may_be_shared_and_be_a_file() {
    let place = Place::new();
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(&place.path);
    let device = Arc::new(FileDevice::new(file.expect("file"), 512));
    let store = small().create(true).open_device(Arc::clone(&device)).expect("store");
    store.put("name", "value").expect("put");
    drop(store);
    assert_eq!(device.length().expect("length"), device.file().metadata().expect("metadata").len());
    assert_eq!(place.open().get("name").expect("get").as_deref(), Some(&b"value"[..]));
}

#[test]
fn nothing_is_seen_before_it_is_as_durable_as_was_asked() {
    let (shown, expected) = (Arc::new(OnceLock::<Store>::new()), Arc::new(AtomicU64::new(0)));
    let device = {
        let (shown, expected) = (Arc::clone(&shown), Arc::clone(&expected));
        Hooked::new(MemoryDevice::new(), move |call| {
            // The background thread makes checkpoints at any time.
            let background = std::thread::current().name() == Some("blockyard-flush");
            if let (Call::Sync, false, Some(store)) = (call, background, shown.get()) {
                let newest = store.snapshot().expect("snapshot").sequence().0;
                assert_eq!(newest, expected.load(Ordering::SeqCst), "seen before its sync");
            }
            Ok(())
        })
    };
    // Nothing but the commits themselves syncs.
    let never = small().flush_interval(Duration::MAX).flush_operations(usize::MAX);
    let store = never.chunk_size(64 << 10).create(true).open_device(device).expect("store");
    assert!(shown.set(store.clone()).is_ok());
    let answered = |sequence: Sequence| {
        assert_eq!(sequence.0, expected.load(Ordering::SeqCst) + 1);
        expected.store(sequence.0, Ordering::SeqCst);
    };
    for index in 0..20 {
        answered(store.put(format!("{index}"), bytes(index, 100 << (index % 10))).expect("put"));
        answered(store.put("large", bytes(index, 200_000)).expect("put"));
        answered(store.rename("large", "renamed").expect("rename"));
        let deleted = store.delete_with("renamed", Durability::Durable).expect("delete");
        answered(deleted.expect("it was there"));
        let mut transaction = store.transaction().expect("transaction");
        transaction.put("guarded", "x").expect("put");
        answered(transaction.commit().expect("commit"));
        let mut batch = store.batch();
        batch.put("waited for", "x").expect("fits");
        answered(store.submit(batch, Durability::Durable).expect("submit").wait().expect("commit"));
    }
}

/// A commit that does not fit is refused alone: what was queued with it is committed.
#[test]
fn a_commit_that_does_not_fit_costs_its_group_nothing() {
    watched(|_| {
        let [held, full] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let reached = Arc::new(Barrier::new(2));
        let device = {
            let (held, full, reached) = (Arc::clone(&held), Arc::clone(&full), Arc::clone(&reached));
            Hooked::new(MemoryDevice::new(), move |call| match call {
                // The one sync that is held up.
                Call::Sync if held.swap(false, Ordering::SeqCst) => {
                    reached.wait();
                    reached.wait();
                    Ok(())
                }
                Call::Grow if full.load(Ordering::SeqCst) => Err(io::ErrorKind::StorageFull.into()),
                _ => Ok(()),
            })
        };
        let store = small().chunk_size(64 << 10).create(true).open_device(device).expect("store");
        store.put("before", bytes(1, 60_000)).expect("put");
        full.store(true, Ordering::SeqCst);
        held.store(true, Ordering::SeqCst);
        std::thread::scope(|scope| {
            scope.spawn(|| store.put("leads", "x").expect("put"));
            reached.wait();
            let tickets = ["first", "large", "last"].map(|name| {
                let mut batch = store.batch();
                let (values, length) = if name == "large" { (20, 60_000) } else { (1, 100) };
                for index in 0..values {
                    batch.put(format!("{name}/{index}"), bytes(index, length)).expect("fits");
                }
                store.submit(batch, Durability::Durable).expect("submit")
            });
            reached.wait();
            let [first, large, last] = tickets.map(|ticket| ticket.wait());
            assert!(first.is_ok() && last.is_ok(), "{first:?} {last:?}");
            assert!(matches!(large, Err(Error::Full)), "{large:?}");
        });
        let names: Vec<_> = store.iter().map(|item| item.expect("item").name().to_vec()).collect();
        assert_eq!(names, [&b"before"[..], b"first/0", b"last/0", b"leads"]);
        assert!(!store.stats().expect("stats").poisoned);
        assert_clean(&store);
    });
}

/// Several threads that deleted one block were all told that they had deleted it: whether it was there
/// was decided before the commit was queued.
#[test]
fn of_many_that_delete_a_block_one_is_told_so() {
    const THREADS: usize = 4;
    let store = small().open_in_memory().expect("store");
    let together = Barrier::new(THREADS);
    let deleted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..200 {
                    let name = format!("{round}");
                    if together.wait().is_leader() {
                        store.put(&name, "value").expect("put");
                    }
                    together.wait();
                    if store.delete(&name).expect("delete") {
                        deleted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(deleted.load(Ordering::Relaxed), 200);
    // A put and a delete a round: what was answered false committed nothing.
    assert_eq!(store.snapshot().expect("snapshot").sequence().0, 400);
}

/// A panic that had nothing to do with the store, in a thread that held a half-written block, ended all
/// writing: giving the block up takes the engine's lock, and a thread that let go of it while it was
/// panicking was taken for one that had panicked under it.
#[test]
fn a_panic_elsewhere_harms_no_store() {
    let store = small().chunk_size(64 << 10).open_in_memory().expect("store");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut writer = store.writer("half").expect("writer");
        writer.write_bytes(&bytes(1, 300_000)).expect("write");
        panic!("of the caller's own");
    }));
    assert!(panicked.is_err());
    store.put("whole", "value").expect("put");
    assert!(!store.exists("half").expect("exists"));
    assert_clean(&store);
}

/// Of two that closed a store at once, one was told that it was closed while the other was still
/// writing.
#[test]
fn who_closes_second_waits_for_the_first() {
    watched(|_| {
        let (in_sync, released) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let armed = Arc::new(AtomicBool::new(false));
        let device = {
            let (armed, in_sync, released) = (armed.clone(), in_sync.clone(), released.clone());
            Hooked::new(MemoryDevice::new(), move |call| {
                if call == Call::Sync && armed.load(Ordering::SeqCst) {
                    in_sync.store(true, Ordering::SeqCst);
                    while !released.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                }
                Ok(())
            })
        };
        let store = small().create_new(true).open_device(device).expect("store");
        store.put("name", bytes(1, 5000)).expect("put");
        armed.store(true, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let (first, second) = (store.clone(), store.clone());
            scope.spawn(move || first.close().expect("close"));
            while !in_sync.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            let seen = scope.spawn(|| {
                second.close().expect("close");
                released.load(Ordering::SeqCst)
            });
            // Time for the second to be too early, should it be.
            std::thread::sleep(Duration::from_millis(20));
            released.store(true, Ordering::SeqCst);
            assert!(seen.join().expect("the second"), "answered while the first was writing");
        });
    });
}

/// A pause is used: what a burst of commits left in the journal is folded in, although nothing called for it yet,
/// so that the next burst finds room in the journal.
#[test]
fn a_pause_empties_the_journal() {
    watched(|_| {
        let options = OpenOptions::new().create_new(true).journal_size(1 << 20).growth_step(4 << 20);
        let store = options.open_device(MemoryDevice::new()).expect("store");
        let mut index = 0;
        // More than a quarter, at which a pause is used, and less than the half that calls for a checkpoint.
        while store.stats().expect("stats").journal_used < 350 << 10 {
            store.put(format!("{index:03}"), bytes(index, 4000)).expect("put");
            index += 1;
        }
        // On a busy machine the commits pause, too: then less than all is folded in.
        while store.stats().expect("stats").journal_used > 256 << 10 {
            std::thread::yield_now();
        }
        assert!(store.stats().expect("stats").checkpoints > 0, "no checkpoint made room");
        for index in 0..index {
            let found = store.get(format!("{index:03}")).expect("get");
            assert_eq!(found, Some(bytes(index, 4000)), "{index:03}");
        }
    });
}
