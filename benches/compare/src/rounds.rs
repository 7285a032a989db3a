//! The rounds: engines take turns, in an order that changes, until there are enough.
//!
//! 1. While one engine is measured the others are open and idle; [`quiet`](crate::count::quiet) waits for that.
//! 2. The first rounds warm up and count for nothing; the last counts heap traffic, which costs time, and
//!    is not timed.
//! 3. What leaves an engine cold has rounds of its own behind the others.
//! 4. Before and after the rounds every record of every engine is compared, every byte, with its model.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::count;
use crate::data::Random;
use crate::engines::{Kind, Opening, disk_use};
use crate::plan::{Extent, Plan, Size};
use crate::results::{Collection, Footprint, Phase, SizeResults};
use crate::turn::{Clock, Slot, Turn};

/// Measures one size, in a folder that is there.
pub(crate) fn run(plan: &Plan, size: &Size, folder: &Path) -> Result<SizeResults> {
    let (mut slots, mut footprints) = load(plan, size, folder)?;
    let mut collection = Collection::default();
    for cold in [false, true] {
        if size.workloads.iter().any(|workload| workload.leaves_cold() == cold) {
            all_rounds(plan, size, &mut slots, cold, &mut collection)?;
        }
    }
    for (slot, footprint) in slots.iter_mut().zip(&mut footprints) {
        finish(size, slot, footprint)?;
    }
    let figures = collection.figures(size);
    let (name, title) = (size.name.to_owned(), size.title.clone());
    Ok(SizeResults { name, title, length: size.length, records: size.records, footprints, figures })
}

/// All rounds of the workloads that leave an engine cold, or of the others.
fn all_rounds(plan: &Plan, size: &Size, slots: &mut [Slot], cold: bool, into: &mut Collection) -> Result<()> {
    let start = Instant::now();
    let smoke = plan.extent == Extent::Smoke;
    let last = if smoke { 0 } else { size.rounds + size.warm_ups };
    let mut round = 0;
    while round <= last {
        // At least one round is timed, whatever the time, and the last one always counts.
        let late = round > size.warm_ups && round < last && start.elapsed() > plan.patience;
        round = if late { last } else { round };
        let phase = match round {
            _ if smoke => Phase::Smoke,
            round if round < size.warm_ups => Phase::WarmUp,
            round if round == last => Phase::Counted,
            _ => Phase::Timed,
        };
        let what = if cold { ", cold" } else { "" };
        eprintln!("{}{what}: round {round} of {last} ({phase:?})", size.title);
        one_round(size, slots, round, phase, cold, into)?;
        round += 1;
    }
    Ok(())
}

/// Opens and loads every engine.
fn load(plan: &Plan, size: &Size, folder: &Path) -> Result<(Vec<Slot>, Vec<Footprint>)> {
    let order: Vec<u64> = (0..size.records).collect();
    let (mut slots, mut footprints) = (Vec::new(), Vec::new());
    for &kind in &size.kinds {
        let opening = Opening {
            folder: folder.join(kind.name),
            length: size.length,
            room: size.room(),
            cache: plan.cache,
        };
        let failed = || format!("{} cannot be loaded", kind.name);
        let live = count::live();
        let mut slot = Slot::open(kind, opening).with_context(failed)?;
        let missed = count::missed(|| slot.load(&order)).with_context(failed)?;
        // The model is ours, not the engine's.
        let ours = live + slot.model.heap_bytes();
        let live_heap = kind.rust_heap.then(|| count::live().saturating_sub(ours));
        if !order.is_empty() {
            slot.model.check(slot.engine()?).with_context(failed)?;
            check_counters(&kind, &mut slot)?;
        }
        let (loaded_length, loaded_disk) = disk_use(&slot.opening.folder)?;
        footprints.push(Footprint {
            engine: kind.name.to_owned(),
            role: kind.role,
            live_heap,
            loaded_length,
            loaded_disk,
            final_length: 0,
            final_disk: 0,
            uncounted: missed.filter(|_| kind.on_disk),
        });
        slots.push(slot);
    }
    Ok((slots, footprints))
}

/// An engine that counts its own syncs must not know of more than we saw.
fn check_counters(kind: &Kind, slot: &mut Slot) -> Result<()> {
    count::quiet();
    let Some(own) = slot.engine()?.own_syncs() else { return Ok(()) };
    let seen = count::Calls::now();
    let mut clock_turn = Turn { slot, amounts: &NO_AMOUNTS, random: Random::new(0), clock: Clock::default() };
    let updates = clock_turn.updates(10);
    let engine = clock_turn.slot.engine()?;
    let mut session = engine.session()?;
    for update in &updates {
        session.put(&update.key, &update.value)?;
    }
    drop(session);
    let seen = count::Calls::now().since(seen).syncs;
    let own = engine.own_syncs().unwrap_or(own) - own;
    ensure!(own >= 1, "{} counted no sync of durable commits", kind.name);
    ensure!(seen >= own, "{} made {own} syncs and we saw {seen}: they do not go through libc", kind.name);
    Ok(())
}

const NO_AMOUNTS: crate::plan::Amounts = crate::plan::Amounts {
    singles: 0,
    batches: 0,
    a_batch: 0,
    reads: 0,
    cold_reads: 0,
    scans: 0,
    prefixes: 0,
    thread_commits: 0,
    load_records: 0,
    ycsb: 0,
    stream_bytes: 0,
};

fn one_round(
    size: &Size,
    slots: &mut [Slot],
    round: u32,
    phase: Phase,
    cold: bool,
    into: &mut Collection,
) -> Result<()> {
    let engines = slots.len();
    let workloads = size.workloads.iter().enumerate();
    for (number, workload) in workloads.filter(|(_, workload)| workload.leaves_cold() == cold) {
        // Heavy work is not warmed up and has fewer rounds; the counted one is always there.
        let timed = phase == Phase::Timed && round >= size.warm_ups + size.heavy_rounds;
        if workload.heavy() && (timed || phase == Phase::WarmUp) {
            continue;
        }
        let turns = if matches!(phase, Phase::Smoke) { 1 } else { workload.turns() };
        for turn in 0..turns {
            let begin = (round + turn) as usize + number;
            for at in 0..engines {
                let engine = (begin + at) % engines;
                let slot = &mut slots[engine];
                if !workload.applies(&slot.kind) {
                    continue;
                }
                let failed = || format!("{} in `{}`", size.kinds[engine].name, workload.name());
                let seed = (u64::from(round) << 40) ^ (u64::from(turn) << 20) ^ number as u64;
                let random = Random::new(seed);
                let mut one = Turn { slot, amounts: &size.amounts, random, clock: Clock::default() };
                count::quiet();
                count::count_heap(matches!(phase, Phase::Counted | Phase::Smoke));
                let ran = workload.run(&mut one);
                count::count_heap(false);
                ran.with_context(failed)?;
                into.add((number, engine), round, phase, one.clock.into_samples());
            }
        }
    }
    Ok(())
}

/// Compares everything once more, notes what is on the disk, closes, and takes the files away.
fn finish(size: &Size, slot: &mut Slot, footprint: &mut Footprint) -> Result<()> {
    let failed = || format!("{} after all workloads", slot.kind.name);
    if size.records > 0 {
        slot.model.check(slot.engine()?).with_context(failed)?;
    }
    count::quiet();
    (footprint.final_length, footprint.final_disk) = disk_use(&slot.opening.folder)?;
    let folder = slot.opening.folder.clone();
    slot.close()?;
    Ok(std::fs::remove_dir_all(folder)?)
}
