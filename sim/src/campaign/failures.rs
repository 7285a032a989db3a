//! One operation fails, once or from then on; the cache lies; the store is opened again on top of it.

use super::Seen;
use crate::check::{Depth, Judge, recovered};
use crate::fault::{Event, Fault, Fired, Operation, SimError};
use crate::fixture::*;
use crate::work::Work;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::error::{ReadError, WriteError};
use blockyard_core::overlay::Overlay;
use std::sync::Arc;

const STEPS: usize = 30;

/// Lets one operation of a life fail, checks that the store is poisoned and what a power cut then
/// leaves, reopens it on a cache that may lie, works on, and checks the power cuts of that.
///
/// # Errors
/// What was lost or invented.
pub fn failures<O: Overlay + Default>(seed: u64, fired: &Arc<Fired>) -> Result<Seen, String> {
    let mut rng = fastrand::Rng::with_seed(!seed);
    let (operation, number) = {
        // The same life without a fault tells how many operations there are to fail.
        let mut work: Work<O> = Work::new(seed);
        work.device.arm([]);
        work.run(STEPS).map_err(|error| format!("without any fault: {error}"))?;
        let operation = [Operation::Sync, Operation::Sync, Operation::Write, Operation::Grow][rng.usize(..4)];
        (operation, rng.u64(..work.device.count(operation).max(1)))
    };
    let mut work: Work<O> = Work::counting(seed, Arc::clone(fired));
    let fault =
        if rng.bool() { Fault::Fails(operation, number) } else { Fault::FailsFrom(operation, number) };
    work.device.arm([fault]);
    match work.run(STEPS) {
        // A device that is as long as it may be never grows.
        Ok(()) if operation == Operation::Grow => return Ok(Seen { states: 0, met: work.met }),
        Err(WriteError::Device(SimError::Eio)) => {}
        other => return Err(format!("{fault:?} was answered with {other:?}")),
    }
    check_poisoned(&mut work)?;
    let depth = Depth { writes: 3, units: 3, samples: 2 };
    let mut states = Judge::new(&work, fired).check_all(&[work.device.moment()], depth, &mut rng)?;
    // The process starts again, and perhaps another sync fails while it recovers.
    if rng.bool() {
        work.device.arm([Fault::Fails(Operation::Sync, rng.u64(..4))]);
        drop(work.shape.open::<O, _>(work.device.clone()));
    }
    work.device.arm([]);
    let depth = Depth { writes: 2, units: 0, samples: 1 };
    states += reopen(&mut work, fired, &mut rng)?;
    if work.device.has_lied() {
        fired.count(Event::BuiltOnLie);
    }
    work.device.record();
    work.run(8).map_err(|error| format!("working on: {error}"))?;
    states += Judge::new(&work, fired).check_all(&work.device.moments(), depth, &mut rng)?;
    Ok(Seen { states, met: work.met })
}

/// Opens the store again on the same device, where the cache shows what it shows. A power cut on the way
/// may leave more than that, whatever was written before the fault. Returns the states checked.
///
/// # Errors
/// What was lost or invented.
pub(super) fn reopen<O: Overlay + Default>(
    work: &mut Work<O>,
    fired: &Fired,
    rng: &mut fastrand::Rng,
) -> Result<u64, String> {
    work.device.record();
    let opened = work.shape.open::<O, _>(work.device.clone());
    let (mut store, recovery) = opened.map_err(|error| format!("reopening on the same cache: {error}"))?;
    let moments = work.device.moments();
    let expected = recovered(&work.history, recovery.to.0, work.device.acknowledged())?;
    assert_same(&contents(&mut store), expected, "reopened on the same cache");
    assert_sound(&mut store, expected, "reopened on the same cache");
    let depth = Depth { writes: 2, units: 0, samples: 1 };
    let states = Judge::new(work, fired).check_all(&moments, depth, rng)?;
    work.met.recoveries += u64::from(recovery.records > 0);
    work.met.torn += u64::from(recovery.torn_tail);
    work.resume(work.device.clone(), store, recovery.to.0);
    Ok(states)
}

/// What a poisoned store answers: reads go on, any change is refused. A value that no sync has covered
/// may lie, in the journal, in a unit that the failed write left damaged; it reads right or not at all.
fn check_poisoned<O: Overlay + Default>(work: &mut Work<O>) -> Result<(), String> {
    let Work { store, model, shape, history, .. } = work;
    if !store.is_poisoned() {
        return Err("a failed change did not poison the store".into());
    }
    let durable = &history[&store.durable_sequence().0];
    for (name, block) in model.iter() {
        let mut buffer = vec![0; block.1.len()];
        match (store.info(name), store.get(name, &mut buffer)) {
            (Ok(Some(info)), Ok(Some(_))) if (info.tag, &buffer) == (block.0, &block.1) => {}
            (Err(ReadError::Corrupted(_)), _) | (_, Err(ReadError::Corrupted(_)))
                if durable.get(name) != Some(block) => {}
            (info, get) => {
                let name = String::from_utf8_lossy(name);
                return Err(format!("block {name} of a poisoned store: {info:?}, {get:?}"));
            }
        }
    }
    let mut chunk = vec![0; (shape.chunk_pages * shape.page_size) as usize];
    let answers = [
        put(store, b"name 1", b"", Buffered).map(drop),
        put(store, b"name 1", b"", Durable).map(drop),
        delete(store, b"name 1", Durable).map(drop),
        store.sync().map(drop),
        store.seal(),
        store.checkpoint(),
        store.writer::<4>(b"name", 0, &mut chunk).map(drop),
    ];
    match answers.iter().position(|answer| *answer != Err(WriteError::Poisoned)) {
        None => Ok(()),
        Some(index) => Err(format!("change {index} on a poisoned store: {:?}", answers[index])),
    }
}
