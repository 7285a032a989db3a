//! The bits and entries of map pages.

use super::MapRef;
use crate::digest::Digest;
use crate::format::{MapEntry, MapHeader};
use zerocopy::FromBytes as _;

pub(super) fn entry(page: &[u8], index: u64) -> MapRef {
    let at = MapHeader::SIZE + index as usize * MapEntry::SIZE;
    page.get(at..).and_then(MapEntry::read).map_or_else(MapRef::default, |entry| MapRef {
        digest: Digest(entry.digest),
        used: entry.used.get(),
        slot: entry.slot.get(),
    })
}

/// The entry, to be changed in its place.
pub(super) fn entry_mut(page: &mut [u8], index: u64) -> Option<&mut MapEntry> {
    let at = MapHeader::SIZE + index as usize * MapEntry::SIZE;
    MapEntry::mut_from_prefix(page.get_mut(at..)?).ok().map(|(entry, _)| entry)
}

/// The 64 bits of a map page that start at bit `64 * word`.
pub(super) fn word(page: &[u8], word: u64) -> u64 {
    let at = MapHeader::SIZE + word as usize * 8;
    let found = page.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The first bit in `from..to` that is set (or clear).
pub(super) fn next_bit(page: &[u8], from: u64, to: u64, set: bool) -> Option<u64> {
    let mut at = from;
    while at < to {
        let bits = if set { word(page, at / 64) } else { !word(page, at / 64) };
        let bits = bits >> (at % 64);
        if bits != 0 {
            let found = at + u64::from(bits.trailing_zeros());
            return (found < to).then_some(found);
        }
        at = (at / 64 + 1) * 64;
    }
    None
}

/// Sets or clears `count` bits from `from` on; returns how many changed.
pub(super) fn set_bits(page: &mut [u8], from: u64, count: u64, set: bool) -> u64 {
    let mut changed = 0;
    let (mut at, end) = (from, from + count);
    while at < end {
        let stop = end.min((at / 8 + 1) * 8);
        let mask = (((1_u16 << (stop - at)) - 1) << (at % 8)) as u8;
        let Some(byte) = page.get_mut(MapHeader::SIZE + (at / 8) as usize) else { break };
        let new = if set { *byte | mask } else { *byte & !mask };
        changed += u64::from((*byte ^ new).count_ones());
        *byte = new;
        at = stop;
    }
    changed
}
