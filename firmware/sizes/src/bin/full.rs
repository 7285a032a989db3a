//! Everything: makes a store, commits, renames, streams, lists, verifies.
#![no_std]
#![no_main]

use blockyard_core::store::{CreateOptions, OpenOptions, Problem, Verification, VerifySink};
use blockyard_core::{Durability, PageIndex};
use blockyard_firmware_sizes::{
    Card, MEMORY, TinyBatch, TinyStore, buffer, get_all, look, pending, place, rest, tell,
};

board::entry!(main);

struct Lamp;

impl VerifySink for Lamp {
    fn problem(&mut self, name: Option<&[u8]>, _: Problem) {
        tell(name.map_or(0, <[u8]>::len) as u32);
    }
    fn checked(&mut self, _: &[u8], _: bool, bytes: u64) {
        tell(bytes as u32);
    }
}

fn main() -> ! {
    let options = OpenOptions::new(MEMORY);
    let store = if look() == 0 {
        let create = CreateOptions {
            page_size: 512,
            journal_length: 8 << 10,
            chunk_size: 4096,
            file_id: [look() as u8; 16],
        };
        TinyStore::create(Card, pending(), buffer(), &create, &options).ok().map(|made| place().insert(made))
    } else {
        TinyStore::open_at(place(), Card, pending(), buffer(), &options).ok().map(|(store, _)| store)
    };
    if let Some(store) = store {
        let mut batch = TinyBatch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
        let (value, name) = ([0; 64], [0; 16]);
        let mut verification = Verification::new([0; 64]);
        loop {
            get_all(store);
            batch.clear();
            let added = if look() == 0 { batch.delete(&name) } else { batch.put(&name, &value, 0) };
            tell(u32::from(added.is_ok()));
            tell(store.commit(core::slice::from_mut(&mut batch), Durability::Buffered).is_ok().into());
            batch.clear();
            tell(store.rename(&name, b"other", &mut batch, Durability::Durable).is_ok().into());
            tell(store.sync().is_ok().into());
            tell(store.seal().is_ok().into());
            tell(store.checkpoint_step().is_ok().into());
            tell(store.verify(&mut Lamp).map_or(0, |report| report.problems as u32));
            tell(store.verify_step(&mut verification, &mut Lamp).is_ok().into());
            tell(store.free_space().map_or(0, |space| space.pages as u32));
            tell(store.root().page.max(PageIndex(1)).0 as u32);
        }
    }
    rest()
}
