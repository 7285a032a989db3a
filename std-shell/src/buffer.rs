//! Memory of batches, which the tables of changes share and which comes back when both are done with it.
//!
//! 1. Whoever fills a [`Buffer`] owns its memory alone; once a commit has shown the batch, a table of changes
//!    may hold the same memory and nobody writes to it any more. To write to a buffer that is shared is
//!    to get memory of one's own first.
//! 2. A [`Pool`] hands out only memory that nobody else holds.
//! 3. More than a group may hold is never lent to a table, and grows where it lies.

use crate::digests::Digests;
use crate::inner::GROUP_BYTES;
use crate::recycled::Recycled;
use blockyard_core::Digest;
use blockyard_core::batch::GrowBytes;
use parking_lot::Mutex;
use std::any::Any;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The least memory that a buffer asks for.
const LEAST: usize = 1 << 10;

/// A buffer that held so much goes on in memory of its length, if it has much more.
const SMALL: usize = 4 << 10;

/// An empty buffer keeps no more memory than this: more goes to the pool, which is bounded.
const OWN: usize = 64 << 10;

/// From here on a buffer grows by half and not to twice its length.
const LARGE: usize = 2 << 20;

/// From here on the lengths of pieces are multiples of [`STEP`], so that one that comes back serves the next batch too.
const STEPPED: usize = 1 << 20;

/// See [`STEPPED`].
const STEP: usize = 64 << 10;

/// The most that is lent to a table, and that a buffer begins with because it held so much before.
const MOST_LENT: usize = GROUP_BYTES;

/// Pieces of memory that a pool keeps at most.
const MOST_KEPT: usize = 64;

/// What nobody asked for while so many others came back is not needed.
const OUTDATED: u64 = 4 * MOST_KEPT as u64;

/// Bytes that several may hold; whoever holds them alone may change them.
#[derive(Clone, Debug)]
pub(crate) enum Memory {
    /// What a table can hold as well.
    Lendable(Arc<[u8]>),
    /// More than that, with room to grow without being copied.
    Large(Arc<Vec<u8>>),
}

impl Memory {
    /// Bytes that it takes up.
    fn size(&self) -> usize {
        match self {
            Self::Lendable(bytes) => bytes.len(),
            Self::Large(bytes) => bytes.capacity(),
        }
    }

    /// Whether nobody else holds it.
    fn is_ours(&mut self) -> bool {
        match self {
            Self::Lendable(bytes) => Arc::get_mut(bytes).is_some(),
            Self::Large(bytes) => Arc::get_mut(bytes).is_some(),
        }
    }

    /// The bytes, copied if somebody else holds them.
    fn make_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Lendable(bytes) => Arc::make_mut(bytes),
            Self::Large(bytes) => Arc::make_mut(bytes).as_mut_slice(),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::Lendable(Arc::default())
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lendable(bytes) => bytes,
            Self::Large(bytes) => bytes,
        }
    }
}

/// What a buffer is for: those for one thing tend to be of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Operations and names.
    Meta,
    /// Values.
    Data,
}

/// Memory for the buffers to come, and for changes that are copied.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Of changes by themselves.
    pub(crate) single: Recycled,
    most: usize,
    /// Bytes that the last buffer of each [`Role`] held which went to the pool.
    usual: [AtomicUsize; 2],
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// From the least to the largest, each with the number of its return.
    pieces: Vec<(u64, Arc<[u8]>)>,
    /// The last one that came back, with the number of its return.
    large: Option<(u64, Arc<Vec<u8>>)>,
    bytes: usize,
    /// Pieces that have come back.
    returns: u64,
}

impl Kept {
    fn number(&mut self) -> u64 {
        self.returns += 1;
        self.returns
    }

    fn put(&mut self, piece: Arc<[u8]>) {
        self.bytes += piece.len();
        let at = self.pieces.partition_point(|(_, other)| other.len() < piece.len());
        let number = self.number();
        self.pieces.insert(at, (number, piece));
    }

    fn take(&mut self, at: usize) -> Arc<[u8]> {
        let (_, piece) = self.pieces.remove(at);
        self.bytes -= piece.len();
        piece
    }

    fn put_large(&mut self, large: Arc<Vec<u8>>) {
        self.bytes += large.capacity();
        self.large = Some((self.number(), large));
    }

    fn take_large(&mut self) -> Option<Arc<Vec<u8>>> {
        let (_, large) = self.large.take()?;
        self.bytes -= large.capacity();
        Some(large)
    }

    /// Which piece has waited longest, and the number of its return.
    fn oldest(&self) -> Option<(usize, u64)> {
        let numbers = self.pieces.iter().map(|(number, _)| *number).enumerate();
        numbers.min_by_key(|(_, number)| *number)
    }

    /// What has waited longest makes way for `bytes`: batches of its length are not made any more.
    fn make_way(&mut self, bytes: usize, most: usize) -> Vec<Memory> {
        let mut outdated = Vec::new();
        while self.bytes + bytes > most {
            let piece = self.oldest();
            let large = self.large.as_ref().map(|(number, _)| *number);
            match piece {
                Some((at, number)) if large.is_none_or(|large| number < large) => {
                    outdated.push(Memory::Lendable(self.take(at)));
                }
                _ => match self.take_large() {
                    Some(large) => outdated.push(Memory::Large(large)),
                    None => break,
                },
            }
        }
        outdated
    }
}

impl Pool {
    /// Keeps at most so many bytes of batches, and half as many of single changes.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, single: Recycled::new(most / 2), ..Self::default() })
    }

    /// The least piece of so many bytes or more, but not many more.
    fn take(&self, least: usize) -> Option<Arc<[u8]>> {
        let mut kept = self.kept.lock();
        let at = kept.pieces.partition_point(|(_, piece)| piece.len() < least);
        let most = least.max(2 * LEAST).saturating_add(least / 2);
        kept.pieces.get(at).filter(|(_, piece)| piece.len() <= most)?;
        Some(kept.take(at))
    }

    /// Keeps a piece, unless somebody else holds it; what has waited longest makes way for it.
    pub(crate) fn give(&self, mut piece: Arc<[u8]>) {
        if !(LEAST..=self.most).contains(&piece.len()) || Arc::get_mut(&mut piece).is_none() {
            return;
        }
        let mut kept = self.kept.lock();
        let mut least = None;
        if kept.pieces.len() >= MOST_KEPT {
            let number = kept.number();
            let (oldest, returned) = kept.oldest().unwrap_or_default();
            if number - returned > OUTDATED {
                least = Some(kept.take(oldest));
            } else if kept.pieces.first().is_some_and(|(_, least)| piece.len() <= least.len()) {
                // Little memory is soon had anew.
                return;
            } else {
                least = Some(kept.take(0));
            }
        }
        let outdated = kept.make_way(piece.len(), self.most);
        kept.put(piece);
        // Memory goes back to the system without the lock.
        drop(kept);
        drop((least, outdated));
    }

    /// As [`give`](Self::give); it takes the place of the last one.
    fn give_large(&self, mut piece: Arc<Vec<u8>>) {
        let Some(bytes) = Arc::get_mut(&mut piece) else { return };
        if bytes.len() > MOST_LENT {
            bytes.shrink_to_fit();
        }
        let size = bytes.capacity();
        if size > self.most {
            return;
        }
        let mut kept = self.kept.lock();
        let last = kept.take_large();
        let outdated = kept.make_way(size, self.most);
        kept.put_large(piece);
        drop(kept);
        drop((last, outdated));
    }

    fn give_back(&self, memory: Memory) {
        match memory {
            Memory::Lendable(piece) => self.give(piece),
            Memory::Large(piece) => self.give_large(piece),
        }
    }

    /// Memory with room for `least` bytes, or for what the last buffer of this role held, if that is not much more:
    /// most of what is lent to a table is to be of use there.
    fn memory(&self, least: usize, role: Role) -> Memory {
        if least > MOST_LENT {
            let large = self.kept.lock().take_large();
            return Memory::Large(large.unwrap_or_else(|| Arc::new(Vec::with_capacity(least))));
        }
        let usual = self.usual[role as usize].load(Ordering::Relaxed).min(MOST_LENT);
        // A piece may have half as much again.
        let wanted = if 4 * least >= 3 * usual { least.max(usual) } else { least };
        let rounded = wanted.next_multiple_of(if wanted < STEPPED { LEAST } else { STEP });
        let piece = self.take(wanted);
        Memory::Lendable(piece.unwrap_or_else(|| std::iter::repeat_n(0, rounded).collect()))
    }

    /// Takes note of what a buffer held that is emptied.
    fn note(&self, length: usize, role: Role) {
        if length > OWN {
            self.usual[role as usize].store(length, Ordering::Relaxed);
        }
    }
}

/// Bytes that grow, in memory that can be shared once they are complete.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Memory,
    length: usize,
    /// Bytes behind the end that are known to be zero end here.
    zero_to: usize,
    /// Bytes that it held before it was emptied last.
    usual: usize,
    role: Role,
    pool: Arc<Pool>,
    /// Digests that another thread is computing.
    digests: Option<Arc<Digests>>,
}

impl Buffer {
    pub(crate) fn new(pool: &Arc<Pool>, role: Role) -> Self {
        let (memory, pool) = (Memory::default(), Arc::clone(pool));
        Self { memory, length: 0, zero_to: 0, usual: 0, role, pool, digests: None }
    }

    /// Memory that this buffer alone holds, with `length` bytes or more.
    fn memory(&mut self, length: usize) -> &mut [u8] {
        self.make_room(length);
        if let Memory::Large(bytes) = &mut self.memory
            && bytes.len() < length
        {
            Arc::make_mut(bytes).resize(length, 0);
        }
        self.memory.make_mut()
    }

    /// Sees to it that this buffer alone holds memory in which `length` bytes have room.
    fn make_room(&mut self, length: usize) {
        let has = self.memory.size();
        let stays = matches!(self.memory, Memory::Large(_)) && self.memory.is_ours();
        if length > has && !stays {
            let more = if has < LARGE { has } else { has / 2 };
            // As much as it took the last time; if that was much, once it shows that it will hold more than a little again.
            let usual = if self.usual <= 4 * OWN || length > OWN / 4 { self.usual } else { 0 };
            self.replace((has + more).min(MOST_LENT).max(length).max(usual));
        } else if length > 0 && !self.memory.is_ours() {
            self.replace(has);
        }
    }

    /// Goes on in other memory, with room for `least` bytes or more.
    fn replace(&mut self, least: usize) {
        let mut fresh = self.pool.memory(least, self.role);
        let known = &self.memory[..self.length];
        match &mut fresh {
            Memory::Lendable(bytes) => Arc::make_mut(bytes)[..known.len()].copy_from_slice(known),
            Memory::Large(bytes) => {
                let bytes = Arc::make_mut(bytes);
                bytes.clear();
                bytes.extend_from_slice(known);
            }
        }
        let outgrown = std::mem::replace(&mut self.memory, fresh);
        // Every batch that grows comes by here; what is longer is skipped by who held as much before.
        if outgrown.size() <= OWN {
            self.pool.give_back(outgrown);
        }
        self.zero_to = 0;
    }

    /// Bytes that it held before it was emptied last.
    pub(crate) const fn usual(&self) -> usize {
        self.usual
    }

    /// The memory, if what is in it is worth keeping all of it.
    pub(crate) fn share(&self) -> Option<&Arc<[u8]>> {
        match &self.memory {
            Memory::Lendable(bytes) if 2 * self.length >= bytes.len() => Some(bytes),
            _ => None,
        }
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
        let digests = Arc::new(Digests::new(self.memory.clone(), values));
        digester.offer(&digests);
        self.digests = Some(digests);
    }

    /// Asks for memory for `length` bytes at once.
    pub(crate) fn reserve(&mut self, length: usize) {
        self.make_room(length);
    }

    /// Holds `length` bytes from now on, whatever they are, for the caller to fill.
    pub(crate) fn take_up(&mut self, length: usize) -> &mut [u8] {
        (self.length, self.zero_to, self.digests) = (0, 0, None);
        self.memory(length);
        self.length = length;
        &mut self.memory.make_mut()[..length]
    }

    /// Gives the memory up to whoever needs some next.
    fn give_back(&mut self) {
        self.digests = None;
        self.pool.give_back(std::mem::take(&mut self.memory));
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
        self.digests = None;
        &mut self.memory(length)[..length]
    }
}

impl GrowBytes for Buffer {
    fn append(&mut self, bytes: &[u8]) -> bool {
        let (start, end) = (self.length, self.length + bytes.len());
        self.digests = None;
        self.make_room(end);
        match &mut self.memory {
            Memory::Lendable(memory) => Arc::make_mut(memory)[start..end].copy_from_slice(bytes),
            // Not written twice, as zeros first.
            Memory::Large(memory) => {
                let memory = Arc::make_mut(memory);
                memory.truncate(start);
                memory.extend_from_slice(bytes);
            }
        }
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
            self.usual = self.length.min(MOST_LENT);
            self.pool.note(self.length, self.role);
            if oversized || self.memory.size() > OWN || !self.memory.is_ours() {
                self.give_back();
            }
        }
        if length < self.length {
            (self.zero_to, self.digests) = (0, None);
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
        self.pool.note(self.length, self.role);
        self.give_back();
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
            // Some come to lengths that are not lent.
            let unit = if seed % 50 == 0 { 300 } else { 1 };
            let (mut buffer, mut vector) = (Buffer::new(&pool, Role::Data), Vec::<u8>::new());
            let mut shared = Vec::new();
            for _ in 0..random.usize(1..60) {
                match random.u8(0..6) {
                    0 => {
                        let length = random.usize(0..5000) * unit;
                        assert!(buffer.set_length(length) && GrowBytes::set_length(&mut vector, length));
                    }
                    1 => {
                        let bytes = vec![random.u8(..); random.usize(0..3000) * unit];
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
                // Digests that were asked for are those of the bytes as they are now.
                if vector.len() < 3000 {
                    assert_eq!(buffer.digest(0..vector.len()), Digest::of(&vector));
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
        let mut buffer = Buffer::new(&pool, Role::Data);
        buffer.append(&[1; 5000]);
        let held = Arc::clone(buffer.share().expect("half full"));
        drop(buffer);
        assert_eq!(pool.kept.lock().bytes, 0, "somebody holds it");
        pool.give(held);
        let bytes = pool.kept.lock().bytes;
        assert!(bytes >= 5000);
        let mut again = Buffer::new(&pool, Role::Data);
        again.append(&[2; 4000]);
        assert_eq!((again.memory.len(), pool.kept.lock().bytes), (bytes, 0));
        assert!(again.share().is_some());
        again.set_length(100);
        assert!(again.share().is_none(), "most of it would be kept for nothing");
    }

    #[test]
    fn an_empty_buffer_holds_little_however_much_it_held() {
        let pool = Pool::new(1 << 20);
        let mut buffer = Buffer::new(&pool, Role::Data);
        for length in [9 << 20, 100_000, 100] {
            buffer.set_length(length);
            buffer.set_length(0);
            assert!(buffer.memory.size() <= OWN, "{length}: {}", buffer.memory.size());
        }
        buffer.set_length(9 << 20);
        buffer.set_length(0);
        buffer.append(&[1]);
        assert!(buffer.memory.size() <= MOST_LENT, "{}", buffer.memory.size());
        assert!(pool.kept.lock().bytes <= 1 << 20);
    }

    #[test]
    fn what_is_too_long_to_be_lent_grows_where_it_lies_and_comes_back() {
        let pool = Pool::new(16 << 20);
        let fill = |megabytes: u8| {
            let mut buffer = Buffer::new(&pool, Role::Data);
            (0..megabytes).for_each(|number| assert!(buffer.append(&[number; 1 << 20])));
            assert!((0..megabytes).all(|number| buffer.as_ref()[usize::from(number) << 20] == number));
            assert_eq!(buffer.share().is_some(), megabytes <= 4, "{megabytes} MiB");
            buffer
        };
        let large = || pool.kept.lock().large.as_ref().map(|(_, large)| large.capacity());
        drop(fill(9));
        assert_eq!(large(), Some(9 << 20), "as much as was used");
        let buffer = fill(4);
        assert!(large().is_some(), "who needs less is not given it");
        drop(buffer);
        let buffer = fill(5);
        assert_eq!((large(), buffer.memory.size()), (None, 9 << 20));
        // It goes back with as much as was used; then for another, unless that is too much.
        drop(buffer);
        assert_eq!(large(), Some(5 << 20));
        drop(fill(11));
        assert_eq!(large(), Some(11 << 20));
        let (long, short) = (fill(17), fill(4));
        drop(long);
        assert_eq!(large(), None, "it grew");
        drop(fill(13));
        assert_eq!(large(), Some(13 << 20));
        drop(short);
        assert_eq!((large(), pool.kept.lock().bytes), (None, 4 << 20), "it had waited longer");
        drop(fill(13));
        assert_eq!((large(), pool.kept.lock().bytes), (Some(13 << 20), 13 << 20));
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
        pool.give(vec![0; 10_001].into());
        assert_eq!(pool.kept.lock().pieces.len(), 2, "more than it may keep in all");
        // Batches have become longer.
        for length in [5000, 4900] {
            pool.give(vec![0; length].into());
        }
        assert_eq!(pool.kept.lock().bytes, 9900);
        let pool = Pool::new(1 << 20);
        (0..MOST_KEPT).for_each(|_| pool.give(vec![0; 2000].into()));
        for length in [1500, 60_000] {
            pool.give(vec![0; length].into());
        }
        assert_eq!(
            pool.kept.lock().bytes,
            (MOST_KEPT - 1) * 2000 + 60_000,
            "one that is worth more than the others"
        );
        // Batches have become shorter.
        (0..8 * MOST_KEPT).for_each(|_| pool.give(vec![0; 1200].into()));
        assert!(pool.take(1200).is_some_and(|piece| piece.len() == 1200));
    }
}
