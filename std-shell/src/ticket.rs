//! Waiting for a commit later: blocking, or as a future of any runtime.

use crate::error::Result;
use crate::inner::{Inner, Request, wait_error};
use blockyard_core::queue::{Ticket as QueueTicket, TrySubmitError};
use blockyard_core::{Durability, Sequence};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A commit under way. Wait for it with [`wait`](Self::wait), or await it: the background thread
/// commits it and wakes the task. Dropped, the commit still happens.
#[derive(Debug)]
#[must_use = "without waiting nobody knows whether the commit succeeded"]
pub struct Ticket {
    inner: Arc<Inner>,
    ticket: Option<QueueTicket>,
}

impl Ticket {
    pub(crate) fn submit(inner: Arc<Inner>, request: Request, durability: Durability) -> Result<Self> {
        inner.check_writable()?;
        let ticket = match inner.queue.try_submit(request, durability) {
            Ok(ticket) => ticket,
            Err(TrySubmitError::Full(request)) => inner
                .queue
                .submit_or_lead(request, durability, |group| inner.lead(group))
                .map_err(|error| inner.refused(error))?,
            Err(TrySubmitError::Refused(error)) => return Err(inner.refused(error)),
        };
        inner.nudge();
        Ok(Self { inner, ticket: Some(ticket) })
    }

    /// Waits until the commit is done, committing it in this thread if nobody else does.
    ///
    /// # Errors
    /// What the commit failed with.
    pub fn wait(mut self) -> Result<Sequence> {
        match self.ticket.take() {
            Some(ticket) => {
                self.inner.queue.wait(ticket, |group| self.inner.lead(group)).map_err(wait_error)
            }
            None => Err(crate::Error::Closed),
        }
    }
}

impl Future for Ticket {
    type Output = Result<Sequence>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(ticket) = &self.ticket else { return Poll::Ready(Err(crate::Error::Closed)) };
        let answer = self.inner.queue.poll(ticket, context);
        if answer.is_ready() {
            self.ticket = None;
        }
        answer.map(|answer| answer.map_err(wait_error))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(ticket) = &self.ticket {
            self.inner.queue.abandon(ticket);
        }
    }
}
