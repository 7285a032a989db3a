//! The runtime and the chip alone.
#![no_std]
#![no_main]

use blockyard_firmware_beside::Chip as _;
use blockyard_firmware_beside::card::{Card, look, tell};

board::entry!(main);

fn main() -> ! {
    let (mut card, mut word) = (Card, [0; 4]);
    card.read(look() as usize, &mut word);
    card.program(look() as usize, &word);
    card.erase(look() as usize);
    tell(u32::from(word[0]));
    loop {
        core::hint::spin_loop();
    }
}
