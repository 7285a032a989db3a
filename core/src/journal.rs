//! The journal ring: appending records, and reading them back.
//!
//! 1. Positions are logical: they only grow, and `position % length` is the place in the ring.
//! 2. A record begins at the first multiple of 8 behind its predecessor, or, if a sync came
//!    between or the unfinished unit is not kept, at the next multiple of the unit: no unit that holds a durable record is written
//!    again. A reader tries both places; the chain of digests tells which one it is.
//! 3. The device sees whole units only. The last, unfinished unit is kept in `staging` and written
//!    again with what follows, which is allowed because nothing in it is durable yet.
//! 4. The ring never overtakes the position at which recovery would begin.
//! 5. Values may be written before the header and the operations of their record, with no sync between: a record is
//!    there when its header is, and until a sync its parts reach the medium in any order anyway.

#[cfg(all(test, not(loom)))]
mod property;

use crate::bytes;
use crate::device::BlockDevice;
use crate::digest::{Digest, Hasher};
use crate::format::{ChunkRef, Geometry, RecordHeader};
use zerocopy::{FromZeros as _, IntoBytes as _};

/// The writing end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Journal {
    /// Where the next record begins.
    pub(crate) head: u64,
    /// Digest of the last record.
    pub(crate) chain: Digest,
}

impl Journal {
    /// Of no file yet.
    pub(crate) const BLANK: Self = Self { head: 0, chain: Digest([0; 32]) };

    /// A journal whose next record begins at or behind `head`, in a unit of its own.
    pub(crate) fn new(head: u64, chain: Digest, geometry: &Geometry) -> Self {
        Self { head: geometry.unit_up(head), chain }
    }

    /// Bytes that a record may have without overtaking the tail, where recovery begins: nothing from there on may be
    /// overwritten.
    pub(crate) fn room(&self, tail: u64, geometry: &Geometry) -> u64 {
        let used = geometry.unit_up(self.head) - geometry.unit_down(tail);
        geometry.journal_length().saturating_sub(used).saturating_sub(geometry.unit() as u64)
    }

    /// The next record begins in a fresh unit: a sync has covered everything, or nobody keeps the unfinished one.
    pub(crate) fn leave_unit(&mut self, geometry: &Geometry) {
        self.head = geometry.unit_up(self.head);
    }

    /// Writes one record, given in parts, through `staging`; returns without a sync. What was written
    /// [`ahead`](Self::append_ahead) of it is not written again.
    pub(crate) fn append<'p, D: BlockDevice>(
        &mut self,
        device: &mut D,
        geometry: &Geometry,
        staging: &mut [u8],
        parts: impl Iterator<Item = &'p [u8]>,
        ahead: Option<Ahead>,
    ) -> Result<(), D::Error> {
        // Where there is no heap nothing is written ahead.
        let ahead = ahead.filter(|_| cfg!(any(feature = "alloc", test)));
        let unit = geometry.unit();
        let whole = bytes::round_down(staging.len(), unit);
        let space = if ahead.is_some() { whole.saturating_sub(unit) } else { whole };
        let front = staging.get_mut(..space).unwrap_or_default();
        // The unfinished unit is the first in the buffer.
        let staged_at = geometry.unit_down(self.head);
        let mut stream = Stream::new(geometry, front, staged_at);
        stream.filled = (self.head - staged_at) as usize;
        let mut left = ahead.map_or(u64::MAX, |ahead| ahead.from - self.head);
        for part in parts {
            let part = bytes::head(part, part.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
            stream.put(device, part)?;
            left -= part.len() as u64;
        }
        self.head = stream.finish(device)?;
        if let Some(ahead) = ahead {
            debug_assert_eq!(self.head, ahead.from, "the parts meet");
            let last = whole.checked_div(unit).unwrap_or(0).saturating_sub(1);
            bytes::copy_piece(staging, last, 0, unit);
            self.head = ahead.end;
        }
        Ok(())
    }

    /// Writes the values of the next record, before whose header and operations, `listed` bytes, are known; None,
    /// and nothing is written, if they do not reach beyond the unit in which those end. Nothing else may use
    /// `staging` before the record is appended.
    pub(crate) fn append_ahead<'p, D: BlockDevice>(
        &self,
        device: &mut D,
        geometry: &Geometry,
        staging: &mut [u8],
        listed: u64,
        values: impl Iterator<Item = &'p [u8]>,
    ) -> Result<Option<Ahead>, D::Error> {
        let unit = geometry.unit();
        let whole = bytes::round_down(staging.len(), unit);
        let start = self.head + listed;
        let from = geometry.unit_up(start);
        let mut before = (from - start) as usize;
        // In the first unit lies the unfinished one that the record begins in.
        let behind = staging.get_mut(unit..whole).unwrap_or_default();
        let mut stream = Stream::new(geometry, behind, from);
        for value in values {
            let skipped = value.len().min(before);
            before -= skipped;
            stream.put(device, value.get(skipped..).unwrap_or_default())?;
        }
        if stream.is_empty() {
            return Ok(None);
        }
        let end = stream.finish(device)?;
        // The unfinished unit that it ends in makes way for what is written next.
        let last = whole.checked_div(unit).unwrap_or(0).saturating_sub(1);
        bytes::copy_piece(staging, 1, last, unit);
        Ok(Some(Ahead { from, end }))
    }
}

/// Values of a record that were written before its header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead {
    /// The position from which on everything is written, a multiple of the unit.
    from: u64,
    /// Behind the record's last byte, at a multiple of 8.
    end: u64,
}

/// Bytes on their way into the ring, through a buffer of whole units.
struct Stream<'a> {
    geometry: &'a Geometry,
    buffer: &'a mut [u8],
    /// Position of the buffer's first byte, a multiple of the unit.
    at: u64,
    filled: usize,
    begun: bool,
}

impl<'a> Stream<'a> {
    const fn new(geometry: &'a Geometry, buffer: &'a mut [u8], at: u64) -> Self {
        Self { geometry, buffer, at, filled: 0, begun: false }
    }

    const fn is_empty(&self) -> bool {
        !self.begun
    }

    fn put<D: BlockDevice>(&mut self, device: &mut D, mut part: &[u8]) -> Result<(), D::Error> {
        while !part.is_empty() {
            self.begun = true;
            // More than the buffer takes goes to the device from where it lies. Where there is no heap nothing is as long.
            if cfg!(feature = "alloc") && self.filled == 0 && part.len() >= self.buffer.len() {
                let whole = bytes::round_down(part.len(), self.geometry.unit());
                let (now, rest) = part.split_at_checked(whole).unwrap_or((&[], part));
                write_ring(device, self.geometry, self.at, now)?;
                self.at += now.len() as u64;
                part = rest;
            }
            let now = bytes::copy_some(self.buffer.get_mut(self.filled..).unwrap_or_default(), part);
            self.filled += now;
            part = part.get(now..).unwrap_or_default();
            if self.filled >= self.buffer.len() {
                write_ring(device, self.geometry, self.at, self.buffer)?;
                self.at += self.filled as u64;
                self.filled = 0;
            }
        }
        Ok(())
    }

    /// Writes the rest, and leaves the unit in which it ends at the start of the buffer; where that is, at a multiple of 8.
    fn finish<D: BlockDevice>(self, device: &mut D) -> Result<u64, D::Error> {
        let unit = self.geometry.unit();
        let aligned = self.filled.next_multiple_of(8);
        let whole = bytes::round_up(self.filled, unit);
        let staged = self.buffer.get_mut(..whole).unwrap_or_default();
        staged.get_mut(self.filled..).unwrap_or_default().fill(0);
        write_ring(device, self.geometry, self.at, staged)?;
        let kept = bytes::round_down(aligned, unit);
        bytes::move_to_front(staged, kept..whole);
        Ok(self.at + aligned as u64)
    }
}

/// Writes whole units into the ring, in two parts if they pass its end.
fn write_ring<D: BlockDevice>(
    device: &mut D,
    geometry: &Geometry,
    position: u64,
    bytes: &[u8],
) -> Result<(), D::Error> {
    if bytes.is_empty() {
        return Ok(());
    }
    let at = geometry.ring_place(position);
    let first = (geometry.ring_length() - at).min(bytes.len());
    let (first, rest) = bytes.split_at_checked(first).unwrap_or((bytes, &[]));
    device.write(geometry.journal_offset() + at as u64, first)?;
    if !rest.is_empty() {
        device.write(geometry.journal_offset(), rest)?;
    }
    Ok(())
}

/// Reads the ring through a buffer of whole units.
pub(crate) struct RingReader<'a, D> {
    pub(crate) device: &'a mut D,
    pub(crate) geometry: &'a Geometry,
    /// Whole units, at least one.
    buffer: &'a mut [u8],
    /// What the buffer holds, also for the next reader over it.
    window: &'a mut RingWindow,
}

/// What part of the ring a buffer holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RingWindow {
    /// Place in the ring of the first buffered byte.
    at: usize,
    /// Bytes buffered; 0 when the buffer was used for something else.
    filled: usize,
}

impl<'a, D: BlockDevice> RingReader<'a, D> {
    /// A reader that goes on with what an earlier one left in the same buffer, of whole units, if `window` says that there is
    /// something.
    pub(crate) fn new(
        device: &'a mut D,
        geometry: &'a Geometry,
        buffer: &'a mut [u8],
        window: &'a mut RingWindow,
    ) -> Self {
        debug_assert!(bytes::round_down(buffer.len(), geometry.unit()) == buffer.len(), "whole units");
        Self { device, geometry, buffer, window }
    }

    /// The bytes at a logical position: at least one, at most `most`.
    pub(crate) fn peek(&mut self, position: u64, most: usize) -> Result<&[u8], D::Error> {
        let place = self.geometry.ring_place(position);
        if place.wrapping_sub(self.window.at) >= self.window.filled {
            let start = bytes::round_down(place, self.geometry.unit());
            let length = (self.geometry.ring_length() - start).min(self.buffer.len());
            self.window.filled = 0;
            let into = self.buffer.get_mut(..length).unwrap_or_default();
            self.device.read(self.geometry.journal_offset() + start as u64, into)?;
            *self.window = RingWindow { at: start, filled: length };
        }
        let from = place - self.window.at;
        let end = self.window.filled.min(from.saturating_add(most));
        Ok(self.buffer.get(from..end).unwrap_or_default())
    }

    /// Fills `into` from a logical position on.
    pub(crate) fn read(&mut self, mut position: u64, into: &mut [u8]) -> Result<(), D::Error> {
        let mut filled = 0;
        while filled < into.len() {
            let found = self.peek(position, into.len() - filled)?;
            let read = bytes::copy_some(into.get_mut(filled..).unwrap_or_default(), found);
            filled += read;
            position += read as u64;
        }
        Ok(())
    }

    /// Whether `length` bytes from a logical position on have this digest.
    pub(crate) fn has(
        &mut self,
        mut position: u64,
        mut length: u64,
        digest: &[u8; 32],
    ) -> Result<bool, D::Error> {
        let mut hasher = Hasher::new();
        while length > 0 {
            let bytes = self.peek(position, usize::try_from(length).unwrap_or(usize::MAX))?;
            hasher.update(bytes);
            position += bytes.len() as u64;
            length -= bytes.len() as u64;
        }
        Ok(hasher.has(digest))
    }

    /// Whether the list of a block of chunks at a logical position has this digest, which gives way to the block's: that of
    /// its chunks' digests.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub(crate) fn digest_of_list(
        &mut self,
        position: u64,
        chunks: u32,
        digest: &mut Digest,
    ) -> Result<bool, D::Error> {
        let (mut list, mut own) = (Hasher::new(), Hasher::new());
        let mut chunk = ChunkRef::new_zeroed();
        for index in 0..chunks {
            self.read(position + u64::from(index) * ChunkRef::SIZE as u64, chunk.as_mut_bytes())?;
            list.update(chunk.bytes());
            own.update(&chunk.digest);
        }
        let whole = list.has(&digest.0);
        *digest = own.close();
        Ok(whole)
    }

    /// Reads the header at a logical position; whether it is whole and was written for that position. It is large for
    /// a stack, so it stays where the caller has room for it.
    pub(crate) fn header_into(&mut self, position: u64, header: &mut RecordHeader) -> Result<bool, D::Error> {
        self.read(position, header.as_mut_bytes())?;
        Ok(header.is_valid() && header.position.get() == position)
    }

    /// The header at a logical position, if it is whole and was written for that position.
    #[cfg(test)]
    pub(crate) fn header(&mut self, position: u64) -> Result<Option<RecordHeader>, D::Error> {
        let mut header = RecordHeader::new_zeroed();
        Ok(self.header_into(position, &mut header)?.then_some(header))
    }
}
