//! What a scenario needs of a group-commit engine, so that the real one and its broken twins run
//! through the same scenario.

use crate::medium::{Io, Medium, Place};
use blockyard_core::Durability;
use core::task::{Context, Poll};

/// What is committed: its number is also its bit on the medium.
pub type Item = u32;

/// What a commit is answered.
pub type Answer = Result<Place, Failure>;

/// Why an item was not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The engine was closed.
    Closed,
    /// The device failed this group, or an earlier one.
    Device(Io),
    /// A leader panicked or left items without a report.
    Broken,
}

/// An engine that commits items from many threads in groups.
pub trait Engine: Send + Sync + 'static {
    /// The right to an answer.
    type Ticket: Send + 'static;

    /// Where it writes.
    fn medium(&self) -> &Medium;

    /// Takes an item in, waiting for room.
    ///
    /// # Errors
    /// If the engine takes nothing any more.
    fn submit(&self, item: Item, durability: Durability) -> Result<Self::Ticket, Failure>;

    /// Waits for the answer.
    fn wait(&self, ticket: Self::Ticket) -> Answer;

    /// Gives up the answer, not the commit.
    fn abandon(&self, ticket: Self::Ticket);

    /// Refuses further items and returns when nothing is left to be written.
    fn shut_down(&self);

    /// Submits and waits.
    fn commit(&self, item: Item, durability: Durability) -> Answer {
        let ticket = self.submit(item, durability)?;
        self.wait(ticket)
    }
}

/// An engine that commits without a thread that waits.
pub trait Background: Engine {
    /// The answer, or the promise to wake this task.
    fn poll(&self, ticket: &Self::Ticket, context: &Context<'_>) -> Poll<Answer>;

    /// Leads for those who do not wait, until the engine is closed and nothing is left.
    fn serve(&self);

    /// Refuses further items.
    fn close(&self);
}
