//! Where reads get their bytes: the cache, then the device, verified.
//!
//! Cached bytes are keyed by page and by the digest that their parent expects, so a page that was
//! freed and written anew is another key, and stale bytes are never met.

use crate::device::{Device, IoError};
use blockyard_core::tree::{Child, NodeSource, NodeView};
use blockyard_core::{Damage, Digest, Geometry, PageIndex, ReadError, Structure};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A page and half of a digest: as hard to find two contents for as anybody can ask of a cache.
type Key = (u64, u128);
type SourceError = ReadError<IoError>;

#[derive(Clone, Debug)]
struct ByLength;

impl Weighter<Key, Arc<[u8]>> for ByLength {
    fn weight(&self, _key: &Key, bytes: &Arc<[u8]>) -> u64 {
        bytes.len() as u64 + 64
    }
}

/// Verified bytes of a device.
#[derive(Debug)]
pub(crate) struct Source {
    device: Arc<dyn Device>,
    geometry: Geometry,
    cache: Cache<Key, Arc<[u8]>, ByLength>,
    largest: u64,
    pub(crate) reads: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
}

fn device(error: std::io::Error) -> SourceError {
    ReadError::Device(error.into())
}

fn key(page: PageIndex, digest: &Digest) -> Key {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = digest.0;
    (page.0, u128::from_le_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]))
}

impl Source {
    pub(crate) fn new(device: Arc<dyn Device>, geometry: Geometry, cache_bytes: usize) -> Self {
        let items = (cache_bytes / geometry.page_size()).max(16);
        let cache = Cache::with_weighter(items, cache_bytes as u64, ByLength);
        let largest = cache_bytes as u64 / 8;
        Self { device, geometry, cache, largest, reads: AtomicU64::new(0), bytes_read: AtomicU64::new(0) }
    }

    /// Cache hits and misses so far.
    pub(crate) fn hits_and_misses(&self) -> (u64, u64) {
        (self.cache.hits(), self.cache.misses())
    }

    /// Bytes in the cache.
    pub(crate) fn cached_bytes(&self) -> u64 {
        self.cache.weight()
    }

    fn read(&self, page: PageIndex, into: &mut [u8]) -> Result<(), SourceError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes_read.fetch_add(into.len() as u64, Ordering::Relaxed);
        let offset = self.geometry.offset(page.0);
        let beyond = i64::try_from(offset.saturating_add(into.len() as u64)).is_err();
        let read = if beyond { Err(None) } else { self.device.read_at(offset, into).map_err(Some) };
        read.map_err(|error| match error {
            // A pointer past the end of the file is damage, not a failing disk.
            Some(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
                ReadError::Device(error.into())
            }
            _ => self.damage(page, Structure::Block),
        })
    }

    fn damage(&self, page: PageIndex, what: Structure) -> SourceError {
        ReadError::Corrupted(Damage { what, offset: self.geometry.offset(page.0) })
    }

    /// The bytes of an extent, from the cache if they are there.
    pub(crate) fn extent(
        &self,
        page: PageIndex,
        length: u64,
        digest: &Digest,
    ) -> Result<Arc<[u8]>, SourceError> {
        let key = key(page, digest);
        if let Some(bytes) = self.cache.get(&key).filter(|bytes| bytes.len() as u64 == length) {
            return Ok(bytes);
        }
        let bytes = self.fresh(page, length, digest)?;
        if length <= self.largest {
            self.cache.insert(key, Arc::clone(&bytes));
        }
        Ok(bytes)
    }

    /// The bytes of an extent as the file has them now.
    fn fresh(&self, page: PageIndex, length: u64, digest: &Digest) -> Result<Arc<[u8]>, SourceError> {
        let length = self.plausible(page, length)?;
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, length).collect();
        if let Some(into) = Arc::get_mut(&mut bytes) {
            self.read(page, into)?;
        }
        if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(self.damage(page, Structure::Block)) }
    }

    /// Reads what was committed at the journal position `at` from the medium, as far as the operating
    /// system can be told to, and compares it.
    pub(crate) fn check_journal(&self, at: u64, bytes: &[u8]) -> Result<(), SourceError> {
        let length = self.geometry.journal_length();
        let start = at % length;
        let (head, rest) = bytes.split_at(bytes.len().min((length - start) as usize));
        let mut found = vec![0; head.len().max(rest.len())];
        for (offset, part) in [(start, head), (0, rest)] {
            let offset = self.geometry.journal_offset() + offset;
            let found = &mut found[..part.len()];
            self.device.forget(offset, part.len() as u64);
            self.device.read_at(offset, found).map_err(device)?;
            if found != part {
                return Err(ReadError::Corrupted(Damage { what: Structure::Journal, offset }));
            }
        }
        Ok(())
    }

    /// The error for a page or a record that cannot be what it says.
    pub(crate) fn implausible(&self, page: PageIndex) -> SourceError {
        self.damage(page, Structure::Registry)
    }

    /// Refuses lengths that no extent of this file can have, before memory is set aside for them.
    pub(crate) fn plausible(&self, page: PageIndex, length: u64) -> Result<usize, SourceError> {
        if length > u64::from(self.geometry.chunk_size()) {
            return Err(self.damage(page, Structure::Registry));
        }
        self.fits_in_file(page, length)
    }

    /// Refuses lengths that are longer than the file.
    pub(crate) fn fits_in_file(&self, page: PageIndex, length: u64) -> Result<usize, SourceError> {
        // Asking for the file's length is worth it only where much memory is at stake.
        if length > 64 << 10 && length > self.device.length().map_err(device)? {
            return Err(self.damage(page, Structure::Registry));
        }
        usize::try_from(length).map_err(|_| self.damage(page, Structure::Registry))
    }

    /// Reads an extent into the caller's buffer; takes it from the cache or leaves it there.
    pub(crate) fn extent_into(
        &self,
        page: PageIndex,
        digest: &Digest,
        into: &mut [u8],
    ) -> Result<(), SourceError> {
        let key = key(page, digest);
        if let Some(bytes) = self.cache.get(&key).filter(|bytes| bytes.len() == into.len()) {
            into.copy_from_slice(&bytes);
            return Ok(());
        }
        self.read(page, into)?;
        if Digest::of(into) != *digest {
            return Err(self.damage(page, Structure::Block));
        }
        if into.len() as u64 <= self.largest.min(64 << 10) {
            self.cache.insert(key, Arc::from(&*into));
        }
        Ok(())
    }

    /// Reads an extent from the medium, as far as the operating system can be told to, and compares
    /// its digest.
    pub(crate) fn check(&self, page: PageIndex, length: u64, digest: &Digest) -> Result<(), SourceError> {
        self.device.forget(self.geometry.offset(page.0), length);
        self.fresh(page, length, digest).map(drop)
    }

    /// Announces that `pages` pages from `page` on will be read.
    pub(crate) fn will_need(&self, page: PageIndex, pages: u64) {
        self.device.will_need(self.geometry.offset(page.0), self.geometry.offset(pages));
    }
}

/// A page of the registry, verified, shared with the cache.
#[derive(Clone, Debug)]
pub(crate) struct NodePage(pub(crate) Arc<[u8]>);

impl std::ops::Deref for NodePage {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl NodeSource for &Source {
    type Error = IoError;
    type Page<'a>
        = NodePage
    where
        Self: 'a;

    fn node(&mut self, child: Child, level: u32) -> Result<NodePage, SourceError> {
        let key = key(child.page, &child.digest);
        if let Some(bytes) = self.cache.get(&key) {
            // The level was compared when the page was read; a parent that points across levels is
            // caught here.
            let fits = NodeView::parse(&bytes).is_some_and(|node| node.level() == level);
            return if fits {
                Ok(NodePage(bytes))
            } else {
                Err(self.damage(child.page, Structure::Registry))
            };
        }
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, self.geometry.page_size()).collect();
        if let Some(into) = Arc::get_mut(&mut bytes) {
            self.read(child.page, into).map_err(|error| match error {
                ReadError::Corrupted(_) => self.damage(child.page, Structure::Registry),
                error => error,
            })?;
        }
        if NodeView::verified(&bytes, &child.digest, level).is_none() {
            return Err(self.damage(child.page, Structure::Registry));
        }
        self.cache.insert(key, Arc::clone(&bytes));
        Ok(NodePage(bytes))
    }

    fn offset(&self, page: PageIndex) -> u64 {
        self.geometry.offset(page.0)
    }
}
