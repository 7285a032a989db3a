//! One block far larger than memory should have to be, streamed in and out.

use std::io::Read;

use anyhow::{Result, ensure};

use super::{RAW, Series, Unit, Workload};
use crate::data::{Contents, sum};
use crate::engines::{Kind, PIECE};
use crate::turn::Turn;

/// A long block in and out.
pub(super) struct Streams;

/// The block: one piece over and over, each with its number in front.
struct Source {
    piece: Vec<u8>,
    at: u64,
}

impl Source {
    fn new() -> Self {
        let mut piece = vec![0; PIECE];
        Contents::new(1, 1, PIECE).fill(&mut piece);
        Self { piece, at: 0 }
    }

    /// The sum over the first `length` bytes, whole pieces.
    fn sum(&self, length: u64) -> u64 {
        let rest = sum(&self.piece[8..]);
        (0..length / PIECE as u64).fold(0, |total, number| total.wrapping_add(rest).wrapping_add(number + 1))
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let (number, start) = (self.at / PIECE as u64, (self.at % PIECE as u64) as usize);
        self.piece[..8].copy_from_slice(&(number + 1).to_le_bytes());
        let now = into.len().min(PIECE - start);
        into[..now].copy_from_slice(&self.piece[start..start + now]);
        self.at += now as u64;
        Ok(now)
    }
}

impl Workload for Streams {
    fn name(&self) -> &'static str {
        "stream"
    }

    fn series(&self) -> &'static [Series] {
        const {
            &[
                Series::new("a long block streamed in, durable", Unit::Bandwidth, RAW),
                Series::new("a long block streamed out", Unit::Bandwidth, RAW),
            ]
        }
    }

    fn applies(&self, kind: &Kind) -> bool {
        kind.name != "raw-two-syncs"
    }

    fn heavy(&self) -> bool {
        true
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        let length = turn.amounts.stream_bytes;
        let mut source = Source::new();
        let expected = source.sum(length);
        let mut session = turn.slot.engine()?.session()?;
        let (clock, mebibytes) = (&mut turn.clock, length >> 20);
        clock.time(0, mebibytes, || session.stream_in(0, length, &mut source))?;
        let (mut bytes, mut total) = (0, 0u64);
        clock.time(1, mebibytes, || {
            session.stream_out(0, length, &mut |piece| {
                bytes += piece.len() as u64;
                total = total.wrapping_add(sum(piece));
            })
        })?;
        ensure!((bytes, total) == (length, expected), "{bytes} bytes of {length} came back, or others");
        session.unstream(0, length)
    }
}
