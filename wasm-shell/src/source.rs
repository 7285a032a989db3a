//! Where reads get their bytes: the cache, then the device, verified.
//!
//! Cached bytes are keyed by page and by the digest that their parent expects, so a page that was freed
//! and written anew is another key, and nothing is ever invalidated.

use crate::device::{Device, Fault};
use blockyard_core::tree::{Child, NodeSource, NodeView};
use blockyard_core::{BlockDevice, Damage, Digest, Geometry, PageIndex, ReadError, Structure};
use std::ops::Deref;
use std::rc::Rc;

type Key = (u64, u128);
type Result<T> = std::result::Result<T, ReadError<Fault>>;

/// Extents longer than this are not cached: their cost is the bytes, not the call.
const LONGEST: usize = 32 << 10;

fn key(page: PageIndex, digest: &Digest) -> Key {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = digest.0;
    (page.0, u128::from_le_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]))
}

fn too_large(length: u64) -> ReadError<Fault> {
    ReadError::Device(Fault::too_large(length))
}

/// A place of the cache.
#[derive(Clone, Debug)]
struct Kept {
    key: Key,
    bytes: Rc<[u8]>,
    used: bool,
}

/// Places among which a page may choose.
const WAYS: usize = 4;

/// Verified bytes that were used lately: second chance, in sets of a few places, within a limit of bytes.
#[derive(Debug)]
struct Cache {
    places: Vec<Option<Kept>>,
    hand: usize,
    bytes: usize,
    limit: usize,
}

impl Cache {
    fn new(limit: usize, page_size: usize) -> Self {
        let sets = (limit / page_size / WAYS).max(1);
        Self { places: vec![None; sets * WAYS], hand: 0, bytes: 0, limit }
    }

    fn set(&mut self, key: &Key) -> &mut [Option<Kept>] {
        let start = key.0 as usize % (self.places.len() / WAYS) * WAYS;
        &mut self.places[start..start + WAYS]
    }

    fn get(&mut self, key: &Key) -> Option<Rc<[u8]>> {
        let kept = self.set(key).iter_mut().flatten().find(|kept| kept.key == *key)?;
        kept.used = true;
        Some(Rc::clone(&kept.bytes))
    }

    fn insert(&mut self, key: Key, bytes: &Rc<[u8]>) {
        let set = self.set(&key);
        let same = set.iter().position(|place| place.as_ref().is_some_and(|kept| kept.key == key));
        let place = same.or_else(|| set.iter().position(Option::is_none)).or_else(|| {
            let unused = set.iter().position(|place| place.as_ref().is_some_and(|kept| !kept.used));
            set.iter_mut().flatten().for_each(|kept| kept.used = false);
            unused
        });
        let old = set[place.unwrap_or(0)].replace(Kept { key, bytes: Rc::clone(bytes), used: true });
        self.bytes += bytes.len();
        self.bytes -= old.map_or(0, |old| old.bytes.len());
        while self.bytes > self.limit {
            self.hand = (self.hand + 1) % self.places.len();
            let place = &mut self.places[self.hand];
            match place {
                Some(kept) if kept.used => kept.used = false,
                Some(_) => self.bytes -= place.take().map_or(0, |kept| kept.bytes.len()),
                None => {}
            }
        }
    }
}

/// Verified bytes of a device.
#[derive(Debug)]
pub(crate) struct Source {
    device: Device,
    pub(crate) geometry: Geometry,
    cache: Cache,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

impl Source {
    pub(crate) fn new(device: Device, geometry: Geometry, limit: usize) -> Self {
        let cache = Cache::new(limit, geometry.page_size());
        Self { device, geometry, cache, hits: 0, misses: 0 }
    }

    pub(crate) fn damage(&self, page: PageIndex, what: Structure) -> ReadError<Fault> {
        ReadError::Corrupted(Damage { what, offset: self.geometry.offset(page.0) })
    }

    /// Refuses what no file of this length can hold, before memory is set aside for it.
    pub(crate) fn plausible(&mut self, page: PageIndex, length: u64) -> Result<usize> {
        let whole = self.device.length().map_err(ReadError::Device)?;
        let damage = self.damage(page, Structure::Registry);
        if length > whole { Err(damage) } else { usize::try_from(length).map_err(|_| too_large(length)) }
    }

    /// Memory for so many bytes of the file. More than can be had is refused: it would end the module.
    pub(crate) fn room(&mut self, page: PageIndex, length: u64) -> Result<Vec<u8>> {
        let whole = self.plausible(page, length)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(whole).map_err(|_| too_large(length))?;
        bytes.resize(whole, 0);
        Ok(bytes)
    }

    fn read(&mut self, page: PageIndex, into: &mut [u8], what: Structure) -> Result<()> {
        let offset = self.geometry.offset(page.0);
        let end = offset.saturating_add(into.len() as u64);
        if end > self.device.length().map_err(ReadError::Device)? {
            return Err(self.damage(page, what));
        }
        self.misses += 1;
        self.device.read(offset, into).map_err(ReadError::Device)
    }

    /// Keeps a value that was written just now for who reads it next, for its digest is known.
    pub(crate) fn keep(&mut self, page: PageIndex, digest: &Digest, value: &[u8]) {
        if value.len() <= LONGEST {
            self.cache.insert(key(page, digest), &Rc::from(value));
        }
    }

    /// Whether so many bytes leave room in the cache for what others read.
    pub(crate) const fn has_room_for(&self, bytes: usize) -> bool {
        bytes <= self.cache.limit / 2
    }

    /// Reads an extent and compares its digest.
    pub(crate) fn extent(&mut self, page: PageIndex, digest: &Digest, into: &mut [u8]) -> Result<()> {
        let key = key(page, digest);
        if let Some(bytes) = self.cache.get(&key).filter(|bytes| bytes.len() == into.len()) {
            self.hits += 1;
            into.copy_from_slice(&bytes);
            return Ok(());
        }
        self.read(page, into, Structure::Block)?;
        if Digest::of(into) != *digest {
            return Err(self.damage(page, Structure::Block));
        }
        if into.len() <= LONGEST {
            self.cache.insert(key, &Rc::from(&*into));
        }
        Ok(())
    }
}

/// A page of the registry, verified, shared with the cache.
#[derive(Clone, Debug)]
pub(crate) struct NodePage(pub(crate) Rc<[u8]>);

impl Deref for NodePage {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl NodeSource for Source {
    type Error = ReadError<Fault>;
    type Page<'a> = NodePage;

    fn node(&mut self, child: Child, level: u32) -> Result<NodePage> {
        let key = key(child.page, &child.digest);
        if let Some(bytes) = self.cache.get(&key) {
            self.hits += 1;
            // The level was compared when the page was read; a parent that points across levels is
            // caught here.
            let fits = NodeView::parse(&bytes).is_some_and(|node| node.level() == level);
            return if fits {
                Ok(NodePage(bytes))
            } else {
                Err(self.damage(child.page, Structure::Registry))
            };
        }
        let mut bytes = vec![0; self.geometry.page_size()];
        self.read(child.page, &mut bytes, Structure::Registry)?;
        if NodeView::verified(&bytes, &child.digest, level).is_none() {
            return Err(self.damage(child.page, Structure::Registry));
        }
        let bytes = Rc::from(bytes);
        self.cache.insert(key, &bytes);
        Ok(NodePage(bytes))
    }

    fn damaged(&mut self, page: PageIndex) -> ReadError<Fault> {
        self.damage(page, Structure::Registry)
    }
}
