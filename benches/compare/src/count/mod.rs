//! What an engine really does while it is measured: its syncs and writes, and its heap.
//!
//! 1. Counts are those of the whole process, so an engine's own threads are in its figures; nothing else
//!    may be busy meanwhile. [`quiet`] waits until that is so.
//! 2. Writes through a mapping of memory are not seen; no engine here makes data durable that way (SQLite
//!    keeps its `-shm` index so, which is never made durable).
//! 3. The kernel's own count of written bytes stands beside ours: [`missed`] says by how much ours is short.

mod heap;
mod libc_calls;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub(crate) use heap::{Heap, live};

/// Device barriers and what was handed to the operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Calls {
    /// `fsync`, `fdatasync`, `syncfs`, `msync`, and writes that are synchronous by their file's flags.
    pub(crate) syncs: u64,
    /// Calls of the `write` family.
    pub(crate) writes: u64,
    /// Bytes that they took.
    pub(crate) bytes: u64,
    /// `fallocate` and `ftruncate`.
    pub(crate) growths: u64,
    /// `sync_file_range`: a hint, not a barrier.
    pub(crate) hints: u64,
}

impl Calls {
    /// All so far.
    pub(crate) fn now() -> Self {
        libc_calls::now()
    }

    /// What came after `before`.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            syncs: self.syncs - before.syncs,
            writes: self.writes - before.writes,
            bytes: self.bytes - before.bytes,
            growths: self.growths - before.growths,
            hints: self.hints - before.hints,
        }
    }

    /// Both together.
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            syncs: self.syncs + other.syncs,
            writes: self.writes + other.writes,
            bytes: self.bytes + other.bytes,
            growths: self.growths + other.growths,
            hints: self.hints + other.hints,
        }
    }
}

/// Switches the count of heap traffic on or off; it costs a little, so times are taken without it.
pub(crate) fn count_heap(on: bool) {
    heap::switch(on);
}

/// Heap traffic while `work` runs, or None if it is not counted.
pub(crate) fn heap_of<T>(work: impl FnOnce() -> T) -> (T, Option<Heap>) {
    heap::around(work)
}

/// Waits until no thread of this process writes, syncs or computes any more: an engine that was busy before
/// must not be counted as the next one's work. Gives up after five seconds.
pub(crate) fn quiet() {
    /// So long nothing may happen, and so little may be computed meanwhile.
    const STILL: Duration = Duration::from_millis(10);
    const IDLE: Duration = Duration::from_millis(2);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        let (calls, computed, since) = (Calls::now(), processor_time(), Instant::now());
        let is_still = || Calls::now() == calls && !libc_calls::is_syncing();
        while is_still() && since.elapsed() < STILL {
            std::thread::sleep(Duration::from_millis(1));
        }
        if is_still() && processor_time().saturating_sub(computed) < IDLE {
            return;
        }
        // Not to turn round and round while a sync is under way.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Processor time of all threads so far.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the structure, which is ours; the clock is one that every Linux has.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Bytes that the kernel says this process has written so far; None where it does not say.
pub(crate) fn kernel_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("wchar: "))?.trim().parse().ok()
}

/// Runs `work` and says by how many bytes our count is short of the kernel's: 0 if every write was seen.
pub(crate) fn missed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Option<u64>> {
    quiet();
    let (kernel, ours) = (kernel_bytes(), Calls::now());
    work()?;
    quiet();
    let ours = Calls::now().since(ours).bytes;
    Ok(kernel.zip(kernel_bytes()).map(|(before, after)| (after - before).saturating_sub(ours)))
}

/// The counters are those of the process: tests that read them, and tests that write much, take turns.
#[cfg(test)]
pub(crate) static ALONE: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

    #[test]
    fn writes_and_syncs_of_the_standard_library_are_counted() {
        let _alone = ALONE.lock();
        let mut file = tempfile::tempfile().expect("a temporary file");
        let before = Calls::now();
        file.write_all(&[1; 100]).expect("written");
        file.write_all_at(&[2; 50], 10).expect("written");
        file.sync_data().expect("synced");
        file.sync_all().expect("synced");
        file.set_len(1000).expect("grown");
        let calls = Calls::now().since(before);
        assert!(
            calls.syncs >= 2 && calls.bytes >= 150 && calls.writes >= 2 && calls.growths >= 1,
            "{calls:?}"
        );
    }

    #[test]
    fn a_write_to_a_synchronous_file_is_a_sync() {
        let _alone = ALONE.lock();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("file");
        let plain = std::fs::File::create(&path).expect("created");
        let before = Calls::now();
        plain.write_all_at(&[1], 0).expect("written");
        let plain_syncs = Calls::now().since(before).syncs;
        drop(plain);
        let options = std::fs::OpenOptions::new().write(true).custom_flags(libc::O_DSYNC).open(&path);
        let before = Calls::now();
        options.expect("opened").write_all_at(&[1], 0).expect("written");
        assert_eq!((plain_syncs, Calls::now().since(before).syncs), (0, 1));
    }

    /// rustix makes system calls past libc unless it is built to go through it: Blockyard grows its file so.
    #[test]
    fn calls_of_rustix_are_counted() {
        let _alone = ALONE.lock();
        let file = tempfile::tempfile().expect("a temporary file");
        let before = Calls::now();
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 4096).expect("grown");
        rustix::fs::fdatasync(&file).expect("synced");
        let calls = Calls::now().since(before);
        assert!(calls.growths >= 1 && calls.syncs >= 1, "{calls:?}");
    }

    /// A thread that computes and writes nothing was once taken for quiet: what it wrote in the end was
    /// counted as another engine's.
    #[test]
    fn quiet_waits_for_a_thread_that_only_computes() {
        let _alone = ALONE.lock();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let start = processor_time();
                while processor_time() - start < Duration::from_millis(60) {
                    std::hint::spin_loop();
                }
                done.store(true, std::sync::atomic::Ordering::Release);
            });
            // It has begun to compute.
            let start = processor_time();
            while processor_time() - start < Duration::from_millis(10) {
                std::thread::yield_now();
            }
            quiet();
            assert!(done.load(std::sync::atomic::Ordering::Acquire));
        });
    }

    #[test]
    fn the_heap_is_counted_when_asked_and_its_peak_is_above_where_it_began() {
        let _alone = ALONE.lock();
        assert!(heap_of(|| ()).1.is_none());
        count_heap(true);
        let (kept, heap) = heap_of(|| {
            drop(std::hint::black_box(vec![0u8; 100_000]));
            vec![0u8; 1000]
        });
        count_heap(false);
        let heap = heap.expect("it is counted");
        assert_eq!(kept.len(), 1000);
        assert!(heap.calls >= 2 && heap.bytes >= 101_000 && heap.peak >= 100_000, "{heap:?}");
        assert!(heap.peak < 10_000_000, "{heap:?}");
    }
}
