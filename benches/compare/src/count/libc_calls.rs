//! The calls of libc that reach the device, defined in this program: the linker prefers them to libc's own,
//! for Rust's standard library and for engines in C alike. They count and go on as plain system calls.
//!
//! A library that makes system calls past libc is not seen; [`super::missed`] tells.

use std::ffi::{c_int, c_long, c_uint, c_void};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use libc::{iovec, off64_t, size_t, ssize_t};

use super::Calls;

static SYNCS: AtomicU64 = AtomicU64::new(0);
static WRITES: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static GROWTHS: AtomicU64 = AtomicU64::new(0);
static HINTS: AtomicU64 = AtomicU64::new(0);
/// Syncs that have begun and not returned.
static SYNCING: AtomicU64 = AtomicU64::new(0);

pub(super) fn now() -> Calls {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Calls {
        syncs: of(&SYNCS),
        writes: of(&WRITES),
        bytes: of(&BYTES),
        growths: of(&GROWTHS),
        hints: of(&HINTS),
    }
}

/// Whether a sync is under way.
pub(super) fn is_syncing() -> bool {
    SYNCING.load(Ordering::Relaxed) > 0
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// What is known of a descriptor's flags.
const UNKNOWN: u8 = 0;
const PLAIN: u8 = 1;
const SYNCHRONOUS: u8 = 2;
static FLAGS: [AtomicU8; 1024] = [const { AtomicU8::new(UNKNOWN) }; 1024];

/// Whether a write to the file is durable by itself (LMDB writes its meta page so). Asked once for each file.
fn is_synchronous(file: c_int) -> bool {
    let Some(known) = usize::try_from(file).ok().and_then(|file| FLAGS.get(file)) else { return false };
    match known.load(Ordering::Relaxed) {
        UNKNOWN => {
            // SAFETY: F_GETFL takes a descriptor and touches no memory of ours; a bad one gives an error.
            let flags = unsafe { libc::fcntl(file, libc::F_GETFL) };
            let synchronous = flags >= 0 && flags & libc::O_DSYNC != 0;
            known.store(if synchronous { SYNCHRONOUS } else { PLAIN }, Ordering::Relaxed);
            synchronous
        }
        flags => flags == SYNCHRONOUS,
    }
}

fn wrote(file: c_int, result: c_long) -> ssize_t {
    if result > 0 {
        add(&WRITES, 1);
        add(&BYTES, result as u64);
        if is_synchronous(file) {
            add(&SYNCS, 1);
        }
    }
    result as ssize_t
}

fn sync(number: c_long, file: c_int) -> c_int {
    add(&SYNCS, 1);
    add(&SYNCING, 1);
    // SAFETY: `number` is a system call that takes one descriptor and touches no memory of ours.
    let result = unsafe { libc::syscall(number, file) as c_int };
    SYNCING.fetch_sub(1, Ordering::Relaxed);
    result
}

// SAFETY (of every function below): name, signature and behaviour, errno included, are those of libc on a
// 64-bit Linux; pointers go on to the kernel as they came.

#[unsafe(no_mangle)]
extern "C" fn fsync(file: c_int) -> c_int {
    sync(libc::SYS_fsync, file)
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: c_int) -> c_int {
    sync(libc::SYS_fdatasync, file)
}

#[unsafe(no_mangle)]
extern "C" fn syncfs(file: c_int) -> c_int {
    sync(libc::SYS_syncfs, file)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn msync(start: *mut c_void, length: size_t, flags: c_int) -> c_int {
    if flags & libc::MS_SYNC != 0 {
        add(&SYNCS, 1);
    }
    // SAFETY: as the caller's.
    unsafe { libc::syscall(libc::SYS_msync, start, length, flags) as c_int }
}

#[unsafe(no_mangle)]
extern "C" fn sync_file_range(file: c_int, offset: off64_t, length: off64_t, flags: c_uint) -> c_int {
    add(&HINTS, 1);
    // SAFETY: the call takes numbers only.
    unsafe { libc::syscall(libc::SYS_sync_file_range, file, offset, length, flags) as c_int }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(file: c_int, bytes: *const c_void, length: size_t) -> ssize_t {
    // SAFETY: as the caller's.
    wrote(file, unsafe { libc::syscall(libc::SYS_write, file, bytes, length) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(file: c_int, bytes: *const c_void, length: size_t, at: off64_t) -> ssize_t {
    // SAFETY: as the caller's.
    wrote(file, unsafe { libc::syscall(libc::SYS_pwrite64, file, bytes, length, at) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(file: c_int, bytes: *const c_void, length: size_t, at: off64_t) -> ssize_t {
    // SAFETY: as the caller's.
    unsafe { pwrite64(file, bytes, length, at) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(file: c_int, pieces: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: as the caller's.
    wrote(file, unsafe { libc::syscall(libc::SYS_writev, file, pieces, count) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev64(file: c_int, pieces: *const iovec, count: c_int, at: off64_t) -> ssize_t {
    // SAFETY: as the caller's; the kernel takes the offset in two halves, the second unused on 64 bits.
    wrote(file, unsafe { libc::syscall(libc::SYS_pwritev, file, pieces, count, at, 0) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev(file: c_int, pieces: *const iovec, count: c_int, at: off64_t) -> ssize_t {
    // SAFETY: as the caller's.
    unsafe { pwritev64(file, pieces, count, at) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev64v2(
    file: c_int,
    pieces: *const iovec,
    count: c_int,
    at: off64_t,
    flags: c_int,
) -> ssize_t {
    if flags & libc::RWF_DSYNC != 0 {
        add(&SYNCS, 1);
    }
    // SAFETY: as the caller's.
    wrote(file, unsafe { libc::syscall(libc::SYS_pwritev2, file, pieces, count, at, 0, flags) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev2(
    file: c_int,
    pieces: *const iovec,
    count: c_int,
    at: off64_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: as the caller's.
    unsafe { pwritev64v2(file, pieces, count, at, flags) }
}

fn grew(number: c_long, file: c_int, mode: Option<c_int>, offset: off64_t, length: off64_t) -> c_int {
    add(&GROWTHS, 1);
    // SAFETY: both calls take numbers only.
    unsafe {
        match mode {
            Some(mode) => libc::syscall(number, file, mode, offset, length) as c_int,
            None => libc::syscall(number, file, length) as c_int,
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn fallocate(file: c_int, mode: c_int, offset: off64_t, length: off64_t) -> c_int {
    grew(libc::SYS_fallocate, file, Some(mode), offset, length)
}

#[unsafe(no_mangle)]
extern "C" fn fallocate64(file: c_int, mode: c_int, offset: off64_t, length: off64_t) -> c_int {
    grew(libc::SYS_fallocate, file, Some(mode), offset, length)
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate(file: c_int, length: off64_t) -> c_int {
    grew(libc::SYS_ftruncate, file, None, 0, length)
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate64(file: c_int, length: off64_t) -> c_int {
    grew(libc::SYS_ftruncate, file, None, 0, length)
}

/// A descriptor's number may be another file's afterwards.
#[unsafe(no_mangle)]
extern "C" fn close(file: c_int) -> c_int {
    if let Some(known) = usize::try_from(file).ok().and_then(|file| FLAGS.get(file)) {
        known.store(UNKNOWN, Ordering::Relaxed);
    }
    // SAFETY: the call takes a descriptor; a bad one gives an error.
    unsafe { libc::syscall(libc::SYS_close, file) as c_int }
}
