//! Digests of a large batch's values, and of a stream's chunks, computed by two threads: whoever wants them begins
//! with the first, a thread of the store's with the last, and each takes what the other has not begun.

use crate::buffer::Memory;
use crate::seat::Seat;
use blockyard_core::Digest;
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, OnceLock, Weak};

/// Values that are worth it: as many bytes as take longer to digest than a thread takes to wake up.
pub(crate) const WORTH_IT: usize = 256 << 10;

/// The digests of some values.
#[derive(Debug)]
pub(crate) struct Digests {
    memory: Memory,
    /// In the order of their places.
    values: Vec<(Range<usize>, OnceLock<Digest>)>,
}

impl Digests {
    pub(crate) fn new(memory: Memory, values: Vec<Range<usize>>) -> Self {
        Self { memory, values: values.into_iter().map(|range| (range, OnceLock::new())).collect() }
    }

    fn compute(&self, (range, digest): &(Range<usize>, OnceLock<Digest>)) -> Digest {
        *digest.get_or_init(|| Digest::of(self.memory.get(range.clone()).unwrap_or_default()))
    }

    /// The digest of the value that lies there, if it is one of these.
    pub(crate) fn of(&self, range: &Range<usize>) -> Option<Digest> {
        let at = self.values.binary_search_by_key(&range.start, |(range, _)| range.start).ok()?;
        self.values.get(at).filter(|(value, _)| value == range).map(|value| self.compute(value))
    }
}

/// The thread that helps, begun when it is first of use; it ends with the store. What waits for it is not kept
/// alive: digests that nobody wants any more cost no memory and no time.
#[derive(Debug, Default)]
pub(crate) struct Digester {
    thread: Mutex<Thread>,
}

#[derive(Debug, Default)]
enum Thread {
    #[default]
    NotYet,
    Runs(Sender<Weak<Digests>>, Arc<Seat>),
    Stopped,
}

impl Digester {
    /// Whether a second processor is there to help.
    pub(crate) fn is_of_use() -> bool {
        static MORE_THAN_ONE: OnceLock<bool> = OnceLock::new();
        *MORE_THAN_ONE.get_or_init(|| std::thread::available_parallelism().is_ok_and(|count| count.get() > 1))
    }

    /// Has them computed, from the last. Where no thread can be had, whoever asks for them does it alone.
    pub(crate) fn offer(&self, digests: &Arc<Digests>) {
        let mut thread = self.thread.lock();
        if matches!(*thread, Thread::NotYet) {
            *thread = begin().unwrap_or_default();
        }
        if let Thread::Runs(open, seat) = &*thread {
            seat.away_from_here();
            if open.send(Arc::downgrade(digests)).is_err() {
                *thread = Thread::NotYet;
            }
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        *self.thread.lock() = Thread::Stopped;
    }
}

fn begin() -> Option<Thread> {
    let (sender, receiver) = channel();
    let seat = Arc::new(Seat::default());
    let its = Arc::clone(&seat);
    let thread = std::thread::Builder::new().name("blockyard-digests".into());
    thread.spawn(move || run(&receiver, &its)).ok().map(|_| Thread::Runs(sender, seat))
}

fn run(work: &Receiver<Weak<Digests>>, seat: &Seat) {
    loop {
        let digests = match work.try_recv() {
            Ok(digests) => digests,
            Err(TryRecvError::Empty) => match seat.rest(|| work.recv()) {
                Ok(digests) => digests,
                Err(_) => return,
            },
            Err(TryRecvError::Disconnected) => return,
        };
        let Some(digests) = digests.upgrade() else { continue };
        for value in digests.values.iter().rev() {
            // Somebody else has begun with it, and with all before it.
            if value.1.get().is_some() {
                break;
            }
            digests.compute(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_waits_for_is_not_kept_and_not_computed() {
        let digester = Digester::default();
        let bytes: Arc<[u8]> = vec![7; 1 << 20].into();
        let digests = |values| Arc::new(Digests::new(Memory::Lendable(Arc::clone(&bytes)), values));
        // The thread is busy with this one, which it may finish.
        let first = digests(std::iter::repeat_n(0..bytes.len(), 20).collect());
        digester.offer(&first);
        let held = Arc::strong_count(&bytes);
        for _ in 0..1000 {
            digester.offer(&digests(std::iter::once(0..bytes.len()).collect()));
        }
        // One of them may be under way.
        assert!(Arc::strong_count(&bytes) <= held + 1, "given up with whoever waited");
        let last = digests(std::iter::once(0..bytes.len()).collect());
        digester.offer(&last);
        assert_eq!(last.of(&(0..bytes.len())), Some(Digest::of(&bytes)));
    }

    #[test]
    fn a_thread_that_was_stopped_does_not_come_back() {
        let digester = Digester::default();
        let digests = Arc::new(Digests::new(Memory::default(), std::iter::once(0..0).collect()));
        digester.offer(&digests);
        assert!(matches!(*digester.thread.lock(), Thread::Runs(..)));
        digester.stop();
        digester.offer(&digests);
        assert!(matches!(*digester.thread.lock(), Thread::Stopped));
        assert_eq!(digests.of(&(0..0)), Some(Digest::of(&[])), "whoever asks does it alone");
    }
}
