//! Long lives: a swarm of faults drawn anew for each stretch, restarts on caches that lie, power cuts
//! in the middle of anything, recoveries that fail themselves.

use super::Seen;
use super::failures::reopen;
use crate::check::{Depth, Judge, recovered};
use crate::device::SimDevice;
use crate::fault::{Event, Fault, Fired, Operation, SimError};
use crate::fixture::*;
use crate::work::Work;
use blockyard_core::error::{OpenError, WriteError};
use blockyard_core::overlay::Overlay;
use std::sync::Arc;

const STRETCHES: usize = 10;
const STEPS: usize = 12;

/// Lives through ten stretches of trouble on one file.
///
/// # Errors
/// What was lost or invented.
pub fn lives<O: Overlay + Default>(seed: u64, fired: &Arc<Fired>) -> Result<Seen, String> {
    let mut rng = fastrand::Rng::with_seed(!seed);
    let mut work: Work<O> = Work::counting(seed, Arc::clone(fired));
    let mut states = 0;
    let depth = Depth { writes: 4, units: 3, samples: 3 };
    for stretch in 0..STRETCHES {
        let faults = swarm(&mut rng);
        let at = |error: String| format!("stretch {stretch}, {faults:?}: {error}");
        work.device.arm(faults.iter().copied());
        let ended = live(&mut work);
        work.device.arm([]);
        let ended = ended.map_err(at)?;
        states += Judge::new(&work, fired).check_all(&[work.device.moment()], depth, &mut rng).map_err(at)?;
        let cut = ended == Ended::Cut || rng.u8(..3) == 0;
        if cut {
            states += after_cut(&mut work, fired, &mut rng).map_err(at)?;
        } else {
            states += restart(&mut work, fired, &mut rng).map_err(at)?;
        }
    }
    Ok(Seen { states, met: work.met })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Well,
    Poisoned,
    Cut,
}

/// Faults for one stretch: each kind is there or not, at a place of its own.
fn swarm(rng: &mut fastrand::Rng) -> Vec<Fault> {
    let mut faults = Vec::new();
    let chance = [10, 30, 60][rng.usize(..3)];
    for operation in Operation::ALL {
        if rng.u8(..100) < chance {
            let number = rng.u64(..[60, 60, 12, 3][operation as usize]);
            faults.push(if rng.bool() {
                Fault::Fails(operation, number)
            } else {
                Fault::FailsFrom(operation, number)
            });
        }
    }
    if rng.u8(..100) < chance {
        faults.push(Fault::NoSpaceFrom(rng.u64(..3)));
    }
    if rng.u8(..100) < chance {
        faults.push(Fault::CutAt(rng.u64(..80)));
    }
    faults
}

/// Works until something ends it. A read that failed is no end.
fn live<O: Overlay + Default>(work: &mut Work<O>) -> Result<Ended, String> {
    for _ in 0..STEPS {
        match work.step() {
            Ok(()) => {}
            Err(WriteError::Device(SimError::Cut)) => return Ok(Ended::Cut),
            Err(WriteError::Device(SimError::Eio)) if work.store.is_poisoned() => {
                return Ok(Ended::Poisoned);
            }
            // The next step perhaps reads what this one could not.
            Err(WriteError::Device(SimError::Eio)) => {}
            Err(error) => return Err(format!("{error}\n{}", work.device.trace())),
        }
    }
    work.device.arm([]);
    assert_same(&contents(&mut work.store), &work.model, "after failed reads");
    Ok(Ended::Well)
}

/// The process starts again on what the cache shows; recovery itself may fail, and again.
fn restart<O: Overlay + Default>(
    work: &mut Work<O>,
    fired: &Fired,
    rng: &mut fastrand::Rng,
) -> Result<u64, String> {
    for _ in 0..rng.usize(..3) {
        let operation = Operation::ALL[rng.usize(..4)];
        work.device.arm([Fault::Fails(operation, rng.u64(..20))]);
        match work.shape.open::<O, _>(work.device.clone()) {
            Err(OpenError::Device(SimError::Eio)) | Ok(_) => {}
            Err(error) => return Err(format!("opening with a failing {operation:?}: {error}")),
        }
    }
    work.device.arm([]);
    reopen(work, fired, rng)
}

/// Power fails; the work goes on on one of the states that it left. Returns the states checked.
fn after_cut<O: Overlay + Default>(
    work: &mut Work<O>,
    fired: &Arc<Fired>,
    rng: &mut fastrand::Rng,
) -> Result<u64, String> {
    fired.count(Event::PowerCut);
    let moment = work.device.moment();
    let state = moment.state(rng, fired);
    let device =
        SimDevice::counting(state, work.limit, rng.u64(..), Arc::clone(fired)).with_unit(work.device.unit());
    let opened = work.shape.open::<O, _>(device.clone());
    let (mut store, recovery) = opened.map_err(|error| format!("opening after a cut: {error}"))?;
    let expected = recovered(&work.history, recovery.to.0, moment.acknowledged)?;
    assert_same(&contents(&mut store), expected, "after a cut");
    work.met.recoveries += u64::from(recovery.records > 0);
    work.met.torn += u64::from(recovery.torn_tail);
    work.resume(device, store, recovery.to.0);
    Ok(1)
}
