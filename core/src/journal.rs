//! The journal ring: appending records, and reading them back.
//!
//! 1. Positions are logical: they only grow, and `position % length` is the place in the ring.
//! 2. A record begins at the first multiple of 8 behind its predecessor, or, if a sync came
//!    between, at the next multiple of the unit: no unit that holds a durable record is written
//!    again. A reader tries both places; the chain of digests tells which one it is.
//! 3. The device sees whole units only. The last, unfinished unit is kept in `staging` and written
//!    again with what follows, which is allowed because nothing in it is durable yet.
//! 4. The ring never overtakes the position at which recovery would begin.

#[cfg(all(test, not(loom)))]
mod property;

use crate::bytes;
use crate::device::BlockDevice;
use crate::digest::{Digest, Hasher};
use crate::format::{Geometry, RecordHeader};
use zerocopy::{FromZeros as _, IntoBytes as _};

/// The writing end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Journal {
    /// Where the next record begins.
    pub(crate) head: u64,
    /// Digest of the last record.
    pub(crate) chain: Digest,
    /// Where recovery begins: nothing from here on may be overwritten.
    pub(crate) tail: u64,
    /// Logical position of the first byte in the staging buffer; a multiple of the unit.
    staged_at: u64,
}

impl Journal {
    /// A journal whose next record begins at or behind `head`, in a unit of its own.
    pub(crate) fn new(head: u64, chain: Digest, tail: u64, geometry: &Geometry) -> Self {
        let head = geometry.unit_up(head);
        Self { head, chain, tail, staged_at: head }
    }

    /// Bytes that a record may have without overtaking the tail.
    pub(crate) fn room(&self, geometry: &Geometry) -> u64 {
        let used = geometry.unit_up(self.head) - geometry.unit_down(self.tail);
        geometry.journal_length().saturating_sub(used).saturating_sub(geometry.unit() as u64)
    }

    /// Bytes in use.
    pub(crate) const fn used(&self) -> u64 {
        self.head - self.tail
    }

    /// A sync has covered everything: the next record begins in a fresh unit.
    pub(crate) fn seal_unit(&mut self, geometry: &Geometry) {
        self.head = geometry.unit_up(self.head);
        self.staged_at = self.head;
    }

    /// Writes one record, given in parts, through `staging`; returns without a sync.
    pub(crate) fn append<'p, D: BlockDevice>(
        &mut self,
        device: &mut D,
        geometry: &Geometry,
        staging: &mut [u8],
        parts: impl Iterator<Item = &'p [u8]>,
    ) -> Result<(), D::Error> {
        let unit = geometry.unit();
        let space = bytes::round_down(staging.len(), unit);
        let staging = staging.get_mut(..space).unwrap_or_default();
        let mut filled = (self.head - self.staged_at) as usize;
        for mut part in parts {
            while !part.is_empty() {
                let now = bytes::copy_some(staging.get_mut(filled..).unwrap_or_default(), part);
                filled += now;
                part = part.get(now..).unwrap_or_default();
                if filled >= space {
                    write_ring(device, geometry, self.staged_at, staging)?;
                    self.staged_at += space as u64;
                    filled = 0;
                }
            }
        }
        let aligned = filled.next_multiple_of(8);
        let whole = bytes::round_up(filled, unit);
        let staged = staging.get_mut(..whole).unwrap_or_default();
        staged.get_mut(filled..).unwrap_or_default().fill(0);
        write_ring(device, geometry, self.staged_at, staged)?;
        self.head = self.staged_at + aligned as u64;
        let kept = bytes::round_down(aligned, unit);
        bytes::move_to_front(staged, kept..whole);
        self.staged_at += kept as u64;
        Ok(())
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
    let first = (geometry.journal_length() - at).min(bytes.len() as u64) as usize;
    let (first, rest) = bytes.split_at_checked(first).unwrap_or((bytes, &[]));
    device.write(geometry.journal_offset() + at, first)?;
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
    window: RingWindow,
    /// Where the window is noted for the next reader over the same buffer.
    kept: Option<&'a mut RingWindow>,
}

/// What part of the ring a buffer holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RingWindow {
    /// Place in the ring of the first buffered byte.
    at: u64,
    /// Bytes buffered; 0 when the buffer was used for something else.
    filled: usize,
}

impl<D> Drop for RingReader<'_, D> {
    fn drop(&mut self) {
        if let Some(kept) = &mut self.kept {
            **kept = self.window;
        }
    }
}

impl<'a, D: BlockDevice> RingReader<'a, D> {
    pub(crate) fn new(device: &'a mut D, geometry: &'a Geometry, buffer: &'a mut [u8]) -> Self {
        let length = bytes::round_down(buffer.len(), geometry.unit());
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        Self { device, geometry, buffer, window: RingWindow::default(), kept: None }
    }

    /// A reader that goes on with what an earlier one left in the same buffer.
    pub(crate) fn resume(
        device: &'a mut D,
        geometry: &'a Geometry,
        buffer: &'a mut [u8],
        window: &'a mut RingWindow,
    ) -> Self {
        let mut reader = Self::new(device, geometry, buffer);
        reader.window = *window;
        reader.kept = Some(window);
        reader
    }

    /// The bytes at a logical position: at least one, at most `most`.
    pub(crate) fn peek(&mut self, position: u64, most: usize) -> Result<&[u8], D::Error> {
        let place = self.geometry.ring_place(position);
        let window = self.window;
        if place < window.at || place >= window.at + window.filled as u64 {
            let start = self.geometry.unit_down(place);
            let length = (self.geometry.journal_length() - start).min(self.buffer.len() as u64) as usize;
            self.window.filled = 0;
            let into = self.buffer.get_mut(..length).unwrap_or_default();
            self.device.read(self.geometry.journal_offset() + start, into)?;
            self.window = RingWindow { at: start, filled: length };
        }
        let from = (place - self.window.at) as usize;
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

    /// Digest of `length` bytes from a logical position on.
    pub(crate) fn digest(&mut self, mut position: u64, mut length: u64) -> Result<Digest, D::Error> {
        let mut hasher = Hasher::new();
        while length > 0 {
            let bytes = self.peek(position, usize::try_from(length).unwrap_or(usize::MAX))?;
            hasher.update(bytes);
            position += bytes.len() as u64;
            length -= bytes.len() as u64;
        }
        Ok(hasher.finish())
    }

    /// The header at a logical position, if it is whole and was written for that position.
    pub(crate) fn header(&mut self, position: u64) -> Result<Option<RecordHeader>, D::Error> {
        let mut header = RecordHeader::new_zeroed();
        self.read(position, header.as_mut_bytes())?;
        let belongs = header.is_valid() && header.position.get() == position;
        Ok(belongs.then_some(header))
    }
}
