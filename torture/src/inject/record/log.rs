//! The log that qemu's `blklogwrites` keeps, in the format of Linux's dm-log-writes: what was written where,
//! and when the device was told to make it durable, in order.
//!
//! A superblock of one sector: magic, version and number of entries (8 bytes each), bytes of a sector (4).
//! Then, for each entry, a sector that begins with four words of 8 bytes (the first sector written, the
//! number of sectors, flags, bytes of further data), and the sectors written. All numbers are little-endian.

use anyhow::{Context as _, Result, ensure};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
const FLUSH: u64 = 1;
const FUA: u64 = 2;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Bytes were written.
    Write { offset: u64, bytes: Vec<u8> },
    /// What was written before is durable.
    Sync,
}

/// Reads a whole log.
pub(super) fn parse(log: &[u8]) -> Result<Vec<Entry>> {
    let word = |at: usize| -> Result<u64> {
        let bytes = log.get(at..).and_then(|rest| rest.first_chunk()).context("the log is cut off")?;
        Ok(u64::from_le_bytes(*bytes))
    };
    ensure!(word(0)? == MAGIC && word(8)? == VERSION, "not a log of writes");
    let count = word(16)?;
    let sector = (word(24)? & u64::from(u32::MAX)) as usize;
    ensure!((512..=4096).contains(&sector), "sectors of {sector} bytes");
    let mut entries = Vec::new();
    let mut at = sector;
    for _ in 0..count {
        let (start, sectors, flags, data) =
            (word(at)?, word(at + 8)? as usize, word(at + 16)?, word(at + 24)?);
        ensure!(flags & !(FLUSH | FUA) == 0 && data == 0, "an entry of a kind that files do not need");
        at += sector;
        // A sync covers what was written before it, not what comes with it.
        if flags & FLUSH != 0 {
            entries.push(Entry::Sync);
        }
        if sectors > 0 {
            let bytes = log.get(at..at + sectors * sector).context("the log is cut off")?.to_vec();
            entries.push(Entry::Write { offset: start * sector as u64, bytes });
        }
        if flags & FUA != 0 {
            entries.push(Entry::Sync);
        }
        at += sectors * sector;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(start: u64, flags: u64, bytes: &[u8]) -> Vec<u8> {
        let mut log: Vec<u8> =
            [start, bytes.len() as u64 / 512, flags, 0].into_iter().flat_map(u64::to_le_bytes).collect();
        log.resize(512, 0);
        log.extend_from_slice(bytes);
        log
    }

    #[test]
    fn entries_come_out_in_order() {
        let mut log: Vec<u8> = [MAGIC, VERSION, 3, 512].into_iter().flat_map(u64::to_le_bytes).collect();
        log.resize(512, 0);
        log.extend(entry(3, 0, &[7; 1024]));
        log.extend(entry(0, FLUSH, &[]));
        log.extend(entry(1, FUA, &[9; 512]));
        let write = |offset, bytes: &[u8]| Entry::Write { offset, bytes: bytes.to_vec() };
        let expected = [write(1536, &[7; 1024]), Entry::Sync, write(512, &[9; 512]), Entry::Sync];
        assert_eq!(parse(&log).expect("a log"), expected);
        assert!(parse(&log[..log.len() - 1]).is_err());
        assert!(parse(&[0; 4096]).is_err());
    }
}
