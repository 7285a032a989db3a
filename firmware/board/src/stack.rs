//! How deep the stack went: what lies below it is painted, and looked at afterwards.

use core::ptr::addr_of;

unsafe extern "C" {
    /// The first address behind all variables, by the linker scripts of both runtimes.
    static __sheap: u8;
}

const PAINT: u8 = 0xc5;
/// Bytes below the caller's frame that painting itself may use.
const MARGIN: usize = 128;
/// Bytes that are painted: more than any call takes.
const PAINTED: usize = 24 << 10;

fn bottom() -> usize {
    addr_of!(__sheap) as usize
}

/// Where painting begins below `top`.
fn lowest(top: usize) -> *mut u8 {
    bottom().max(top.saturating_sub(PAINTED)) as *mut u8
}

/// The stack as it was when it was painted.
#[derive(Clone, Copy, Debug)]
pub struct Painted {
    top: usize,
}

/// Paints what is free of the stack, as far down as a call may come.
#[inline(never)]
#[must_use]
pub fn paint() -> Painted {
    let here = 0_u8;
    let top = addr_of!(here) as usize;
    let mut at = lowest(top);
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
        let mut at = lowest(self.top).cast_const();
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
    addr_of!(here) as usize - bottom()
}
