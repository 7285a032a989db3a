//! The properties of a group-commit engine, one function each: what it must hold against is the order
//! of the threads, which the explorer chooses.

use crate::engine::{Answer, Background, Engine, Failure, Item};
use crate::explore::{Arc, block_on, thread};
use crate::medium::DEVICE_PANIC;
use blockyard_core::Durability::{self, Buffered, Durable};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs `act` once for each of `writers` threads, the last of which is this one; gives back what each
/// came to.
fn together<E: Engine, R: Send + 'static>(engine: &Arc<E>, writers: usize, act: fn(&E, Item) -> R) -> Vec<R> {
    let last = writers as Item - 1;
    let others: Vec<_> = (0..last)
        .map(|item| {
            let engine = Arc::clone(engine);
            thread::spawn(move || act(&engine, item))
        })
        .collect();
    let mine = act(engine, last);
    let mut results: Vec<R> = others.into_iter().map(|other| other.join().expect("it passed")).collect();
    results.push(mine);
    results
}

/// No `Ok` without a sync that began after the data was written.
pub fn acknowledged_is_covered<E: Engine>(engine: E, writers: usize) {
    let engine = Arc::new(engine);
    together(&engine, writers, |engine, item| {
        let answer = engine.commit(item, Durable);
        assert!(answer.is_ok(), "refused without a reason");
        assert!(engine.medium().is_synced(item), "acknowledged without a sync that covers it");
    });
}

/// Every waiter returns, whether the device works or fails, and more writers than fit find room.
pub fn everyone_returns<E: Engine>(engine: E, writers: usize) {
    let engine = Arc::new(engine);
    let answers = together(&engine, writers, |engine, item| engine.commit(item, Durable));
    for (item, answer) in answers.into_iter().enumerate() {
        let synced = engine.medium().is_synced(item as Item);
        assert!(answer.is_err() || synced, "acknowledged without a sync that covers it");
    }
}

/// When a device fails at its first write or sync, everybody in the group hears of it, and everybody
/// who comes later.
pub fn error_reaches_all<E: Engine>(engine: E, writers: usize) {
    let engine = Arc::new(engine);
    let answers = together(&engine, writers, |engine, item| engine.commit(item, Durable));
    for answer in answers {
        assert!(answer.is_err(), "told Ok although the device failed");
    }
    let later = engine.commit(writers as Item, Buffered);
    assert!(matches!(later, Err(Failure::Device(_))), "a later caller was not told: {later:?}");
}

/// No two flushes overlap and the durable sequence never falls: the medium watches both.
pub fn one_flush_at_a_time<E: Engine>(engine: E, writers: usize) {
    let engine = Arc::new(engine);
    together(&engine, writers, |engine, item| {
        assert!(engine.commit(2 * item, Durable).is_ok(), "refused without a reason");
        assert!(engine.commit(2 * item + 1, Durable).is_ok(), "refused without a reason");
    });
}

/// A writer that arrives during a flush joins the next group.
pub fn late_writer_joins_the_next<E: Engine>(engine: E, writers: usize) {
    let engine = Arc::new(engine);
    together(&engine, writers, |engine, item| {
        let next = engine.medium().next_group();
        let answer = engine.commit(item, Durable);
        assert!(answer.is_ok_and(|place| place.group >= next), "joined a flush that had begun: {answer:?}");
    });
}

/// A leader that waits for company is told when it is complete.
pub fn company_is_told<E: Engine>(engine: E, writers: usize) {
    let engine = Arc::new(engine);
    let groups = together(&engine, writers, |engine, item| {
        engine.commit(item, Durable).expect("refused without a reason").group
    });
    assert!(groups.iter().all(|group| *group == groups[0]), "not one group: {groups:?}");
}

/// The strictest durability in a group wins.
pub fn strictest_wins<E: Engine>(engine: E, writers: usize) {
    let engine = Arc::new(engine);
    together(&engine, writers, |engine, item| {
        let durability = asked(item);
        assert!(engine.commit(item, durability).is_ok(), "refused without a reason");
        let medium = engine.medium();
        let reached = if durability == Durable { medium.is_synced(item) } else { medium.is_written(item) };
        assert!(reached, "{durability:?} was acknowledged and not reached");
    });
}

fn asked(item: Item) -> Durability {
    if item.is_multiple_of(2) { Durable } else { Buffered }
}

/// A panic in the device poisons: the leader panics, nobody hangs, and nobody is told `Ok`.
pub fn panic_poisons<E: Engine>(engine: E, writers: usize) {
    let engine = Arc::new(engine);
    let panicked = together(&engine, writers, |engine, item| match outcome(engine, item) {
        None => true,
        Some(answer) => {
            assert_eq!(answer, Err(Failure::Broken), "the device panicked");
            false
        }
    });
    assert_eq!(panicked.into_iter().filter(|it| *it).count(), 1, "one leader, one panic");
    assert_eq!(engine.commit(writers as Item, Buffered), Err(Failure::Broken), "a later caller");
}

/// The answer, or none if the device panicked under this caller.
fn outcome<E: Engine>(engine: &E, item: Item) -> Option<Answer> {
    match catch_unwind(AssertUnwindSafe(|| engine.commit(item, Durable))) {
        Ok(answer) => Some(answer),
        Err(payload) if payload.downcast_ref::<String>().is_some_and(|it| it == DEVICE_PANIC) => None,
        // Of the model itself.
        Err(payload) => resume_unwind(payload),
    }
}

/// A waiter that goes away strands nobody, and what it submitted is committed.
pub fn abandoned_strands_nobody<E: Engine>(engine: E, writers: usize) {
    let engine = Arc::new(engine);
    together(&engine, writers, |engine, item| {
        if asked(item) == Durable {
            let answer = engine.commit(item, Durable);
            assert!(answer.is_ok() && engine.medium().is_synced(item), "stranded: {answer:?}");
        } else {
            let ticket = engine.submit(item, Buffered).expect("the engine is open");
            engine.abandon(ticket);
        }
    });
    engine.shut_down();
    for item in 0..writers as Item {
        assert!(engine.medium().is_written(item), "an abandoned item was lost");
    }
}

/// Shutting down writes what was accepted, or all are told, and nothing is written afterwards.
pub fn shutdown_leaves_nobody<E: Engine>(engine: E, writers: usize, fails: bool) {
    let engine = Arc::new(engine);
    let others: Vec<_> = (0..writers as Item - 1)
        .map(|item| {
            let engine = Arc::clone(&engine);
            thread::spawn(move || submit_and_maybe_wait(&*engine, item))
        })
        .collect();
    engine.shut_down();
    let groups = engine.medium().next_group();
    for (item, other) in others.into_iter().enumerate() {
        let accepted = other.join().expect("it passed");
        let written = engine.medium().is_written(item as Item);
        assert!(fails || accepted == written, "accepted and not written when all was shut down");
    }
    assert_eq!(engine.medium().next_group(), groups, "a group was written after the shutdown");
}

/// Half of them wait, half of them leave; says whether the item was accepted.
fn submit_and_maybe_wait<E: Engine>(engine: &E, item: Item) -> bool {
    let ticket = match engine.submit(item, Buffered) {
        Ok(ticket) => ticket,
        Err(_) => return false,
    };
    if item.is_multiple_of(2) {
        engine.abandon(ticket);
    } else {
        let answer = engine.wait(ticket);
        assert_ne!(answer, Err(Failure::Closed), "accepted, then refused");
    }
    true
}

/// Who polls is woken when the flusher has led for it.
pub fn polled_is_woken<E: Background>(engine: E, writers: usize) {
    let engine = Arc::new(engine);
    let flusher = flusher(&engine);
    together(&engine, writers - 1, |engine, item| {
        let ticket = engine.submit(item, Durable).expect("the engine is open");
        let answer = block_on(|context| engine.poll(&ticket, context));
        assert!(answer.is_ok() && engine.medium().is_synced(item), "woken with {answer:?}");
    });
    engine.close();
    flusher.join().expect("it passed");
}

/// Who finds the queue full is woken when there is room, which the flusher makes.
pub fn room_is_told<E: Background>(engine: E, writers: usize) {
    let engine = Arc::new(engine);
    let flusher = flusher(&engine);
    together(&engine, writers - 1, |engine, item| {
        let first = engine.submit(2 * item, Durable).expect("the engine is open");
        engine.abandon(first);
        let answer = engine.commit(2 * item + 1, Durable);
        assert!(answer.is_ok(), "refused without a reason: {answer:?}");
    });
    engine.close();
    flusher.join().expect("it passed");
    for item in 0..2 * (writers as Item - 1) {
        assert!(engine.medium().is_synced(item), "an abandoned item was lost");
    }
}

fn flusher<E: Background>(engine: &Arc<E>) -> thread::JoinHandle<()> {
    let engine = Arc::clone(engine);
    thread::spawn(move || engine.serve())
}
