//! littlefs alone.
#![no_std]
#![no_main]

use blockyard_firmware_beside::card::{Card, look, tell};
use blockyard_firmware_beside::littlefs::littlefs;

board::entry!(main);

fn main() -> ! {
    tell(u32::from(littlefs(Card, look(), &mut |_| ()).is_ok()));
    loop {
        core::hint::spin_loop();
    }
}
