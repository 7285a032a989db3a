//! A device that looks at what the store asks of it.
//!
//! 1. Reads and writes begin and end at units and lie inside the device.
//! 2. Nothing is written while only reading is allowed.
//! 3. Bytes that the newest durable superblock leads to are never changed.

use blockyard_core::device::{BlockDevice, MemoryError};
use blockyard_core::format::{SLOT_STRIDE, SLOTS};
use std::cell::RefCell;
use std::rc::Rc;

#[derive(Debug)]
struct Inner {
    bytes: Vec<u8>,
    unit: u32,
    limit: u64,
    read_only: bool,
    /// Byte ranges that are in use, and the generation whose they are.
    guarded: Vec<(usize, usize)>,
    generation: u64,
    /// A newer superblock was written and not yet synced.
    succeeded: bool,
}

/// A handle: what the store owns can be looked at from beside it.
#[derive(Clone, Debug)]
pub(crate) struct Watched(Rc<RefCell<Inner>>);

impl Watched {
    pub(crate) fn new(unit: u32, length: usize, limit: u64) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            bytes: vec![0x5A; length],
            unit,
            limit,
            read_only: false,
            guarded: Vec::new(),
            generation: 0,
            succeeded: false,
        })))
    }

    pub(crate) fn forbid_writes(&self, read_only: bool) {
        self.0.borrow_mut().read_only = read_only;
    }

    pub(crate) fn set_unit(&self, unit: u32) {
        self.0.borrow_mut().unit = unit;
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.borrow().bytes.clone()
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.borrow().bytes.len() as u64
    }

    pub(crate) fn page(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        self.0.borrow().bytes.get(offset as usize..offset as usize + length).map(<[u8]>::to_vec)
    }

    pub(crate) fn guards(&self, generation: u64) -> bool {
        self.0.borrow().generation == generation
    }

    /// From here on these ranges may not change before a superblock of a newer generation is synced.
    pub(crate) fn guard(&self, generation: u64, ranges: Vec<(usize, usize)>) {
        let mut inner = self.0.borrow_mut();
        (inner.generation, inner.guarded, inner.succeeded) = (generation, ranges, false);
    }
}

impl Inner {
    fn check(&self, offset: u64, length: usize) -> Result<core::ops::Range<usize>, MemoryError> {
        let unit = u64::from(self.unit);
        assert!(
            offset.is_multiple_of(unit) && (length as u64).is_multiple_of(unit),
            "{length} bytes at {offset}"
        );
        let range = offset as usize..offset as usize + length;
        assert!(range.end <= self.bytes.len(), "{range:?} lies beyond {}", self.bytes.len());
        Ok(range)
    }
}

impl BlockDevice for Watched {
    type Error = MemoryError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        let inner = self.0.borrow();
        let range = inner.check(offset, buf.len())?;
        buf.copy_from_slice(&inner.bytes[range]);
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        let inner = &mut *self.0.borrow_mut();
        let range = inner.check(offset, data.len())?;
        assert!(!inner.read_only, "a write at {offset} although only reading is allowed");
        if offset < SLOT_STRIDE * u64::from(SLOTS) {
            // The generation follows magic, version, slot and identity.
            let generation = data.get(32..40).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
            inner.succeeded |= generation.is_some_and(|generation| generation > inner.generation);
        }
        for &(start, end) in &inner.guarded {
            let (from, to) = (start.max(range.start), end.min(range.end));
            let same = from >= to || inner.bytes[from..to] == data[from - range.start..to - range.start];
            assert!(same, "bytes {from} to {to}, which the durable superblock leads to, are overwritten");
        }
        inner.bytes[range].copy_from_slice(data);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), MemoryError> {
        let mut inner = self.0.borrow_mut();
        if inner.succeeded {
            inner.guarded.clear();
        }
        Ok(())
    }

    fn length(&mut self) -> Result<u64, MemoryError> {
        Ok(self.len())
    }

    fn grow(&mut self, length: u64) -> Result<(), MemoryError> {
        let mut inner = self.0.borrow_mut();
        assert!(!inner.read_only, "the device grows although only reading is allowed");
        if length > inner.limit {
            return Err(MemoryError::Full);
        }
        let old = inner.bytes.len();
        // New bytes read as anything.
        inner.bytes.resize(old.max(length as usize), 0xC3);
        Ok(())
    }

    fn atomic_unit(&self) -> u32 {
        self.0.borrow().unit
    }
}
