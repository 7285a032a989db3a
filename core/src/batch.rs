//! Batches: changes that become visible and durable together.

use crate::bytes;
use crate::digest::Digest;
use crate::format::{ChunkRef, Geometry, OpHeader, U16, U32, U64, op_kind};
use core::any::Any;
use core::fmt;
use core::ops::Range;
use zerocopy::{FromBytes as _, IntoBytes as _};

/// Bytes that grow: a heapless vector, or with `alloc` one on the heap.
pub trait GrowBytes: AsRef<[u8]> + AsMut<[u8]> {
    /// Whether it can hold any bytes. What is done with the values of a batch that has no room for them is left out of an
    /// image.
    const HOLDS: bool = true;

    /// Appends `bytes`; false, with nothing appended, if they do not fit.
    fn append(&mut self, bytes: &[u8]) -> bool;
    /// Sets the length; new bytes are zero. False, with the length as it was, if it does not fit.
    fn set_length(&mut self, length: usize) -> bool;

    /// What keeps the bytes in memory beyond the batch, for an overlay that knows what it is and
    /// shares rather than copies: see [`Overlay::lend`](crate::overlay::Overlay::lend).
    fn owner(&self) -> Option<&dyn Any> {
        None
    }

    /// SHA-256 of some of the bytes, where somebody else may have computed it meanwhile. A wrong
    /// digest makes a block that every read refuses as damaged.
    fn digest(&self, range: Range<usize>) -> Digest {
        Digest::of(self.as_ref().get(range).unwrap_or_default())
    }
}

impl<const N: usize> GrowBytes for heapless::Vec<u8, N> {
    const HOLDS: bool = N > 0;

    fn append(&mut self, bytes: &[u8]) -> bool {
        self.extend_from_slice(bytes).is_ok()
    }
    fn set_length(&mut self, length: usize) -> bool {
        self.resize(length, 0).is_ok()
    }
}

#[cfg(feature = "alloc")]
impl GrowBytes for alloc::vec::Vec<u8> {
    fn append(&mut self, bytes: &[u8]) -> bool {
        self.extend_from_slice(bytes);
        true
    }
    fn set_length(&mut self, length: usize) -> bool {
        self.resize(length, 0);
        true
    }
}

/// A change could not be added to a batch, which is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchError {
    /// The name is empty.
    NameEmpty,
    /// The name is longer than the page size allows.
    NameTooLong {
        /// Its length in bytes.
        length: usize,
        /// The longest name in bytes.
        max: usize,
    },
    /// The value is longer than one chunk: write it through a block writer.
    ValueTooLarge {
        /// Its length in bytes.
        length: u64,
        /// The longest value of a batch in bytes.
        max: u64,
    },
    /// The list of chunks is not as long as a block of this length has it.
    ChunkCount {
        /// Chunks listed.
        listed: usize,
        /// Chunks that the block has; 0 of an empty block, which has no list.
        needed: u64,
    },
    /// The batch's buffers are full.
    Full,
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameEmpty => f.write_str("a block's name cannot be empty"),
            Self::NameTooLong { length, max } => {
                write!(
                    f,
                    "the name has {length} bytes and may have {max}; use a shorter name or a larger page size"
                )
            }
            Self::ValueTooLarge { length, max } => {
                write!(f, "the value has {length} bytes, a batch takes {max} at once; write it as a stream")
            }
            Self::ChunkCount { listed, needed } => {
                write!(f, "{listed} chunks are listed and the block has {needed}; list each of them once")
            }
            Self::Full => f.write_str("the batch's buffers are full; commit it and begin another"),
        }
    }
}

impl core::error::Error for BatchError {}

/// Bytes of values that a batch digests as they are added: so many that the rest is worth writing before it
/// is digested.
const DIGESTED_AT_ONCE: usize = 256 << 10;

/// In memory only: stands in the reserved byte of an operation whose value has no digest yet.
const LATE: u8 = 1;

/// In memory only: stands in the chunk size of an extent that a commit made of a carried value, so that the
/// batch can be brought back to what it was.
pub(crate) const PLACED: u32 = 1;

/// Changes in the order in which they were made; a later one of the same name wins.
///
/// Values above the geometry's inline limit are digested when they are added, in the caller's
/// thread, and lie page by page in `data`, ready to be written in one piece. Those behind the first
/// 256 KiB are digested by the commit, while the device writes.
#[derive(Clone, Debug, Default)]
pub struct Batch<M, V> {
    pub(crate) meta: M,
    pub(crate) data: V,
    pub(crate) operations: u32,
    /// Bytes of values in `data` without the padding between them.
    pub(crate) carried: u64,
    /// Values that have no digest yet.
    late: u32,
    /// Values behind so many bytes are digested by the commit.
    at_once: usize,
    page_size: usize,
    max_name: usize,
    max_inline: usize,
    max_value: u64,
}

impl<M: GrowBytes, V: GrowBytes> Batch<M, V> {
    /// An empty batch for a store of this geometry, over empty buffers: `meta` takes 64 bytes, name
    /// and small value of each change, `data` the larger values, each in whole pages.
    pub fn new(geometry: &Geometry, meta: M, data: V) -> Self {
        Self {
            meta,
            data,
            operations: 0,
            carried: 0,
            late: 0,
            at_once: DIGESTED_AT_ONCE,
            page_size: geometry.page_size(),
            max_name: geometry.max_name(),
            max_inline: geometry.max_inline(),
            max_value: u64::from(geometry.chunk_size()),
        }
    }

    /// Leaves to the commit the digests of all values that lie behind the first `bytes` of them: 256 KiB, if this is not
    /// called. What the batch holds already is not changed.
    pub const fn digest_at_once(&mut self, bytes: usize) {
        self.at_once = bytes;
    }

    /// Number of changes.
    pub const fn len(&self) -> usize {
        self.operations as usize
    }

    /// Whether there is no change.
    pub const fn is_empty(&self) -> bool {
        self.operations == 0
    }

    /// Forgets all changes and keeps the buffers.
    pub fn clear(&mut self) {
        self.meta.set_length(0);
        self.data.set_length(0);
        self.operations = 0;
        self.carried = 0;
        self.late = 0;
    }

    /// Bytes that the batch holds in its buffers.
    pub fn bytes(&self) -> usize {
        self.meta.as_ref().len() + self.data.as_ref().len()
    }

    /// Puts a block of at most one chunk.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub fn put(&mut self, name: &[u8], value: &[u8], tag: u64) -> Result<(), BatchError> {
        if value.len() as u64 > self.max_value {
            return Err(BatchError::ValueTooLarge { length: value.len() as u64, max: self.max_value });
        }
        if value.len() <= self.max_inline {
            let head = self.head(op_kind::INLINE, name, value.len() as u64, tag, Digest::default())?;
            return self.push(&head, name, value);
        }
        let before = self.data.as_ref().len();
        let offset = bytes::round_up(before, self.page_size);
        let late = before >= self.at_once;
        let digest = if late || !V::HOLDS { Digest::default() } else { Digest::of(value) };
        let mut head = self.head(op_kind::CARRIED, name, value.len() as u64, tag, digest)?;
        if late {
            head.reserved = LATE;
        }
        if !V::HOLDS || !self.data.set_length(offset) || !self.data.append(value) {
            self.data.set_length(before);
            return Err(BatchError::Full);
        }
        self.push(&head, name, &(offset as u64).to_le_bytes()).inspect_err(|_| {
            self.data.set_length(before);
        })?;
        self.carried += value.len() as u64;
        self.late += u32::from(late);
        Ok(())
    }

    /// Whether values have yet to be digested.
    pub(crate) const fn is_late(&self) -> bool {
        V::HOLDS && self.late > 0
    }

    /// Digests the values that have no digest yet, which the commit does otherwise, by then in the way of others.
    #[inline(never)]
    pub fn digest_late(&mut self) {
        if self.late == 0 {
            return;
        }
        let (meta, data) = (self.meta.as_mut(), &self.data);
        let (mut at, mut from) = (0, 0_usize);
        while let Some((head, _, end)) = operation_at(meta, at) {
            if is_carried(head) {
                let mut head = *head;
                let length = head.length.get() as usize;
                from = bytes::round_up(from, self.page_size);
                if head.reserved == LATE {
                    (head.reserved, head.digest) = (0, data.digest(from..from + length).0);
                    let put = bytes::place(meta, at, head.as_bytes());
                    debug_assert!(put.is_some(), "the head was read there");
                }
                from += length;
            }
            at = end;
        }
        self.late = 0;
    }

    /// The buffer of the values, and where in it those lie, in order, whose digests the commit asks of it
    /// ([`GrowBytes::digest`]): who has another processor can have them ready by then.
    pub fn late_values(&mut self) -> (&mut V, impl Iterator<Item = Range<usize>>) {
        let (page, mut from) = (self.page_size, 0_usize);
        let operations = Operations { rest: self.meta.as_ref() };
        let carried = operations.filter(|operation| is_carried(operation.head));
        let values = carried.filter_map(move |operation| {
            let start = bytes::round_up(from, page);
            from = start + operation.head.length.get() as usize;
            (operation.head.reserved == LATE).then_some(start..from)
        });
        (&mut self.data, values)
    }

    /// Puts a block whose bytes lie in one extent already.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub fn put_extent(
        &mut self,
        name: &[u8],
        length: u64,
        tag: u64,
        digest: Digest,
        page: crate::PageIndex,
    ) -> Result<(), BatchError> {
        let head = self.head(op_kind::EXTENT, name, length, tag, digest)?;
        self.push(&head, name, &page.0.to_le_bytes())
    }

    /// Puts a block whose bytes lie in chunks already, each but the last of `chunk_size` bytes.
    ///
    /// # Errors
    /// [`BatchError::ChunkCount`] of a list that is not the block's, or of an empty block; else see [`BatchError`].
    pub fn put_chunks(
        &mut self,
        name: &[u8],
        length: u64,
        tag: u64,
        chunk_size: u32,
        chunks: &[ChunkRef],
    ) -> Result<(), BatchError> {
        let needed = bytes::pieces(length, u64::from(chunk_size));
        if chunks.is_empty() || chunks.len() as u64 != needed {
            return Err(BatchError::ChunkCount { listed: chunks.len(), needed });
        }
        let mut hasher = crate::Hasher::new();
        chunks.iter().for_each(|chunk| hasher.update(&chunk.digest));
        let mut head = self.head(op_kind::CHUNKS, name, length, tag, hasher.finish())?;
        head.chunk_size = U32::new(chunk_size);
        self.push(&head, name, chunks.as_bytes())
    }

    /// Puts a small block whose bytes the caller fills in.
    pub(crate) fn put_later(
        &mut self,
        name: &[u8],
        length: usize,
        tag: u64,
    ) -> Result<&mut [u8], BatchError> {
        let head = self.head(op_kind::INLINE, name, length as u64, tag, Digest::default())?;
        let before = self.meta.as_ref().len();
        self.push(&head, name, &[])?;
        let start = self.meta.as_ref().len();
        if !self.meta.set_length(start + length) {
            self.meta.set_length(before);
            self.operations -= 1;
            return Err(BatchError::Full);
        }
        Ok(self.meta.as_mut().get_mut(start..).unwrap_or_default())
    }

    /// Begins a put of chunks whose list follows by [`add_chunk`](Self::add_chunk).
    pub(crate) fn begin_chunks(
        &mut self,
        name: &[u8],
        length: u64,
        tag: u64,
        chunk_size: u32,
        digest: Digest,
    ) -> Result<(), BatchError> {
        let mut head = self.head(op_kind::CHUNKS, name, length, tag, digest)?;
        head.chunk_size = U32::new(chunk_size);
        self.push(&head, name, &[])
    }

    /// Appends to the list of the put of chunks that was begun last.
    pub(crate) fn add_chunk(&mut self, chunk: &[u8]) -> Result<(), BatchError> {
        if self.meta.append(chunk) { Ok(()) } else { Err(BatchError::Full) }
    }

    /// Deletes a block. Deleting one that does not exist changes nothing.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub fn delete(&mut self, name: &[u8]) -> Result<(), BatchError> {
        let head = self.head(op_kind::DELETE, name, 0, 0, Digest::default())?;
        self.push(&head, name, &[])
    }

    /// Deletes a name whose pages a put of this batch takes over.
    pub(crate) fn move_away(&mut self, name: &[u8]) -> Result<(), BatchError> {
        let head = self.head(op_kind::MOVE, name, 0, 0, Digest::default())?;
        self.push(&head, name, &[])
    }

    /// Whether a store of this geometry takes what is put in: the batch was made for one of the same page size, and of chunks
    /// that are not longer.
    pub fn suits(&self, geometry: &Geometry) -> bool {
        self.page_size == geometry.page_size() && self.max_value <= u64::from(geometry.chunk_size())
    }

    /// The changes in order.
    pub fn operations(&self) -> Operations<'_> {
        Operations { rest: self.meta.as_ref() }
    }

    fn head(
        &self,
        kind: u8,
        name: &[u8],
        length: u64,
        tag: u64,
        digest: Digest,
    ) -> Result<OpHeader, BatchError> {
        if name.is_empty() {
            return Err(BatchError::NameEmpty);
        }
        if name.len() > self.max_name {
            return Err(BatchError::NameTooLong { length: name.len(), max: self.max_name });
        }
        Ok(OpHeader {
            kind,
            reserved: 0,
            name_length: U16::new(name.len() as u16),
            chunk_size: U32::new(0),
            length: U64::new(length),
            tag: U64::new(tag),
            sequence: U64::new(0),
            digest: digest.0,
        })
    }

    fn push(&mut self, head: &OpHeader, name: &[u8], body: &[u8]) -> Result<(), BatchError> {
        let before = self.meta.as_ref().len();
        let fits = self.meta.append(head.as_bytes()) && self.meta.append(name) && self.meta.append(body);
        if !fits || self.operations == u32::MAX {
            self.meta.set_length(before);
            return Err(BatchError::Full);
        }
        self.operations += 1;
        Ok(())
    }
}

/// The head of the operation at `at`, where its name is and where the next operation starts.
pub(crate) fn operation_at(meta: &[u8], at: usize) -> Option<(&OpHeader, core::ops::Range<usize>, usize)> {
    let (head, _) = OpHeader::ref_from_prefix(meta.get(at..)?).ok()?;
    let name = at + OpHeader::SIZE..at + OpHeader::SIZE + usize::from(head.name_length.get());
    let end = name.end + usize::try_from(body_length(head)?).ok()?;
    (end <= meta.len()).then_some((head, name, end))
}

/// Whether the operation's value lies in the batch, be it to be carried or, since the commit placed it, as an
/// extent.
pub(crate) fn is_carried(head: &OpHeader) -> bool {
    match head.kind {
        op_kind::CARRIED => true,
        op_kind::EXTENT => head.chunk_size.get() == PLACED,
        _ => false,
    }
}

/// One change of a batch or a journal record.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// Kind, length, tag, sequence and digest.
    pub head: &'a OpHeader,
    /// The block's name.
    pub name: &'a [u8],
    /// What follows the name: the bytes, 8 bytes of offset or page, or the chunk list.
    pub body: &'a [u8],
}

impl Operation<'_> {
    /// The offset or page that follows the name of a carried block or an extent.
    #[must_use]
    pub fn location(&self) -> u64 {
        self.body.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// The chunk list of a block of chunks.
    #[must_use]
    pub fn chunks(&self) -> &[ChunkRef] {
        <[ChunkRef]>::ref_from_bytes(self.body).unwrap_or(&[])
    }
}

/// Bytes that follow the name of an operation; None if the operation cannot be.
pub(crate) fn body_length(head: &OpHeader) -> Option<u64> {
    match head.kind {
        op_kind::INLINE => Some(head.length.get()),
        op_kind::CARRIED | op_kind::EXTENT => Some(8),
        op_kind::CHUNKS if head.chunk_size.get() > 0 => {
            bytes::pieces(head.length.get(), u64::from(head.chunk_size.get()))
                .checked_mul(ChunkRef::SIZE as u64)
        }
        op_kind::DELETE | op_kind::MOVE => Some(0),
        _ => None,
    }
}

/// Iterates over encoded operations; ends early at bytes that do not parse.
#[derive(Clone, Debug)]
pub struct Operations<'a> {
    rest: &'a [u8],
}

impl Operations<'_> {
    /// Whether nothing is left, be it of bytes that do not parse.
    pub(crate) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for Operations<'a> {
    type Item = Operation<'a>;

    fn next(&mut self) -> Option<Operation<'a>> {
        let (head, _) = OpHeader::ref_from_prefix(self.rest).ok()?;
        let name_end = OpHeader::SIZE + usize::from(head.name_length.get());
        let end = name_end.checked_add(usize::try_from(body_length(head)?).ok()?)?;
        let name = self.rest.get(OpHeader::SIZE..name_end)?;
        let body = self.rest.get(name_end..end)?;
        self.rest = self.rest.get(end..)?;
        Some(Operation { head, name, body })
    }
}
