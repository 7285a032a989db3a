//! Bugs that were found in review: each test tells its own.

use crate::support::{Place, assert_clean, block_on, bytes};
use blockyard::core::format::{NodeHeader, OpHeader, RecordHeader, SLOT_STRIDE, Superblock};
use blockyard::{
    Digest, Durability, Error, MemoryDevice, OpenError, OpenOptions, PutOptions, Store, WriteBatch,
};
use std::fs;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn batch_of(store: &Store, name: &str) -> WriteBatch {
    let mut batch = store.batch();
    batch.put(name, name).expect("fits");
    batch
}

/// A commit that was submitted while somebody else led a group was in no group, the background thread
/// found the queue led and went to sleep, and nobody led afterwards: who awaited the ticket waited for
/// ever, and a dropped one was not committed until something else came.
#[test]
fn a_ticket_submitted_while_others_lead_is_committed() {
    let place = Place::new();
    let store = place.create();
    for round in 0..200 {
        let both = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                both.wait();
                store.put("other", "value").expect("put");
            });
            both.wait();
            let ticket = store.submit(batch_of(&store, &format!("{round}")), Durability::Durable);
            block_on(ticket.expect("submit")).expect("commit");
        });
    }
    assert_eq!(store.iter().count(), 201);
}

/// `flush` and `sync` passed over what was queued while somebody else led a group.
#[test]
fn flush_and_sync_commit_what_was_queued_before() {
    let place = Place::new();
    let store = place.create();
    for round in 0..200 {
        let both = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                both.wait();
                store.put("other", "value").expect("put");
            });
            both.wait();
            let name = format!("{round}");
            let ticket = store.submit(batch_of(&store, &name), Durability::Buffered).expect("submit");
            if round % 2 == 0 {
                store.flush().expect("flush");
            } else {
                store.sync().expect("sync");
            }
            assert!(store.exists(&name).expect("exists"), "{name} was queued before the flush");
            ticket.wait().expect("commit");
        });
    }
}

/// Answers that nobody had asked for filled the slots of the queue: whoever submitted more than 1,024
/// batches before waiting for the first stood still for ever, and with them everybody else.
#[test]
fn any_number_of_tickets_may_be_held() {
    let place = Place::new();
    let store = place.create();
    let submit = |index: u32| {
        let ticket = store.submit(batch_of(&store, &format!("{index:05}")), Durability::Buffered);
        ticket.expect("submit")
    };
    let tickets: Vec<_> = (0..5000).map(submit).collect();
    store.put("meanwhile", "others go on").expect("put");
    let mut last = None;
    for (index, ticket) in tickets.into_iter().enumerate() {
        let sequence = match index % 3 {
            0 => ticket.wait().expect("commit"),
            1 => block_on(ticket).expect("commit"),
            _ => continue,
        };
        assert!(Some(sequence) > last, "answers belong to their tickets");
        last = Some(sequence);
    }
    assert_eq!(store.iter().count(), 5001);
}

/// A task that was asleep when its answer was taken out of the queue for it has to be woken.
#[test]
fn a_task_wakes_whose_answer_was_put_aside() {
    let place = Place::new();
    let store = place.create();
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            for round in 0..50 {
                let ticket = store.submit(batch_of(&store, &format!("awaited {round}")), Durability::Durable);
                block_on(ticket.expect("submit")).expect("commit");
            }
        });
        let mut held = Vec::new();
        while !sleeper.is_finished() {
            held.push(store.submit(batch_of(&store, "held"), Durability::Buffered).expect("submit"));
            if held.len() > 3000 {
                held.clear();
            }
        }
    });
    assert_eq!(store.prefix("awaited").count(), 50);
}

/// The commit whose write failed was answered "an earlier write failed", and what the system had said
/// was lost. The child is this very test, told by a variable; its limit on file sizes fails the journal.
#[test]
fn the_commit_that_fails_tells_why() {
    const CHILD: &str = "BLOCKYARD_TEST_FAILED_WRITE";
    if let Ok(path) = std::env::var(CHILD) {
        let store = Store::open(path).expect("superblocks lie below the limit");
        let refused = store.put("new", "value");
        assert!(matches!(refused, Err(Error::Io(_))), "{refused:?}");
        assert!(matches!(store.put("new", "value"), Err(Error::Poisoned)));
        assert_eq!(store.get("old").expect("reads go on").as_deref(), Some(&b"value"[..]));
        assert!(!store.exists("new").expect("exists"), "what failed is not seen");
        assert!(matches!(store.close(), Err(Error::Poisoned)));
        return;
    }
    let place = Place::new();
    let store = place.create();
    // The file has room, so that it is the write that fails and not the growth.
    store.put("filler", bytes(1, 200_000)).expect("put");
    store.put("old", "value").expect("put");
    store.close().expect("close");
    let script =
        "trap '' XFSZ; ulimit -f 16; exec \"$0\" --exact regressions::the_commit_that_fails_tells_why";
    let child = std::process::Command::new("bash")
        .args(["-c", script])
        .arg(std::env::current_exe().expect("this binary"))
        .env(CHILD, &place.path)
        .output()
        .expect("bash runs");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    let store = place.open();
    assert_eq!(store.get("old").expect("get").as_deref(), Some(&b"value"[..]));
    store.put("new", "value").expect("put after the reopen");
    assert_clean(&store);
}

/// `checkpoint` went on until nothing was left to fold in: while others commit, that is never.
#[test]
fn a_checkpoint_ends_while_others_commit() {
    let place = Place::new();
    let store = place.create();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (store, done) = (&store, &done);
            scope.spawn(move || {
                let options = PutOptions { durability: Some(Durability::Buffered), ..PutOptions::default() };
                for count in 0.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    store
                        .put_with(format!("{writer}/{}", count % 100), bytes(count, 300), options)
                        .expect("put");
                }
            });
        }
        for _ in 0..20 {
            store.checkpoint().expect("checkpoint");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_clean(&store);
}

/// An interval beyond what the clock can count to ended the background thread in a panic: buffered
/// commits stayed so, and awaited tickets were never answered.
#[test]
fn an_endless_flush_interval_harms_nobody() {
    let place = Place::new();
    let options = OpenOptions::new().create(true).flush_interval(Duration::MAX);
    let store = options.open(&place.path).expect("store");
    for index in 0..5 {
        let ticket = store.submit(batch_of(&store, &format!("{index}")), Durability::Buffered);
        block_on(ticket.expect("submit")).expect("commit");
    }
    store.close().expect("close");
}

/// The verifier was told of a block before the block could be seen: it found the block's predecessor, or
/// nothing, and counted that as verified. And what the journal carries was never read back.
#[test]
fn the_verifier_counts_what_it_has_read() {
    let place = Place::new();
    let store = OpenOptions::new().create(true).verify_writes(true).open(&place.path).expect("store");
    for index in 0..10 {
        store.put(format!("inline {index}"), bytes(index, 100)).expect("put");
        store.put(format!("carried {index}"), bytes(index, 5000)).expect("put");
        store.put(format!("placed {index}"), bytes(index, 100_000)).expect("put");
        store.delete(format!("placed {index}")).expect("delete");
        store.put(format!("placed {index}"), bytes(index + 1, 100_000)).expect("put");
    }
    let mut transaction = store.transaction().expect("transaction");
    transaction.put("guarded", "value").expect("put");
    transaction.commit().expect("commit");
    // Asynchronous by design: wait for it, however long it takes. A put that was deleted before the
    // verifier came to it is not counted; its successor is.
    while store.stats().expect("stats").verified_writes < 31 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(store.stats().expect("stats").verify_failures, 0);
}

/// A writer whose chunk could not be written told on `finish` that the store was poisoned, whatever the
/// reason had been.
#[test]
fn a_writer_that_failed_keeps_its_reason() {
    let place = Place::new();
    let store = place.create();
    let mut writer = store.writer("name").expect("writer");
    store.clone().close().expect("close");
    assert!(matches!(writer.write_bytes(&bytes(1, 3 << 20)), Err(Error::Closed)));
    assert!(matches!(writer.finish(), Err(Error::Closed)));
    drop(store);
    assert_clean(&place.open());
}

/// Iterators of a closed store answered as if it were open.
#[test]
fn an_iterator_of_a_closed_store_says_so() {
    let place = Place::new();
    let store = place.create();
    store.put("name", "value").expect("put");
    let other = store.clone();
    store.close().expect("close");
    let mut iter = other.iter();
    assert!(matches!(iter.next(), Some(Err(Error::Closed))));
    assert!(iter.next().is_none());
}

/// A creation that was cut short before its superblock left a file that no `create` would have: it was
/// "not a Blockyard file", for good.
#[test]
fn a_creation_that_was_cut_short_is_begun_again() {
    let place = Place::new();
    let options = OpenOptions::new().create(true);
    for length in [0, 1, 4096, 1 << 20, 9 << 20] {
        fs::write(&place.path, vec![0; length]).expect("write");
        assert!(matches!(Store::open(&place.path), Err(OpenError::NotBlockyard(_))));
        assert!(matches!(Store::create(&place.path), Err(OpenError::AlreadyExists(_))));
        let store = options.open(&place.path).expect("created over nothing");
        store.put("name", "value").expect("put");
        assert_clean(&store);
    }
    let mut other = vec![0; 1 << 20];
    other[(1 << 20) - 1] = 1;
    fs::write(&place.path, &other).expect("write");
    assert!(matches!(options.open(&place.path), Err(OpenError::NotBlockyard(_))));
    assert_eq!(fs::read(&place.path).expect("read"), other);
}

/// A failed creation removed whatever the path named: for a privileged user /dev/null itself, for
/// anybody an empty file of their own. The link keeps this test from doing either.
#[test]
fn a_failed_creation_removes_nothing_but_its_own_file() {
    let place = Place::new();
    std::os::unix::fs::symlink("/dev/null", &place.path).expect("link");
    let options = OpenOptions::new().create(true);
    assert!(matches!(options.open(&place.path), Err(OpenError::NotBlockyard(_))));
    assert!(matches!(OpenOptions::new().read_only(true).open(&place.path), Err(OpenError::NotBlockyard(_))));
    assert!(place.path.is_symlink());
    fs::remove_file(&place.path).expect("remove");
    fs::write(&place.path, "").expect("write");
    assert!(matches!(options.clone().page_size(1000).open(&place.path), Err(OpenError::Geometry(_))));
    assert!(place.path.exists());
}

/// Two creators at once: one may have written into a file that the other, failing, had removed.
#[test]
fn creators_at_once_agree_on_one_file() {
    let place = Place::new();
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..150 {
        let both = Barrier::new(3);
        // None of them is always the first.
        let mut late = [0; 3].map(|_: u64| Duration::from_micros(random.u64(..400)));
        random.shuffle(&mut late);
        let open = |who: usize, options: OpenOptions| {
            both.wait();
            std::thread::sleep(late[who]);
            options.open(&place.path)
        };
        std::thread::scope(|scope| {
            let failing = scope.spawn(|| open(0, OpenOptions::new().create(true).page_size(1000)));
            let first = scope.spawn(|| open(1, OpenOptions::new().create(true).journal_size(1 << 20)));
            let second = open(2, OpenOptions::new().create_new(true).journal_size(1 << 20));
            let refused = failing.join().expect("a thread");
            assert!(refused.is_err());
            let first = first.join().expect("a thread");
            for store in [first, second].into_iter().flatten() {
                store.put("name", format!("{round}")).expect("put");
                store.close().expect("close");
                let store = place.open();
                assert_eq!(store.get("name").expect("get"), Some(format!("{round}").into_bytes()));
            }
        });
        let _ = fs::remove_file(&place.path);
    }
}

/// A page size of gigabytes aborted the process: memory for it was set aside before it was refused.
#[test]
fn an_absurd_page_size_is_refused_before_memory_is_set_aside() {
    let place = Place::new();
    for page_size in [1 << 20, 1 << 31, u32::MAX] {
        let refused = OpenOptions::new().create(true).page_size(page_size).open(&place.path);
        assert!(matches!(refused, Err(OpenError::Geometry(_))), "{refused:?}");
    }
    assert!(!place.path.exists());
}

/// The operations of a forged journal record claimed commit 0, and opening the file never ended.
#[test]
fn a_forged_commit_number_does_not_keep_the_open_for_ever() {
    let place = Place::new();
    let store = OpenOptions::new()
        .create(true)
        .durability(Durability::Buffered)
        .flush_interval(Duration::MAX)
        .open(&place.path)
        .expect("store");
    store.put("name", "value").expect("put");
    let mut image = fs::read(&place.path).expect("read");
    drop(store);
    let at = (0..image.len()).step_by(512).find(|&at| image[at..].starts_with(&RecordHeader::MAGIC));
    let at = at.expect("a record");
    let mut header = RecordHeader::read(&image[at..]).expect("a header");
    let meta = at + RecordHeader::SIZE..at + RecordHeader::SIZE + header.meta_length.get() as usize;
    let mut operation = OpHeader::read(&image[meta.clone()]).expect("an operation");
    operation.sequence.set(0);
    image[meta.start..meta.start + OpHeader::SIZE].copy_from_slice(operation.bytes());
    header.meta_digest = Digest::of(&image[meta]).0;
    image[at..at + RecordHeader::SIZE].copy_from_slice(header.sealed().bytes());
    fs::write(&place.path, &image).expect("write");
    // Refused or recovered: what counts is that it ends.
    if let Ok(store) = OpenOptions::new().read_only(true).open(&place.path) {
        assert!(store.iter().count() <= 1);
    }
    if let Ok(store) = Store::open(&place.path) {
        assert!(store.iter().count() <= 1);
    }
}

/// An inner node of a forged tree all of whose children are one and the same leaf was walked as often as
/// it has children, on every level: for ever, as far as anybody could tell.
#[test]
fn a_tree_that_leads_to_one_leaf_again_and_again_ends_in_an_error() {
    const PAGE: usize = 4096;
    let place = Place::new();
    let store = place.create();
    store.put("name", "value").expect("put");
    store.close().expect("close");
    let mut image = fs::read(&place.path).expect("read");
    let read = |slot: u32| Superblock::read(&image[slot as usize * SLOT_STRIDE as usize..]).expect("a slot");
    let newest = (0..4).map(read).max_by_key(|copy| copy.generation.get()).expect("a superblock");
    let mut child = (newest.root_page.get(), newest.root_digest);
    let leaf = NodeHeader::read(&image[child.0 as usize * PAGE..]).expect("a node");
    assert_eq!(leaf.level, 0);
    // Two levels of inner nodes, each with as many cells of the least name as fit.
    let page_count = image.len() / PAGE;
    for level in 1..=2_u8 {
        let mut node = vec![0; PAGE];
        let (cell, count) = (46 + 1, 80);
        let start = NodeHeader::SIZE + 2 * count;
        let mut header = leaf;
        header.level = level;
        header.count.set(count as u32);
        header.end.set((start + cell * count) as u32);
        node[..NodeHeader::SIZE].copy_from_slice(header.bytes());
        for index in 0..count {
            let at = start + index * cell;
            node[NodeHeader::SIZE + 2 * index..][..2].copy_from_slice(&(at as u16).to_le_bytes());
            node[at..at + 8].copy_from_slice(&child.0.to_le_bytes());
            node[at + 8..at + 40].copy_from_slice(&child.1);
            node[at + 44..at + 46].copy_from_slice(&1_u16.to_le_bytes());
            node[at + 46] = b'a';
        }
        let page = page_count - usize::from(level);
        child = (page as u64, Digest::of(&node).0);
        image[page * PAGE..][..PAGE].copy_from_slice(&node);
    }
    let mut forged = newest;
    forged.root_page.set(child.0);
    forged.root_digest = child.1;
    forged.height.set(3);
    for slot in 0..4_u32 {
        let at = slot as usize * SLOT_STRIDE as usize;
        let copy = Superblock::read(&image[at..]).expect("a slot");
        if copy.generation.get() == forged.generation.get() {
            image[at..at + Superblock::SIZE].copy_from_slice(forged.sealed(slot).bytes());
        }
    }
    fs::write(&place.path, &image).expect("write");
    let store = OpenOptions::new().read_only(true).open(&place.path).expect("the root is sound");
    for forward in [true, false] {
        let mut iter = store.iter();
        let mut step = || if forward { iter.next() } else { iter.next_back() };
        let mut steps = 0;
        let end = loop {
            match step() {
                Some(Ok(_)) => steps += 1,
                end => break end,
            }
            assert!(steps <= 6400, "a walk in circles");
        };
        assert!(matches!(end, Some(Err(Error::Corrupted { .. }))), "{end:?} after {steps} steps");
    }
}

/// A thread that panicked while it held the engine left it to the next one, who went on syncing and
/// checkpointing whatever was half done. Now nothing is written any more, reads go on, and a reopen
/// recovers what was acknowledged.
#[test]
fn a_panic_under_the_engine_lock_ends_all_writing() {
    let place = Place::new();
    let store = place.create();
    store.put("before", "x").expect("put");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.verify(|_| panic!("by a callback")).map(drop)
    }));
    assert!(panicked.is_err());
    assert!(matches!(store.put("after", "x"), Err(Error::Poisoned)));
    assert!(matches!(store.checkpoint(), Err(Error::Poisoned)));
    assert_eq!(store.get("before").expect("get").as_deref(), Some(&b"x"[..]));
    assert!(matches!(store.close(), Err(Error::Poisoned)));
    let store = place.open();
    assert_eq!(store.get("before").expect("get").as_deref(), Some(&b"x"[..]));
    assert!(!store.exists("after").expect("exists"));
    assert_clean(&store);
}

/// A walk that had met damage at one end went on from the other: what was known of how far that end goes without
/// a comparison was not forgotten.
#[test]
fn a_walk_that_met_damage_goes_on_from_neither_end() {
    let name = |index: u32| format!("name {index:05}");
    let memory = MemoryDevice::new();
    let options = OpenOptions::new().create(true).journal_size(256 << 10);
    let store = options.open_device(memory.clone()).expect("store");
    let mut batch = store.batch();
    (0..2000).for_each(|index| batch.put(name(index), [7; 40]).expect("fits"));
    store.commit(batch).expect("commit");
    store.close().expect("close");
    for (forward, damaged) in [(true, name(3)), (false, name(1996))] {
        let mut image = memory.to_vec();
        let registry = 256 << 10;
        let places: Vec<usize> =
            (registry..image.len()).filter(|at| image[*at..].starts_with(damaged.as_bytes())).collect();
        assert!(!places.is_empty(), "the name is in a leaf");
        places.into_iter().for_each(|at| image[at] ^= 1);
        let store = OpenOptions::new().open_device(MemoryDevice::from(image)).expect("store");
        let mut items = store.iter();
        let mut step = |forward: bool| if forward { items.next() } else { items.next_back() };
        (0..3).for_each(|_| assert!(step(!forward).is_some_and(|item| item.is_ok())));
        assert!(matches!(step(forward), Some(Err(Error::Corrupted { .. }))));
        assert!(step(!forward).is_none() && step(forward).is_none(), "it ended");
    }
}

/// The background thread slept until buffered commits would be due, however far that was, also when a sync had made them
/// durable long before: idle time was not used, and the next burst met a checkpoint.
#[test]
fn idle_time_behind_a_sync_is_used() {
    let options = OpenOptions::new().create(true).journal_size(64 << 10).flush_operations(usize::MAX);
    let store =
        options.flush_interval(Duration::from_secs(3600)).open_device(MemoryDevice::new()).expect("store");
    let buffered = PutOptions { durability: Some(Durability::Buffered), ..PutOptions::default() };
    for index in 0..20_u64 {
        store.put_with(index.to_be_bytes(), [7; 1000], buffered).expect("put");
    }
    store.sync().expect("sync");
    let stats = store.stats().expect("stats");
    assert!((16 << 10..32 << 10).contains(&stats.journal_used), "{} bytes", stats.journal_used);
    let begun = std::time::Instant::now();
    while store.stats().expect("stats").checkpoints == stats.checkpoints {
        assert!(begun.elapsed() < Duration::from_secs(60), "no checkpoint was made");
        std::thread::sleep(Duration::from_millis(5));
    }
    store.close().expect("close");
}
