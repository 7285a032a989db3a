//! The group that is being written, in its leader's hands.

use super::state::Run;
use super::{Fault, GroupQueue, Guard, Slot};
use crate::Durability;

/// The run of queued items that one leader writes and syncs together.
///
/// The leader's closure takes items in submission order, writes them, syncs if
/// [`durability`](Self::durability) asks for it, and reports on each item it took. Nobody sees an
/// outcome before the closure has returned, and nobody sees any if it panicked or called
/// [`poison`](Self::poison). So an `Ok` may be reported before the sync that it depends on.
///
/// The closure must not wait for a ticket of its own queue, nor submit to it when it may be full.
pub struct Group<'q, T, R, E: Clone, S: AsMut<[Slot<T, R, E>]>> {
    queue: &'q GroupQueue<T, R, E, S>,
    run: Run,
    /// An item was taken: nobody joins any more.
    sealed: bool,
    fault: Option<Fault<E>>,
    returned: bool,
}

/// The right to report on one item that was taken from a [`Group`].
#[derive(Debug)]
#[must_use = "an item without a report poisons the queue"]
pub struct Member {
    pub(super) slot: usize,
    pub(super) number: u64,
}

impl<'q, T, R, E: Clone, S: AsMut<[Slot<T, R, E>]>> Group<'q, T, R, E, S> {
    /// Marks the queue as led, releases its lock, and lets the closure lead. However the closure
    /// ends, the mark goes and everybody who waits is woken.
    pub(super) fn lead(
        queue: &'q GroupQueue<T, R, E, S>,
        mut state: Guard<'q, T, R, E, S>,
        lead: impl FnOnce(&mut Self),
    ) {
        let run = state.begin();
        drop(state);
        let mut group = Self { queue, run, sealed: false, fault: None, returned: false };
        lead(&mut group);
        group.returned = true;
    }

    /// Lets in who has submitted since the group began; says how many items it has now. Does
    /// nothing once an item was taken.
    ///
    /// Callers that were answered just now often submit again at once. A leader that gives them a
    /// moment and gathers again shares one sync with them, where they would wait for two.
    pub fn gather(&mut self) -> usize {
        if !self.sealed {
            self.run = self.queue.state.lock().run();
        }
        self.run.len
    }

    /// As [`gather`](Self::gather), once as many are queued as are `wanted`, or as a group may have, or after about `timeout`;
    /// asleep meanwhile, so that those who are to come have the processor.
    #[cfg(feature = "std")]
    pub fn gather_for(&mut self, wanted: usize, timeout: core::time::Duration) -> usize {
        if self.sealed {
            return self.run.len;
        }
        let mut state = self.queue.state.lock();
        state.awaited = Some(wanted);
        if !state.is_company() {
            let begun = std::time::Instant::now();
            // What wakes it for no reason does not make it late.
            while let Some(left) = timeout.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
                (state, _) = self.queue.company.wait_timeout(state, left);
                if state.awaited.is_none() {
                    break;
                }
            }
            state.awaited = None;
        }
        self.run = state.run();
        self.run.len
    }

    /// The next item, or none when the group is complete. Items that are not taken stay at the
    /// head of the queue for the next group; at least one has to be taken.
    pub fn take(&mut self) -> Option<(Member, T)> {
        self.take_if(|_| true)
    }

    /// The next item if it is `wanted`, for a leader that bounds the bytes of its group. Once an
    /// item was refused, the group is complete, so that the order of submission holds.
    ///
    /// `wanted` runs under the queue's lock: it should only look, and must not use the queue.
    pub fn take_if(&mut self, wanted: impl FnOnce(&T) -> bool) -> Option<(Member, T)> {
        if self.run.len == 0 {
            return None;
        }
        self.sealed = true;
        let taken = self.queue.state.lock().take_queued(wanted);
        self.run.len = if taken.is_some() { self.run.len - 1 } else { 0 };
        taken
    }

    /// How many items can still be taken.
    pub fn remaining(&self) -> usize {
        self.run.len
    }

    /// The strictest durability that anybody asked for in the whole run, whether taken or not. It
    /// can only rise, by [`gather`](Self::gather).
    pub fn durability(&self) -> Durability {
        self.run.durability
    }

    /// Reports the outcome of one item. An error concerns this item alone. It is for the leader to
    /// see that `Ok` is true by the time its closure returns.
    ///
    /// # Panics
    /// If the item is not of this group.
    pub fn complete(&mut self, member: Member, outcome: Result<R, E>) {
        let unwanted = self.queue.state.lock().report(member, outcome);
        drop(unwanted);
    }

    /// Declares the queue broken, after a failed write or sync: everybody in this group, whatever
    /// was reported on them, everybody queued and everybody who comes later gets this error. No
    /// more items can be taken. The first error is the one that counts.
    pub fn poison(&mut self, error: E) {
        (self.sealed, self.run.len) = (true, 0);
        self.fault.get_or_insert(Fault::Fatal(error));
    }
}

impl<T, R, E: Clone, S: AsMut<[Slot<T, R, E>]>> Drop for Group<'_, T, R, E, S> {
    fn drop(&mut self) {
        let panicked = (!self.returned).then_some(Fault::LeaderPanicked);
        let mut state = self.queue.state.lock();
        let sweep = state.finish(self.fault.take().or(panicked));
        let calls = state.calls_to_all();
        drop(state);
        self.queue.ring(calls);
        if sweep {
            self.queue.sweep();
        }
    }
}
