//! The runtime and the card alone: what is taken off the others' weight.
#![no_std]
#![no_main]

use blockyard_core::BlockDevice as _;
use blockyard_firmware_sizes::{Card, rest, tell};

board::entry!(main);

fn main() -> ! {
    let mut card = Card;
    let mut page = [0; 512];
    let well = card.read(0, &mut page).is_ok() && card.write(0, &page).is_ok() && card.sync().is_ok();
    tell(u32::from(well));
    rest()
}
