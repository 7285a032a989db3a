//! Memory of batches, which the tables of changes share and which comes back when both are done with it.
//!
//! 1. Whoever fills a [`Buffer`] owns its memory alone; once a commit has shown the batch, a table of changes
//!    may hold the same memory and nobody writes to it any more. To write to a buffer that is shared is
//!    to get memory of one's own first.
//! 2. A [`Pool`] hands out only memory that nobody else holds.

use crate::digests::Digests;
use blockyard_core::Digest;
use blockyard_core::batch::GrowBytes;
use parking_lot::Mutex;
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

/// The least memory that a buffer asks for.
const LEAST: usize = 1 << 10;

/// A buffer that held so much goes on in memory of its length, if it has much more.
const SMALL: usize = 4 << 10;

/// An empty buffer keeps no more memory than this: more goes to the pool, which is bounded.
const OWN: usize = 64 << 10;

/// The most that a buffer begins with because it held so much before.
const MOST_USUAL: usize = 4 << 20;

/// From here on a buffer grows by a quarter and not to twice its length.
const LARGE: usize = 1 << 20;

/// Pieces of memory that a pool keeps at most.
const MOST_KEPT: usize = 64;

/// Memory for the buffers to come.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// From the least to the largest.
    pieces: Vec<Arc<[u8]>>,
    bytes: usize,
}

impl Pool {
    /// Keeps at most so many bytes.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, kept: Mutex::default() })
    }

    /// The least piece of so many bytes or more, but not many more.
    fn take(&self, least: usize) -> Option<Arc<[u8]>> {
        let mut kept = self.kept.lock();
        let at = kept.pieces.partition_point(|piece| piece.len() < least);
        kept.pieces.get(at).filter(|piece| piece.len() <= least.max(2 * LEAST).saturating_add(least / 2))?;
        let piece = kept.pieces.remove(at);
        kept.bytes -= piece.len();
        Some(piece)
    }

    /// Keeps a piece, unless somebody else holds it or there is enough.
    pub(crate) fn give(&self, mut piece: Arc<[u8]>) {
        if piece.len() < LEAST || Arc::get_mut(&mut piece).is_none() {
            return;
        }
        let mut kept = self.kept.lock();
        if kept.pieces.len() < MOST_KEPT && kept.bytes + piece.len() <= self.most {
            kept.bytes += piece.len();
            let at = kept.pieces.partition_point(|other| other.len() < piece.len());
            kept.pieces.insert(at, piece);
        }
    }
}

/// Bytes that grow, in memory that can be shared once they are complete.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Arc<[u8]>,
    length: usize,
    /// Bytes behind the end that are known to be zero end here.
    zero_to: usize,
    /// Bytes that it held before it was emptied last.
    usual: usize,
    pool: Arc<Pool>,
    /// Digests that another thread is computing.
    digests: Option<Arc<Digests>>,
}

impl Buffer {
    pub(crate) fn new(pool: &Arc<Pool>) -> Self {
        let (memory, pool) = (Arc::default(), Arc::clone(pool));
        Self { memory, length: 0, zero_to: 0, usual: 0, pool, digests: None }
    }

    /// Memory that this buffer alone holds, with room for `length` bytes.
    fn memory(&mut self, length: usize) -> &mut [u8] {
        let (has, least) = (self.memory.len(), length.max(self.usual));
        if length > has {
            // At first as much as it took the last time.
            let more = if has < LARGE { has } else { has / 4 };
            self.replace((has + more).max(least));
        } else if length > 0 && Arc::get_mut(&mut self.memory).is_none() {
            self.replace(has);
        }
        Arc::make_mut(&mut self.memory)
    }

    /// Goes on in other memory, of `least` bytes or more.
    fn replace(&mut self, least: usize) {
        let rounded = least.next_multiple_of(if least < LARGE { LEAST } else { LARGE / 16 });
        let fresh = self.pool.take(least);
        let mut fresh = fresh.unwrap_or_else(|| std::iter::repeat_n(0, rounded).collect());
        let known = self.length;
        Arc::make_mut(&mut fresh)[..known].copy_from_slice(&self.memory[..known]);
        self.memory = fresh;
        self.zero_to = 0;
    }

    /// The memory, if what is in it is worth keeping all of it.
    pub(crate) fn share(&self) -> Option<&Arc<[u8]>> {
        let worth_it = 2 * self.length >= self.memory.len();
        (worth_it && u32::try_from(self.memory.len()).is_ok()).then_some(&self.memory)
    }

    /// Has the digests of `values` computed by `digester` as well; `align` is what the length will be rounded up to.
    pub(crate) fn digest_ahead(
        &mut self,
        values: Vec<Range<usize>>,
        align: usize,
        digester: &crate::digests::Digester,
    ) {
        let (length, end) = (self.length, self.length.next_multiple_of(align));
        self.memory(end)[length..end].fill(0);
        self.zero_to = end;
        let digests = Arc::new(Digests::new(Arc::clone(&self.memory), values));
        digester.offer(&digests);
        self.digests = Some(digests);
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        let length = self.length;
        &mut self.memory(length)[..length]
    }
}

impl GrowBytes for Buffer {
    fn append(&mut self, bytes: &[u8]) -> bool {
        let (start, end) = (self.length, self.length + bytes.len());
        self.memory(end)[start..end].copy_from_slice(bytes);
        (self.length, self.zero_to) = (end, 0);
        true
    }

    fn set_length(&mut self, length: usize) -> bool {
        if length > self.length.max(self.zero_to) {
            let start = self.length;
            self.memory(length)[start..length].fill(0);
        }
        if length == 0 && self.length > 0 {
            let oversized = self.length >= SMALL && self.share().is_none();
            (self.usual, self.digests) = (self.length.min(MOST_USUAL), None);
            if oversized || self.memory.len() > OWN || Arc::get_mut(&mut self.memory).is_none() {
                self.pool.give(std::mem::take(&mut self.memory));
            }
        }
        if length < self.length {
            self.zero_to = 0;
        }
        self.length = length;
        true
    }

    fn owner(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn digest(&self, range: Range<usize>) -> Digest {
        let ready = self.digests.as_ref().and_then(|digests| digests.of(&range));
        ready.unwrap_or_else(|| Digest::of(self.as_ref().get(range).unwrap_or_default()))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.digests = None;
        self.pool.give(std::mem::take(&mut self.memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_what_a_vector_is() {
        let pool = Pool::new(1 << 20);
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut buffer, mut vector) = (Buffer::new(&pool), Vec::<u8>::new());
            let mut shared = Vec::new();
            for _ in 0..random.usize(1..60) {
                match random.u8(0..6) {
                    0 => {
                        let length = random.usize(0..5000);
                        assert!(buffer.set_length(length) && GrowBytes::set_length(&mut vector, length));
                    }
                    1 => {
                        let bytes = vec![random.u8(..); random.usize(0..3000)];
                        assert!(buffer.append(&bytes) && GrowBytes::append(&mut vector, &bytes));
                    }
                    2 if !vector.is_empty() => {
                        let (at, byte) = (random.usize(0..vector.len()), random.u8(..));
                        buffer.as_mut()[at] = byte;
                        vector[at] = byte;
                    }
                    3 => {
                        // What was shared stays as it was.
                        let all = buffer.memory.clone();
                        shared.push((all[..buffer.length].to_vec(), all));
                    }
                    4 => {
                        let all = std::iter::once(0..buffer.length).collect();
                        buffer.digest_ahead(all, 512, &crate::digests::Digester::default());
                        assert_eq!(buffer.digest(0..vector.len()), Digest::of(&vector));
                    }
                    _ => assert_eq!(buffer.as_ref(), vector),
                }
            }
            assert_eq!(buffer.as_ref(), vector);
            for (expected, memory) in shared {
                assert_eq!(memory[..expected.len()], expected);
            }
        }
    }

    #[test]
    fn memory_comes_back_when_nobody_holds_it() {
        let pool = Pool::new(1 << 20);
        let mut buffer = Buffer::new(&pool);
        buffer.append(&[1; 5000]);
        let held = Arc::clone(buffer.share().expect("half full"));
        drop(buffer);
        assert_eq!(pool.kept.lock().bytes, 0, "somebody holds it");
        pool.give(held);
        let bytes = pool.kept.lock().bytes;
        assert!(bytes >= 5000);
        let mut again = Buffer::new(&pool);
        again.append(&[2; 4000]);
        assert_eq!((again.memory.len(), pool.kept.lock().bytes), (bytes, 0));
        assert!(again.share().is_some());
        again.set_length(100);
        assert!(again.share().is_none(), "most of it would be kept for nothing");
    }

    #[test]
    fn an_empty_buffer_holds_little_however_much_it_held() {
        let pool = Pool::new(1 << 20);
        let mut buffer = Buffer::new(&pool);
        for length in [9 << 20, 100_000, 100] {
            buffer.set_length(length);
            buffer.set_length(0);
            assert!(buffer.memory.len() <= OWN, "{length}: {}", buffer.memory.len());
        }
        buffer.set_length(9 << 20);
        buffer.set_length(0);
        buffer.append(&[1]);
        assert!(buffer.memory.len() <= MOST_USUAL, "{}", buffer.memory.len());
        assert!(pool.kept.lock().bytes <= 1 << 20);
    }

    #[test]
    fn a_pool_keeps_no_more_than_it_may() {
        let pool = Pool::new(10_000);
        for _ in 0..3 {
            pool.give(vec![0; 4096].into());
        }
        assert_eq!(pool.kept.lock().pieces.len(), 2);
        pool.give(vec![0; 4].into());
        assert_eq!(pool.kept.lock().pieces.len(), 2);
    }
}
