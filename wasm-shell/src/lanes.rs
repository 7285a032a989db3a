//! SHA-256 of four values at once, one in each lane of a vector: for processors without instructions for it.
//! `Digest::of` is what it has to agree with.

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use portable::Word;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use wasm::Word;

/// Values at once.
pub(crate) const LANES: usize = 4;

const BLOCK: usize = 64;

/// What the eight words of a state begin with.
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Constants of the rounds, in four times sixteen.
#[rustfmt::skip]
#[expect(clippy::unreadable_literal, reason = "as the standard lists them")]
const ROUNDS: [[u32; 16]; 4] = [
    [
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    ],
    [
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    ],
    [
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    ],
    [
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
    ],
];

/// The digests of four values; those of about the same length cost least. A function by itself: browsers put better code
/// in a function's place at its next call, and a batch is one call of what calls this.
#[inline(never)]
pub(crate) fn digests(values: [&[u8]; LANES]) -> [[u8; 32]; LANES] {
    let mut state = START.map(Word::splat);
    let mut digests = [[0; 32]; LANES];
    let counts = values.map(blocks);
    for index in 0..counts.into_iter().fold(0, usize::max) {
        compress(&mut state, &values.map(|value| block(value, index)));
        for (lane, (digest, count)) in digests.iter_mut().zip(counts).enumerate() {
            if index + 1 == count {
                for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(&state) {
                    *bytes = word.lane(lane).to_be_bytes();
                }
            }
        }
    }
    digests
}

/// Blocks of a value with what SHA-256 adds to it: a bit that is set, and the number of bits.
const fn blocks(value: &[u8]) -> usize {
    (value.len() + 8) / BLOCK + 1
}

/// Block `index` of a value with what SHA-256 adds to it; behind its end nothing that matters.
fn block(value: &[u8], index: usize) -> [u8; BLOCK] {
    let at = index * BLOCK;
    let rest = value.get(at..).unwrap_or_default();
    if let Some(whole) = rest.first_chunk() {
        return *whole;
    }
    let mut block = [0; BLOCK];
    let bit = [0x80];
    let last = rest.iter().chain(if at <= value.len() { &bit } else { &[][..] });
    block.iter_mut().zip(last).for_each(|(byte, last)| *byte = *last);
    if index + 1 == blocks(value)
        && let Some(length) = block.last_chunk_mut()
    {
        *length = (8 * value.len() as u64).to_be_bytes();
    }
    block
}

/// One step of all four.
fn compress(state: &mut [Word; 8], blocks: &[[u8; BLOCK]; LANES]) {
    let [mut w0, mut w1, mut w2, mut w3] = Word::gather(blocks, 0);
    let [mut w4, mut w5, mut w6, mut w7] = Word::gather(blocks, 1);
    let [mut w8, mut w9, mut w10, mut w11] = Word::gather(blocks, 2);
    let [mut w12, mut w13, mut w14, mut w15] = Word::gather(blocks, 3);
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    // Written out: what is optimised for size unrolls nothing, and a vector in memory costs more than its use.
    macro_rules! round {
        ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $word:ident $constant:expr) => {
            let mixed = $e.rotate::<6>().xor($e.rotate::<11>()).xor($e.rotate::<25>());
            let first = $h.add($word).add(Word::splat($constant)).add(mixed).add($e.choose($f, $g));
            let mixed = $a.rotate::<2>().xor($a.rotate::<13>()).xor($a.rotate::<22>());
            // Where two agree, they are the majority.
            let second = mixed.add($a.xor($b).choose($c, $a));
            $d = $d.add(first);
            $h = first.add(second);
        };
    }
    macro_rules! next {
        ($($word:ident $after:ident $ninth:ident $before:ident),*) => {$(
            let low = $after.rotate::<7>().xor($after.rotate::<18>()).xor($after.shift::<3>());
            let high = $before.rotate::<17>().xor($before.rotate::<19>()).xor($before.shift::<10>());
            $word = $word.add(low).add($ninth).add(high);
        )*};
    }
    for (quarter, k) in ROUNDS.iter().enumerate() {
        if quarter > 0 {
            next!(
                w0 w1 w9 w14, w1 w2 w10 w15, w2 w3 w11 w0, w3 w4 w12 w1,
                w4 w5 w13 w2, w5 w6 w14 w3, w6 w7 w15 w4, w7 w8 w0 w5,
                w8 w9 w1 w6, w9 w10 w2 w7, w10 w11 w3 w8, w11 w12 w4 w9,
                w12 w13 w5 w10, w13 w14 w6 w11, w14 w15 w7 w12, w15 w0 w8 w13
            );
        }
        round!(a b c d e f g h, w0 k[0]);
        round!(h a b c d e f g, w1 k[1]);
        round!(g h a b c d e f, w2 k[2]);
        round!(f g h a b c d e, w3 k[3]);
        round!(e f g h a b c d, w4 k[4]);
        round!(d e f g h a b c, w5 k[5]);
        round!(c d e f g h a b, w6 k[6]);
        round!(b c d e f g h a, w7 k[7]);
        round!(a b c d e f g h, w8 k[8]);
        round!(h a b c d e f g, w9 k[9]);
        round!(g h a b c d e f, w10 k[10]);
        round!(f g h a b c d e, w11 k[11]);
        round!(e f g h a b c d, w12 k[12]);
        round!(d e f g h a b c, w13 k[13]);
        round!(c d e f g h a b, w14 k[14]);
        round!(b c d e f g h a, w15 k[15]);
    }
    let [s0, s1, s2, s3, s4, s5, s6, s7] = *state;
    *state = [s0.add(a), s1.add(b), s2.add(c), s3.add(d), s4.add(e), s5.add(f), s6.add(g), s7.add(h)];
}

/// Four words by WebAssembly's vector instructions.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm {
    use super::{BLOCK, LANES};
    use std::arch::wasm32::*;

    #[derive(Clone, Copy)]
    pub(super) struct Word(v128);

    impl Word {
        #[inline(always)]
        pub(super) fn splat(word: u32) -> Self {
            Self(u32x4_splat(word))
        }

        #[inline(always)]
        pub(super) fn lane(self, lane: usize) -> u32 {
            match lane {
                0 => u32x4_extract_lane::<0>(self.0),
                1 => u32x4_extract_lane::<1>(self.0),
                2 => u32x4_extract_lane::<2>(self.0),
                _ => u32x4_extract_lane::<3>(self.0),
            }
        }

        /// Four words in succession of a block.
        #[inline(always)]
        fn read(block: &[u8; BLOCK], quarter: usize) -> v128 {
            let halves = block.as_chunks::<8>().0;
            let half = |at: usize| halves.get(at).map_or(0, |half| u64::from_le_bytes(*half));
            let words = u64x2(half(2 * quarter), half(2 * quarter + 1));
            u8x16_shuffle::<3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12>(words, words)
        }

        /// Words `4 * quarter` to `4 * quarter + 3` of each block.
        #[inline(always)]
        pub(super) fn gather([a, b, c, d]: &[[u8; BLOCK]; LANES], quarter: usize) -> [Self; 4] {
            let (a, b) = (Self::read(a, quarter), Self::read(b, quarter));
            let (c, d) = (Self::read(c, quarter), Self::read(d, quarter));
            let (low_ab, high_ab) = (u32x4_shuffle::<0, 4, 1, 5>(a, b), u32x4_shuffle::<2, 6, 3, 7>(a, b));
            let (low_cd, high_cd) = (u32x4_shuffle::<0, 4, 1, 5>(c, d), u32x4_shuffle::<2, 6, 3, 7>(c, d));
            [
                Self(u64x2_shuffle::<0, 2>(low_ab, low_cd)),
                Self(u64x2_shuffle::<1, 3>(low_ab, low_cd)),
                Self(u64x2_shuffle::<0, 2>(high_ab, high_cd)),
                Self(u64x2_shuffle::<1, 3>(high_ab, high_cd)),
            ]
        }

        #[inline(always)]
        pub(super) fn add(self, other: Self) -> Self {
            Self(u32x4_add(self.0, other.0))
        }

        #[inline(always)]
        pub(super) fn xor(self, other: Self) -> Self {
            Self(v128_xor(self.0, other.0))
        }

        #[inline(always)]
        pub(super) fn shift<const BY: u32>(self) -> Self {
            Self(u32x4_shr(self.0, BY))
        }

        #[inline(always)]
        pub(super) fn rotate<const BY: u32>(self) -> Self {
            Self(v128_or(u32x4_shr(self.0, BY), u32x4_shl(self.0, 32 - BY)))
        }

        /// Bits of `a` where this has ones, of `b` where it has zeros.
        #[inline(always)]
        pub(super) fn choose(self, a: Self, b: Self) -> Self {
            Self(v128_bitselect(a.0, b.0, self.0))
        }
    }
}

/// Four words on any processor: what is compared with `Digest::of` where tests run.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod portable {
    use super::{BLOCK, LANES};
    use std::array::from_fn;

    #[derive(Clone, Copy)]
    pub(super) struct Word([u32; LANES]);

    impl Word {
        pub(super) fn splat(word: u32) -> Self {
            Self([word; LANES])
        }

        pub(super) fn lane(self, lane: usize) -> u32 {
            self.0[lane]
        }

        pub(super) fn gather(blocks: &[[u8; BLOCK]; LANES], quarter: usize) -> [Self; 4] {
            let word =
                |lane: usize, at: usize| u32::from_be_bytes(blocks[lane].as_chunks().0[4 * quarter + at]);
            from_fn(|at| Self(from_fn(|lane| word(lane, at))))
        }

        fn with(self, other: Self, work: impl Fn(u32, u32) -> u32) -> Self {
            Self(from_fn(|lane| work(self.0[lane], other.0[lane])))
        }

        pub(super) fn add(self, other: Self) -> Self {
            self.with(other, u32::wrapping_add)
        }

        pub(super) fn xor(self, other: Self) -> Self {
            self.with(other, |a, b| a ^ b)
        }

        pub(super) fn shift<const BY: u32>(self) -> Self {
            Self(self.0.map(|word| word >> BY))
        }

        pub(super) fn rotate<const BY: u32>(self) -> Self {
            Self(self.0.map(|word| word.rotate_right(BY)))
        }

        pub(super) fn choose(self, a: Self, b: Self) -> Self {
            self.with(a, |choice, a| choice & a).xor(self.with(b, |choice, b| !choice & b))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockyard_core::Digest;
    use std::array::from_fn;

    fn agrees(lengths: [usize; LANES]) {
        let values: [Vec<u8>; LANES] = from_fn(|lane| {
            let byte = |at: usize| (at * (2 * lane + 3) + (at >> 8) + lane) as u8;
            (0..lengths[lane]).map(byte).collect()
        });
        let found = digests(from_fn(|lane| values[lane].as_slice()));
        for (value, found) in values.iter().zip(found) {
            assert_eq!(Digest(found), Digest::of(value), "{} of {lengths:?}", value.len());
        }
    }

    #[test]
    fn four_at_once_are_what_each_is_alone() {
        (0..300).for_each(|length| agrees([length; LANES]));
        (0..300).for_each(|length| agrees([length, 0, 299 - length, 64]));
        agrees([4096, 4095, 65_536, 5000]);
    }
}
