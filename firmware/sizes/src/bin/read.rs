//! Opens a store for reading, gets blocks and lists names.
#![no_std]
#![no_main]

use blockyard_core::store::OpenOptions;
use blockyard_firmware_sizes::{Card, MEMORY, TinyStore, buffer, get_all, pending, place, rest};

board::entry!(main);

fn main() -> ! {
    let options = OpenOptions::new(MEMORY);
    if let Ok((store, _)) = TinyStore::open_to_read_at(place(), Card, pending(), buffer(), &options) {
        get_all(store);
    }
    rest()
}
