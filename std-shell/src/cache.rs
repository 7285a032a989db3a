//! Verified bytes in memory: never more than a bound, found in one step by whoever was there before.
//!
//! 1. What is in a frame was compared with its digest before it came in, and does not change while it is there.
//! 2. A handle names one content of one frame for ever: the frame's version rises with every content, and a
//!    frame whose versions are used up is not used again. Whoever keeps a handle finds that content or nothing,
//!    so that nobody has to be told when something is evicted.
//! 3. Nobody waits for a frame while holding its lock or the list's: frames are filled and emptied only where
//!    that is possible at once, and those with a key, which somebody may look for under the list's lock, only by who
//!    holds it. No lock is held across I/O.
//! 4. Bytes counted are those of the contents, of what was decoded from them, and of the tables.
//!
//! What goes first is decided as in S3-FIFO (Yang et al., SOSP 2023): new contents pass through a short queue
//! and stay only if they are asked for meanwhile, so a scan over everything drives out little that is in use.

use crate::fetch::fetch;
use crate::node::Node;
use blockyard_core::{Digest, PageIndex};
use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::cell::Cell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Frames that are made at once.
const SEGMENT: usize = 128;

/// What a content costs besides its bytes and its frame: its places in a queue, in the map, and among those
/// that are gone.
const PLACE_BYTES: u64 = 64;

/// How often contents that are asked for are passed over when something has to go.
const MOST_TOUCHED: u8 = 3;

/// So close behind each other allocations lie that were made one after the other.
const NEAR: usize = 64;

/// A page and half of the digest that its parent expects: as hard to find two contents for as anybody can ask
/// of a cache. A page that was freed and written anew has another key, so stale bytes are never met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Key([u64; 3]);

impl Key {
    pub(crate) fn new(page: PageIndex, digest: &Digest) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = digest.0;
        let (first, second) = ([a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]);
        Self([page.0, u64::from_le_bytes(first), u64::from_le_bytes(second)])
    }

    /// The key of contents that are found by their handle only. No extent begins on page 0.
    const NOBODY: Self = Self([0; 3]);
}

/// One content of one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handle(u64);

impl Handle {
    /// Names nothing.
    pub(crate) const NONE: Self = Self(0);

    const fn new(frame: u32, version: u32) -> Self {
        Self((version as u64) << 32 | frame as u64)
    }

    const fn frame(self) -> usize {
        self.0 as u32 as usize
    }

    const fn version(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) const fn to_word(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_word(word: u64) -> Self {
        Self(word)
    }
}

/// A place to keep a handle in that threads share.
#[derive(Debug, Default)]
pub(crate) struct Link(AtomicU64);

impl Link {
    pub(crate) fn get(&self) -> Handle {
        Handle(self.0.load(Ordering::Relaxed))
    }

    /// What the handle names is looked at under the lock of its frame: nothing else has to be ordered.
    pub(crate) fn set(&self, handle: Handle) {
        self.0.store(handle.0, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Queue {
    #[default]
    None,
    Small,
    Main,
}

/// What is in a frame.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: Option<Arc<[u8]>>,
    node: Option<Arc<Node>>,
    key: Key,
    version: u32,
    touched: AtomicU8,
    queue: Queue,
}

impl Held {
    /// The bytes; a frame that was found by a handle has some.
    pub(crate) fn bytes(&self) -> Option<&Arc<[u8]>> {
        self.bytes.as_ref()
    }

    pub(crate) fn node(&self) -> Option<&Arc<Node>> {
        self.node.as_ref()
    }

    fn weight(&self) -> u64 {
        weight(self.bytes.as_deref(), self.node.as_deref())
    }
}

fn weight(bytes: Option<&[u8]>, node: Option<&Node>) -> u64 {
    PLACE_BYTES + bytes.map_or(0, <[u8]>::len) as u64 + node.map_or(0, Node::bytes) as u64
}

/// A frame to a cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Frame(RwLock<Held>);

const _: () = assert!(size_of::<Frame>() == 64, "a frame is one cache line");

/// A frame that cannot be emptied while this is held.
pub(crate) type Pinned<'a> = RwLockReadGuard<'a, Held>;

/// Part of what is in a frame, which stays there while this is held.
#[derive(Debug)]
pub(crate) struct Piece<'a> {
    held: Pinned<'a>,
    range: Range<usize>,
}

impl Piece<'_> {
    /// All of the frame's bytes and where the piece lies in them.
    pub(crate) fn share(&self) -> (Arc<[u8]>, Range<usize>) {
        (self.held.bytes.clone().unwrap_or_default(), self.range.clone())
    }
}

impl std::ops::Deref for Piece<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.held.bytes.as_deref().and_then(|bytes| bytes.get(self.range.clone())).unwrap_or_default()
    }
}

/// Which frames there are and in which order they go.
#[derive(Debug, Default)]
struct List {
    map: HashMap<Key, u32, RandomState>,
    free: Vec<u32>,
    /// Frames that were ever used.
    made: usize,
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    small_bytes: u64,
    bytes: u64,
    /// Hashes of keys that went before they were asked for again.
    gone: VecDeque<u64>,
    gone_set: HashSet<u64, RandomState>,
}

/// A count that each thread keeps for itself as far as there are enough of them.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe(AtomicU64);

const STRIPES: usize = 16;

thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The stripe of this thread.
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    STRIPE.with(|stripe| {
        if stripe.get() == usize::MAX {
            stripe.set(NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES);
        }
        stripe.get()
    })
}

/// The cache.
#[derive(Debug)]
pub(crate) struct Cache {
    segments: Box<[OnceLock<Box<[Frame]>>]>,
    list: Mutex<List>,
    most: u64,
    hits: [Stripe; STRIPES],
    misses: AtomicU64,
}

impl Cache {
    pub(crate) fn new(most: u64) -> Self {
        let frames = most as usize / (size_of::<Frame>() + PLACE_BYTES as usize) + SEGMENT;
        Self {
            segments: std::iter::repeat_with(OnceLock::new).take(frames.div_ceil(SEGMENT)).collect(),
            list: Mutex::default(),
            most,
            hits: Default::default(),
            misses: AtomicU64::new(0),
        }
    }

    /// Hits and misses so far. Threads that share a stripe may lose each other's hits.
    pub(crate) fn hits_and_misses(&self) -> (u64, u64) {
        let hits = self.hits.iter().map(|stripe| stripe.0.load(Ordering::Relaxed)).sum();
        (hits, self.misses.load(Ordering::Relaxed))
    }

    /// Notes that something had to be read.
    pub(crate) fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        self.list.lock().bytes
    }

    fn frame(&self, index: usize) -> Option<&Frame> {
        self.segments.get(index / SEGMENT)?.get()?.get(index % SEGMENT)
    }

    /// What a handle names, if it is still there.
    pub(crate) fn pin(&self, handle: Handle) -> Option<Pinned<'_>> {
        if handle == Handle::NONE {
            return None;
        }
        let held = self.frame(handle.frame())?.0.read();
        if held.version != handle.version() {
            return None;
        }
        let touched = held.touched.load(Ordering::Relaxed);
        if touched < MOST_TOUCHED {
            held.touched.store(touched + 1, Ordering::Relaxed);
        }
        let hits = &self.hits[stripe()].0;
        hits.store(hits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        Some(held)
    }

    /// What a handle names, if it is there and nobody is about to change it; this is not a use of it.
    fn glimpse(&self, handle: Handle) -> Option<Pinned<'_>> {
        if handle == Handle::NONE {
            return None;
        }
        let held = self.frame(handle.frame())?.0.try_read()?;
        (held.version == handle.version()).then_some(held)
    }

    /// Has the processor fetch the bytes that a handle names, unless they follow what lies before the address `behind`:
    /// there it goes on by itself. Returns the address behind them.
    pub(crate) fn fetch(&self, handle: Handle, behind: usize) -> usize {
        let held = self.glimpse(handle);
        let Some(bytes) = held.as_ref().and_then(|held| held.bytes.as_deref()) else { return 0 };
        let start = bytes.as_ptr() as usize;
        if !(behind..behind.saturating_add(NEAR)).contains(&start) {
            fetch(bytes);
        }
        start + bytes.len()
    }

    /// Has the processor fetch what was decoded from the page of the registry that a handle names.
    pub(crate) fn fetch_node(&self, handle: Handle) {
        if let Some(node) = self.glimpse(handle).as_ref().and_then(|held| held.node.as_deref()) {
            fetch(node);
        }
    }

    /// Has the processor fetch a page of the registry that a handle names, and what a walk needs of the decoded.
    pub(crate) fn fetch_page(&self, handle: Handle) {
        if let Some(held) = self.glimpse(handle)
            && let (Some(node), Some(bytes)) = (&held.node, &held.bytes)
        {
            node.fetch();
            fetch(&**bytes);
        }
    }

    /// Has the processor fetch the frame that a handle names.
    pub(crate) fn fetch_frame(&self, handle: Handle) {
        if handle != Handle::NONE
            && let Some(frame) = self.frame(handle.frame())
        {
            fetch(frame);
        }
    }

    /// Part of what a handle names, if it is still there.
    pub(crate) fn pin_piece(&self, handle: Handle, range: Range<usize>) -> Option<Piece<'_>> {
        let held = self.pin(handle)?;
        let there = held.bytes.as_ref().is_some_and(|bytes| bytes.get(range.clone()).is_some());
        there.then_some(Piece { held, range })
    }

    /// All of what a handle names, if it is still there.
    pub(crate) fn pin_whole(&self, handle: Handle) -> Option<Piece<'_>> {
        let held = self.pin(handle)?;
        let range = 0..held.bytes.as_ref()?.len();
        Some(Piece { held, range })
    }

    /// The handle of what was kept under a key.
    pub(crate) fn find(&self, key: &Key) -> Option<Handle> {
        let list = self.list.lock();
        let index = *list.map.get(key)?;
        self.handle(index)
    }

    /// Under the list's lock.
    fn handle(&self, index: u32) -> Option<Handle> {
        Some(Handle::new(index, self.frame(index as usize)?.0.read().version))
    }

    /// Keeps verified bytes, and what was decoded from them, under a key. What is kept there already stays.
    pub(crate) fn insert(&self, key: Key, bytes: Arc<[u8]>, node: Option<Arc<Node>>) -> Handle {
        let mut list = self.list.lock();
        if key != Key::NOBODY
            && let Some(&index) = list.map.get(&key)
        {
            return self.handle(index).unwrap_or(Handle::NONE);
        }
        let weight = weight(Some(&bytes), node.as_deref());
        if !self.make_room(&mut list, weight) {
            return Handle::NONE;
        }
        let hash = list.map.hasher().hash_one(key);
        let queue = if list.gone_set.remove(&hash) { Queue::Main } else { Queue::Small };
        let Some(index) =
            self.fill(&mut list, Held { bytes: Some(bytes), node, key, queue, ..Held::default() })
        else {
            return Handle::NONE;
        };
        list.bytes += weight;
        if key != Key::NOBODY {
            list.map.insert(key, index);
        }
        match queue {
            Queue::Main => list.main.push_back(index),
            _ => {
                list.small.push_back(index);
                list.small_bytes += weight;
            }
        }
        self.handle(index).unwrap_or(Handle::NONE)
    }

    /// Keeps bytes that nobody will look for by a key; in the place of what `outdated` names, for which nobody will ask any
    /// more, unless that has a key.
    pub(crate) fn insert_unnamed(&self, bytes: Arc<[u8]>, outdated: Handle) -> Handle {
        match self.replace(&bytes, outdated) {
            Some(handle) => handle,
            None => self.insert(Key::NOBODY, bytes, None),
        }
    }

    /// As [`insert_unnamed`](Self::insert_unnamed), a copy: into the memory of what is outdated, if that is as long and
    /// nobody looks at it.
    pub(crate) fn insert_copy(&self, bytes: &[u8], outdated: Handle) -> Handle {
        match self.overwrite(bytes, outdated) {
            Some(handle) => handle,
            None => self.insert_unnamed(Arc::from(bytes), outdated),
        }
    }

    fn overwrite(&self, bytes: &[u8], outdated: Handle) -> Option<Handle> {
        let mut held = self.outdated(outdated)?;
        let memory = Arc::get_mut(held.bytes.as_mut()?).filter(|memory| memory.len() == bytes.len())?;
        memory.copy_from_slice(bytes);
        held.version += 1;
        Some(Handle::new(outdated.frame() as u32, held.version))
    }

    /// The frame that a handle names, if it has no key, another version can follow and nobody looks at it.
    fn outdated(&self, handle: Handle) -> Option<RwLockWriteGuard<'_, Held>> {
        let can_go_on = |held: &Held| held.key == Key::NOBODY && held.version < u32::MAX;
        // Whoever waits for a frame with a key may hold the list.
        if !can_go_on(&*self.glimpse(handle)?) {
            return None;
        }
        let held = self.frame(handle.frame())?.0.try_write()?;
        (held.version == handle.version() && can_go_on(&held)).then_some(held)
    }

    /// Puts bytes into a frame in place of others without a key, if they fit; they keep its place in its queue.
    fn replace(&self, bytes: &Arc<[u8]>, outdated: Handle) -> Option<Handle> {
        let mut list = self.list.lock();
        let mut held = self.outdated(outdated)?;
        let (before, now) = (held.weight(), weight(Some(bytes), None));
        if list.bytes - before + now > self.most {
            return None;
        }
        list.bytes = list.bytes - before + now;
        if held.queue == Queue::Small {
            list.small_bytes = list.small_bytes - before + now;
        }
        let last = held.bytes.replace(Arc::clone(bytes));
        held.version += 1;
        let handle = Handle::new(outdated.frame() as u32, held.version);
        // Memory is given back without the locks.
        drop((held, list));
        drop(last);
        Some(handle)
    }

    /// Puts a content into a frame that is empty and that nobody looks at.
    fn fill(&self, list: &mut List, content: Held) -> Option<u32> {
        // A reader whose handle is old may hold an empty frame for a moment: another one will do.
        for at in (0..list.free.len()).rev().take(8) {
            let index = *list.free.get(at)?;
            if let Some(mut held) = self.frame(index as usize).and_then(|frame| frame.0.try_write()) {
                *held = Held { version: held.version, ..content };
                drop(held);
                list.free.swap_remove(at);
                return Some(index);
            }
        }
        let index = list.made;
        let segment = self.segments.get(index / SEGMENT)?;
        if segment.get().is_none() {
            segment.get_or_init(|| std::iter::repeat_with(Frame::default).take(SEGMENT).collect());
            list.bytes += (SEGMENT * size_of::<Frame>()) as u64;
        }
        let mut held = self.frame(index)?.0.try_write()?;
        *held = Held { version: 1, ..content };
        list.made += 1;
        u32::try_from(index).ok()
    }

    /// Lets go of contents until so many bytes fit, with a frame for them; false if they cannot.
    fn make_room(&self, list: &mut List, weight: u64) -> bool {
        let next = list.made / SEGMENT;
        let made = !list.free.is_empty() || self.segments.get(next).is_none_or(|next| next.get().is_some());
        let frames = if made { 0 } else { (SEGMENT * size_of::<Frame>()) as u64 };
        let Some(most) = self.most.checked_sub(weight + frames) else { return false };
        // What is looked at just now, or was asked for, is passed over so many times at most.
        let mut patience = (list.small.len() + list.main.len()) * (usize::from(MOST_TOUCHED) + 2);
        while list.bytes > most && patience > 0 {
            patience -= 1;
            if list.small_bytes > self.most / 10 || list.main.is_empty() {
                self.pass_small(list);
            } else {
                self.pass_main(list);
            }
        }
        list.bytes <= most
    }

    /// Decides about the oldest of the new contents.
    fn pass_small(&self, list: &mut List) {
        let Some(index) = list.small.pop_front() else { return };
        let Some(mut held) = self.frame(index as usize).and_then(|frame| frame.0.try_write()) else {
            list.small.push_back(index);
            return;
        };
        let weight = held.weight();
        list.small_bytes -= weight;
        if *held.touched.get_mut() > 1 {
            *held.touched.get_mut() = 0;
            held.queue = Queue::Main;
            list.main.push_back(index);
            return;
        }
        let hash = list.map.hasher().hash_one(held.key);
        if held.key != Key::NOBODY && list.gone_set.insert(hash) {
            list.gone.push_back(hash);
        }
        while list.gone.len() > (list.main.len() + list.small.len()).max(16) {
            if let Some(hash) = list.gone.pop_front() {
                list.gone_set.remove(&hash);
            }
        }
        Self::empty(list, index, &mut held);
    }

    /// Decides about the content that was passed over longest ago.
    fn pass_main(&self, list: &mut List) {
        let Some(index) = list.main.pop_front() else { return };
        let Some(mut held) = self.frame(index as usize).and_then(|frame| frame.0.try_write()) else {
            list.main.push_back(index);
            return;
        };
        let touched = held.touched.get_mut();
        if *touched > 0 {
            *touched -= 1;
            list.main.push_back(index);
            return;
        }
        Self::empty(list, index, &mut held);
    }

    fn empty(list: &mut List, index: u32, held: &mut Held) {
        list.bytes -= held.weight();
        if held.key != Key::NOBODY {
            list.map.remove(&held.key);
        }
        *held = Held { version: held.version.saturating_add(1), ..Held::default() };
        if held.version < u32::MAX {
            list.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Key {
        Key([number + 1, number, number])
    }

    fn bytes(number: u64, length: usize) -> Arc<[u8]> {
        number.to_le_bytes().into_iter().cycle().take(length).collect()
    }

    /// What a cache has under a key.
    fn look(cache: &Cache, number: u64) -> Option<Arc<[u8]>> {
        cache.pin(cache.find(&key(number))?)?.bytes().cloned()
    }

    #[test]
    fn never_more_bytes_than_its_bound_and_none_of_another_key() {
        for most in [0, 5_000, 20_000, 300_000] {
            let cache = Cache::new(most);
            let mut random = fastrand::Rng::with_seed(most);
            let mut handles = Vec::new();
            for _ in 0..4_000 {
                let number = random.u64(0..500);
                let length = 8 + number as usize * 7;
                match look(&cache, number) {
                    Some(found) => assert_eq!(found, bytes(number, length)),
                    None => handles.push((cache.insert(key(number), bytes(number, length), None), number)),
                }
                assert!(cache.bytes() <= most, "{} bytes of {most}", cache.bytes());
            }
            let unnamed = cache.insert_unnamed(bytes(7, 100), Handle::NONE);
            handles.push((unnamed, 7));
            // Old handles name what they named, or nothing.
            for (handle, number) in handles {
                // To have it fetched is no use of it and finds as much.
                let behind = cache.fetch(handle, 0);
                assert_eq!(behind > 0, cache.pin(handle).is_some());
                cache.fetch_node(handle);
                cache.fetch_page(handle);
                cache.fetch_frame(handle);
                if let Some(held) = cache.pin(handle) {
                    assert_eq!(
                        held.bytes().map(|bytes| bytes[..8].to_vec()),
                        Some(number.to_le_bytes().to_vec())
                    );
                }
            }
        }
    }

    #[test]
    fn what_nobody_will_ask_for_makes_way_for_what_takes_its_place() {
        let cache = Cache::new(48 << 10);
        let named = cache.insert(key(1), bytes(1, 100), None);
        let first = cache.insert_unnamed(bytes(2, 4096), Handle::NONE);
        let before = cache.bytes();
        let second = cache.insert_unnamed(bytes(3, 4000), first);
        assert_eq!((cache.bytes(), cache.pin(first).is_none()), (before - 96, true));
        assert_eq!(cache.pin(second).expect("it is there").bytes(), Some(&bytes(3, 4000)));
        let copied = cache.insert_copy(&bytes(8, 4000), second);
        assert!(cache.pin(second).is_none());
        let second = cache.insert_copy(&bytes(3, 4000), copied);
        assert_eq!((cache.bytes(), cache.pin(copied).is_none()), (before - 96, true));
        // Somebody looks at it, it has a key, it went long ago, it is too much: another frame.
        let looked_at = cache.pin(second);
        let third = cache.insert_unnamed(bytes(4, 100), second);
        assert_eq!(looked_at.expect("it is there").bytes(), Some(&bytes(3, 4000)));
        let fourth = cache.insert_unnamed(bytes(5, 100), named);
        let fifth = cache.insert_unnamed(bytes(6, 100), first);
        for (handle, number) in [(named, 1), (third, 4), (fourth, 5), (fifth, 6)] {
            assert_eq!(cache.pin(handle).expect("it is there").bytes(), Some(&bytes(number, 100)));
        }
        assert_eq!(
            cache.insert_unnamed(bytes(7, 60_000), second),
            Handle::NONE,
            "more than there is room for"
        );
        assert!(cache.bytes() <= 48 << 10);
    }

    #[test]
    fn what_is_asked_for_outlives_a_scan_over_everything() {
        let cache = Cache::new(1 << 20);
        let asked = || (0..100).filter(|&number| look(&cache, number).is_some()).count();
        for number in 0..100 {
            cache.insert(key(number), bytes(number, 4096), None);
        }
        assert_eq!((asked(), asked(), asked()), (100, 100, 100));
        for number in 1000..6_000 {
            cache.insert(key(number), bytes(number, 4096), None);
            look(&cache, number);
        }
        assert_eq!(asked(), 100, "a scan over twenty times the cache drove out what was in use");
    }

    #[test]
    fn what_comes_back_soon_after_it_went_stays() {
        let cache = Cache::new(100 << 10);
        for number in 0..30 {
            cache.insert(key(number), bytes(number, 4096), None);
        }
        let gone = (0..30).find(|&number| look(&cache, number).is_none()).expect("not all fit");
        cache.insert(key(gone), bytes(gone, 4096), None);
        for number in 100..130 {
            cache.insert(key(number), bytes(number, 4096), None);
        }
        assert!(look(&cache, gone).is_some());
    }

    #[test]
    fn what_somebody_looks_at_is_not_taken_away() {
        let cache = Cache::new(64 << 10);
        let held = cache.pin(cache.insert(key(1), bytes(1, 4096), None)).expect("just inserted");
        for number in 2..200 {
            cache.insert(key(number), bytes(number, 4096), None);
        }
        assert_eq!(held.bytes(), Some(&bytes(1, 4096)));
        assert!(cache.bytes() <= 64 << 10);
        drop(held);
        for number in 200..400 {
            cache.insert(key(number), bytes(number, 4096), None);
        }
        assert!(look(&cache, 1).is_none());
    }

    #[test]
    fn threads_that_insert_evict_and_look_find_what_they_ask_for() {
        let cache = Cache::new(40_000);
        let links: Vec<Link> = std::iter::repeat_with(Link::default).take(64).collect();
        let hits = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut random = fastrand::Rng::new();
                    for _ in 0..6_000 {
                        let number = random.u64(0..64);
                        let link = &links[number as usize];
                        if let Some(held) = cache.pin(link.get()) {
                            hits.fetch_add(1, Ordering::Relaxed);
                            let found = held.bytes().map(|bytes| bytes[..8].to_vec());
                            assert_eq!(found, Some(number.to_le_bytes().to_vec()));
                        } else {
                            link.set(cache.insert(key(number), bytes(number, 1000), None));
                        }
                    }
                });
            }
        });
        assert!(hits.load(Ordering::Relaxed) > 1000);
        assert!(cache.bytes() <= 40_000);
    }
}
