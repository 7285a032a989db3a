//! Decisions drawn from the fuzzer's bytes.
//!
//! Whatever the bytes, a decision comes out; when they are used up every decision is 0. Each takes as few
//! bytes as it can, so that a byte that the fuzzer changes changes something.

/// Numbers at which counters, lengths and places break.
const EXTREMES: [u64; 18] = [
    0,
    1,
    2,
    7,
    8,
    23,
    24,
    511,
    512,
    513,
    65_535,
    65_536,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    u64::MAX / 4 - 1,
    i64::MAX as u64,
    u64::MAX,
];

/// The bytes not used yet.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// Decisions from `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all bytes are used up.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.rest.split_first().unwrap_or((&0, &[]));
        self.rest = rest;
        *first
    }

    /// The next two bytes as a number.
    pub fn short(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    /// A number below `end`, or 0 if `end` is.
    pub fn below(&mut self, end: usize) -> usize {
        let number =
            if end <= 256 { usize::from(self.byte()) } else { self.short() | usize::from(self.byte()) << 16 };
        number.checked_rem(end).unwrap_or(0)
    }

    /// One of `choices`.
    pub fn pick<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[usize::from(self.byte()) % N]
    }

    /// A number of any size; small ones, and those at which things break, are as likely as all others.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            kind @ 0..128 => u64::from(kind),
            128..192 => self.pick(EXTREMES),
            192..224 => self.short() as u64,
            224..240 => self.take(4).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)),
            _ => self.take(8).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        }
    }

    /// The next `length` bytes, or what is left of them.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// All bytes that are left.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}
