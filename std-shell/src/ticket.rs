//! Waiting for a commit later: blocking, or as a future of any runtime.
//!
//! 1. An answer that nobody has asked for yet occupies a slot of the queue. So that a caller may hold
//!    any number of tickets, the store takes their answers out of the queue for them ([`Open`]).
//! 2. Locks are taken in the order: open tickets, one ticket's reply, the queue's own. No waker is
//!    woken under any of them.

use crate::error::Result;
use crate::inner::{Inner, MOST_QUEUED, Queue, Request, wait_error};
use blockyard_core::queue::{Ticket as QueueTicket, TrySubmitError};
use blockyard_core::{Durability, Sequence};
use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

/// A commit under way. Wait for it with [`wait`](Self::wait), or await it: the background thread
/// commits it and wakes the task. Dropped, the commit still happens.
#[derive(Debug)]
#[must_use = "without waiting nobody knows whether the commit succeeded"]
pub struct Ticket {
    inner: Arc<Inner>,
    reply: Arc<Mutex<Reply>>,
}

/// The reply to one ticket: in the queue as long as `ticket` is there, else in `answer`, once.
#[derive(Debug)]
struct Reply {
    ticket: Option<QueueTicket>,
    answer: Option<Result<Sequence>>,
    waker: Option<Waker>,
}

impl Reply {
    /// Takes the answer out of the queue if it is there; says whether anything is left in it.
    fn collect(&mut self, queue: &Queue, wakers: &mut Vec<Waker>) -> bool {
        let Some(ticket) = &self.ticket else { return false };
        let Some(answer) = queue.try_take(ticket) else { return true };
        (self.ticket, self.answer) = (None, Some(answer.map_err(wait_error)));
        wakers.extend(self.waker.take());
        false
    }
}

/// The tickets whose answers may be in the queue.
#[derive(Debug, Default)]
pub(crate) struct Open(Mutex<Vec<Weak<Mutex<Reply>>>>);

impl Open {
    /// Takes all answers out of the queue if tickets may occupy half of its slots.
    fn make_room(&self, queue: &Queue) {
        let mut wakers = Vec::new();
        let mut open = self.0.lock();
        if open.len() >= MOST_QUEUED {
            open.retain(|reply| {
                reply.upgrade().is_some_and(|reply| reply.lock().collect(queue, &mut wakers))
            });
        }
        drop(open);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Ticket {
    pub(crate) fn submit(inner: Arc<Inner>, mut request: Request, durability: Durability) -> Result<Self> {
        inner.digest_ahead(&mut request);
        inner.check_writable()?;
        inner.tickets.make_room(&inner.queue);
        let ticket = match inner.queue.try_submit(request, durability) {
            Ok(ticket) => ticket,
            Err(TrySubmitError::Full(request)) => inner
                .queue
                .submit_or_lead(request, durability, |group| inner.lead(group))
                .map_err(|error| inner.refused(error))?,
            Err(TrySubmitError::Refused(error)) => return Err(inner.refused(error)),
        };
        let reply = Arc::new(Mutex::new(Reply { ticket: Some(ticket), answer: None, waker: None }));
        inner.tickets.0.lock().push(Arc::downgrade(&reply));
        inner.nudge();
        Ok(Self { inner, reply })
    }

    /// Waits until the commit is done, committing it in this thread if nobody else does.
    ///
    /// # Errors
    /// What the commit failed with.
    pub fn wait(self) -> Result<Sequence> {
        let (ticket, answer) = {
            let mut reply = self.reply.lock();
            (reply.ticket.take(), reply.answer.take())
        };
        match ticket {
            Some(ticket) => self.inner.queue.wait(ticket, |group| self.inner.lead(group)).map_err(wait_error),
            None => answer.unwrap_or(Err(crate::Error::Closed)),
        }
    }
}

impl Future for Ticket {
    type Output = Result<Sequence>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut reply = self.reply.lock();
        let Some(ticket) = &reply.ticket else {
            return Poll::Ready(reply.answer.take().unwrap_or(Err(crate::Error::Closed)));
        };
        let answer = self.inner.queue.poll(ticket, context);
        if answer.is_ready() {
            reply.ticket = None;
        } else if !reply.waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            // Who takes the answer out of the queue wakes the task in the queue's place.
            let replaced = reply.waker.replace(context.waker().clone());
            drop(reply);
            drop(replaced);
        }
        answer.map(|answer| answer.map_err(wait_error))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let ticket = self.reply.lock().ticket.take();
        if let Some(ticket) = ticket {
            self.inner.queue.abandon(&ticket);
        }
    }
}
