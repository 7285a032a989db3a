//! Digests of a large batch's values, computed by two threads: whoever commits begins with the first, a
//! thread of the store's with the last, and each takes what the other has not begun.

use crate::buffer::Memory;
use blockyard_core::Digest;
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};

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

/// The thread that helps, begun when it is first of use; it ends with the store.
#[derive(Debug, Default)]
pub(crate) struct Digester {
    sender: Mutex<Option<Sender<Arc<Digests>>>>,
}

impl Digester {
    /// Whether a second processor is there to help.
    pub(crate) fn is_of_use() -> bool {
        static MORE_THAN_ONE: OnceLock<bool> = OnceLock::new();
        *MORE_THAN_ONE.get_or_init(|| std::thread::available_parallelism().is_ok_and(|count| count.get() > 1))
    }

    /// Has them computed, from the last. Where no thread can be had, whoever asks for them does it alone.
    pub(crate) fn offer(&self, digests: &Arc<Digests>) {
        let mut sender = self.sender.lock();
        if sender.is_none() {
            *sender = begin();
        }
        if let Some(open) = &*sender
            && open.send(Arc::clone(digests)).is_err()
        {
            *sender = None;
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        *self.sender.lock() = None;
    }
}

fn begin() -> Option<Sender<Arc<Digests>>> {
    let (sender, receiver) = channel();
    let thread = std::thread::Builder::new().name("blockyard-digests".into());
    thread.spawn(move || run(&receiver)).ok().map(|_| sender)
}

fn run(work: &Receiver<Arc<Digests>>) {
    while let Ok(digests) = work.recv() {
        for value in digests.values.iter().rev() {
            // Somebody else has begun with it, and with all before it.
            if value.1.get().is_some() {
                break;
            }
            digests.compute(value);
        }
    }
}
