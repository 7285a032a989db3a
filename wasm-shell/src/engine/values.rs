//! The larger values of a batch, and their digests: several at once, before the commit asks for them.

use super::changes::Batch;
use crate::lanes::{self, LANES};
use blockyard_core::Digest;
use blockyard_core::batch::GrowBytes;
use std::array::from_fn;
use std::ops::Range;

/// Bytes that grow, and digests of parts of them.
#[derive(Debug, Default)]
pub(super) struct Values {
    bytes: Vec<u8>,
    /// In the order of their parts.
    digests: Vec<(Range<usize>, Digest)>,
}

impl Values {
    /// Values in a buffer, whatever it held.
    pub(super) fn within(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self { bytes, digests: Vec::new() }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Values {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for Values {
    fn as_mut(&mut self) -> &mut [u8] {
        // Whoever changes bytes makes digests of them wrong.
        self.digests.clear();
        &mut self.bytes
    }
}

impl GrowBytes for Values {
    fn append(&mut self, bytes: &[u8]) -> bool {
        GrowBytes::append(&mut self.bytes, bytes)
    }

    fn set_length(&mut self, length: usize) -> bool {
        if length < self.bytes.len() {
            self.digests.clear();
        }
        GrowBytes::set_length(&mut self.bytes, length)
    }

    fn digest(&self, range: Range<usize>) -> Digest {
        match self.digests.binary_search_by_key(&range.start, |(part, _)| part.start) {
            Ok(at) if self.digests[at].0 == range => self.digests[at].1,
            _ => Digest::of(self.part(&range)),
        }
    }
}

/// Digests the values whose digests the batch's commit will ask for.
pub(super) fn digest(batch: &mut Batch) {
    let (values, late) = batch.late_values();
    let late: Vec<Range<usize>> = late.collect();
    let mut digests = Vec::with_capacity(late.len());
    for parts in late.chunks(LANES) {
        let found = lanes::digests(from_fn(|lane| parts.get(lane).map_or(&[][..], |part| values.part(part))));
        digests.extend(parts.iter().cloned().zip(found.map(Digest)));
    }
    values.digests = digests;
}
