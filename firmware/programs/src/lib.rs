//! What the programs share.
#![no_std]
#![cfg(target_os = "none")]

use board::host::HostFile;
use board::retained;
use core::ffi::CStr;
use work::Pending;
use work::lives::Keep;
use work::notes::Notes;

/// Notes in RAM that no reset clears.
#[derive(Debug)]
pub struct Retained;

impl Keep for Retained {
    fn load(&self) -> Notes {
        Notes::from_words(retained::words())
    }
    fn store(&mut self, notes: Notes) {
        retained::keep(notes.to_words());
    }
}

/// Opens a file of the host's by its name on the command line.
#[must_use]
pub fn host_file(name: &str) -> Option<HostFile> {
    let mut bytes = [0; 128];
    bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    let name = CStr::from_bytes_until_nul(&bytes).ok()?;
    HostFile::open(name).ok()
}

/// What a store keeps between checkpoints, in memory that the linker counts.
#[must_use]
pub fn pending() -> &'static mut Pending {
    static mut PENDING: Pending = Pending::new();
    // SAFETY: each program calls it once, in the one thread that there is.
    unsafe { &mut *core::ptr::addr_of_mut!(PENDING) }
}

/// A buffer that is handed out once, in memory that the linker counts.
#[macro_export]
macro_rules! fixed {
    ($length:expr) => {{
        static mut FIXED: [u8; $length] = [0; $length];
        // SAFETY: each use of the macro is run once, in the one thread that there is.
        unsafe { &mut *core::ptr::addr_of_mut!(FIXED) }
    }};
}
