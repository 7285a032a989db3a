//! Counts what an engine really does: syncs, bytes written, heap traffic. The only `unsafe` of the
//! demo is here.
//!
//! - **Syncs**: every `fsync`, `fdatasync` and `syncfs` of this process, failed ones too. The
//!   symbols are defined here, so that the calls of Rust's standard library and of SQLite's C code,
//!   both linked into this program, come through us; they go on as plain system calls.
//! - **Bytes written**: what `write`, `pwrite`, `writev`, `pwritev`… took, whoever called: `wchar`
//!   of `/proc/self/io`, the kernel's own count. Pages changed through a mapping are not in it
//!   (SQLite's `-shm` index, which is never made durable).
//! - **Heap**: the calls of alloc and realloc, and the bytes they asked for (a realloc counts its
//!   whole new size), in the global allocator of this program; SQLite's calls of `malloc` and
//!   `realloc` by its own hook for that, its look-aside memory not included.
//!
//! All three are counted for the whole process, so the work of an engine's own threads is in its
//! figures. Everything else must be quiet while a measurement runs: the demo lets every other
//! engine settle first and draws its progress in between. A library that makes system calls past
//! libc would escape the first count; Blockyard's own count of its syncs is therefore compared with
//! ours (`Engine::own_syncs`), and the larger one is reported. The reads of `/proc/self/io` frame
//! each measurement in an `strace -f`: cut up by them, its syncs and bytes were those of `--json`,
//! to the byte, in every row.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io::Read;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

static SYNCS: AtomicU64 = AtomicU64::new(0);
static HEAP_BYTES: AtomicU64 = AtomicU64::new(0);
static HEAP_CALLS: AtomicU64 = AtomicU64::new(0);

/// Whether syncs can be counted on this system.
const SYNCS_COUNTED: bool = cfg!(all(target_os = "linux", target_env = "gnu"));

/// What one run of a workload cost. A figure that this system cannot count is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Wall-clock milliseconds.
    pub(crate) ms: f64,
    /// Device barriers asked for.
    pub(crate) syncs: Option<u64>,
    /// Bytes handed to the operating system.
    pub(crate) bytes_written: Option<u64>,
    /// Bytes asked of the heap.
    pub(crate) heap_bytes: u64,
    /// Calls of the heap.
    pub(crate) heap_calls: u64,
}

/// Runs `work` and says what it cost.
pub(crate) fn measure<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    // The order matters: reading /proc comes before the heap's count at the start and after it at
    // the end.
    let written = written();
    let syncs = SYNCS.load(Ordering::Relaxed);
    let (bytes, calls) = heap();
    let start = Instant::now();
    let result = work();
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let (bytes_after, calls_after) = heap();
    let cost = Cost {
        ms,
        syncs: SYNCS_COUNTED.then(|| SYNCS.load(Ordering::Relaxed) - syncs),
        bytes_written: written.zip(self::written()).map(|(before, after)| after.saturating_sub(before)),
        heap_bytes: bytes_after - bytes,
        heap_calls: calls_after - calls,
    };
    (result, cost)
}

/// Bytes and calls of the heap since the program started.
fn heap() -> (u64, u64) {
    (HEAP_BYTES.load(Ordering::Relaxed), HEAP_CALLS.load(Ordering::Relaxed))
}

/// Bytes this process has handed to the operating system, as the kernel counts them; `None` where
/// it does not say.
fn written() -> Option<u64> {
    let mut text = [0; 512];
    let length = File::open("/proc/self/io").ok()?.read(&mut text).ok()?;
    let line = std::str::from_utf8(text.get(..length)?)
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix("wchar: "))?;
    line.trim().parse().ok()
}

fn count_heap(bytes: usize) {
    HEAP_BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
    HEAP_CALLS.fetch_add(1, Ordering::Relaxed);
}

/// The system's allocator, counting.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to `System` with its arguments unchanged, and the counters never
// allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_heap(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_heap(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count_heap(new_size);
        // SAFETY: the caller keeps the contract of `realloc`; `pointer` came from `System`, since
        // all of ours do.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`; `pointer` came from `System`, since
        // all of ours do.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The system calls that reach the device, defined in this program so that the linker prefers them
/// to libc's.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod interposed {
    use std::ffi::{c_int, c_long};
    use std::sync::atomic::Ordering;

    fn sync(number: c_long, file: c_int) -> c_int {
        super::SYNCS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: `number` is a system call that takes one descriptor and touches no memory of
        // ours; a bad one gives EBADF.
        unsafe { libc::syscall(number, file) as c_int }
    }

    // SAFETY: (of the three) the name, the signature and the behaviour, errno included, are those
    // of libc.
    #[unsafe(no_mangle)]
    extern "C" fn fsync(file: c_int) -> c_int {
        sync(libc::SYS_fsync, file)
    }

    // SAFETY: see `fsync`.
    #[unsafe(no_mangle)]
    extern "C" fn fdatasync(file: c_int) -> c_int {
        sync(libc::SYS_fdatasync, file)
    }

    // SAFETY: see `fsync`.
    #[unsafe(no_mangle)]
    extern "C" fn syncfs(file: c_int) -> c_int {
        sync(libc::SYS_syncfs, file)
    }
}

/// Makes everything written to the file system durable on which `file` lies.
#[cfg(target_os = "linux")]
pub(crate) fn sync_filesystem(file: &File) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is open as long as `file` is borrowed; the call touches no memory of
    // ours.
    match unsafe { libc::syncfs(file.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Only Linux has such a call.
#[cfg(not(target_os = "linux"))]
pub(crate) fn sync_filesystem(_: &File) -> std::io::Result<()> {
    Err(std::io::Error::new(
        std::io::ErrorKind::Unsupported,
        "this system has no syncfs; run the demo on Linux",
    ))
}

type Malloc = unsafe extern "C" fn(c_int) -> *mut c_void;
type Realloc = unsafe extern "C" fn(*mut c_void, c_int) -> *mut c_void;

/// SQLite's own allocator, which ours passes everything on to.
static SQLITE: OnceLock<(Malloc, Realloc)> = OnceLock::new();

unsafe extern "C" fn sqlite_malloc(bytes: c_int) -> *mut c_void {
    let Some((malloc, _)) = SQLITE.get() else { return std::ptr::null_mut() };
    count_heap(usize::try_from(bytes).unwrap_or(0));
    // SAFETY: SQLite called us under the contract of its own malloc, which is the one we call.
    unsafe { malloc(bytes) }
}

unsafe extern "C" fn sqlite_realloc(pointer: *mut c_void, bytes: c_int) -> *mut c_void {
    let Some((_, realloc)) = SQLITE.get() else { return std::ptr::null_mut() };
    count_heap(usize::try_from(bytes).unwrap_or(0));
    // SAFETY: SQLite called us under the contract of its own realloc; `pointer` came from its own
    // malloc, through us.
    unsafe { realloc(pointer, bytes) }
}

/// Lets SQLite's heap be counted with the rest. To be called before the first connection is opened;
/// later calls do nothing. Says whether it is counted.
pub(crate) fn count_sqlite() -> bool {
    use rusqlite::ffi::{
        SQLITE_CONFIG_GETMALLOC, SQLITE_CONFIG_MALLOC, SQLITE_OK, sqlite3_config, sqlite3_mem_methods,
    };
    if SQLITE.get().is_some() {
        return true;
    }
    let mut methods = std::mem::MaybeUninit::<sqlite3_mem_methods>::zeroed();
    // SAFETY: this option takes one pointer to such a struct and fills it; zeroes are a valid value
    // of it (no method set).
    let mut methods = unsafe {
        if sqlite3_config(SQLITE_CONFIG_GETMALLOC, methods.as_mut_ptr()) != SQLITE_OK {
            return false;
        }
        methods.assume_init()
    };
    let (Some(malloc), Some(realloc)) = (methods.xMalloc, methods.xRealloc) else { return false };
    if SQLITE.set((malloc, realloc)).is_err() {
        return true;
    }
    methods.xMalloc = Some(sqlite_malloc);
    methods.xRealloc = Some(sqlite_realloc);
    // SAFETY: this option takes one pointer to such a struct and copies it; all methods in it are
    // SQLite's own or pass on to them. After SQLite is in use the call is refused, without an
    // effect.
    unsafe { sqlite3_config(SQLITE_CONFIG_MALLOC, &raw const methods) == SQLITE_OK }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn syncs_and_bytes_of_the_standard_library_are_counted() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut file = File::create(directory.path().join("f")).expect("a file");
        let (result, cost) = measure(|| {
            file.write_all(&[7; 12_345])?;
            file.sync_data()?;
            file.sync_all()
        });
        result.expect("written and synced");
        // Other tests run at the same time in this process: at least ours are there.
        assert!(cost.syncs >= Some(2), "{cost:?}");
        assert!(cost.bytes_written >= Some(12_345), "{cost:?}");
    }

    #[test]
    fn the_heap_is_counted() {
        let (kept, cost) = measure(|| vec![1_u8; 100_000]);
        assert_eq!(kept.len(), 100_000);
        assert!(cost.heap_bytes >= 100_000 && cost.heap_calls >= 1, "{cost:?}");
    }

    #[test]
    fn the_heap_of_sqlite_is_counted() {
        assert!(count_sqlite());
        let (result, cost) = measure(rusqlite::Connection::open_in_memory);
        result.expect("a connection");
        assert!(cost.heap_calls > 5, "{cost:?}");
    }
}
