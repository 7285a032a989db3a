//! What the examples share: names and values, a clock, a count of heap calls.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

struct Counting;

static CALLS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, which is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the pointer came from `alloc` above, which is the system's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

mod records;

pub(crate) use records::{mix, name, value};

pub(crate) struct Bench {
    pub(crate) wanted: Option<String>,
    pub(crate) rounds: u32,
}

impl Bench {
    /// The median of so many rounds of `operations` operations each, after one that is not timed.
    pub(crate) fn time(&self, what: &str, operations: u64, mut work: impl FnMut() -> u64) {
        if self.wanted.as_ref().is_some_and(|wanted| !what.contains(wanted.as_str())) {
            return;
        }
        black_box(work());
        let before = CALLS.load(Ordering::Relaxed);
        let mut times: Vec<Duration> = (0..self.rounds)
            .map(|_| {
                let start = Instant::now();
                black_box(work());
                start.elapsed()
            })
            .collect();
        let calls = CALLS.load(Ordering::Relaxed) - before;
        times.sort();
        let each = |time: Duration| time.as_secs_f64() * 1e6 / operations as f64;
        let (median, least) = (each(times[times.len() / 2]), each(times[0]));
        let calls = calls as f64 / (u64::from(self.rounds) * operations) as f64;
        println!("{what:<28} {median:>9.3} µs {least:>9.3} µs {calls:>6.2} heap calls");
    }
}
