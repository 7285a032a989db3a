//! What can go wrong in the queue, each call with only its own errors.

use core::fmt;

/// Why a queue is poisoned. Every caller in the failed group, everyone still queued and everyone
/// who comes later gets a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault<E> {
    /// The leader reported this with [`Group::poison`](super::Group::poison).
    Fatal(E),
    /// The leader panicked: what it had written is unknown.
    LeaderPanicked,
    /// The leader returned without taking an item, or without reporting on each one it took.
    Unreported,
}

/// Why an item that was submitted has no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitError<E> {
    /// The leader refused this item alone; the queue goes on.
    Item(E),
    /// The queue was poisoned before this item was acknowledged.
    Poisoned(Fault<E>),
}

/// Why an item was not taken into the queue. It comes back to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitError<T, E> {
    /// [`GroupQueue::close`](super::GroupQueue::close) was called.
    Closed(T),
    /// The queue is poisoned.
    Poisoned(T, Fault<E>),
}

/// Why an item was not taken into the queue at once. It comes back to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrySubmitError<T, E> {
    /// As many items are pending as the queue allows, or every slot is occupied.
    Full(T),
    /// The queue takes nothing any more.
    Refused(SubmitError<T, E>),
}

impl<T, E> SubmitError<T, E> {
    /// The item that was refused.
    pub fn into_item(self) -> T {
        match self {
            Self::Closed(item) | Self::Poisoned(item, _) => item,
        }
    }
}

impl<T, E> TrySubmitError<T, E> {
    /// The item that was refused.
    pub fn into_item(self) -> T {
        match self {
            Self::Full(item) => item,
            Self::Refused(refused) => refused.into_item(),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Fault<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fatal(error) => write!(f, "{error}"),
            Self::LeaderPanicked => f.write_str("the thread that was writing the commits panicked"),
            Self::Unreported => f.write_str("the writer of the commits returned without a result for each"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for WaitError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(error) => write!(f, "{error}"),
            Self::Poisoned(fault) => {
                write!(f, "the commit is not acknowledged: {fault}; reopen the store to see what it holds")
            }
        }
    }
}

impl<T, E: fmt::Display> fmt::Display for SubmitError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(_) => f.write_str("the store is closing and takes no further commits; reopen it"),
            Self::Poisoned(_, fault) => {
                write!(f, "the store takes no further commits: {fault}; reopen it to go on")
            }
        }
    }
}

impl<T, E: fmt::Display> fmt::Display for TrySubmitError<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => {
                f.write_str("the commit queue is full; wait for an earlier commit and try again")
            }
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl<E: core::error::Error> core::error::Error for Fault<E> {}
impl<E: core::error::Error> core::error::Error for WaitError<E> {}
impl<T: fmt::Debug, E: core::error::Error> core::error::Error for SubmitError<T, E> {}
impl<T: fmt::Debug, E: core::error::Error> core::error::Error for TrySubmitError<T, E> {}
