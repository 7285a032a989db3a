//! A chip behind one register, for images that are weighed and never run.

use crate::Chip;

/// The register.
const REGISTER: *mut u32 = 0x4000_0000 as *mut u32;

/// The chip.
#[derive(Debug)]
pub struct Card;

/// A look at the register.
#[inline(never)]
pub fn look() -> u32 {
    // SAFETY: a device register; the image is weighed and never run.
    unsafe { REGISTER.read_volatile() }
}

/// Tells the register something.
#[inline(never)]
pub fn tell(word: u32) {
    // SAFETY: as above.
    unsafe { REGISTER.write_volatile(word) }
}

impl Chip for Card {
    #[inline(never)]
    fn read(&mut self, at: usize, into: &mut [u8]) {
        tell(at as u32);
        into.iter_mut().for_each(|byte| *byte = look() as u8);
    }

    #[inline(never)]
    fn program(&mut self, at: usize, bytes: &[u8]) {
        tell(at as u32);
        bytes.iter().for_each(|&byte| tell(u32::from(byte)));
    }

    #[inline(never)]
    fn erase(&mut self, at: usize) {
        tell(at as u32);
    }
}
