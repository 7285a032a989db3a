//! Verification in steps: of a store that is at rest it finds what verification at once does (see `verify_both_ways`, which
//! all tests of damage call); here is what happens between the steps.

use crate::support::*;
use blockyard_core::Durability::Buffered;
use blockyard_core::error::{ReadError, Structure};
use blockyard_core::overlay::Overlay;
use blockyard_core::store::{Memory, Problem, Verification, VerifySink};
use blockyard_sim::device::SimDevice;
use blockyard_sim::fault::{Fault, Operation, SimError};
use std::collections::BTreeMap;

const SHAPE: Shape = Shape { journal_pages: 64, chunk_pages: 3, memory: Memory::SMALL, ..Shape::SMALL };

/// What was checked of each block: bytes, and how often its beginning.
#[derive(Default)]
struct Seen {
    blocks: BTreeMap<Vec<u8>, (u64, u64)>,
    problems: Vec<(Option<Vec<u8>>, Problem)>,
}

impl VerifySink for Seen {
    fn problem(&mut self, name: Option<&[u8]>, problem: Problem) {
        self.problems.push((name.map(<[u8]>::to_vec), problem));
    }
    fn checked(&mut self, name: &[u8], first: bool, bytes: u64) {
        let seen = self.blocks.entry(name.to_vec()).or_default();
        *seen = (seen.0 + bytes, seen.1 + u64::from(first));
    }
}

/// Blocks of each kind: inline, of an extent, of chunks, each one's length telling them apart.
fn length_of(number: u64) -> usize {
    [40, 700, 5000, 90, 1400][number as usize % 5] + number as usize
}

fn name_of(number: u64) -> Vec<u8> {
    format!("block {number:03}").into_bytes()
}

fn write<O: Overlay, D: blockyard_core::device::BlockDevice>(
    store: &mut TestStore<O, D>,
    number: u64,
    seed: u64,
) {
    let value = bytes(seed, length_of(number));
    if value.len() as u64 > u64::from(store.geometry().chunk_size()) {
        stream(store, &name_of(number), 0, &value, Buffered).unwrap();
    } else {
        put(store, &name_of(number), &value, Buffered).unwrap();
    }
}

fn full<O: Overlay + Default>(blocks: u64) -> TestStore<O> {
    let mut store: TestStore<O> = SHAPE.new_store(SHAPE.device(SHAPE.front_pages() + 4000));
    for number in 0..blocks {
        write(&mut store, number, number);
        if number % 20 == 19 {
            store.checkpoint().unwrap();
        }
    }
    store.checkpoint().unwrap();
    store
}

/// Changes blocks that `changes` picks, and folds them in, every `pace` steps, always (`whole`) or now and then up to the end; what
/// was seen.
fn verify_among_changes<O: Overlay + Default>(pace: u64, whole: bool, changes: fn(u64) -> bool) -> Seen {
    let mut store = full::<O>(100);
    let mut verification = Verification::new([0; 64]);
    let mut seen = Seen::default();
    let mut steps = 0_u64;
    loop {
        let before = store.counters().reads;
        let bound = store.bound_of_verify_step().reads;
        let more = store.verify_step(&mut verification, &mut seen).unwrap();
        assert!(store.counters().reads - before <= bound, "step {steps}");
        steps += 1;
        assert!(steps < 10_000, "it does not come to an end");
        if !more {
            break;
        }
        if steps.is_multiple_of(pace) {
            let round = steps / pace;
            let picked = (0..100).filter(|&number| changes(number));
            for number in picked.filter(|number| pace == 1 || (number + round).is_multiple_of(3)) {
                match round % 2 {
                    0 => write(&mut store, number, steps),
                    _ => drop(delete(&mut store, &name_of(number), Buffered)),
                }
            }
            // The whole checkpoint, or so much of it that the next steps come into its middle.
            for _ in 0..if whole || round.is_multiple_of(4) { 1000 } else { 3 } {
                store.checkpoint_step().unwrap();
            }
        }
    }
    let report = verification.report();
    assert!(report.partial && report.leaked_pages == 0, "{report:?}");
    assert!(steps > 150, "{steps} steps");
    seen
}

fn what_stays_is_seen_whole_and_once<O: Overlay + Default>() {
    for (pace, whole, changes) in [
        (5, false, (|number| number % 7 == 3) as fn(u64) -> bool),
        (17, false, |number| number % 2 == 0),
        (2, true, |number| number == 50),
        (7, false, |number| number < 30),
        (7, true, |number| number > 70),
        // Another registry at each step.
        (1, true, |number| number == 50),
        (1, true, |number| number == 99),
    ] {
        let seen = verify_among_changes::<O>(pace, whole, changes);
        assert!(seen.problems.is_empty(), "every {pace}: {:?}", seen.problems);
        for number in (0..100).filter(|&number| !changes(number)) {
            let (length, found) = (length_of(number) as u64, seen.blocks.get(&name_of(number)));
            let &(bytes, firsts) =
                found.unwrap_or_else(|| panic!("every {pace}: block {number} was passed over"));
            // Of a chunk that was being read the block's beginning was told before, once.
            assert_eq!((bytes, firsts), (length, 1), "every {pace}: block {number}");
        }
    }
}

#[test]
fn what_no_checkpoint_changes_is_verified_whole_and_once() {
    what_stays_is_seen_whole_and_once::<Heap>();
    what_stays_is_seen_whole_and_once::<Fixed>();
}

#[test]
fn damage_is_found_though_checkpoints_come_between() {
    let mut found = 0;
    for number in (0..100).filter(|number| number % 5 != 0 && number % 5 != 3) {
        let store = full::<Heap>(100);
        let geometry = *store.geometry();
        let mut image = store.into_device().bytes().to_vec();
        // In its last page: of a block of chunks in the last of them.
        let value = bytes(number, length_of(number));
        let last = &value[value.len() - value.len() % 512 - 512..][..512];
        let zone = geometry.offset(geometry.first_group()) as usize;
        let found_at = (zone..image.len() - 512).step_by(512).find(|&at| image[at..at + 512] == *last);
        let at = found_at.unwrap_or_else(|| panic!("block {number} has pages"));
        image[at + 7] ^= 1;
        let device = blockyard_core::device::VecDevice::from_bytes(image, 512, 1 << 24);
        let (mut store, _) = SHAPE.open::<Heap, _>(device).unwrap();
        let mut verification = Verification::new(vec![0; geometry.max_name()]);
        let (mut seen, mut steps) = (Seen::default(), 0_u64);
        while store.verify_step(&mut verification, &mut seen).unwrap() {
            steps += 1;
            assert!(steps < 10_000, "it does not come to an end");
            if steps.is_multiple_of(9) {
                write(&mut store, if number < 50 { 95 } else { 5 }, steps);
                store.checkpoint().unwrap();
            }
        }
        let [(Some(name), Problem::Damaged(damage))] = &seen.problems[..] else {
            panic!("block {number}: {:?}", seen.problems);
        };
        let extent = damage.offset as usize..=at;
        assert_eq!((name, damage.what), (&name_of(number), Structure::Block));
        assert!(extent.contains(&at) && at - extent.start() < 1536, "block {number}: {damage:?}, at {at}");
        found += 1;
    }
    assert_eq!(found, 60);
}

#[test]
fn what_cannot_be_read_ends_a_step_and_the_next_one_goes_on_behind_it() {
    let device = SimDevice::new(Vec::new(), 4000 * 512, 1);
    let mut store: TestStore<Heap, _> = SHAPE.new_store(device.clone());
    (0..60).for_each(|number| write(&mut store, number, number));
    store.checkpoint().unwrap();
    let mut all = Findings::default();
    let reads = store.counters().reads;
    let report = verify_in_steps(&mut store, &mut all).unwrap();
    let reads = store.counters().reads - reads;
    let mut fewer = 0;
    for at in 0..reads {
        device.arm(Some(Fault::Fails(Operation::Read, at)));
        let mut findings = Findings::default();
        let failed = verify_in_steps(&mut store, &mut findings);
        assert_eq!(failed, Err(ReadError::Device(SimError::Eio)), "read {at}");
        device.arm(None);
        fewer += u64::from(findings.first_records < all.first_records);
        assert_eq!(findings.problems, [], "read {at}");
        let again = verify_in_steps(&mut store, &mut Findings::default());
        assert_eq!(again, Ok(report), "behind read {at}");
    }
    assert!(fewer > reads / 8, "{fewer} of {reads} left a block out");
}

#[test]
fn one_that_is_over_begins_anew() {
    let mut store = full::<Fixed>(30);
    let mut verification = Verification::new([0; 64]);
    let mut reports = Vec::new();
    for round in 0..3 {
        let mut seen = Seen::default();
        while store.verify_step(&mut verification, &mut seen).unwrap() {}
        assert!(seen.problems.is_empty() && seen.blocks.len() == 30 + round, "{:?}", seen.problems);
        reports.push(*verification.report());
        write(&mut store, 100 + round as u64, 0);
        store.checkpoint().unwrap();
    }
    assert_eq!([0, 1, 2].map(|round| reports[round].blocks), [30, 31, 32]);
    assert!(reports.iter().all(|report| !report.partial));
}

#[test]
fn a_name_that_has_no_room_is_refused_before_anything_is_read() {
    let mut store = full::<Heap>(5);
    let reads = store.counters().reads;
    let mut verification = Verification::new([0; 63]);
    let refused = store.verify_step(&mut verification, &mut Seen::default());
    assert_eq!(refused, Err(ReadError::BufferTooSmall { needed: 64 }));
    assert_eq!(store.counters().reads, reads);
}
