//! Replaying the operations of one journal record.

#[cfg(all(test, not(loom)))]
mod tests;

use super::{Store, space};
use crate::batch::body_length;
use crate::bytes;
use crate::device::BlockDevice;
use crate::digest::{Digest, Hasher};
use crate::error::Structure;
use crate::failure::{Failure, Kept};
use crate::format::{ChunkRef, OpHeader, RecordHeader, op_kind};
use crate::ids::{Extent, PageIndex};
use crate::journal::{RingReader, RingWindow};
use crate::overlay::Overlay;
use zerocopy::{FromZeros as _, IntoBytes as _};

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Puts a record's operations into the overlay. False, with nothing put, if its values are not
    /// what it says and no sync is known to cover it. `compared` counts the pages that were read for that.
    pub(super) fn replay_record(
        &mut self,
        header: &RecordHeader,
        position: u64,
        watermark: u64,
        compared: &mut u64,
    ) -> Result<bool, Failure> {
        let above = header.sequence.get() > watermark;
        let length = self.io.length()?;
        if length < self.geometry.offset(header.pages.get()) {
            if above {
                return Ok(false);
            }
            let expected = self.geometry.offset(header.pages.get());
            return Err(self.io.fails(Failure::Truncated, Kept::Lengths { expected, actual: length }));
        }
        if !self.overlay.has_room(header.operations.get() as usize) {
            return Err(Failure::WorkspaceTooSmall);
        }
        // A page is handed out once between two checkpoints: a journal whose values take up more than there are is forged,
        // to have the same ones read again and again.
        let mut left = header.pages.get().saturating_sub(*compared);
        // Values first, so that a torn record leaves nothing behind.
        let checked = self.each_operation(header, position, above.then_some(&mut left), false)?;
        *compared = header.pages.get().saturating_sub(left).max(*compared);
        if !checked {
            if above {
                return Ok(false);
            }
        } else if self.each_operation(header, position, None, true)? {
            return Ok(true);
        }
        Err(self.io.damaged(Structure::Journal, self.ring_offset(position)))
    }

    /// Goes through a record's operations: checks their values (`!insert`), or puts them into the
    /// overlay (`insert`). False if something is not what its digest says. Of values that no sync is known to cover `left`
    /// says how many pages of their own may still be compared.
    fn each_operation(
        &mut self,
        header: &RecordHeader,
        position: u64,
        mut left: Option<&mut u64>,
        insert: bool,
    ) -> Result<bool, Failure> {
        let mut at = position + RecordHeader::SIZE as u64;
        let end = at + u64::from(header.meta_length.get());
        let (mut data_at, data_end) = (end, end + u64::from(header.data_length.get()));
        let mut hasher = Hasher::new();
        let mut moved = false;
        for _ in 0..header.operations.get() {
            let mut head = OpHeader::new_zeroed();
            self.read_journal(at, head.as_mut_bytes())?;
            hasher.update(head.bytes());
            let name_length = usize::from(head.name_length.get());
            let Some(body) = body_length(&head) else { return Ok(false) };
            let body_at = at + OpHeader::SIZE as u64 + name_length as u64;
            if name_length == 0
                || name_length > self.geometry.max_name()
                || body_at.saturating_add(body) > end
            {
                return Ok(false);
            }
            if name_length > self.overlay.max_name() {
                return Err(Failure::WorkspaceTooSmall);
            }
            let mut location = [0; 8];
            if matches!(head.kind, op_kind::CARRIED | op_kind::EXTENT) {
                self.read_journal(body_at, &mut location)?;
            }
            let location = u64::from_le_bytes(location);
            let sound = if insert {
                self.insert_replayed(&head, at, (body_at, body), location, data_at, &mut hasher)?
            } else {
                // What a name has taken over is compared, if need be, where it was put.
                let left = left.as_deref_mut().filter(|_| !moved);
                self.values_sound(&head, body_at, location, (data_at, data_end), left)?
            };
            moved = head.kind == op_kind::MOVE;
            if head.kind == op_kind::CARRIED {
                data_at = data_at.saturating_add(head.length.get());
            }
            if !sound {
                return Ok(false);
            }
            at = body_at + body;
        }
        // What was put into the overlay is what the record's digest covers.
        Ok(at == end && (!insert || hasher.close().0 == header.meta_digest))
    }

    /// Whether the values of an operation are whole: those carried always, those in pages only if no
    /// sync is known to cover them (else damage shows when they are read).
    fn values_sound(
        &mut self,
        head: &OpHeader,
        body_at: u64,
        location: u64,
        (data_at, data_end): (u64, u64),
        left: Option<&mut u64>,
    ) -> Result<bool, Failure> {
        let length = head.length.get();
        match head.kind {
            op_kind::INLINE => Ok(length <= self.geometry.max_inline() as u64),
            op_kind::CARRIED => {
                if data_at.saturating_add(length) > data_end
                    || !self.extent_sound(body_at, location, length, &[0; 32], None)?
                {
                    return Ok(false);
                }
                self.journal_has(data_at, length, &head.digest)
            }
            op_kind::EXTENT => self.extent_sound(body_at, location, length, &head.digest, left),
            op_kind::CHUNKS => self.chunks_sound(head, body_at, left),
            _ => Ok(true),
        }
    }

    /// Whether the chunks of an operation are whole, of those in its list at `body_at`.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn chunks_sound(
        &mut self,
        head: &OpHeader,
        body_at: u64,
        mut left: Option<&mut u64>,
    ) -> Result<bool, Failure> {
        let length = head.length.get();
        let chunk = u64::from(head.chunk_size.get().max(1));
        for index in 0..bytes::pieces(length, chunk) {
            let mut bytes = [0; ChunkRef::SIZE];
            let at = body_at + index * ChunkRef::SIZE as u64;
            self.read_journal(at, &mut bytes)?;
            let Some(found) = ChunkRef::read(&bytes) else { return Ok(false) };
            let rest = (length - index * chunk).min(chunk);
            if !self.extent_sound(at, found.page.get(), rest, &found.digest, left.as_deref_mut())? {
                return Ok(false);
            }
        }
        Ok(length > 0)
    }

    /// Whether an extent lies where it may in the file and, if it is to be compared, holds what its digest says; the journal
    /// tells of it `at` a position. `left` are the pages that may still be compared.
    fn extent_sound(
        &mut self,
        at: u64,
        page: u64,
        length: u64,
        digest: &[u8; 32],
        left: Option<&mut u64>,
    ) -> Result<bool, Failure> {
        let extent = Extent::new(PageIndex(page), self.geometry.pages_for(length));
        let file = self.io.length()?;
        if !self.geometry.may_hold(extent) || self.geometry.offset(extent.end()) > file {
            return Ok(false);
        }
        let Some(left) = left else { return Ok(true) };
        let Some(rest) = left.checked_sub(extent.pages) else {
            return Err(self.io.damaged(Structure::Journal, self.ring_offset(at)));
        };
        *left = rest;
        self.extent_has(page, length, digest)
    }

    /// Whether the `length` bytes that start at page `page` have this digest.
    pub(super) fn extent_has(&mut self, page: u64, length: u64, digest: &[u8; 32]) -> Result<bool, Failure> {
        let start = self.geometry.offset(page);
        let mut hasher = Hasher::new();
        let mut done = 0;
        while done < length {
            done += self.digest_part(start + done, length - done, &mut hasher)?;
        }
        Ok(hasher.has(digest))
    }

    /// Digests of an extent, of which `left` bytes are at `offset`, as many as the transfer buffer holds; how many that were.
    pub(super) fn digest_part(
        &mut self,
        offset: u64,
        left: u64,
        hasher: &mut Hasher,
    ) -> Result<u64, Failure> {
        let transfer = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
        let transfer = transfer.ok_or(Failure::WorkspaceTooSmall)?;
        self.ring_window = RingWindow::default();
        let now = left.min(transfer.len() as u64) as usize;
        // The buffer is whole pages, and so whole units.
        let unit = self.io.atomic_unit().max(1) as usize;
        let whole = (now.div_ceil(unit) * unit).min(transfer.len());
        let whole = transfer.get_mut(..whole).unwrap_or_default();
        self.io.read(offset, whole)?;
        hasher.update(bytes::head(whole, now));
        Ok(now as u64)
    }

    /// Puts one operation of a record into the overlay and its bytes into the record's hasher.
    fn insert_replayed(
        &mut self,
        head: &OpHeader,
        at: u64,
        (body_at, body): (u64, u64),
        location: u64,
        data_at: u64,
        hasher: &mut Hasher,
    ) -> Result<bool, Failure> {
        let name_length = usize::from(head.name_length.get());
        self.read_name(at + OpHeader::SIZE as u64, name_length, hasher)?;
        let carried = head.kind == op_kind::CARRIED;
        let (from, length) = if carried {
            hasher.update(&location.to_le_bytes());
            (data_at, head.length.get())
        } else {
            (body_at, body)
        };
        let place = (from, PageIndex(location));
        let needs_body = matches!(head.kind, op_kind::INLINE | op_kind::CARRIED | op_kind::CHUNKS);
        if !needs_body {
            if head.kind == op_kind::EXTENT {
                hasher.update(&location.to_le_bytes());
            }
            self.insert_named(name_length, head, place, 0, &Digest(head.digest));
            return Ok(true);
        }
        if !O::KEEPS_BODIES {
            let digest = self.digest_body(from, length, hasher, !carried)?;
            if carried && digest.0 != head.digest {
                return Ok(false);
            }
            self.insert_named(name_length, head, place, 0, &digest);
            return Ok(true);
        }
        // The body goes through memory that nothing else uses during recovery.
        let length = length as usize;
        let space = space::replay(self.buffer.as_mut(), &self.memory, &self.geometry);
        let space = space.ok_or(Failure::WorkspaceTooSmall)?;
        let body = space.body.get_mut(..length).ok_or(Failure::WorkspaceTooSmall)?;
        RingReader::new(&mut self.io, &self.geometry, space.transfer, &mut self.ring_window)
            .read(from, body)?;
        if !carried {
            hasher.update(body);
        } else if Digest::of(body).0 != head.digest {
            return Ok(false);
        }
        self.insert_named(name_length, head, place, length, &Digest(head.digest));
        Ok(true)
    }

    /// The digest of a body, in one pass through the journal, in pieces; if `listed`, the record's hasher takes it in on
    /// the way.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn digest_body(
        &mut self,
        mut position: u64,
        mut rest: u64,
        hasher: &mut Hasher,
        listed: bool,
    ) -> Result<Digest, Failure> {
        let mut own = Hasher::new();
        let transfer = space::transfer(self.buffer.as_mut(), &self.memory, &self.geometry);
        let transfer = transfer.ok_or(Failure::WorkspaceTooSmall)?;
        let mut ring = RingReader::new(&mut self.io, &self.geometry, transfer, &mut self.ring_window);
        while rest > 0 {
            let piece = ring.peek(position, rest.min(1 << 20) as usize)?;
            own.update(piece);
            if listed {
                hasher.update(piece);
            }
            position += piece.len() as u64;
            rest -= piece.len() as u64;
        }
        Ok(own.close())
    }

    /// Reads a name into the first of the names of a fold, of which there is none under way, and into `hasher`.
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    fn read_name(&mut self, at: u64, length: usize, hasher: &mut Hasher) -> Result<(), Failure> {
        let space = space::replay(self.buffer.as_mut(), &self.memory, &self.geometry);
        let space = space.ok_or(Failure::WorkspaceTooSmall)?;
        let name = space.name.get_mut(..length).ok_or(Failure::WorkspaceTooSmall)?;
        RingReader::new(&mut self.io, &self.geometry, space.transfer, &mut self.ring_window)
            .read(at, name)?;
        hasher.update(name);
        Ok(())
    }

    /// Inserts an operation whose name is the one that was read last, and whose body, of `length` bytes, lies where it
    /// was read.
    fn insert_named(
        &mut self,
        name: usize,
        head: &OpHeader,
        place: (u64, PageIndex),
        length: usize,
        digest: &Digest,
    ) {
        let geometry = &self.geometry;
        let Some(space) = space::replay(self.buffer.as_mut(), &self.memory, geometry) else { return };
        let (name, body) = (bytes::head(space.name, name), bytes::head(space.body, length));
        super::commit::insert_entry(
            &mut self.overlay,
            &mut self.active,
            geometry,
            name,
            head,
            place,
            body,
            digest,
        );
    }
}
