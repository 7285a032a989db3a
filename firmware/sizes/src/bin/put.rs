//! Opens a store after whatever happened, reads, commits one small change at a time durably, without a batch, and folds in.
#![no_std]
#![no_main]

use blockyard_core::Durability;
use blockyard_core::store::OpenOptions;
use blockyard_firmware_sizes::{Card, MEMORY, TinyStore, buffer, look, pending, place, rest, tell};

board::entry!(main);

fn main() -> ! {
    let options = OpenOptions::new(MEMORY);
    if let Ok((store, _)) = TinyStore::open_at(place(), Card, pending(), buffer(), &options) {
        let mut value = [0; 64];
        loop {
            let name = look().to_le_bytes();
            tell(store.get(&name, &mut value).ok().flatten().unwrap_or(0) as u32);
            let done = if look() == 0 {
                store.delete(&name, Durability::Durable).is_ok()
            } else {
                store.put_small(&name, &value, 0, Durability::Durable).is_ok()
            };
            let folded = store.wants_checkpoint() && store.checkpoint_step().is_ok();
            tell(u32::from(done) | u32::from(folded) << 1);
        }
    }
    rest()
}
