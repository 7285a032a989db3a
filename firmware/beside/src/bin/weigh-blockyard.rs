//! Blockyard alone.
#![no_std]
#![no_main]

use blockyard_firmware_beside::card::{Card, look, tell};
use blockyard_firmware_beside::{BYTES, blockyard};

board::entry!(main);

fn main() -> ! {
    static mut BUFFER: [u8; BYTES] = [0; BYTES];
    // SAFETY: named once, by an image that is never run.
    let buffer = unsafe { &mut *core::ptr::addr_of_mut!(BUFFER) };
    tell(u32::from(blockyard(Card, buffer, look(), &mut |_| ()).is_ok()));
    loop {
        core::hint::spin_loop();
    }
}
