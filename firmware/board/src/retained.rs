//! RAM that no reset clears: a disk beyond what the linker hands out, and words that are no variable's.

use blockyard_core::device::{BlockDevice, MemoryError};
use core::ptr::addr_of_mut;

/// PSRAM of the mps2 machines, RAM of virt; `microbit` has nothing there.
#[cfg(target_arch = "arm")]
const START: *mut u32 = 0x2100_0000 as *mut u32;
#[cfg(target_arch = "riscv32")]
const START: *mut u32 = 0x8100_0000 as *mut u32;
const MOST: usize = 8 << 20;

/// A disk in RAM that outlives a reset: every word goes there at once.
#[derive(Debug)]
pub struct RamDisk {
    length: usize,
}

impl RamDisk {
    /// The machine's disk, of so many bytes.
    ///
    /// # Safety
    /// There is one disk: two would share their bytes. The machine must have RAM there.
    #[must_use]
    pub unsafe fn new(length: usize) -> Self {
        Self { length: length.min(MOST) }
    }

    /// The words of a range of bytes, both ends at a word.
    fn words(&self, offset: u64, length: usize) -> Result<*mut u32, MemoryError> {
        let out_of_range = MemoryError::OutOfRange { offset, length: length as u64 };
        let start = usize::try_from(offset).map_err(|_| out_of_range)?;
        let inside = start.checked_add(length).is_some_and(|end| end <= self.length);
        if inside && start.is_multiple_of(4) && length.is_multiple_of(4) {
            Ok(START.wrapping_byte_add(start))
        } else {
            Err(out_of_range)
        }
    }
}

impl BlockDevice for RamDisk {
    type Error = MemoryError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        let mut at = self.words(offset, buf.len())?;
        for word in buf.chunks_exact_mut(4) {
            // SAFETY: inside the disk, aligned, and any bytes are a word.
            word.copy_from_slice(&unsafe { at.read_volatile() }.to_le_bytes());
            at = at.wrapping_add(1);
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        let mut at = self.words(offset, data.len())?;
        for bytes in data.chunks_exact(4) {
            let mut word = [0; 4];
            word.copy_from_slice(bytes);
            // SAFETY: inside the disk, which no variable is in, and aligned.
            unsafe { at.write_volatile(u32::from_le_bytes(word)) };
            at = at.wrapping_add(1);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), MemoryError> {
        Ok(())
    }

    fn length(&mut self) -> Result<u64, MemoryError> {
        Ok(self.length as u64)
    }

    fn grow(&mut self, length: u64) -> Result<(), MemoryError> {
        if length <= self.length as u64 { Ok(()) } else { Err(MemoryError::Full) }
    }

    fn atomic_unit(&self) -> u32 {
        512
    }
}

/// Words that outlive a reset.
pub const WORDS: usize = 16;

unsafe extern "C" {
    /// Behind the RAM that the linker hands out; see the build script.
    static mut _retained: [u32; WORDS];
}

/// The words as they are; whatever RAM held if nobody kept any.
#[must_use]
pub fn words() -> [u32; WORDS] {
    // SAFETY: the memory is there, any bytes are words; one processor, and no interrupt looks at them.
    unsafe { addr_of_mut!(_retained).read_volatile() }
}

/// Keeps these words over a reset.
pub fn keep(words: [u32; WORDS]) {
    // SAFETY: as above.
    unsafe { addr_of_mut!(_retained).write_volatile(words) };
}
