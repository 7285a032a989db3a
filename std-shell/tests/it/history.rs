//! Threads at once, and one history that explains everything they were answered.
//!
//! Every commit has a number. Replayed in that order the commits give the state of the store after each,
//! and what a thread saw has to be one of the states between the beginning and the end of its look.

use crate::device::{Call, Hooked, Simulated};
use crate::model::{Action, Content, Found, Name, Timeline};
use crate::program::{NAMES, Shape, Step, Walk, key, programs, shape};
use crate::support::{assert_clean, watched};
use crate::tally::{Tally, check};
use crate::worker::{Record, Seen, Sighting, Worker};
use blockyard::{MemoryDevice, Snapshot, Store};
use std::sync::{Arc, Barrier};

/// Runs all programs at once; gives back the history and what was seen.
pub(crate) fn play(
    store: &Store,
    shape: Shape,
    programs: &[Vec<Step>],
    device: Option<&Arc<Simulated>>,
    all_durable: bool,
    tally: &Tally,
) -> (Timeline, Vec<Sighting>) {
    // Blocks that nobody touches, so that a checkpoint has leaves to go through between the others.
    let (mut batch, mut untouched) = (store.batch(), Vec::new());
    for index in 0..u64::from(NAMES) * 4 {
        let name = [key(index as u8 / 4), format!("~{index}").into_bytes()].concat();
        let content = Content { seed: u64::MAX - index, length: u64::from(shape.page / 10), tag: index };
        batch.put_tagged(&name, content.bytes(), content.tag).expect("fits");
        untouched.push((name, Some(content)));
    }
    let sequence = store.commit(batch).expect("commit");
    assert_eq!(sequence.0, 1);
    let together = Barrier::new(programs.len());
    let records: Vec<Record> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..)
            .zip(programs)
            .map(|(thread, program)| {
                let mut worker = Worker::new(store.clone(), shape, thread, device, tally);
                worker.all_durable = all_durable;
                let together = &together;
                scope.spawn(move || {
                    together.wait();
                    worker.run(program)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a worker")).collect()
    });
    // What tickets left behind is committed in the background.
    store.sync().expect("sync");
    let (mut commits, mut sightings) = (vec![(1, Action::Set(untouched))], Vec::new());
    for record in records {
        let own: Vec<u64> = record.commits.iter().map(|(sequence, _)| *sequence).collect();
        assert!(own.is_sorted(), "a thread's commits were not made in its order: {own:?}");
        commits.extend(record.commits);
        for (witness, changes) in record.dropped {
            let metadata = store.metadata(&witness).expect("metadata");
            let metadata = metadata.expect("the commit of a dropped ticket is made all the same");
            commits.push((metadata.sequence.0, Action::Set(changes)));
        }
        sightings.extend(record.sightings);
    }
    let timeline = Timeline::replay(commits);
    let last = store.snapshot().expect("snapshot").sequence().0;
    assert_eq!(timeline.last, last, "a commit that nobody made");
    (timeline, sightings)
}

/// Whether the history explains what was seen.
fn explain(timeline: &Timeline, sighting: &Sighting) {
    let Sighting { first, last, seen } = sighting;
    let shown = |name: &Name| name.escape_ascii().to_string();
    match seen {
        Seen::Block { name, found } => {
            let was = timeline.was(name, found.as_ref(), *first, *last);
            assert!(was, "{} never was {found:?} from commit {first} to {last}", shown(name));
        }
        Seen::Walk { walk, found } => {
            let was = timeline.was_all(found, |name| walk.covers(name), *first, *last);
            assert!(was, "{walk:?} never was {found:?} from commit {first} to {last}");
        }
        Seen::Guarded { reads, begun, at } => {
            for (name, found) in reads {
                let was = timeline.was(name, found.as_ref(), *at, *at);
                assert!(was, "commit {at} found {} to be other than {found:?}", shown(name));
                let same = timeline.at(name, *begun) == timeline.at(name, *at);
                assert!(same, "a change of {} from commit {begun} to {at} was not noticed", shown(name));
            }
        }
        Seen::Conflict { names } => {
            let changed = names.iter().any(|name| timeline.changed(name, *first, *last));
            assert!(changed, "a conflict although nothing was changed from commit {first} to {last}");
        }
    }
}

/// Whether a snapshot shows the state after its commit: the same names with the same bytes.
pub(crate) fn assert_state(timeline: &Timeline, snapshot: &Snapshot) {
    let sequence = snapshot.sequence().0;
    let found: Vec<(Name, Found)> = snapshot
        .iter()
        .map(|item| {
            let item = item.expect("item");
            let bytes = Found::bytes(&item.value().expect("value")).bytes;
            let found = Found { bytes, ..Found::metadata(&item.metadata()) };
            (item.name().to_vec(), found)
        })
        .collect();
    let same = timeline.was_all(&found, |name| Walk::All.covers(name), sequence, sequence);
    assert!(same, "not the state after commit {sequence}: {found:?}, but {:?}", timeline.state(sequence));
}

#[test]
fn one_history_explains_what_all_threads_were_answered() {
    let tally = Arc::new(Tally::default());
    let counted = Arc::clone(&tally);
    watched(move |alive| {
        check(48, &(shape(), programs(2..=6)), |(shape, programs)| {
            alive.tell();
            let memory = MemoryDevice::new();
            // A device that takes its time, so that others come in between: most of all when a
            // checkpoint is under way.
            let slow = Hooked::new(memory.clone(), |call| {
                let background = std::thread::current().name() == Some("blockyard-flush");
                let times = if background { 10 } else { 1 };
                if call != Call::Read {
                    (0..times).for_each(|_| std::thread::yield_now());
                }
                Ok(())
            });
            let store = shape.options().open_device(slow).expect("store");
            let (timeline, sightings) = play(&store, shape, &programs, None, false, &counted);
            sightings.iter().for_each(|sighting| explain(&timeline, sighting));
            assert_state(&timeline, &store.snapshot().expect("snapshot"));
            let stats = store.stats().expect("stats");
            assert_eq!(stats.verify_failures, 0);
            counted.add("checkpoints", stats.checkpoints);
            counted.add("read back", stats.verified_writes);
            assert_clean(&store);
            store.close().expect("close");
            let store = shape.options().open_device(memory).expect("store");
            assert_state(&timeline, &store.snapshot().expect("snapshot"));
        });
    });
    let events = [
        "put",
        "put of several chunks",
        "delete",
        "delete of nothing",
        "batch",
        "ticket waited for",
        "ticket awaited",
        "ticket dropped",
        "compare and put",
        "transaction",
        "transaction that only reads",
        "transaction's reads",
        "conflict",
        "rename",
        "rename to itself",
        "rename of nothing",
        "stream",
        "stream given up",
        "get",
        "get_into",
        "get_ref",
        "get_with",
        "exists",
        "metadata",
        "range read",
        "walk forwards",
        "walk backwards",
        "walk from both ends",
        "look at a snapshot",
        "verification under load",
        "checkpoints",
        "read back",
    ];
    tally.demand("histories", &events);
}
