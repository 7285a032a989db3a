//! How deep the stack went: what lies below it is painted, and looked at afterwards.

use core::ptr::addr_of;

unsafe extern "C" {
    /// The first address behind all variables, by the linker scripts of both runtimes.
    static __sheap: u8;
}

const PAINT: u8 = 0xc5;
/// Bytes below the caller's frame that painting itself may use.
const MARGIN: usize = 128;

fn bottom() -> *mut u8 {
    addr_of!(__sheap).cast_mut()
}

/// The stack as it was when it was painted.
#[derive(Clone, Copy, Debug)]
pub struct Painted {
    top: usize,
}

/// Paints what is free of the stack.
#[inline(never)]
#[must_use]
pub fn paint() -> Painted {
    let here = 0_u8;
    let top = addr_of!(here) as usize;
    let mut at = bottom();
    while (at as usize) < top - MARGIN {
        // SAFETY: between the variables and the live part of the stack nothing is kept.
        unsafe {
            at.write_volatile(PAINT);
            at = at.add(1);
        }
    }
    Painted { top }
}

impl Painted {
    /// Bytes that the stack grew since, at its deepest; what is below [`MARGIN`] is not told apart.
    #[inline(never)]
    #[must_use]
    pub fn depth(self) -> usize {
        let mut at = bottom().cast_const();
        // SAFETY: as when it was painted; only reads.
        while (at as usize) < self.top && unsafe { at.read_volatile() } == PAINT {
            at = at.wrapping_add(1);
        }
        self.top - at as usize
    }
}

/// Bytes of the stack that are left between the variables and here.
#[must_use]
pub fn left() -> usize {
    let here = 0_u8;
    addr_of!(here) as usize - bottom() as usize
}
