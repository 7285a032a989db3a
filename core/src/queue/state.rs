//! What the queue's lock guards. Nothing here waits, wakes or calls the leader.

use super::slot::{List, Slot, Stage};
use super::{Answer, Fault, Limits, Member, SubmitError, Ticket, TrySubmitError, WaitError, Work};
use crate::Durability;
use core::marker::PhantomData;
use core::task::Waker;

pub(super) struct State<T, R, E, S> {
    slots: S,
    free: List,
    /// In submission order. What the leader has not taken stays here.
    queued: List,
    /// The items of the group that is being written, in submission order.
    flight: List,
    /// How many queued items no thread blocks on.
    unattended: usize,
    next_number: u64,
    limits: Limits,
    leading: bool,
    /// How many items the leader waits for, if it does.
    pub(super) awaited: Option<usize>,
    closed: bool,
    fault: Option<Fault<E>>,
    pub(super) sleeping: Sleeping,
    shape: PhantomData<fn() -> (T, R)>,
}

/// How many threads sleep, by what they sleep for, so that nobody rings an empty room.
#[derive(Default)]
pub(super) struct Sleeping {
    pub(super) waiters: usize,
    pub(super) submitters: usize,
    pub(super) flushers: usize,
}

/// Who is to be woken once the lock is released.
pub(super) struct Calls {
    pub(super) waiters: bool,
    pub(super) submitters: bool,
    pub(super) flushers: bool,
}

/// What was left in a slot. It runs the caller's code when dropped: only outside the lock.
pub(super) struct Scraps<T, R, E> {
    waker: Option<Waker>,
    item: Option<T>,
    outcome: Option<Result<R, E>>,
}

/// A reply, and what else was in its slot.
type Settled<T, R, E> = (Answer<R, E>, Scraps<T, R, E>);

/// What a leader may take, and what it has to see to.
pub(super) struct Run {
    pub(super) len: usize,
    pub(super) durability: Durability,
}

impl<T, R, E: Clone, S: AsMut<[Slot<T, R, E>]>> State<T, R, E, S> {
    pub(super) fn new(mut slots: S, limits: Limits) -> Self {
        let mut free = List::new();
        let storage = slots.as_mut();
        let capacity = storage.len();
        assert!(capacity > 0, "a commit queue needs at least one slot");
        for index in 0..capacity {
            storage[index] = Slot::new();
            free.push(storage, index);
        }
        Self {
            slots,
            free,
            queued: List::new(),
            flight: List::new(),
            unattended: 0,
            next_number: 1,
            limits: Limits { pending: limits.pending.clamp(1, capacity), group: limits.group.max(1) },
            leading: false,
            awaited: None,
            closed: false,
            fault: None,
            sleeping: Sleeping::default(),
            shape: PhantomData,
        }
    }

    // ---- what is the case ----

    pub(super) fn pending(&self) -> usize {
        self.queued.len() + self.flight.len()
    }

    pub(super) fn fault(&self) -> Option<Fault<E>> {
        self.fault.clone()
    }

    pub(super) fn may_lead(&self) -> bool {
        !self.leading && self.queued.len() > 0
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.leading && self.queued.len() == 0
    }

    pub(super) fn is_drained(&self) -> bool {
        self.is_idle() && (self.closed || self.fault.is_some())
    }

    /// What a flusher would do now.
    pub(super) fn work(&self) -> Option<Work> {
        let wanted = self.unattended > 0 || self.closed || self.sleeping.submitters > 0;
        if self.may_lead() && wanted {
            Some(Work::Pending)
        } else {
            self.is_drained().then_some(Work::Drained)
        }
    }

    fn has_room(&self) -> bool {
        self.free.len() > 0 && self.pending() < self.limits.pending
    }

    /// Who can go on after a change that answered no item.
    pub(super) fn calls(&self) -> Calls {
        Calls {
            waiters: false,
            submitters: self.sleeping.submitters > 0 && self.has_room(),
            flushers: self.sleeping.flushers > 0 && self.work().is_some(),
        }
    }

    /// Who has to look again after a group ended or the queue was closed.
    pub(super) fn calls_to_all(&self) -> Calls {
        Calls { waiters: self.sleeping.waiters > 0, submitters: self.sleeping.submitters > 0, ..self.calls() }
    }

    // ---- the submitter ----

    pub(super) fn submit(&mut self, item: T, durability: Durability) -> Result<Ticket, TrySubmitError<T, E>> {
        if let Some(fault) = self.fault() {
            return Err(TrySubmitError::Refused(SubmitError::Poisoned(item, fault)));
        }
        if self.closed {
            return Err(TrySubmitError::Refused(SubmitError::Closed(item)));
        }
        if !self.has_room() {
            return Err(TrySubmitError::Full(item));
        }
        let slots = self.slots.as_mut();
        let Some(index) = self.free.pop(slots) else {
            return Err(TrySubmitError::Full(item));
        };
        let number = self.next_number;
        self.next_number += 1;
        slots[index] = Slot::queued(number, durability, item);
        self.queued.push(slots, index);
        Ok(Ticket { slot: index, number })
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    // ---- the holder of a ticket ----

    /// The reply, once there is one; the slot is free afterwards.
    pub(super) fn take(&mut self, ticket: &Ticket) -> Option<Settled<T, R, E>> {
        let index = self.expect_occupied(ticket);
        let slot = &mut self.slots.as_mut()[index];
        let outcome = match slot.stage {
            Stage::Done => slot.outcome.take(),
            Stage::Failed => None,
            _ => return None,
        };
        let scraps = self.release(index);
        let answer = match (outcome, self.fault()) {
            (Some(outcome), _) => outcome.map_err(WaitError::Item),
            (None, Some(fault)) => Err(WaitError::Poisoned(fault)),
            (None, None) => unreachable!("an item without an outcome was published"),
        };
        Some((answer, scraps))
    }

    /// Leaves the item of this ticket to a flusher.
    pub(super) fn leave_unattended(&mut self, ticket: &Ticket) {
        let index = self.expect_occupied(ticket);
        self.mark_unattended(index);
    }

    /// Keeps the waker for when the item is answered. Gives back the waker that is not needed, and
    /// whether it is to be woken at once.
    pub(super) fn watch(&mut self, ticket: &Ticket, waker: Waker) -> (Option<Waker>, bool) {
        let index = self.expect_occupied(ticket);
        self.mark_unattended(index);
        let slot = &mut self.slots.as_mut()[index];
        if matches!(slot.stage, Stage::Done | Stage::Failed) {
            return (Some(waker), true);
        }
        (slot.waker.replace(waker), false)
    }

    /// Whether this very task is the one that will be woken for this ticket.
    pub(super) fn is_watched_by(&mut self, ticket: &Ticket, waker: &Waker) -> bool {
        let index = self.expect_occupied(ticket);
        self.slots.as_mut()[index].waker.as_ref().is_some_and(|known| known.will_wake(waker))
    }

    /// Nobody will ask for this reply. The item is committed all the same.
    pub(super) fn abandon(&mut self, ticket: &Ticket) -> Option<Scraps<T, R, E>> {
        let index = self.occupied(ticket)?;
        self.mark_unattended(index);
        let slot = &mut self.slots.as_mut()[index];
        if matches!(slot.stage, Stage::Done | Stage::Failed) {
            return Some(self.release(index));
        }
        slot.abandoned = true;
        Some(Scraps { waker: slot.waker.take(), item: None, outcome: slot.outcome.take() })
    }

    // ---- the leader ----

    /// Makes the caller the leader of what is queued now.
    pub(super) fn begin(&mut self) -> Run {
        debug_assert!(self.may_lead() && self.flight.len() == 0);
        self.leading = true;
        self.run()
    }

    /// What is queued now, up to the limit of a group.
    pub(super) fn run(&mut self) -> Run {
        let len = self.queued.len().min(self.limits.group);
        let run = self.queued.iter(self.slots.as_mut()).take(len);
        Run { len, durability: run.map(|slot| slot.durability).max().unwrap_or(Durability::Buffered) }
    }

    /// Whether a leader waits for no more items than are queued now; it is told once.
    pub(super) fn is_company(&mut self) -> bool {
        let most = self.limits.group;
        self.awaited.take_if(|awaited| self.queued.len() >= (*awaited).min(most)).is_some()
    }

    /// Hands out the first queued item, if the leader wants it.
    pub(super) fn take_queued(&mut self, wanted: impl FnOnce(&T) -> bool) -> Option<(Member, T)> {
        let slots = self.slots.as_mut();
        let index = self.queued.first()?;
        let slot = &mut slots[index];
        let item = slot.item.take_if(|item| wanted(item))?;
        slot.stage = Stage::Taken;
        self.unattended -= usize::from(slot.unattended);
        let member = Member { slot: index, number: slot.number };
        self.queued.pop(slots);
        self.flight.push(slots, index);
        Some((member, item))
    }

    /// Notes the outcome of an item that was taken; gives it back if nobody will ask for it.
    pub(super) fn report(&mut self, member: Member, outcome: Result<R, E>) -> Option<Result<R, E>> {
        let slot = &mut self.slots.as_mut()[member.slot];
        assert!(
            slot.number == member.number && slot.stage == Stage::Taken,
            "an outcome was reported for an item that is not in this group"
        );
        slot.stage = Stage::Reported;
        if slot.abandoned {
            return Some(outcome);
        }
        slot.outcome = Some(outcome);
        None
    }

    /// Ends the group: its outcomes become visible, or with a fault none of them does and the
    /// queue is poisoned. Says whether slots have to be swept.
    pub(super) fn finish(&mut self, fault: Option<Fault<E>>) -> bool {
        let slots = self.slots.as_mut();
        let complete =
            self.flight.len() > 0 && self.flight.iter(slots).all(|slot| slot.stage == Stage::Reported);
        let fault = if complete { fault } else { Some(fault.unwrap_or(Fault::Unreported)) };
        let failed = fault.is_some();
        let mut sweep = failed;
        while let Some(index) = self.flight.pop(slots) {
            let slot = &mut slots[index];
            sweep |= slot.waker.is_some();
            slot.stage = if failed { Stage::Failed } else { Stage::Done };
            if slot.abandoned && !failed {
                slots[index] = Slot::new();
                self.free.push(slots, index);
            }
        }
        if failed {
            while let Some(index) = self.queued.pop(slots) {
                slots[index].stage = Stage::Failed;
            }
            self.unattended = 0;
            self.fault = fault;
        }
        self.leading = false;
        sweep
    }

    /// The next slot, from `cursor` on, that has been answered and holds something to be woken or
    /// dropped.
    pub(super) fn sweep(&mut self, cursor: &mut usize) -> Option<Scraps<T, R, E>> {
        loop {
            let index = *cursor;
            let slot = self.slots.as_mut().get_mut(index)?;
            *cursor += 1;
            match slot.stage {
                Stage::Failed if slot.abandoned => return Some(self.release(index)),
                Stage::Failed => return Some(slot.clear()),
                Stage::Done if slot.waker.is_some() => {
                    return Some(Scraps { waker: slot.waker.take(), item: None, outcome: None });
                }
                _ => {}
            }
        }
    }

    // ---- slots ----

    fn occupied(&mut self, ticket: &Ticket) -> Option<usize> {
        let slot = self.slots.as_mut().get(ticket.slot)?;
        (slot.number == ticket.number).then_some(ticket.slot)
    }

    fn expect_occupied(&mut self, ticket: &Ticket) -> usize {
        let Some(index) = self.occupied(ticket) else {
            panic!("the reply to this ticket was taken before, or the ticket is of another queue");
        };
        index
    }

    fn mark_unattended(&mut self, index: usize) {
        let slot = &mut self.slots.as_mut()[index];
        if slot.stage == Stage::Queued && !slot.unattended {
            slot.unattended = true;
            self.unattended += 1;
        }
    }

    fn release(&mut self, index: usize) -> Scraps<T, R, E> {
        let slots = self.slots.as_mut();
        let scraps = slots[index].clear();
        slots[index] = Slot::new();
        self.free.push(slots, index);
        scraps
    }
}

impl<T, R, E> Scraps<T, R, E> {
    /// Wakes who watches the slot, and drops the rest.
    pub(super) fn dispose(self) {
        let Self { waker, item, outcome } = self;
        if let Some(waker) = waker {
            waker.wake();
        }
        drop((item, outcome));
    }
}

impl<T, R, E> Slot<T, R, E> {
    fn clear(&mut self) -> Scraps<T, R, E> {
        Scraps { waker: self.waker.take(), item: self.item.take(), outcome: self.outcome.take() }
    }
}
