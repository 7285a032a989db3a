//! The heart of an open store: the engine behind its lock, the queue in front of it.
//!
//! 1. The engine's lock is held by the leader of a commit group, a checkpoint step, a chunk write, a sync
//!    and a seal, and by statistics, verification and closing. Readers never take it.
//! 2. A group's commits become visible, together, after the strictest durability among them was
//!    reached: what can be seen is as durable as it was asked to be.
//! 3. A failed write or sync poisons the engine and the queue: everyone in the group and everyone
//!    after it is told.

use crate::batch::{RawBatch, Recycled};
use crate::buffer::{Buffer, Pool, Role};
use crate::company::Company;
use crate::device::{Device, SharedDevice};
use crate::digests::{Digester, WORTH_IT};
use crate::error::{Error, Result};
use crate::read;
use crate::source::Source;
use crate::view::{Layered, Shared, View};
use blockyard_core::queue::{Group, GroupQueue, Limits, Member, Slot, SubmitError, WaitError};
use blockyard_core::store::{Progress, Store as Engine};
use blockyard_core::{Durability, Geometry, Sequence};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The engine over any device.
pub(crate) type DeviceEngine = Engine<SharedDevice, Layered, Vec<u8>>;

/// The most commits that may be queued at once.
pub(crate) const MOST_QUEUED: usize = 1024;

/// Slots of the commit queue: besides those queued, as many whose answers wait for a ticket's holder.
const QUEUE_SLOTS: usize = 2 * MOST_QUEUED;

/// The most bytes that one group gathers before it is written.
pub(crate) const GROUP_BYTES: usize = 4 << 20;

/// What a caller asks the leader to do.
pub(crate) enum Request {
    /// Commit the changes.
    Commit(RawBatch),
    /// Commit the changes if the named blocks are still as they were: at this commit, or absent.
    Guarded(RawBatch, Vec<(Vec<u8>, Option<Sequence>)>),
    /// Commit the batch, which deletes one block, if the block is there.
    Delete(RawBatch),
    /// Give a block another name.
    Rename(Vec<u8>, Vec<u8>),
    /// Change nothing: answered once everything queued before is.
    Turn,
}

impl Request {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Commit(batch) | Self::Delete(batch) | Self::Guarded(batch, _) => batch.bytes(),
            Self::Rename(..) => 256,
            Self::Turn => 0,
        }
    }

    pub(crate) fn operations(&self) -> usize {
        match self {
            Self::Commit(batch) | Self::Delete(batch) | Self::Guarded(batch, _) => batch.len(),
            Self::Rename(..) => 1,
            Self::Turn => 0,
        }
    }
}

pub(crate) type Slots = Box<[Slot<Request, Sequence, Error>]>;
pub(crate) type Queue = GroupQueue<Request, Sequence, Error, Slots>;
pub(crate) type Led<'a> = Group<'a, Request, Sequence, Error, Slots>;

/// The engine and what is used with it under its lock.
pub(crate) struct Locked {
    pub(crate) engine: DeviceEngine,
    /// Batches of the group at hand.
    pub(crate) group: Vec<RawBatch>,
    pub(crate) members: Vec<Member>,
    pub(crate) scratch: RawBatch,
    /// Names in the group at hand that the verifier is to check.
    pub(crate) fresh: Vec<Vec<u8>>,
    pub(crate) closed: bool,
}

/// The engine, locked. A panic while it is held may have left a change half made: nothing is written
/// any more, as after a failed write.
pub(crate) struct EngineGuard<'a> {
    guard: MutexGuard<'a, Locked>,
    broken: &'a AtomicBool,
    /// A panic was under way already: what is dropped by it may use the engine.
    unwinding: bool,
}

impl EngineGuard<'_> {
    /// Lets whoever waits for the engine have it first.
    pub(crate) fn give_way(&mut self) {
        MutexGuard::bump(&mut self.guard);
    }
}

impl std::ops::Deref for EngineGuard<'_> {
    type Target = Locked;
    fn deref(&self) -> &Locked {
        &self.guard
    }
}

impl std::ops::DerefMut for EngineGuard<'_> {
    fn deref_mut(&mut self) -> &mut Locked {
        &mut self.guard
    }
}

impl Drop for EngineGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.unwinding {
            self.broken.store(true, Ordering::Release);
        }
    }
}

/// Whether a checkpoint is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted {
    No,
    /// As soon as no commits come in: then the next ones find room.
    InIdleTime,
    Now,
}

impl Wanted {
    /// What an engine wants.
    pub(crate) fn by(engine: &DeviceEngine) -> Self {
        if engine.wants_checkpoint() {
            Self::Now
        } else if engine.welcomes_checkpoint() {
            Self::InIdleTime
        } else {
            Self::No
        }
    }
}

/// What the flusher sleeps on.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    pub(crate) wake: bool,
    pub(crate) stop: bool,
    /// Buffered operations since the last sync, and when the first of them came.
    pub(crate) unsynced: usize,
    pub(crate) since: Option<Instant>,
    /// The flusher lets commits go before its checkpoint, and needs no telling that one is wanted.
    pub(crate) giving_way: bool,
    /// The flusher has nothing to do, and looks up seldom.
    pub(crate) resting: bool,
}

/// What all handles of an open store share.
pub(crate) struct Inner {
    pub(crate) locked: Mutex<Locked>,
    pub(crate) queue: Queue,
    pub(crate) shared: Arc<Shared>,
    pub(crate) source: Source,
    pub(crate) geometry: Geometry,
    pub(crate) recycled: Mutex<Recycled>,
    /// Whether the pool is used.
    pooled: bool,
    /// Memory of larger batches, and of chunks under way.
    pub(crate) memory: Arc<Pool>,
    pub(crate) digester: Digester,
    pub(crate) signal: Mutex<Signal>,
    pub(crate) signalled: Condvar,
    pub(crate) closed: AtomicBool,
    closing: Mutex<()>,
    /// A thread panicked while it held the engine.
    pub(crate) broken: AtomicBool,
    pub(crate) read_only: bool,
    pub(crate) durability: Durability,
    pub(crate) flush_operations: usize,
    pub(crate) flush_interval: Duration,
    pub(crate) unbatched_registry: bool,
    pub(crate) verifier: Mutex<Option<crate::verifier::Sender>>,
    pub(crate) fresh: crate::verifier::Results,
    pub(crate) tickets: crate::ticket::Open,
    /// Whom groups wait for, and how many there were, by which the flusher sees that commits come in.
    pub(crate) company: Company,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("closed", &self.closed).finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn new(
        engine: DeviceEngine,
        shared: Arc<Shared>,
        device: Arc<dyn Device>,
        memory: Arc<Pool>,
        options: &crate::OpenOptions,
        verifier: Option<crate::verifier::Sender>,
    ) -> Self {
        let geometry = *engine.geometry();
        let buffer = |role| Buffer::new(&memory, role);
        let scratch = RawBatch::new(&geometry, buffer(Role::Meta), buffer(Role::Data));
        let slots: Slots = std::iter::repeat_with(Slot::new).take(QUEUE_SLOTS).collect();
        let limits = Limits { pending: options.queue_limit.clamp(1, MOST_QUEUED), ..Limits::default() };
        Self {
            locked: Mutex::new(Locked {
                engine,
                group: Vec::new(),
                members: Vec::new(),
                scratch,
                fresh: Vec::new(),
                closed: false,
            }),
            queue: GroupQueue::new(slots, limits),
            shared,
            source: Source::new(device, geometry, options.cache_bytes),
            geometry,
            recycled: Mutex::default(),
            pooled: options.pooled_buffers,
            memory,
            digester: Digester::default(),
            signal: Mutex::default(),
            signalled: Condvar::new(),
            closed: AtomicBool::new(false),
            closing: Mutex::default(),
            broken: AtomicBool::new(false),
            read_only: options.read_only,
            durability: options.durability,
            flush_operations: options.flush_operations.max(1),
            flush_interval: options.flush_interval,
            unbatched_registry: options.unbatched_registry,
            verifier: Mutex::new(verifier),
            fresh: crate::verifier::Results::default(),
            tickets: crate::ticket::Open::default(),
            company: Company::new(),
        }
    }

    /// Refuses work on a closed store.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Refuses writes where there can be none.
    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        if self.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    /// The engine, if the store is open.
    pub(crate) fn engine(&self) -> Result<EngineGuard<'_>> {
        let locked = self.lock();
        self.check_engine(&locked)?;
        Ok(locked)
    }

    /// Lets who waits for the engine have it first.
    pub(crate) fn let_others(&self, locked: &mut EngineGuard<'_>) -> Result<()> {
        locked.give_way();
        self.check_engine(locked)
    }

    fn check_engine(&self, locked: &Locked) -> Result<()> {
        if locked.closed {
            return Err(Error::Closed);
        }
        if self.broken.load(Ordering::Acquire) { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// The engine, open or not.
    pub(crate) fn lock(&self) -> EngineGuard<'_> {
        let unwinding = std::thread::panicking();
        EngineGuard { guard: self.locked.lock(), broken: &self.broken, unwinding }
    }

    /// Forgets a write that was under way, whatever state the store is in.
    pub(crate) fn end_staged(&self) {
        self.lock().engine.end_staged();
    }

    /// The newest view.
    pub(crate) fn view(&self) -> Result<View> {
        self.check_open()?;
        Ok(self.shared.view())
    }

    /// An empty batch for a change or two, with the memory of an earlier one if there is one.
    pub(crate) fn batch(&self) -> RawBatch {
        let recycled = self.recycled.lock().for_few();
        recycled.unwrap_or_else(|| self.new_batch())
    }

    /// The same for what may be many changes.
    pub(crate) fn batch_for_many(&self) -> RawBatch {
        let recycled = self.recycled.lock().for_many();
        let mut batch = recycled.unwrap_or_else(|| self.new_batch());
        // Another thread will digest while this one writes.
        if batch.late_values().0.usual() >= 4 * WORTH_IT && Digester::is_of_use() {
            batch.digest_at_once(0);
        }
        batch
    }

    fn new_batch(&self) -> RawBatch {
        let buffer = |role| Buffer::new(&self.memory, role);
        let mut batch = RawBatch::new(&self.geometry, buffer(Role::Meta), buffer(Role::Data));
        batch.digest_at_once(WORTH_IT);
        batch
    }

    /// Gives a batch's buffers back.
    pub(crate) fn recycle(&self, mut batch: RawBatch) {
        if self.pooled {
            let bytes = batch.bytes();
            batch.clear();
            batch.digest_at_once(WORTH_IT);
            self.recycled.lock().give(batch, bytes);
        }
    }

    /// Has the digests of a large batch's values computed by another thread, too, from now on. Of one that is short in spite of
    /// its predecessor they are computed here: its record is one write then.
    pub(crate) fn digest_ahead(&self, request: &mut Request) {
        let (Request::Commit(batch) | Request::Guarded(batch, _)) = request else { return };
        if batch.bytes() < WORTH_IT {
            return batch.digest_late();
        }
        if batch.bytes() < 2 * WORTH_IT || !Digester::is_of_use() {
            return;
        }
        let (buffer, values) = batch.late_values();
        let values: Vec<_> = values.collect();
        if values.iter().map(Range::len).sum::<usize>() >= WORTH_IT {
            buffer.digest_ahead(values, self.geometry.page_size(), &self.digester);
        }
    }

    /// Hands a request to the queue and waits for its answer, leading the group if nobody does.
    pub(crate) fn run(&self, mut request: Request, durability: Durability) -> Result<Sequence> {
        self.check_writable()?;
        self.digest_ahead(&mut request);
        let ticket = self
            .queue
            .submit_or_lead(request, durability, |group| self.lead(group))
            .map_err(|error| self.refused(error))?;
        self.queue.wait(ticket, |group| self.lead(group)).map_err(wait_error)
    }

    /// Turns a refusal into its error and takes the request's buffers back.
    pub(crate) fn refused(&self, error: SubmitError<Request, Error>) -> Error {
        let (request, error) = match error {
            SubmitError::Closed(request) => (request, Error::Closed),
            SubmitError::Poisoned(request, _) => (request, Error::Poisoned),
        };
        self.reclaim(request);
        error
    }

    pub(crate) fn reclaim(&self, request: Request) {
        if let Request::Commit(batch) | Request::Delete(batch) | Request::Guarded(batch, _) = request {
            self.recycle(batch);
        }
    }

    /// Tells the flusher what has come up.
    pub(crate) fn note_work(&self, operations: usize, synced: bool, checkpoint: Wanted) {
        let mut signal = self.signal.lock();
        // The flusher sleeps until what was not synced is due. It is not any more, and idle time begins.
        let settled = synced && signal.since.is_some();
        if synced {
            (signal.unsynced, signal.since) = (0, None);
        } else {
            signal.unsynced += operations;
        }
        let first = !synced && signal.since.is_none();
        if first {
            signal.since = Some(Instant::now());
        }
        let called = match checkpoint {
            Wanted::Now => !signal.giving_way,
            Wanted::InIdleTime => signal.resting,
            Wanted::No => false,
        };
        let called = called || signal.unsynced >= self.flush_operations || first;
        signal.wake |= called;
        if called || settled {
            self.signalled.notify_all();
        }
    }

    /// Wakes the flusher.
    pub(crate) fn nudge(&self) {
        self.signal.lock().wake = true;
        self.signalled.notify_all();
    }

    /// Makes everything committed so far durable.
    pub(crate) fn sync(&self) -> Result<Sequence> {
        self.flush_queue();
        let mut locked = self.engine()?;
        let sequence = locked.engine.sync()?;
        // Under the lock, so that a commit that follows is not taken for synced.
        self.note_work(0, true, Wanted::by(&locked.engine));
        drop(locked);
        Ok(sequence)
    }

    /// Commits everything that is queued. What came in while somebody else leads is in no group yet,
    /// and nobody may be left to lead it: a turn in the queue is.
    pub(crate) fn flush_queue(&self) {
        while self.queue.lead_pending(|group| self.lead(group)) {}
        if self.queue.pending() > 0
            && let Err(error) = self.run(Request::Turn, Durability::Buffered)
        {
            tracing::debug!(%error, "what is queued was not committed");
        }
    }

    /// Folds in what is committed now, letting commits and readers in between the steps. What they
    /// bring is left to the next checkpoint.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        let mut target = None;
        loop {
            let mut locked = self.engine()?;
            let target = *target.get_or_insert(locked.engine.sequence());
            let progress = locked.engine.checkpoint_step()?;
            let folded = progress == Progress::Done && locked.engine.root().sequence >= target;
            locked.give_way();
            if folded || progress == Progress::Idle {
                return Ok(());
            }
        }
    }

    /// Closes the store: drains the queue, folds the journal in, refuses everything after.
    pub(crate) fn close(&self) -> Result<()> {
        // Who comes second is answered when the first is done.
        let _closing = self.closing.lock();
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.queue.close();
        self.queue.drain(|group| self.lead(group));
        let mut locked = self.lock();
        let poisoned = locked.engine.is_poisoned() || self.broken.load(Ordering::Acquire);
        let result = if self.read_only || poisoned { Ok(()) } else { Self::settle(&mut locked.engine) };
        locked.closed = true;
        result?;
        if poisoned { Err(Error::Poisoned) } else { Ok(()) }
    }

    /// Folds everything in; what cannot be folded in stays in the journal, durable.
    fn settle(engine: &mut DeviceEngine) -> Result<()> {
        let Err(error) = engine.checkpoint() else { return Ok(()) };
        if !engine.is_poisoned() {
            engine.sync()?;
        }
        Err(error.into())
    }

    /// Ends the background threads.
    pub(crate) fn stop(&self) {
        self.signal.lock().stop = true;
        self.signalled.notify_all();
        self.digester.stop();
        *self.verifier.lock() = None;
    }

    /// The metadata of a block as the view shows it.
    pub(crate) fn metadata(&self, view: &View, name: &[u8]) -> Result<Option<crate::Metadata>> {
        let located = read::locate(&self.source, view, name)?;
        Ok(located.map(|located| located.metadata()))
    }
}

/// The answer of the queue as an error of the store.
pub(crate) fn wait_error(error: WaitError<Error>) -> Error {
    use blockyard_core::queue::Fault;
    match error {
        WaitError::Item(error) | WaitError::Poisoned(Fault::Fatal(error)) => error,
        WaitError::Poisoned(_) => Error::Poisoned,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    /// The commit of one that has yet to be digested takes a write more, and time with the engine held.
    #[test]
    fn a_short_batch_behind_a_large_one_is_digested_before_its_commit() {
        let store = Store::in_memory().expect("memory");
        let inner = store.inner();
        let late = |batch: &mut RawBatch| batch.late_values().1.count();
        for _ in 0..2 {
            let mut large = inner.batch_for_many();
            (0..300_u32).for_each(|number| large.put(&number.to_le_bytes(), &[7; 8192], 0).expect("room"));
            inner.recycle(large);
        }
        let mut short = inner.batch_for_many();
        short.put(b"name", &[7; 8192], 0).expect("room");
        assert_eq!(late(&mut short), usize::from(Digester::is_of_use()), "it might have become a large one");
        let mut request = Request::Commit(short);
        inner.digest_ahead(&mut request);
        let Request::Commit(mut short) = request else { panic!("it is that request") };
        assert_eq!(late(&mut short), 0);
        inner.recycle(short);
        // Whoever has it next may have one change only.
        for batch in [inner.batch(), inner.batch()] {
            let mut batch = batch;
            batch.put(b"name", &[7; 8192], 0).expect("room");
            assert_eq!(late(&mut batch), 0);
        }
    }
}
