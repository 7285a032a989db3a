//! SHA-256 as the engine uses it.

use crate::bytes;
use core::fmt;
use sha2::block_api::compress256;

/// A SHA-256 digest.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.close()
    }

    /// Whether it is the digest of `bytes`.
    #[inline(never)]
    pub(crate) fn is_of(&self, bytes: &[u8]) -> bool {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.has(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Digest({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// A digest over bytes that arrive in pieces. The blocks are put together here and not by `sha2`: what that takes
/// besides them is much for a small stack.
#[derive(Clone, Debug)]
pub struct Hasher {
    state: [u32; 8],
    /// Bytes seen.
    length: u64,
    /// The bytes behind the last whole block.
    block: [u8; BLOCK],
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl Hasher {
    /// A hasher that has seen nothing.
    #[must_use]
    #[cfg_attr(not(feature = "alloc"), inline(never))]
    pub const fn new() -> Self {
        // The first 32 bits of the fractions of the square roots of the first eight primes (FIPS 180-4, 5.3.3).
        let state = [
            0x6a09_e667,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ];
        Self { state, length: 0, block: [0; BLOCK] }
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let filled = self.filled();
        self.length = self.length.wrapping_add(bytes.len() as u64);
        if filled > 0 {
            let taken = bytes::copy_some(self.block.get_mut(filled..).unwrap_or_default(), bytes);
            if filled + taken < BLOCK {
                return;
            }
            self.compress();
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        let (blocks, rest) = bytes.as_chunks();
        if !blocks.is_empty() {
            compress256(&mut self.state, blocks);
        }
        bytes::copy_some(&mut self.block, rest);
    }

    /// The digest of all bytes seen.
    #[must_use]
    #[inline(always)]
    pub fn finish(mut self) -> Digest {
        self.close()
    }

    /// The digest of all bytes seen; the hasher is of no use afterwards. To hand it over by value would copy it on the
    /// stack.
    pub(crate) fn close(&mut self) -> Digest {
        self.end();
        let mut digest = Digest::default();
        for (place, word) in digest.0.as_chunks_mut().0.iter_mut().zip(&self.state) {
            *place = word.to_be_bytes();
        }
        digest
    }

    /// Whether all bytes seen have this digest; the hasher is of no use afterwards.
    #[inline(always)]
    pub(crate) fn has(&mut self, digest: &[u8; 32]) -> bool {
        self.end();
        let words = digest.as_chunks().0.iter().map(|word| u32::from_be_bytes(*word));
        words.eq(self.state.iter().copied())
    }

    /// Takes in what ends the bytes.
    #[inline(never)]
    fn end(&mut self) {
        let filled = self.filled();
        let rest = self.block.get_mut(filled..).unwrap_or_default();
        rest.fill(0);
        bytes::copy_some(rest, &[0x80]);
        // Behind that mark and zeros the last block ends with the number of bits.
        if filled >= BLOCK - 8 {
            self.compress();
            self.block = [0; BLOCK];
        }
        let bits = self.length.wrapping_mul(8).to_be_bytes();
        bytes::copy_some(self.block.get_mut(BLOCK - 8..).unwrap_or_default(), &bits);
        self.compress();
    }

    const fn filled(&self) -> usize {
        self.length as usize % BLOCK
    }

    #[inline(always)]
    fn compress(&mut self) {
        compress256(&mut self.state, core::slice::from_ref(&self.block));
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, Hasher};
    use sha2::Digest as _;

    /// Whatever the length and wherever the pieces end, the digest is SHA-256's.
    #[test]
    fn the_digest_is_sha_256() {
        let bytes: [u8; 300] = core::array::from_fn(|at| (at * 7 + at / 11) as u8);
        for length in 0..=bytes.len() {
            let whole = &bytes[..length];
            let expected = Digest(sha2::Sha256::digest(whole).into());
            assert_eq!(Digest::of(whole), expected, "{length} bytes");
            for piece in [1, 3, 55, 56, 63, 64, 65, 128] {
                let mut hasher = Hasher::new();
                whole.chunks(piece).for_each(|bytes| hasher.update(bytes));
                assert_eq!(hasher.finish(), expected, "{length} bytes in pieces of {piece}");
            }
        }
    }
}
