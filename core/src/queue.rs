//! The group-commit queue: many callers submit, one of them writes and syncs for all who wait.
//!
//! Invariants:
//! 1. At most one group is being written: there is no leader, or there is one.
//! 2. Items are taken, and answered, in the order of submission.
//! 3. A group holds only items that were queued when it began, or when its leader last gathered,
//!    which it cannot after it took an item. Who comes later joins the next group.
//! 4. A leader sees the strictest durability of its whole run before it takes the first item.
//! 5. `Ok` reaches a caller only if the leader reported `Ok` for that very item, returned, and
//!    reported nothing fatal. Until then no outcome is visible to anybody.
//! 6. However a leader ends, the next one can begin, and everybody who sleeps looks again. One that
//!    panics, reports a fatal error or leaves an item without a report poisons the queue.
//! 7. Who waits on a ticket returns: either a leader is at work, or the waiter leads itself.
//! 8. An item that was accepted is offered to a leader even if its submitter went away.
//! 9. The lock is not held while a leader works, a waker is woken or an item is dropped.
//!
//! The life of a slot (`+` is present):
//!
//! | stage | item | outcome | chained in | leaves it when |
//! |---|---|---|---|---|
//! | free | | | free list | an item is submitted |
//! | queued | + | | queue | the leader takes the item |
//! | taken | | | flight | the leader reports on it |
//! | reported | | +, hidden | flight | the group ends |
//! | done | | + | | its ticket takes the reply or is abandoned |
//! | failed | until swept | | | its ticket takes the fault or is abandoned |
//!
//! The slot of an abandoned ticket goes from reported straight to free.
//!
//! There is no thread of the queue's own. Who [waits](GroupQueue::wait) leads when nobody does. A
//! ticket that is polled, awaited or abandoned needs somebody else to lead: a flusher that loops
//! over [`GroupQueue::wait_for_work`] and [`GroupQueue::lead_pending`], or any other caller.

mod error;
mod group;
mod slot;
mod state;

pub use error::{Fault, SubmitError, TrySubmitError, WaitError};
pub use group::{Group, Member};
pub use slot::Slot;

use crate::Durability;
use crate::sync::{Condvar, Mutex, MutexGuard};
use core::task::{Context, Poll, Waker};
use state::{Calls, State};

type Guard<'q, T, R, E, S> = MutexGuard<'q, State<T, R, E, S>>;

/// A bounded queue of items of type `T`, each answered by an `R` or an `E`, in slots kept in `S`.
pub struct GroupQueue<T, R, E, S> {
    state: Mutex<State<T, R, E, S>>,
    /// A group ended: items were answered, and somebody may lead.
    answered: Condvar,
    /// A submitter may find room.
    room: Condvar,
    /// A flusher may find work.
    work: Condvar,
    /// As many are queued as a leader waits for.
    company: Condvar,
}

/// How much a queue takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Items queued or being written at which submitters are held back; the number of slots bounds
    /// it too.
    pub pending: usize,
    /// Items in one group at most.
    pub group: usize,
}

impl Default for Limits {
    /// 1000 pending items, all of which may be in one group.
    fn default() -> Self {
        Self { pending: 1000, group: usize::MAX }
    }
}

/// The right to the reply for one item. It has to be waited on, polled to its end, or
/// [abandoned](GroupQueue::abandon): one that is just dropped keeps its slot occupied for ever.
#[derive(Debug)]
#[must_use = "a ticket that is dropped keeps its slot: wait on it or abandon it"]
pub struct Ticket {
    slot: usize,
    number: u64,
}

/// The reply for one item.
pub type Answer<R, E> = Result<R, WaitError<E>>;

/// Why a flusher was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Something is queued that nobody blocks on, or a submitter found no room.
    Pending,
    /// Nothing is left, and nothing will come: the queue is closed or poisoned.
    Drained,
}

impl<T, R, E: Clone, S: AsMut<[Slot<T, R, E>]>> GroupQueue<T, R, E, S> {
    /// An open queue over these slots, whose contents are discarded.
    ///
    /// # Panics
    /// If there is no slot.
    pub fn new(slots: S, limits: Limits) -> Self {
        Self {
            state: Mutex::new(State::new(slots, limits)),
            answered: Condvar::new(),
            room: Condvar::new(),
            work: Condvar::new(),
            company: Condvar::new(),
        }
    }

    /// Queues an item if there is room.
    ///
    /// # Errors
    /// The item comes back if the queue is full, closed or poisoned.
    pub fn try_submit(&self, item: T, durability: Durability) -> Result<Ticket, TrySubmitError<T, E>> {
        let mut state = self.state.lock();
        let ticket = state.submit(item, durability)?;
        self.call_leader(state);
        Ok(ticket)
    }

    /// Queues an item, waiting for room. Room comes when somebody leads, or takes a reply that
    /// occupies a slot; a full queue wakes the flusher. Without one, use
    /// [`submit_or_lead`](Self::submit_or_lead).
    ///
    /// # Errors
    /// The item comes back if the queue is closed or poisoned.
    pub fn submit(&self, item: T, durability: Durability) -> Result<Ticket, SubmitError<T, E>> {
        self.submit_with(item, durability, None::<fn(&mut Group<'_, T, R, E, S>)>)
    }

    /// Queues an item; a caller that finds the queue full and nobody leading makes room by leading.
    /// It still waits if the slots are full of replies that nobody took.
    ///
    /// # Errors
    /// The item comes back if the queue is closed or poisoned.
    pub fn submit_or_lead(
        &self,
        item: T,
        durability: Durability,
        lead: impl FnMut(&mut Group<'_, T, R, E, S>),
    ) -> Result<Ticket, SubmitError<T, E>> {
        self.submit_with(item, durability, Some(lead))
    }

    /// Waits until the item of this ticket is answered, leading groups whenever nobody else does.
    ///
    /// # Errors
    /// What the leader reported for this item, or the fault that poisoned the queue.
    ///
    /// # Panics
    /// If the reply was taken before, or with the panic of `lead`: the queue is poisoned then.
    pub fn wait(&self, ticket: Ticket, mut lead: impl FnMut(&mut Group<'_, T, R, E, S>)) -> Answer<R, E> {
        let mut state = self.state.lock();
        loop {
            state = match self.settle(state, &ticket) {
                Ok(answer) => return answer,
                Err(state) if state.may_lead() => {
                    let claim = Claim { queue: self, ticket: &ticket, released: false };
                    Group::lead(self, state, &mut lead);
                    claim.release();
                    self.state.lock()
                }
                Err(state) => self.sleep_until_answered(state),
            };
        }
    }

    /// The reply, if there is one. Asking too early leaves the item to a flusher.
    ///
    /// # Panics
    /// If the reply was taken before.
    pub fn try_take(&self, ticket: &Ticket) -> Option<Answer<R, E>> {
        match self.settle(self.state.lock(), ticket) {
            Ok(answer) => Some(answer),
            Err(mut state) => {
                state.leave_unattended(ticket);
                self.unlock_and_ring(state);
                None
            }
        }
    }

    /// The reply, or the promise to wake this task: what a `Future` over a ticket needs. The item
    /// is left to a flusher.
    ///
    /// # Panics
    /// If the reply was taken before.
    pub fn poll(&self, ticket: &Ticket, context: &Context<'_>) -> Poll<Answer<R, E>> {
        match self.settle(self.state.lock(), ticket) {
            Ok(answer) => Poll::Ready(answer),
            Err(mut state) => {
                if !state.is_watched_by(ticket, context.waker()) {
                    let (replaced, _) = state.watch(ticket, context.waker().clone());
                    self.unlock_and_ring(state);
                    drop(replaced);
                }
                Poll::Pending
            }
        }
    }

    /// Has `waker` woken when the item is answered, at once if it is. It replaces an earlier one.
    /// The item is left to a flusher.
    ///
    /// # Panics
    /// If the reply was taken before.
    pub fn register_waker(&self, ticket: &Ticket, waker: Waker) {
        let mut state = self.state.lock();
        let (waker, answered) = state.watch(ticket, waker);
        self.unlock_and_ring(state);
        if let Some(waker) = waker.filter(|_| answered) {
            waker.wake();
        }
    }

    /// Gives up the reply. An item that is queued is committed all the same, by the next leader,
    /// and its slot is free afterwards. Does nothing if the reply was taken.
    pub fn abandon(&self, ticket: &Ticket) {
        let mut state = self.state.lock();
        let scraps = state.abandon(ticket);
        self.unlock_and_ring(state);
        drop(scraps);
    }

    /// Leads one group if something is queued and nobody leads; says whether it did.
    ///
    /// # Panics
    /// With the panic of `lead`: the queue is poisoned then.
    pub fn lead_pending(&self, lead: impl FnOnce(&mut Group<'_, T, R, E, S>)) -> bool {
        let state = self.state.lock();
        let leads = state.may_lead();
        if leads {
            Group::lead(self, state, lead);
        }
        leads
    }

    /// Returns when nothing is queued or being written, leading whenever nobody else does. While
    /// others submit that may take for ever: [`close`](Self::close) the queue first.
    ///
    /// # Panics
    /// With the panic of `lead`: the queue is poisoned then.
    pub fn drain(&self, mut lead: impl FnMut(&mut Group<'_, T, R, E, S>)) {
        let mut state = self.state.lock();
        while !state.is_idle() {
            state = if state.may_lead() {
                Group::lead(self, state, &mut lead);
                self.state.lock()
            } else {
                self.sleep_until_answered(state)
            };
        }
    }

    /// Puts a flusher to sleep until it should [lead](Self::lead_pending): something is queued that
    /// was polled, awaited or abandoned, a submitter found no room, or the queue was closed. What a
    /// ticket waits for that its holder only keeps is no work yet.
    pub fn wait_for_work(&self) -> Work {
        let mut state = self.state.lock();
        loop {
            if let Some(work) = state.work() {
                return work;
            }
            state.sleeping.flushers += 1;
            state = self.work.wait(state);
            state.sleeping.flushers -= 1;
        }
    }

    /// As [`wait_for_work`](Self::wait_for_work); none after about `timeout` without any. Then a
    /// flusher may lead all the same, for the tickets that are only kept.
    #[cfg(feature = "std")]
    pub fn wait_for_work_timeout(&self, timeout: core::time::Duration) -> Option<Work> {
        let mut state = self.state.lock();
        if state.work().is_none() {
            state.sleeping.flushers += 1;
            (state, _) = self.work.wait_timeout(state, timeout);
            state.sleeping.flushers -= 1;
        }
        state.work()
    }

    /// Refuses further items. What is queued is still committed, by those who wait, by a flusher or
    /// by [`drain`](Self::drain).
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.close();
        let calls = state.calls_to_all();
        drop(state);
        self.ring(calls);
    }

    /// Whether nothing is queued or being written and nothing will be: the queue is closed or
    /// poisoned.
    pub fn is_drained(&self) -> bool {
        self.state.lock().is_drained()
    }

    /// How many items are queued or being written.
    pub fn pending(&self) -> usize {
        self.state.lock().pending()
    }

    /// Why the queue is poisoned, if it is.
    pub fn fault(&self) -> Option<Fault<E>> {
        self.state.lock().fault()
    }

    fn submit_with(
        &self,
        mut item: T,
        durability: Durability,
        mut lead: Option<impl FnMut(&mut Group<'_, T, R, E, S>)>,
    ) -> Result<Ticket, SubmitError<T, E>> {
        let mut state = self.state.lock();
        loop {
            match state.submit(item, durability) {
                Ok(ticket) => {
                    self.call_leader(state);
                    return Ok(ticket);
                }
                Err(TrySubmitError::Refused(refused)) => return Err(refused),
                Err(TrySubmitError::Full(back)) => item = back,
            }
            state = match lead.as_mut() {
                Some(lead) if state.may_lead() => {
                    Group::lead(self, state, lead);
                    self.state.lock()
                }
                _ => self.sleep_until_room(state),
            };
        }
    }

    /// Takes the reply and releases the lock, or gives the lock back.
    fn settle<'q>(
        &self,
        mut state: Guard<'q, T, R, E, S>,
        ticket: &Ticket,
    ) -> Result<Answer<R, E>, Guard<'q, T, R, E, S>> {
        match state.take(ticket) {
            None => Err(state),
            Some((answer, scraps)) => {
                self.unlock_and_ring(state);
                drop(scraps);
                Ok(answer)
            }
        }
    }

    fn sleep_until_answered<'q>(&'q self, mut state: Guard<'q, T, R, E, S>) -> Guard<'q, T, R, E, S> {
        state.sleeping.waiters += 1;
        state = self.answered.wait(state);
        state.sleeping.waiters -= 1;
        state
    }

    /// A submitter without room is work for a flusher.
    fn sleep_until_room<'q>(&'q self, mut state: Guard<'q, T, R, E, S>) -> Guard<'q, T, R, E, S> {
        state.sleeping.submitters += 1;
        self.ring(state.calls());
        state = self.room.wait(state);
        state.sleeping.submitters -= 1;
        state
    }

    /// Wakes the leader if it waits for no more than are queued now.
    fn call_leader(&self, mut state: Guard<'_, T, R, E, S>) {
        let complete = state.is_company();
        drop(state);
        if complete {
            self.company.notify_all();
        }
    }

    fn unlock_and_ring(&self, state: Guard<'_, T, R, E, S>) {
        let calls = state.calls();
        drop(state);
        self.ring(calls);
    }

    fn ring(&self, calls: Calls) {
        if calls.waiters {
            self.answered.notify_all();
        }
        if calls.submitters {
            self.room.notify_all();
        }
        if calls.flushers {
            self.work.notify_all();
        }
    }

    /// Wakes and drops what an ended group left in its slots, one at a time, outside the lock.
    fn sweep(&self) {
        let mut cursor = 0;
        loop {
            let scraps = self.state.lock().sweep(&mut cursor);
            match scraps {
                None => return,
                Some(scraps) => scraps.dispose(),
            }
        }
    }
}

/// Abandons the ticket of a waiter whose own leading panicked.
struct Claim<'a, T, R, E: Clone, S: AsMut<[Slot<T, R, E>]>> {
    queue: &'a GroupQueue<T, R, E, S>,
    ticket: &'a Ticket,
    released: bool,
}

impl<T, R, E: Clone, S: AsMut<[Slot<T, R, E>]>> Claim<'_, T, R, E, S> {
    fn release(mut self) {
        self.released = true;
    }
}

impl<T, R, E: Clone, S: AsMut<[Slot<T, R, E>]>> Drop for Claim<'_, T, R, E, S> {
    fn drop(&mut self) {
        if !self.released {
            self.queue.abandon(self.ticket);
        }
    }
}
