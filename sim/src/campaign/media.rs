//! What the contract of a device does not allow and media do all the same: bits rot, sectors cannot be
//! read, writes are dropped or land elsewhere, reads answer with other or older bytes.
//!
//! Nothing can be promised to be there then. What is promised: no read gives wrong bytes, no block is
//! invented or missing without an error, and what was durable before the last sealed commit is not
//! silently forgotten.

use super::Seen;
use crate::check::recovered;
use crate::device::SimDevice;
use crate::fault::{Fault, Fired};
use crate::fixture::*;
use crate::work::Work;
use blockyard_core::Durability::Durable;
use blockyard_core::error::{ReadError, WriteError};
use blockyard_core::overlay::Overlay;
use std::sync::Arc;

const STEPS: usize = 25;

/// One fault of the medium in a life, or after it; then every way to open what is left.
///
/// # Errors
/// What was invented, lost without a word or read wrongly.
pub fn media<O: Overlay + Default>(seed: u64, fired: &Arc<Fired>) -> Result<Seen, String> {
    let mut rng = fastrand::Rng::with_seed(!seed);
    let mut work: Work<O> = Work::counting(seed, Arc::clone(fired));
    let distance = rng.i64(1..40) * if rng.bool() { 1 } else { -1 };
    let at_rest = rng.u8(..6);
    let fault = match at_rest {
        0 => Some(Fault::LosesWrite(rng.u64(..60))),
        1 => Some(Fault::MisdirectsWrite(rng.u64(..60), distance)),
        2 => Some(Fault::MisdirectsRead(rng.u64(..60), distance)),
        3 => Some(Fault::StaleRead(rng.u64(..60))),
        _ => None,
    };
    work.device.arm(fault);
    for _ in 0..STEPS {
        match work.step() {
            Ok(()) | Err(WriteError::Corrupted(_)) => {}
            Err(error) => return Err(format!("{fault:?} was answered with {error}")),
        }
    }
    check_reads(&mut work.store, &work.model)?;
    work.device.arm([]);
    let sealed = seal(&mut work)?;
    work.device.sync_all().map_err(|error| error.to_string())?;
    let image = work.device.moment().certain();
    // At rest: two thirds of the seeds without a fault before.
    let written = work.device.written();
    let unit = match rng.u8(..8) {
        0 => rng.u64(..(image.len() / work.device.unit()) as u64),
        _ => written[rng.usize(..written.len())],
    };
    let bits = rng.usize(1..4);
    let mut states = 0;
    for mode in 0..3 {
        let device = SimDevice::counting(image.clone(), work.limit, seed, Arc::clone(fired))
            .with_unit(work.device.unit());
        match at_rest {
            4 => device.rot(unit, bits),
            5 => device.lose_sector(unit),
            _ => {}
        }
        states += 1;
        check_opening(&work, &device, mode, sealed).map_err(|error| {
            format!("{fault:?}, at rest {at_rest}, unit {unit}, mode {mode}: {error}\n{}", device.trace())
        })?;
    }
    Ok(Seen { states, met: work.met })
}

/// Two durable commits and a seal behind the fault: what was durable before them has a witness on the
/// medium. Returns the last such commit.
fn seal<O: Overlay + Default>(work: &mut Work<O>) -> Result<u64, String> {
    let durable = work.device.acknowledged();
    for _ in 0..2 {
        let next = work.store.sequence().0 + 1;
        match put(&mut work.store, b"last", b"words", Durable) {
            Ok(sequence) if sequence.0 == next => {
                work.model.insert(b"last".to_vec(), (4, b"words".to_vec()));
                work.history.insert(next, work.model.clone());
            }
            Ok(sequence) => return Err(format!("commit {next} was answered with {sequence}")),
            Err(WriteError::Corrupted(_) | WriteError::Full) => {}
            Err(error) => return Err(format!("sealing: {error}")),
        }
    }
    match work.store.seal() {
        Ok(()) | Err(WriteError::Corrupted(_) | WriteError::Full) => Ok(durable),
        Err(error) => Err(format!("sealing: {error}")),
    }
}

/// Opens a damaged device: for writing, for reading, to salvage. An error is fine.
fn check_opening<O: Overlay + Default>(
    work: &Work<O>,
    device: &SimDevice,
    mode: u8,
    sealed: u64,
) -> Result<(), String> {
    let opened = work.shape.open_with::<O, _>(device.clone(), |options| {
        options.read_only = mode == 1;
        options.salvage = mode == 2;
    });
    let Ok((mut store, recovery)) = opened else { return Ok(()) };
    let least = if recovery.damage.is_some() { 0 } else { sealed };
    let mut expected = recovered(&work.history, recovery.to.0, least)?.clone();
    let problems = check_reads(&mut store, &expected)?;
    let mut findings = Findings::default();
    let clean = store.verify(&mut findings).is_ok_and(|report| report.problems == 0);
    if clean && problems > 0 && store.pending() == 0 {
        return Err(format!("verification is clean and {problems} reads failed"));
    }
    if mode == 1 {
        return Ok(());
    }
    match put(&mut store, b"new", b"words", Durable) {
        Ok(_) => drop(expected.insert(b"new".to_vec(), (3, b"words".to_vec()))),
        Err(WriteError::Corrupted(_) | WriteError::Full | WriteError::Device(_) | WriteError::Poisoned) => {
            return Ok(());
        }
        Err(error) => return Err(format!("writing to a damaged store: {error}")),
    }
    let sequence = store.sequence();
    drop(store);
    let Ok((mut store, recovery)) = work.shape.open::<O, _>(device.clone()) else { return Ok(()) };
    if recovery.to != sequence {
        return Err(format!("wrote commit {sequence} and found {}", recovery.to));
    }
    check_reads(&mut store, &expected).map(drop)
}

/// Each block reads right or with an error; returns how many of the latter.
fn check_reads<O: Overlay + Default>(
    store: &mut TestStore<O, SimDevice>,
    expected: &Model,
) -> Result<u64, String> {
    let mut problems = 0;
    for (name, (tag, value)) in expected {
        let show = String::from_utf8_lossy(name);
        let mut buffer = vec![0; value.len()];
        let info = store.info(name);
        match (info, store.get(name, &mut buffer)) {
            (Ok(Some(info)), Ok(Some(length))) => {
                if (info.tag, length, &buffer) != (*tag, value.len(), value) {
                    return Err(format!("block {show} gives wrong bytes"));
                }
            }
            (_, Err(ReadError::Corrupted(_) | ReadError::Device(_))) => problems += 1,
            (Err(_), _) => problems += 1,
            (info, get) => return Err(format!("block {show}: {info:?}, {get:?}")),
        }
    }
    problems += check_names(store, expected)?;
    Ok(problems)
}

/// Walking over the names finds each of them, and no other, or ends in an error.
fn check_names<O: Overlay + Default>(
    store: &mut TestStore<O, SimDevice>,
    expected: &Model,
) -> Result<u64, String> {
    let mut buffer = [0; 1024];
    let mut last: Option<Vec<u8>> = None;
    for name in expected.keys() {
        match store.next_name(last.as_deref(), &mut buffer) {
            Ok(Some(length)) if &buffer[..length] == name.as_slice() => last = Some(name.clone()),
            Ok(found) => {
                let found = found.map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned());
                return Err(format!(
                    "after {last:?} comes {found:?}, not {:?}",
                    String::from_utf8_lossy(name)
                ));
            }
            Err(_) => return Ok(1),
        }
    }
    match store.next_name(last.as_deref(), &mut buffer) {
        Ok(None) => Ok(0),
        Ok(Some(length)) => {
            Err(format!("block {:?} was invented", String::from_utf8_lossy(&buffer[..length])))
        }
        Err(_) => Ok(1),
    }
}
