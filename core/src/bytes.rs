//! Parts of slices, rounding and dividing, without code that can panic: an image of a microcontroller holds none. Whoever
//! asks for a part knows that it is there. Should it not be, the engine is wrong, and it is better to stop than to write
//! wrong bytes: a debug build and one with the standard library do. Without either it copies nothing, or takes what
//! there is, and the digests tell.

use core::ops::Range;

/// Whether what cannot be is looked for, and panics.
const LOUD: bool = cfg!(any(debug_assertions, feature = "std"));

/// The first `length` bytes.
#[cfg_attr(not(feature = "alloc"), inline(never))]
pub(crate) fn head(bytes: &[u8], length: usize) -> &[u8] {
    assert!(!LOUD || length <= bytes.len(), "{length} of {} bytes", bytes.len());
    bytes.get(..length).unwrap_or_default()
}

/// Piece `index` of those of `size` bytes that `bytes` is divided into.
#[cfg_attr(not(feature = "alloc"), inline(never))]
pub(crate) fn piece(bytes: &[u8], index: usize, size: usize) -> &[u8] {
    bytes.get(index * size..).and_then(|bytes| bytes.get(..size)).unwrap_or_default()
}

/// As [`piece`], to be changed.
#[cfg_attr(not(feature = "alloc"), inline(never))]
pub(crate) fn piece_mut(bytes: &mut [u8], index: usize, size: usize) -> &mut [u8] {
    bytes.get_mut(index * size..).and_then(|bytes| bytes.get_mut(..size)).unwrap_or_default()
}

/// Copies all of `from` to the start of `into`, which has room for it; None, and nothing copied, if not.
#[must_use = "without a panic nobody else says that nothing was copied"]
pub(crate) fn copy(into: &mut [u8], from: &[u8]) -> Option<()> {
    place(into, 0, from)
}

/// Copies all of `from` to where `at` is in `into`; None, and nothing copied, if there is no room.
#[must_use = "without a panic nobody else says that nothing was copied"]
pub(crate) fn place(into: &mut [u8], at: usize, from: &[u8]) -> Option<()> {
    let room = into.get_mut(at..).and_then(|room| room.get_mut(..from.len()));
    assert!(!LOUD || room.is_some(), "{} bytes do not fit", from.len());
    copy_some(room?, from);
    Some(())
}

/// Copies as many bytes as there are and fit; their number.
pub(crate) fn copy_some(into: &mut [u8], from: &[u8]) -> usize {
    let length = into.len().min(from.len());
    if let (Some(into), Some(from)) = (into.get_mut(..length), from.get(..length)) {
        // Called here alone, so that the compiler sees that the lengths are one and leaves the panic out.
        into.copy_from_slice(from);
    }
    length
}

/// Moves a part of `bytes` to their start.
pub(crate) fn move_to_front(bytes: &mut [u8], part: Range<usize>) {
    assert!(!LOUD || part.start <= part.end && part.end <= bytes.len(), "{part:?} is not there");
    let distance = part.start;
    let mut rest = bytes.get_mut(..part.end).unwrap_or_default();
    if cfg!(feature = "alloc") && distance <= rest.len() {
        rest.copy_within(distance.., 0);
        return;
    }
    // As many bytes at once as do not overlap: `copy_within` would bring another function of copying along.
    while let Some((front, back)) = rest.split_at_mut_checked(distance).filter(|_| distance > 0) {
        if copy_some(front, back) < distance {
            return;
        }
        rest = back;
    }
}

/// Moves the first `length` bytes on by as many as `by`; None if there is no room. What is at the start is anything then.
pub(crate) fn move_back(bytes: &mut [u8], length: usize, by: usize) -> Option<()> {
    let bytes = bytes.get_mut(..length + by)?;
    if cfg!(feature = "alloc") {
        bytes.copy_within(..length, by);
        return Some(());
    }
    // A byte at a time, from behind: `copy_within` would bring another function of copying along.
    for at in (0..length).rev() {
        let byte = *bytes.get(at)?;
        *bytes.get_mut(at + by)? = byte;
    }
    Some(())
}

/// Copies piece `from` of those of `size` bytes to where piece `to` is.
pub(crate) fn copy_piece(bytes: &mut [u8], from: usize, to: usize, size: usize) {
    let (low, high) = (from.min(to), from.max(to));
    let Some((below, above)) = bytes.split_at_mut_checked(high * size) else { return };
    let (low, high) = (piece_mut(below, low, size), piece_mut(above, 0, size));
    let (into, from) = if from < to { (high, low) } else { (low, high) };
    copy_some(into, from);
}

/// The next multiple of a power of two from `at` on.
pub(crate) const fn round_up(at: usize, power: usize) -> usize {
    round_down(at.wrapping_add(power.wrapping_sub(1)), power)
}

/// The last multiple of a power of two up to `at`.
pub(crate) const fn round_down(at: usize, power: usize) -> usize {
    at & !power.wrapping_sub(1)
}

/// A number to count or to estimate with: what is beyond the processor's numbers is beyond what it can do as well.
pub(crate) fn short(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Whether dividing numbers of 64 bits is one instruction, or there is room for the compiler's function of 800
/// bytes that stands in for it.
const DIVIDES: bool = cfg!(any(feature = "alloc", target_pointer_width = "64"));

/// How many times `by` is in `number`, and what is left; of a division by zero nothing is in it.
pub(crate) const fn divided(number: u64, by: u64) -> (u64, u64) {
    if !DIVIDES {
        return divided_by_hand(number, by);
    }
    match number.checked_div(by) {
        Some(times) => (times, number - times * by),
        None => (0, 0),
    }
}

/// The number of pieces of `size` that `number` takes; 0 of size 0.
pub(crate) const fn pieces(number: u64, size: u64) -> u64 {
    let (times, left) = divided(number, size);
    if left > 0 { times + 1 } else { times }
}

/// [`divided`] of numbers that every processor divides.
pub(crate) const fn divided_short(number: u32, by: u32) -> (u32, u32) {
    match number.checked_div(by) {
        Some(times) => (times, number - times * by),
        None => (0, 0),
    }
}

/// `number` times `by`; the greatest number if that is none.
#[cfg_attr(not(feature = "alloc"), inline(never))]
pub(crate) const fn times(number: u64, by: u64) -> u64 {
    number.saturating_mul(by)
}

/// By the processor as far as it goes, else a bit at a time: pages of a card, and chunks, are in the former's reach.
#[inline(never)]
const fn divided_by_hand(number: u64, by: u64) -> (u64, u64) {
    if number >> 32 == 0 && by >> 32 == 0 {
        let (times, left) = divided_short(number as u32, by as u32);
        return (times as u64, left as u64);
    }
    if by == 0 {
        return (0, 0);
    }
    let (mut times, mut left) = (number, 0_u64);
    let mut bit = 0;
    while bit < 64 {
        let carried = left >> 63;
        left = left << 1 | times >> 63;
        times <<= 1;
        if carried > 0 || left >= by {
            left = left.wrapping_sub(by);
            times |= 1;
        }
        bit += 1;
    }
    (times, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_divided_by_hand_as_by_the_processor() {
        let some = [
            0,
            1,
            2,
            3,
            7,
            480,
            3840,
            65_536,
            u64::from(u32::MAX),
            1 << 32,
            (1 << 33) + 5,
            u64::MAX / 3,
            u64::MAX,
        ];
        for (number, by) in some.into_iter().flat_map(|number| some.map(|by| (number, by))) {
            let expected = number.checked_div(by).map_or((0, 0), |times| (times, number % by));
            assert_eq!(divided_by_hand(number, by), expected, "{number} by {by}");
            assert_eq!(divided(number, by), expected, "{number} by {by}");
        }
        assert_eq!([pieces(0, 5), pieces(1, 5), pieces(5, 5), pieces(6, 5), pieces(6, 0)], [0, 1, 1, 2, 0]);
    }

    #[test]
    fn bytes_are_placed_and_shifted() {
        let mut bytes = *b"abcdefgh";
        assert_eq!(place(&mut bytes, 6, b"XY"), Some(()));
        assert_eq!(copy_some(&mut bytes[..3], b"1234"), 3);
        assert_eq!(&bytes, b"123defXY");
        move_to_front(&mut bytes, 2..6);
        move_to_front(&mut bytes, 0..8);
        let mut moved = *b"12345678";
        assert_eq!((move_back(&mut moved, 5, 3), move_back(&mut moved, 5, 4)), (Some(()), None));
        assert_eq!(&moved[3..], b"12345");
        assert_eq!((&bytes, piece(&bytes, 1, 3), head(&bytes, 2)), (b"3defefXY", &b"fef"[..], &b"3d"[..]));
        assert_eq!((piece(&bytes, 2, 3).len(), piece_mut(&mut bytes, 9, 3).len()), (0, 0));
        copy_piece(&mut bytes, 3, 0, 2);
        copy_piece(&mut bytes, 1, 2, 2);
        assert_eq!(&bytes, b"XYefefXY");
    }

    #[test]
    fn numbers_are_rounded_to_powers_of_two() {
        assert_eq!(
            [round_up(0, 512), round_up(1, 512), round_up(512, 512), round_up(513, 8)],
            [0, 512, 512, 520]
        );
        assert_eq!([round_down(511, 512), round_down(512, 512), round_down(1023, 512)], [0, 512, 512]);
    }
}
