//! The campaign. A round makes an empty store, works, and loses power at one operation; the next round at
//! the next one, until the work comes to its end without a cut. Within a round:
//!
//! | life | |
//! |---|---|
//! | 0 | opens the empty store and works; power is cut at operation `ordinal`, write or sync |
//! | 1, 2 | opens, which recovers; is cut again while it does, or while it works on |
//! | 3, or the first that is not cut | opens, compares everything, verifies, commits more, folds in, opens again |
//!
//! What was answered durable is noted before the next commit begins, outside of the device: every life
//! compares what it finds with it.

use crate::cut::{CutDevice, CutError};
use crate::job::{JOBS, Job, Looked};
use crate::look::Count;
use crate::notes::Notes;
use crate::{LONGEST_NAME, MEMORY, PAGE, Pending, SmallBatch, SmallStore};
use blockyard_core::store::{CreateOptions, OpenOptions, Verification};
use blockyard_core::{BlockDevice, OpenError, ReadError, WriteError};

/// Where notes are kept.
pub trait Keep {
    /// The notes.
    fn load(&self) -> Notes;
    /// Keeps these from here on, whatever happens next.
    fn store(&mut self, notes: Notes);
}

impl Keep for Notes {
    fn load(&self) -> Notes {
        *self
    }
    fn store(&mut self, notes: Notes) {
        *self = notes;
    }
}

/// Something is not as it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What.
    pub what: &'static str,
    /// A number that helps to find out more.
    pub number: u64,
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Another life begins.
    Again,
    /// Every operation of every job was cut.
    Done,
}

enum Stop {
    Power,
    Failed(Failure),
}

type Life<T> = Result<T, Stop>;

const fn failed<T>(what: &'static str, number: u64) -> Life<T> {
    Err(Stop::Failed(Failure { what, number }))
}

fn opened<T, E>(result: Result<T, OpenError<CutError<E>>>) -> Life<T> {
    result.or_else(|error| match error {
        OpenError::Device(CutError::PowerLost) => Err(Stop::Power),
        OpenError::Corrupted(damage) => failed("open: damaged", damage.offset),
        OpenError::WorkspaceTooSmall => failed("open: too little memory", 0),
        OpenError::Full => failed("open: full", 0),
        _ => failed("open", 0),
    })
}

fn written<T, E>(result: Result<T, WriteError<CutError<E>>>) -> Life<T> {
    result.or_else(|error| match error {
        WriteError::Device(CutError::PowerLost) => Err(Stop::Power),
        WriteError::Corrupted(damage) => failed("write: damaged", damage.offset),
        WriteError::Full => failed("write: full", 0),
        _ => failed("write", 0),
    })
}

fn read<T, E>(result: Result<T, ReadError<CutError<E>>>) -> Life<T> {
    result.or_else(|error| match error {
        ReadError::Device(CutError::PowerLost) => Err(Stop::Power),
        ReadError::Corrupted(damage) => failed("read: damaged", damage.offset),
        _ => failed("read", 0),
    })
}

fn right<E>(result: Looked<CutError<E>>, n: u32) -> Life<()> {
    read(result)?.or_else(|wrong| {
        let what = match wrong {
            crate::job::Wrong::Name => "a name that should not be there",
            crate::job::Wrong::Value => "a wrong value",
            crate::job::Wrong::Count => "a wrong number of names",
        };
        failed(what, u64::from(n))
    })
}

/// The layout of what the firmware makes.
#[must_use]
pub const fn layout() -> CreateOptions {
    CreateOptions {
        page_size: PAGE as u32,
        journal_length: 8 << 10,
        chunk_size: 4096,
        file_id: *b"from a firmware!",
    }
}

/// How the firmware opens it.
#[must_use]
pub const fn options() -> OpenOptions {
    OpenOptions { growth: 64, carry_max: 1 << 10, ..OpenOptions::new(MEMORY) }
}

/// Memory that lives use, one after the other.
#[derive(Debug)]
pub struct Room<'a> {
    /// The store's: [`BYTES`](crate::BYTES).
    pub buffer: &'a mut [u8],
    /// What the store keeps between checkpoints.
    pub pending: &'a mut Pending,
    /// Of the device that is cut.
    pub undo: &'a mut [u8],
    /// One operation in so many is cut.
    pub stride: u32,
    /// Plants a bug: syncs do nothing.
    pub lies: bool,
}

/// One life. `die` is called when power is cut.
///
/// # Errors
/// What was lost, invented or damaged.
pub fn live<D: BlockDevice>(
    keep: &mut impl Keep,
    disk: &mut D,
    room: &mut Room<'_>,
    die: fn(),
) -> Result<End, Failure> {
    let mut notes = keep.load();
    let Some(&job) = JOBS.get(notes.job as usize) else { return Ok(End::Done) };
    let depth = notes.depth;
    if depth == 0 {
        let made =
            SmallStore::create(&mut *disk, &mut *room.pending, &mut *room.buffer, &layout(), &options());
        if made.is_err() {
            return Err(Failure { what: "create", number: 0 });
        }
    }
    notes.depth += 1;
    notes.resets += u32::from(depth > 0);
    keep.store(notes);
    let ordinal = notes.ordinal;
    let cut_at = match depth {
        0 => Some(ordinal),
        1 => Some(1 + ordinal * 7 % 11),
        2 => Some(1 + ordinal * 13 % 23),
        _ => None,
    };
    let mut device = CutDevice::new(disk, &mut *room.undo, cut_at, ordinal * 4 + depth, die).lying(room.lies);
    match one_life(keep, job, depth, &mut device, (&mut *room.pending, &mut *room.buffer)) {
        Err(Stop::Power) => return Ok(End::Again),
        Err(Stop::Failed(failure)) => return Err(failure),
        Ok(()) => {}
    }
    let mut notes = keep.load();
    if depth == 0 {
        notes.next_job()
    } else {
        notes.next_round(room.stride)
    }
    keep.store(notes);
    Ok(if (notes.job as usize) < JOBS.len() { End::Again } else { End::Done })
}

fn one_life<D: BlockDevice>(
    keep: &mut impl Keep,
    job: Job,
    depth: u32,
    device: &mut CutDevice<'_, D>,
    (pending, buffer): (&mut Pending, &mut [u8]),
) -> Life<()> {
    pending.clear();
    let (mut store, _) = opened(SmallStore::open(&mut *device, &mut *pending, &mut *buffer, &options()))?;
    let mut n = found(keep, &store)?;
    settled(keep, job, &mut store, n)?;
    let mut batch = SmallBatch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
    let last = if depth == 0 { job.commits() } else { n + 3 };
    while n < last {
        n += 1;
        note(keep, |notes| notes.begun = n);
        written(job.commit(&mut store, &mut batch, n))?;
        note(keep, |notes| (notes.answered, notes.commits) = (n, notes.commits + 1));
        if store.wants_checkpoint() {
            written(store.checkpoint_step())?;
        }
    }
    right(job.check(&mut store, n), n)?;
    written(store.checkpoint())?;
    settled(keep, job, &mut store, n)?;
    drop(store);
    pending.clear();
    // A clean write was the last thing that happened: it has to be there.
    let (mut store, recovery) = opened(SmallStore::open(device, pending, buffer, &options()))?;
    if store.sequence().0 != u64::from(n) || recovery.torn_tail {
        return failed("a clean write did not survive a clean close", store.sequence().0);
    }
    settled(keep, job, &mut store, n)
}

fn note(keep: &mut impl Keep, change: impl FnOnce(&mut Notes)) {
    let mut notes = keep.load();
    change(&mut notes);
    keep.store(notes);
}

/// The commit that the store is at: none that was answered is lost, none that was never begun is there.
fn found<D: BlockDevice>(keep: &mut impl Keep, store: &SmallStore<'_, D>) -> Life<u32> {
    let (notes, found) = (keep.load(), store.sequence().0);
    if found < u64::from(notes.answered) {
        return failed("a commit that was answered durable is lost", found);
    }
    if found > u64::from(notes.begun) {
        return failed("a commit that never was", found);
    }
    let n = found as u32;
    // From here on it is durable.
    note(keep, |notes| {
        notes.unanswered += u32::from(n > notes.answered);
        (notes.answered, notes.begun) = (n, n);
    });
    Ok(n)
}

/// Compares all content with what it must be after commit `n`, and verifies every byte of the store.
fn settled<D: BlockDevice<Error = CutError<E>>, E>(
    keep: &mut impl Keep,
    job: Job,
    store: &mut SmallStore<'_, D>,
    n: u32,
) -> Life<()> {
    right(job.check(store, n), n)?;
    let mut problems = Count::default();
    // By turns at once and in steps.
    let report = if n.is_multiple_of(2) {
        read(store.verify(&mut problems))?
    } else {
        let mut verification = Verification::new([0; LONGEST_NAME]);
        while read(store.verify_step(&mut verification, &mut problems))? {}
        *verification.report()
    };
    if report.problems > 0 {
        return failed("verification found problems", report.problems);
    }
    note(keep, |notes| notes.checks += 1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockyard_core::device::MemoryDevice;
    use std::vec;

    fn nothing() {}

    /// The campaign from its beginning to its end or to a failure.
    fn campaign(lies: bool) -> Result<Notes, Failure> {
        let (mut buffer, mut undo) = (vec![0; crate::BYTES], vec![0; 64 * crate::cut::UNDO]);
        let mut disk = MemoryDevice::new(vec![0_u8; 96 << 10], PAGE as u32);
        let mut notes = Notes::new();
        let mut pending = Pending::new();
        let mut room = Room { buffer: &mut buffer, pending: &mut pending, undo: &mut undo, stride: 1, lies };
        while live(&mut notes, &mut disk, &mut room, nothing)? == End::Again {}
        Ok(notes)
    }

    #[test]
    fn every_operation_is_cut_and_nothing_is_lost() {
        let notes = campaign(false).expect("nothing is lost or invented");
        assert!(notes.resets > 400 && notes.deepest == 4, "{notes:?}");
        assert!(notes.unanswered > 20, "commits in doubt were met: {notes:?}");
    }

    #[test]
    fn a_device_whose_syncs_do_nothing_is_found_out() {
        let failure = campaign(true).expect_err("what was answered is lost");
        std::println!("{failure:?}");
    }
}
