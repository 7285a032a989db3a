//! The bits and entries of map pages.

use super::MapRef;
use crate::digest::Digest;
use crate::format::{MapEntry, MapHeader};
use zerocopy::FromBytes as _;

pub(super) fn entry(page: &[u8], index: u32) -> MapRef {
    let at = MapHeader::SIZE + index as usize * MapEntry::SIZE;
    page.get(at..).and_then(MapEntry::read).map_or_else(MapRef::default, |entry| MapRef {
        digest: Digest(entry.digest),
        used: entry.used.get(),
        slot: entry.slot.get(),
    })
}

/// The entry, to be changed in its place.
pub(super) fn entry_mut(page: &mut [u8], index: u32) -> Option<&mut MapEntry> {
    let at = MapHeader::SIZE + index as usize * MapEntry::SIZE;
    MapEntry::mut_from_prefix(page.get_mut(at..)?).ok().map(|(entry, _)| entry)
}

/// Bits that the processor looks at at once.
const WORD: u32 = usize::BITS;

/// The bits of a map page that start at bit `WORD * word`.
pub(super) fn word(page: &[u8], word: u32) -> usize {
    let at = MapHeader::SIZE + word as usize * size_of::<usize>();
    let found = page.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| usize::from_le_bytes(*bytes))
}

/// The first bit in `from..to` that is set (or clear).
pub(super) fn next_bit(page: &[u8], from: u32, to: u32, set: bool) -> Option<u32> {
    let mut at = from;
    while at < to {
        let bits = if set { word(page, at / WORD) } else { !word(page, at / WORD) };
        let bits = bits >> (at % WORD);
        if bits != 0 {
            let found = at + bits.trailing_zeros();
            return (found < to).then_some(found);
        }
        at = (at / WORD + 1) * WORD;
    }
    None
}

/// Sets or clears `count` bits from `from` on; returns how many changed.
pub(super) fn set_bits(page: &mut [u8], from: u32, count: u32, set: bool) -> u32 {
    let mut changed = 0;
    let (mut at, end) = (from, from + count);
    while at < end {
        let stop = end.min((at / 8 + 1) * 8);
        let mask = (((1_u16 << (stop - at)) - 1) << (at % 8)) as u8;
        let Some(byte) = page.get_mut(MapHeader::SIZE + (at / 8) as usize) else { break };
        let new = if set { *byte | mask } else { *byte & !mask };
        changed += (*byte ^ new).count_ones();
        *byte = new;
        at = stop;
    }
    changed
}
