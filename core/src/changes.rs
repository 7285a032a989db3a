//! What the steps of a commit see of the changes that it makes: of a batch, and of one change that is in none.

use crate::batch::{Batch, GrowBytes, Operation, operation_at};
use crate::bytes;
use crate::digest::Digest;
use crate::format::{Geometry, OpHeader, U16, U32, U64, op_kind};
use crate::overlay::Lent;
use zerocopy::{FromBytes as _, IntoBytes as _};

/// Changes that get one sequence number. Operations lie one behind the other, each found at where the one before it ends, the first at 0.
pub(crate) trait Changes {
    /// Whether it can hold values that do not lie among the operations. What is done with such is left out of an image otherwise.
    const HOLDS: bool;
    /// Whether each operation was made by the store, so that it may stand in a record.
    const SOUND: bool;

    /// Number of operations.
    fn count(&self) -> u32;
    /// Bytes of the operations in a record.
    fn listed(&self) -> u64;
    /// Bytes of the values that do not lie among them, without what is between.
    fn carried(&self) -> u64;
    /// Says how many these are.
    fn set_carried(&mut self, carried: u64);
    /// Whether it was made for a store of this geometry.
    fn fits(&self, geometry: &Geometry) -> bool;
    /// Whether `sound` holds for each operation, and there is nothing else.
    fn all(&self, sound: impl FnMut(&Operation<'_>) -> bool) -> bool;
    /// The operations in order.
    fn operations(&self) -> impl Iterator<Item = Operation<'_>> + Clone;
    /// The operations as they stand in a record.
    fn encoded(&self) -> impl Iterator<Item = &[u8]> + Clone;
    /// The head of the operation at `at`, where what follows its name is, and where the next operation is.
    fn head_at(&self, at: usize) -> Option<(&OpHeader, usize, usize)>;
    /// The same head, to be changed where it lies, and where the next operation is.
    fn head_mut(&mut self, at: usize) -> Option<(&mut OpHeader, usize)>;
    /// The page of the operation behind whose name `at` is.
    fn page_at(&self, at: usize) -> u64;
    /// Says which that is.
    fn put_page(&mut self, at: usize, page: u64);
    /// The values that do not lie among the operations, each from a multiple of the page size on.
    fn values(&self) -> &[u8];
    /// Those of them that are to be carried, in order, without the padding between them.
    fn carried_values(&self, page_size: usize) -> impl Iterator<Item = &[u8]> + Clone;
    /// The same bytes, values that have nothing between them in one piece.
    fn carried_runs(&self, page_size: usize) -> impl Iterator<Item = &[u8]> + Clone;
    /// Makes the values whole pages, if there is room for it.
    fn fill_pages(&mut self, page_size: usize);
    /// The buffers, for an overlay that shares them.
    fn lent(&self) -> Lent<'_>;
    /// Whether values have yet to be digested.
    fn has_late(&self) -> bool {
        false
    }
    /// Digests them.
    fn digest_them(&mut self) {}
}

impl<M: GrowBytes, V: GrowBytes> Changes for Batch<M, V> {
    const HOLDS: bool = V::HOLDS;
    const SOUND: bool = false;

    fn count(&self) -> u32 {
        self.operations
    }
    fn listed(&self) -> u64 {
        self.meta.as_ref().len() as u64
    }
    fn carried(&self) -> u64 {
        self.carried
    }
    fn set_carried(&mut self, carried: u64) {
        self.carried = carried;
    }
    fn fits(&self, geometry: &Geometry) -> bool {
        self.is_empty() || self.suits(geometry)
    }
    fn all(&self, mut sound: impl FnMut(&Operation<'_>) -> bool) -> bool {
        let mut operations = Self::operations(self);
        let mut counted = 0;
        for operation in operations.by_ref() {
            if !sound(&operation) {
                return false;
            }
            counted += 1;
        }
        // Behind a list that is too short, or too long, what follows is read as something else.
        counted == self.operations && operations.is_at_end()
    }
    fn operations(&self) -> impl Iterator<Item = Operation<'_>> + Clone {
        Self::operations(self)
    }
    fn encoded(&self) -> impl Iterator<Item = &[u8]> + Clone {
        core::iter::once(self.meta.as_ref())
    }
    fn head_at(&self, at: usize) -> Option<(&OpHeader, usize, usize)> {
        operation_at(self.meta.as_ref(), at).map(|(head, name, end)| (head, name.end, end))
    }
    fn head_mut(&mut self, at: usize) -> Option<(&mut OpHeader, usize)> {
        let (_, _, end) = self.head_at(at)?;
        let (head, _) = OpHeader::mut_from_prefix(self.meta.as_mut().get_mut(at..)?).ok()?;
        Some((head, end))
    }
    fn page_at(&self, at: usize) -> u64 {
        let place = self.meta.as_ref().get(at..).and_then(|place| place.first_chunk());
        place.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
    fn put_page(&mut self, at: usize, page: u64) {
        let put = bytes::place(self.meta.as_mut(), at, &page.to_le_bytes());
        debug_assert!(put.is_some(), "the operation was read there");
    }
    fn values(&self) -> &[u8] {
        self.data.as_ref()
    }
    fn carried_values(&self, page_size: usize) -> impl Iterator<Item = &[u8]> + Clone {
        let data = self.data.as_ref();
        carried_lengths(self).scan(0_usize, move |at, length| {
            let start = bytes::round_up(*at, page_size);
            *at = start + length;
            data.get(start..start + length)
        })
    }
    #[cfg(feature = "alloc")]
    fn carried_runs(&self, page_size: usize) -> impl Iterator<Item = &[u8]> + Clone {
        let (data, mut lengths) = (self.data.as_ref(), carried_lengths(self));
        let mut at = 0;
        core::iter::from_fn(move || {
            let start = bytes::round_up(at, page_size);
            at = start + lengths.next()?;
            while at.is_multiple_of(page_size)
                && let Some(length) = lengths.next()
            {
                at += length;
            }
            data.get(start..at)
        })
    }
    #[cfg(not(feature = "alloc"))]
    fn carried_runs(&self, page_size: usize) -> impl Iterator<Item = &[u8]> + Clone {
        self.carried_values(page_size)
    }
    fn fill_pages(&mut self, page_size: usize) {
        let whole = bytes::round_up(self.data.as_ref().len(), page_size);
        self.data.set_length(whole);
    }
    fn lent(&self) -> Lent<'_> {
        Lent { changes: self.len(), carried: self.carried, meta: self.meta.owner(), data: self.data.owner() }
    }
    fn has_late(&self) -> bool {
        self.is_late()
    }
    fn digest_them(&mut self) {
        self.digest_late();
    }
}

/// The lengths of the values that a batch carries.
fn carried_lengths<M: GrowBytes, V: GrowBytes>(batch: &Batch<M, V>) -> impl Iterator<Item = usize> + Clone {
    let carried = batch.operations().filter(|operation| operation.head.kind == op_kind::CARRIED);
    carried.map(|operation| operation.head.length.get() as usize)
}

/// One change, whose name and value lie where the caller has them.
pub(crate) struct One<'a> {
    head: OpHeader,
    name: &'a [u8],
    value: &'a [u8],
    /// The first page of a value that does not lie behind the name.
    page: [u8; 8],
}

impl<'a> One<'a> {
    /// A put, of a value that is as short as a store of this geometry takes one, or a deletion, if there is no value.
    pub(crate) fn new(geometry: &Geometry, name: &'a [u8], value: Option<&'a [u8]>, tag: u64) -> Self {
        let mut head = OpHeader {
            kind: op_kind::DELETE,
            reserved: 0,
            name_length: U16::new(name.len() as u16),
            chunk_size: U32::new(0),
            length: U64::new(0),
            tag: U64::new(tag),
            sequence: U64::new(0),
            digest: [0; 32],
        };
        if let Some(value) = value {
            head.kind = op_kind::INLINE;
            head.length = U64::new(value.len() as u64);
            if value.len() > geometry.max_inline() {
                head.kind = op_kind::CARRIED;
                head.digest = Digest::of(value).0;
            }
        }
        Self { head, name, value: value.unwrap_or_default(), page: [0; 8] }
    }

    /// Whether the value does not lie behind the name.
    fn is_carried(&self) -> bool {
        matches!(self.head.kind, op_kind::CARRIED | op_kind::EXTENT)
    }

    fn body(&self) -> &[u8] {
        if self.is_carried() { &self.page } else { self.value }
    }

    fn operation(&self) -> Operation<'_> {
        Operation { head: &self.head, name: self.name, body: self.body() }
    }
}

impl Changes for One<'_> {
    const HOLDS: bool = true;
    const SOUND: bool = true;

    fn count(&self) -> u32 {
        1
    }
    fn listed(&self) -> u64 {
        (OpHeader::SIZE + self.name.len() + self.body().len()) as u64
    }
    fn carried(&self) -> u64 {
        if self.head.kind == op_kind::CARRIED { self.value.len() as u64 } else { 0 }
    }
    // It is as the operation says.
    fn set_carried(&mut self, _: u64) {}
    fn fits(&self, _: &Geometry) -> bool {
        true
    }
    fn all(&self, mut sound: impl FnMut(&Operation<'_>) -> bool) -> bool {
        sound(&self.operation())
    }
    fn operations(&self) -> impl Iterator<Item = Operation<'_>> + Clone {
        core::iter::once(self.operation())
    }
    fn encoded(&self) -> impl Iterator<Item = &[u8]> + Clone {
        [self.head.as_bytes(), self.name, self.body()].into_iter()
    }
    fn head_at(&self, at: usize) -> Option<(&OpHeader, usize, usize)> {
        (at == 0).then_some((&self.head, 0, 1))
    }
    fn head_mut(&mut self, at: usize) -> Option<(&mut OpHeader, usize)> {
        (at == 0).then_some((&mut self.head, 1))
    }
    fn page_at(&self, _: usize) -> u64 {
        u64::from_le_bytes(self.page)
    }
    fn put_page(&mut self, _: usize, page: u64) {
        self.page = page.to_le_bytes();
    }
    fn values(&self) -> &[u8] {
        if self.is_carried() { self.value } else { &[] }
    }
    fn carried_values(&self, _: usize) -> impl Iterator<Item = &[u8]> + Clone {
        (self.head.kind == op_kind::CARRIED).then_some(self.value).into_iter()
    }
    fn carried_runs(&self, page_size: usize) -> impl Iterator<Item = &[u8]> + Clone {
        self.carried_values(page_size)
    }
    // They lie where the caller has them.
    fn fill_pages(&mut self, _: usize) {}
    fn lent(&self) -> Lent<'_> {
        Lent { changes: 1, carried: self.carried(), meta: None, data: None }
    }
}
