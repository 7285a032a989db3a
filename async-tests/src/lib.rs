//! What it takes to run futures by hand: the tests and the example drop them wherever they like.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Polls a future as often as it takes.
pub fn finish<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = once(future.as_mut()) {
            return output;
        }
    }
}

/// Polls a future up to `polls` times and drops it; what it gave if it came to its end.
pub fn polled<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(output) = once(future.as_mut()) {
            return Some(output);
        }
    }
    None
}

fn once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A future that is pending once.
#[derive(Debug, Default)]
pub struct Pause {
    over: bool,
}

impl Pause {
    /// A pause that is still to come.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.over, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
