//! How often each unit of a device is written in 100,000 commits, each durable, of one small record: for
//! devices that do not level themselves. `cargo xtask mcu` reads the lines.

use std::error::Error;

use blockyard_core::device::{BlockDevice, MemoryDevice, MemoryError};
use blockyard_core::overlay::FixedOverlay;
use blockyard_core::store::{CreateOptions, Memory, OpenOptions};
use blockyard_core::{Batch, Durability, Store};

const COMMITS: u32 = 100_000;
/// Names whose values change by turns.
const NAMES: u32 = 32;
const DEVICE: usize = 1 << 20;
const SLOT: usize = 4096;

/// A device that counts how often each of its units is written: of a NOR flash, how often it is erased.
struct Worn {
    inner: MemoryDevice<Vec<u8>>,
    unit: usize,
    writes: Vec<u32>,
}

impl BlockDevice for Worn {
    type Error = MemoryError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        self.inner.read(offset, buf)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        let first = offset as usize / self.unit;
        let units = self.writes.iter_mut().skip(first).take(data.len() / self.unit);
        units.for_each(|writes| *writes += 1);
        self.inner.write(offset, data)
    }

    fn sync(&mut self) -> Result<(), MemoryError> {
        self.inner.sync()
    }

    fn length(&mut self) -> Result<u64, MemoryError> {
        self.inner.length()
    }

    fn grow(&mut self, length: u64) -> Result<(), MemoryError> {
        self.inner.grow(length)
    }

    fn atomic_unit(&self) -> u32 {
        self.inner.atomic_unit()
    }
}

/// Most and mean writes of a zone's units, and the standard deviation in percent of the mean.
fn spread(writes: &[u32]) -> (u32, f64, f64) {
    let most = writes.iter().copied().max().unwrap_or(0);
    let count = writes.len().max(1) as f64;
    let mean = writes.iter().map(|&writes| f64::from(writes)).sum::<f64>() / count;
    let variance = writes.iter().map(|&writes| (f64::from(writes) - mean).powi(2)).sum::<f64>() / count;
    (most, mean, 100.0 * variance.sqrt() / mean.max(1.0))
}

/// Commits to a device of such units with a journal of so many of them.
fn wear<const CHANGES: usize>(what: &str, unit: usize, journal: usize) -> Result<(), Box<dyn Error>> {
    let device =
        Worn { inner: MemoryDevice::new(vec![0; DEVICE], unit as u32), unit, writes: vec![0; DEVICE / unit] };
    let create = CreateOptions {
        page_size: unit as u32,
        journal_length: (journal * unit) as u64,
        chunk_size: unit as u32,
        file_id: [5; 16],
    };
    let options = OpenOptions { carry_max: 2048, ..OpenOptions::new(Memory::TINY) };
    let (pending, buffer) = (FixedOverlay::<CHANGES, 16>::new(), vec![0; Memory::TINY.bytes(unit)]);
    let mut store = Store::create(device, pending, buffer, &create, &options)?;
    let mut batch: Batch<heapless::Vec<u8, 256>, heapless::Vec<u8, 0>> =
        Batch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
    for commit in 0..COMMITS {
        batch.clear();
        let name = format!("value/{:02}", commit.wrapping_mul(7) % NAMES);
        batch.put(name.as_bytes(), &[commit as u8; 12], 0)?;
        store.commit(std::slice::from_mut(&mut batch), Durability::Durable)?;
    }
    let (checkpoints, group) = (store.counters().checkpoints, store.geometry().first_group() as usize);
    let journal_at = store.geometry().journal_offset() as usize / unit;
    println!("device={what} changes={CHANGES} checkpoints={checkpoints}");
    let writes = &store.device().writes;
    // With one map page its two slots are the first pages of the group.
    let slots: Vec<u32> = writes.iter().copied().step_by(SLOT.div_ceil(unit)).take(4).collect();
    let zones = [
        ("superblock", &slots[..]),
        ("journal", &writes[journal_at..group]),
        ("free-map", &writes[group..group + 2]),
        ("other-pages", &writes[group + 2..]),
    ];
    for (zone, writes) in zones {
        let (most, mean, deviation) = spread(writes);
        println!("zone={zone} units={} most={most} mean={mean:.0} deviation={deviation:.0}", writes.len());
        let bound = match zone {
            // Each slot and each of the map's is written at every other checkpoint.
            "superblock" | "free-map" => checkpoints as f64 / 2.0 + 4.0,
            "journal" => 1.1 * mean + 4.0,
            _ => 2.0 * mean + 4.0,
        };
        assert!(f64::from(most) <= bound, "{what}, {zone}: {most} writes, at most {bound:.0} were expected");
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    wear::<12>("card,sectors-of-512,journal-of-32", 512, 32)?;
    wear::<12>("NOR,blocks-of-4096,journal-of-8", 4096, 8)?;
    wear::<64>("NOR,blocks-of-4096,journal-of-64", 4096, 64)
}
