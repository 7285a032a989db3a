//! A device that counts what is asked of it and, if told so, reads every write back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blockyard::Device;

/// What was asked of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Writes.
    pub writes: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Syncs.
    pub syncs: u64,
    /// Growths.
    pub growths: u64,
    /// Bytes read back.
    pub read_back: u64,
}

#[derive(Debug, Default)]
struct Counters {
    writes: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    growths: AtomicU64,
    read_back: AtomicU64,
}

/// The counts of a device, kept by who made it.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Counters>);

impl Watch {
    /// What was asked of the device so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let counters = &self.0;
        Counts {
            writes: counters.writes.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            syncs: counters.syncs.load(Ordering::Relaxed),
            growths: counters.growths.load(Ordering::Relaxed),
            read_back: counters.read_back.load(Ordering::Relaxed),
        }
    }
}

impl Counts {
    /// What was asked since `before`.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            writes: self.writes - before.writes,
            bytes: self.bytes - before.bytes,
            syncs: self.syncs - before.syncs,
            growths: self.growths - before.growths,
            read_back: self.read_back - before.read_back,
        }
    }
}

/// Device `D`, watched.
#[derive(Debug)]
pub struct Watched<D> {
    device: D,
    watch: Watch,
    read_back: bool,
}

impl<D: Device> Watched<D> {
    /// The device, whose every write is read again and compared if `read_back` says so.
    pub const fn new(device: D, watch: Watch, read_back: bool) -> Self {
        Self { device, watch, read_back }
    }

    /// Reads what was just written into fresh memory and compares.
    fn compare(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut found = vec![0; data.len()];
        self.device.read_at(offset, &mut found)?;
        self.watch.0.read_back.fetch_add(data.len() as u64, Ordering::Relaxed);
        if found == data { Ok(()) } else { Err(io::Error::other("what was written reads otherwise")) }
    }
}

impl<D: Device> Device for Watched<D> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.device.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.watch.0.writes.fetch_add(1, Ordering::Relaxed);
        self.watch.0.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.device.write_at(offset, data)?;
        if self.read_back { self.compare(offset, data) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        self.watch.0.syncs.fetch_add(1, Ordering::Relaxed);
        self.device.sync()
    }

    fn length(&self) -> io::Result<u64> {
        self.device.length()
    }

    fn grow(&self, length: u64) -> io::Result<()> {
        self.watch.0.growths.fetch_add(1, Ordering::Relaxed);
        self.device.grow(length)
    }

    fn atomic_unit(&self) -> u32 {
        self.device.atomic_unit()
    }

    fn reads_come_from_medium(&self) -> bool {
        self.device.reads_come_from_medium()
    }

    fn start_sync(&self) {
        self.device.start_sync();
    }

    fn will_need(&self, offset: u64, length: u64) {
        self.device.will_need(offset, length);
    }

    fn forget(&self, offset: u64, length: u64) {
        self.device.forget(offset, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockyard::{MemoryDevice, OpenOptions};

    /// Memory in which one write went wrong without a word.
    #[derive(Debug)]
    struct Crooked(MemoryDevice);

    impl Device for Crooked {
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            self.0.read_at(offset, buf)?;
            buf[0] ^= 1;
            Ok(())
        }
        fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.write_at(offset, data)
        }
        fn sync(&self) -> io::Result<()> {
            self.0.sync()
        }
        fn length(&self) -> io::Result<u64> {
            self.0.length()
        }
        fn grow(&self, length: u64) -> io::Result<()> {
            self.0.grow(length)
        }
        fn atomic_unit(&self) -> u32 {
            self.0.atomic_unit()
        }
    }

    #[test]
    fn what_the_engine_asks_for_is_counted() {
        let watch = Watch::default();
        let device = Watched::new(MemoryDevice::new(), watch.clone(), true);
        let store = OpenOptions::new().create_new(true).open_device(device).expect("a store");
        let figures = || store.stats().map(|it| [it.syncs, it.writes, it.bytes_written]).expect("figures");
        let (base, start) = (watch.counts(), figures());
        for round in 0..20 {
            store.put("name", [round; 300]).expect("a put");
        }
        // The store's own thread may write at any moment: its figures before ours and after them.
        let before = figures();
        let counts = watch.counts().since(base);
        let after = figures();
        for (at, count) in [counts.syncs, counts.writes, counts.bytes].into_iter().enumerate() {
            let range = before[at] - start[at]..=after[at] - start[at];
            assert!(range.contains(&count) && count >= 20, "{count} of {range:?}");
        }
        assert_eq!(counts.read_back, counts.bytes);
    }

    #[test]
    fn what_reads_otherwise_than_it_was_written_fails() {
        let memory = MemoryDevice::from(vec![0; 4096]);
        let crooked = Watched::new(Crooked(memory.clone()), Watch::default(), true);
        assert!(crooked.write_at(0, &[7; 512]).is_err());
        let trusting = Watched::new(Crooked(memory), Watch::default(), false);
        assert!(trusting.write_at(0, &[7; 512]).is_ok());
    }
}
