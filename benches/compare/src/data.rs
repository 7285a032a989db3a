//! Keys and values: the same on every machine, not compressible, and checked without storing them.
//!
//! 1. A key has 16 bytes; keys sort as their records' numbers do. A hundred records share a prefix.
//! 2. Every eight bytes of a value follow from record, version and place alone, so that any of them
//!    can be checked at any time, and the sum over a value is known without the value.

use anyhow::{Result, ensure};

/// Bytes of a key.
pub(crate) const KEY: usize = 16;

/// A record's name.
pub(crate) type Key = [u8; KEY];

/// How many records share a prefix.
pub(crate) const GROUP: u64 = 100;

/// Bytes of the prefix that a group of records shares.
pub(crate) const PREFIX: usize = 7;

fn decimal(into: &mut [u8], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The key of a record: its group, a slash, its number.
pub(crate) fn key(index: u64) -> Key {
    let mut key = [b'/'; KEY];
    decimal(&mut key[..PREFIX - 1], index / GROUP);
    decimal(&mut key[PREFIX..], index);
    key
}

/// A key that is nobody's, in the middle of those that are.
pub(crate) fn missing(index: u64) -> Key {
    let mut key = key(index);
    key[KEY - 1] = b'x';
    key
}

/// The record of a key; None if it is nobody's.
pub(crate) fn index_of(key: &[u8]) -> Option<u64> {
    let digits = key.get(PREFIX..KEY)?;
    digits
        .iter()
        .try_fold(0u64, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

/// Spreads a number over 64 bits (the finaliser of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a record's value is in one of its versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    seed: u64,
    length: usize,
}

impl Contents {
    /// Version `version` of record `index`, `length` bytes long; a multiple of eight.
    pub(crate) fn new(index: u64, version: u32, length: usize) -> Self {
        Self { seed: mix(index.wrapping_mul(STEP) ^ (u64::from(version) << 32)), length }
    }

    fn word(self, at: usize) -> u64 {
        mix(self.seed.wrapping_add((at as u64 + 1).wrapping_mul(STEP)))
    }

    const fn words(self) -> usize {
        self.length / 8
    }

    /// Writes the value.
    pub(crate) fn fill(self, into: &mut [u8]) {
        for (at, piece) in into.chunks_exact_mut(8).enumerate() {
            piece.copy_from_slice(&self.word(at).to_le_bytes());
        }
    }

    /// The sum that [`sum`] finds over the value.
    pub(crate) fn sum(self) -> u64 {
        (0..self.words()).fold(0, |sum, at| sum.wrapping_add(self.word(at)))
    }

    /// Looks at the length and at three places of a value: what a timed read is checked by.
    pub(crate) fn glance(self, value: &[u8]) -> bool {
        let at = |place: usize| {
            value
                .get(place * 8..place * 8 + 8)
                .and_then(|piece| piece.try_into().ok())
                .is_some_and(|piece| u64::from_le_bytes(piece) == self.word(place))
        };
        let last = self.words() - 1;
        value.len() == self.length && at(0) && at(last / 2) && at(last)
    }

    /// Compares every byte.
    pub(crate) fn check(self, value: &[u8]) -> Result<()> {
        ensure!(value.len() == self.length, "{} bytes where {} were written", value.len(), self.length);
        for (at, piece) in value.chunks_exact(8).enumerate() {
            ensure!(piece == self.word(at).to_le_bytes(), "other bytes at {} than were written", at * 8);
        }
        Ok(())
    }
}

/// Adds up a value, so that every byte of it was read.
pub(crate) fn sum(value: &[u8]) -> u64 {
    value.chunks_exact(8).fold(0, |sum, piece| {
        let mut word = [0; 8];
        word.copy_from_slice(piece);
        sum.wrapping_add(u64::from_le_bytes(word))
    })
}

/// A generator that gives the same numbers for the same seed (SplitMix64, Steele et al. 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// One for each seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `limit`, which is at least 1.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }

    /// A number from 0 up to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Puts the items into a random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

/// Ranks as Zipf's law has them (Gray et al., "Quickly generating billion-record synthetic databases",
/// 1994, with YCSB's exponent of 0.99): rank 0 is the most popular.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    items: u64,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

impl Zipf {
    const THETA: f64 = 0.99;

    /// Ranks below `items`.
    pub(crate) fn new(items: u64) -> Self {
        let zeta = |n: u64| (1..=n).map(|rank| (rank as f64).powf(-Self::THETA)).sum::<f64>();
        let all = zeta(items);
        let eta = (1.0 - (2.0 / items as f64).powf(1.0 - Self::THETA)) / (1.0 - zeta(2) / all);
        Self { items, zeta: all, alpha: 1.0 / (1.0 - Self::THETA), eta }
    }

    /// The next rank.
    pub(crate) fn rank(&self, random: &mut Random) -> u64 {
        let unit = random.unit();
        let scaled = unit * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5f64.powf(Self::THETA) {
            return 1.min(self.items - 1);
        }
        let rank = self.items as f64 * (self.eta * unit - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.items - 1)
    }

    /// The next record: the popular ones lie anywhere.
    pub(crate) fn scattered(&self, random: &mut Random) -> u64 {
        mix(self.rank(random).wrapping_add(STEP)) % self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_records_do_and_lead_back() {
        let numbers = [0, 1, 9, 10, 99, 100, 101, 12_345, 9_999_999];
        let keys: Vec<Key> = numbers.iter().map(|&index| key(index)).collect();
        assert!(keys.is_sorted());
        assert_eq!(&keys[7], b"000123/000012345");
        for (key, index) in keys.iter().zip(numbers) {
            assert_eq!(index_of(key), Some(index));
        }
        assert_eq!(index_of(&missing(7)), None);
        assert!(key(12_340) < missing(12_340) && missing(12_340) < key(12_350));
    }

    #[test]
    fn a_value_is_known_by_its_sum_by_a_glance_and_by_every_byte() {
        let contents = Contents::new(7, 3, 4096);
        let mut value = vec![0; 4096];
        contents.fill(&mut value);
        assert_eq!(sum(&value), contents.sum());
        assert!(contents.glance(&value) && contents.check(&value).is_ok());
        assert!(!Contents::new(7, 4, 4096).glance(&value) && !Contents::new(8, 3, 4096).glance(&value));
        assert!(!contents.glance(&value[..4088]));
        value[4000] ^= 1;
        assert!(contents.check(&value).is_err() && sum(&value) != contents.sum());
    }

    #[test]
    fn zipf_prefers_the_first_ranks_and_reaches_the_others() {
        let (zipf, mut random) = (Zipf::new(1000), Random::new(1));
        let ranks: Vec<u64> = (0..20_000).map(|_| zipf.rank(&mut random)).collect();
        let share = |below: u64| ranks.iter().filter(|&&rank| rank < below).count() as f64 / 20_000.0;
        assert!((0.10..0.17).contains(&share(1)), "the first has {}", share(1));
        assert!((0.60..0.80).contains(&share(100)), "the first hundred have {}", share(100));
        assert!(ranks.iter().any(|&rank| rank > 900) && ranks.iter().all(|&rank| rank < 1000));
    }

    #[test]
    fn a_shuffle_loses_nothing() {
        let mut items: Vec<u64> = (0..500).collect();
        Random::new(3).shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert!(items.iter().copied().eq(0..500));
    }
}
