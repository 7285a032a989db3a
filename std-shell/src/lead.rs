//! Leading a commit group: everything queued becomes one journal record and, if anyone asked for it,
//! is made durable by one sync.
//!
//! 1. Batches are gathered and committed together. A request that has to look before it writes sees
//!    what was queued before it: a delete is gathered if nothing that it could meet is, and what is
//!    gathered is committed first otherwise.
//! 2. Nothing of a group is seen, and nobody is answered, before its sync has returned.

use crate::batch::RawBatch;
use crate::error::{Error, Result};
use crate::inner::{DeviceEngine, GROUP_BYTES, Inner, Led, Locked, Request, Wanted};
use crate::read;
use blockyard_core::queue::Member;
use blockyard_core::{Durability, Sequence, WriteError};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The most changes that are looked through for a name before they are committed instead.
const MOST_LOOKED_AT: usize = 256;

/// How long a group waits for those who were in the last one.
const COMPANY: Duration = Duration::from_micros(100);

/// What the group at hand has come to.
struct Outcome {
    /// The strictest durability that anyone in the group wants.
    wanted: Durability,
    /// The last commit that succeeded.
    last: Option<Sequence>,
    /// The error that poisoned the engine.
    fault: Option<Error>,
}

impl Outcome {
    fn note(&mut self, engine: &DeviceEngine, answer: &Result<Sequence>) {
        match answer {
            Ok(sequence) => self.last = self.last.max(Some(*sequence)),
            Err(error) if engine.is_poisoned() => {
                self.fault.get_or_insert_with(|| error.clone());
            }
            Err(_) => {}
        }
    }
}

impl Inner {
    /// Commits a group: everything queued, each request in order, one sync at the end if anyone asked
    /// for it, then the view.
    pub(crate) fn lead(&self, group: &mut Led<'_>) {
        self.await_company(group);
        let mut guard = self.lock();
        let locked = &mut *guard;
        if self.broken.load(Ordering::Acquire) {
            return group.poison(Error::Poisoned);
        }
        if locked.closed {
            while let Some((member, request)) = group.take() {
                self.reclaim(request);
                group.complete(member, Err(Error::Closed));
            }
            return;
        }
        let durability = group.durability();
        let (mut bytes, mut operations) = (0, 0);
        let mut outcome = Outcome { wanted: durability, last: None, fault: None };
        while let Some((member, request)) =
            group.take_if(|next| bytes == 0 || bytes + next.bytes() <= GROUP_BYTES)
        {
            bytes += request.bytes();
            operations += request.operations();
            match request {
                Request::Commit(batch) => locked.gather(member, batch),
                Request::Delete(batch) => {
                    if meets(&locked.group, &batch) {
                        self.commit_gathered(locked, group, &mut outcome);
                    }
                    match self.is_there(&batch) {
                        Ok(true) => locked.gather(member, batch),
                        refused => {
                            self.recycle(batch);
                            group.complete(member, refused.and(Err(Error::NotFound)));
                        }
                    }
                }
                other => {
                    self.commit_gathered(locked, group, &mut outcome);
                    let answer = self.answer(locked, other, durability);
                    outcome.note(&locked.engine, &answer);
                    group.complete(member, answer);
                }
            }
        }
        self.commit_gathered(locked, group, &mut outcome);
        let fresh = std::mem::take(&mut locked.fresh);
        if locked.engine.is_poisoned() {
            let error = outcome.fault.unwrap_or(Error::Poisoned);
            tracing::error!(%error, "a commit failed; the store refuses writes from here on");
            return group.poison(error);
        }
        if let (Durability::Durable, Some(_)) = (durability, outcome.last)
            && let Err(error) = locked.engine.sync()
        {
            tracing::error!(%error, "a sync failed; the store refuses writes from here on");
            return group.poison(error.into());
        }
        if let Some(sequence) = outcome.last {
            self.shared.publish(sequence);
        }
        // Only now does the verifier see what it is to check.
        if let Some(verifier) = &*self.verifier.lock() {
            verifier.offer(fresh);
        }
        if self.unbatched_registry {
            // The old engine's way: the registry to its place at every write.
            if let Err(error) = locked.engine.checkpoint() {
                return group.poison(error.into());
            }
        }
        let checkpoint = Wanted::by(&locked.engine);
        let synced = locked.engine.durable_sequence() == locked.engine.sequence();
        drop(guard);
        self.note_work(operations, synced, checkpoint);
    }

    /// Lets commits that are likely to arrive within moments join the group: as many as the last one had, for at most
    /// [`COMPANY`]. Alone, nobody waits.
    fn await_company(&self, group: &mut Led<'_>) {
        let wanted = self.company.wanted();
        let have = if wanted > 1 && group.durability() == Durability::Durable {
            self.gather(group, wanted)
        } else {
            group.remaining()
        };
        self.company.came(have);
    }

    /// Waits for `wanted` commits: awake, which is the quickest where processors are free. Where others want them, who hands a
    /// processor over has it back when their time is over, milliseconds later; there it sleeps, and whoever completes the company wakes
    /// it.
    fn gather(&self, group: &mut Led<'_>, wanted: usize) -> usize {
        if self.company.sleeps() {
            return group.gather_for(wanted, COMPANY);
        }
        let begun = Instant::now();
        while group.remaining() < wanted && begun.elapsed() < COMPANY {
            std::thread::yield_now();
            group.gather();
        }
        self.company.gathered_awake(begun.elapsed() > 5 * COMPANY);
        group.remaining()
    }

    /// Commits the batches gathered so far as one record, or one by one if that is too much at once.
    fn commit_gathered(&self, locked: &mut Locked, group: &mut Led<'_>, outcome: &mut Outcome) {
        let count = locked.group.len();
        if count == 0 {
            return;
        }
        let first = locked.engine.sequence().0 + 1;
        let together = locked.engine.commit_unsynced(&mut locked.group, outcome.wanted);
        let apart = count > 1 && matches!(&together, Err(WriteError::Full | WriteError::BatchTooLarge));
        let mut batches = std::mem::take(&mut locked.group);
        for (index, (member, mut batch)) in locked.members.drain(..).zip(batches.drain(..)).enumerate() {
            let answer = if apart {
                locked.engine.commit_unsynced(std::slice::from_mut(&mut batch), outcome.wanted)
            } else {
                match &together {
                    // Where there is nothing to commit, no number is taken.
                    Ok(sequence) => Ok(Sequence((first + index as u64).min(sequence.0))),
                    Err(error) => Err(error.clone()),
                }
            };
            let answer = answer.map_err(Error::from);
            outcome.note(&locked.engine, &answer);
            if answer.is_ok() {
                self.note_fresh(&mut locked.fresh, &batch);
            }
            self.recycle(batch);
            group.complete(member, answer);
        }
        locked.group = batches;
    }

    /// Answers a request that has to look before it writes.
    fn answer(&self, locked: &mut Locked, request: Request, wanted: Durability) -> Result<Sequence> {
        let Locked { engine, scratch, fresh, .. } = locked;
        match request {
            Request::Turn => Ok(engine.sequence()),
            Request::Rename(from, to) => {
                scratch.clear();
                Ok(engine.rename(&from, &to, scratch, Durability::Buffered)?)
            }
            Request::Guarded(mut batch, expected) => {
                let result = self.commit_guarded(engine, &mut batch, &expected, wanted);
                if result.is_ok() {
                    self.note_fresh(fresh, &batch);
                }
                self.recycle(batch);
                result
            }
            Request::Commit(mut batch) | Request::Delete(mut batch) => {
                Ok(engine.commit_unsynced(std::slice::from_mut(&mut batch), wanted)?)
            }
        }
    }

    fn commit_guarded(
        &self,
        engine: &mut DeviceEngine,
        batch: &mut RawBatch,
        expected: &[(Vec<u8>, Option<Sequence>)],
        wanted: Durability,
    ) -> Result<Sequence> {
        let newest = self.shared.newest();
        for (name, sequence) in expected {
            let found = read::locate(&self.source, &newest, name)?;
            if found.map(|located| located.sequence()) != *sequence {
                return Err(Error::Conflict);
            }
        }
        // It would keep the pages that it sees.
        drop(newest);
        Ok(engine.commit_unsynced(std::slice::from_mut(batch), wanted)?)
    }

    /// Whether the block that a batch deletes is there, with everything committed so far.
    fn is_there(&self, batch: &RawBatch) -> Result<bool> {
        match batch.operations().next() {
            Some(deleted) => read::exists(&self.source, &self.shared.newest(), deleted.name),
            None => Ok(false),
        }
    }

    /// Notes what the verifier is to check once the batch can be seen.
    fn note_fresh(&self, fresh: &mut Vec<Vec<u8>>, batch: &RawBatch) {
        if self.verifier.lock().is_some() {
            crate::verifier::note(fresh, batch);
        }
    }
}

impl Locked {
    /// Puts a batch into the group at hand.
    fn gather(&mut self, member: Member, batch: RawBatch) {
        self.members.push(member);
        self.group.push(batch);
    }
}

/// Whether a group changes what a batch deletes, or is too long to look through.
fn meets(group: &[RawBatch], batch: &RawBatch) -> bool {
    let Some(deleted) = batch.operations().next() else { return false };
    let mut gathered = group.iter().flat_map(RawBatch::operations);
    gathered.by_ref().take(MOST_LOOKED_AT).any(|change| change.name == deleted.name)
        || gathered.next().is_some()
}
