//! The heap of Rust code, counted in the global allocator.
//!
//! 1. `LIVE` is right from the start of the program, whether traffic is counted or not.
//! 2. Traffic (calls, bytes, peak) is counted only while it is switched on: it costs shared atomics, which
//!    would show in what is timed.
//!
//! Engines in C have an allocator of their own, which is not seen here.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

static ON: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Heap traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heap {
    /// Calls of alloc and realloc.
    pub(crate) calls: u64,
    /// Bytes that they asked for.
    pub(crate) bytes: u64,
    /// The most that was in use above what was in use at the beginning.
    pub(crate) peak: u64,
}

impl Heap {
    /// Traffic of two stretches: what was asked for adds up, the peaks do not.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            bytes: self.bytes + other.bytes,
            peak: self.peak.max(other.peak),
        }
    }
}

/// Bytes in use.
pub(crate) fn live() -> u64 {
    LIVE.load(Ordering::Relaxed).max(0) as u64
}

pub(super) fn switch(on: bool) {
    ON.store(on, Ordering::Relaxed);
}

pub(super) fn around<T>(work: impl FnOnce() -> T) -> (T, Option<Heap>) {
    if !ON.load(Ordering::Relaxed) {
        return (work(), None);
    }
    let live = LIVE.load(Ordering::Relaxed);
    PEAK.store(live, Ordering::Relaxed);
    let (calls, bytes) = (CALLS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
    let result = work();
    let heap = Heap {
        calls: CALLS.load(Ordering::Relaxed) - calls,
        bytes: BYTES.load(Ordering::Relaxed) - bytes,
        peak: (PEAK.load(Ordering::Relaxed) - live).max(0) as u64,
    };
    (result, Some(heap))
}

fn taken(asked: usize, more: i64) {
    let live = LIVE.fetch_add(more, Ordering::Relaxed) + more;
    if ON.load(Ordering::Relaxed) {
        CALLS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(asked as u64, Ordering::Relaxed);
        PEAK.fetch_max(live, Ordering::Relaxed);
    }
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to `System` with its arguments unchanged, and the counters do not
// allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size(), layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size(), layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        taken(new_size, new_size as i64 - layout.size() as i64);
        // SAFETY: the caller keeps the contract of `realloc`; `pointer` came from `System`, as all do.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`; `pointer` came from `System`, as all do.
        unsafe { System.dealloc(pointer, layout) }
    }
}
