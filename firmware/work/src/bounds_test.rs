//! No call asks more of the device than is documented, whatever the layout, the work and what was folded in.

use crate::counted::Counted;
use blockyard_core::device::MemoryDevice;
use blockyard_core::overlay::FixedOverlay;
use blockyard_core::store::{Bound, CreateOptions, Memory, OpenOptions, Progress};
use blockyard_core::{Batch, Durability, Store};
use std::{format, vec, vec::Vec};

type Device = Counted<MemoryDevice<Vec<u8>>>;
type Tested = Store<Device, FixedOverlay<24, 32>, Vec<u8>>;

/// Numbers in an order that nobody chose.
struct Random(u32);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % end
    }
}

/// Does something and compares what it asked of the device with its bound.
fn within<R>(what: &str, store: &mut Tested, bound: Bound, work: impl FnOnce(&mut Tested) -> R) -> R {
    let before = store.device().so_far;
    let result = work(store);
    let asked = store.device().so_far - before;
    assert!(asked.within(bound), "{what}: {asked:?}, the bound is {bound:?}");
    result
}

/// A commit that needs no batch.
fn one(store: &mut Tested, random: &mut Random, names: u32, value: &[u8]) {
    let name = format!("block/{:03}", random.below(names));
    let (page, durability) = (store.geometry().page_size(), [Durability::Durable, Durability::Buffered]);
    let size = [0, page / 4, page / 4 + 1, page / 2 + 1, page + 1][random.below(5) as usize];
    let durability = durability[random.below(2) as usize];
    let is_put = random.below(5) > 0;
    let plain = store.bound_of_put(name.len(), if is_put { size } else { 0 });
    let folding = plain + store.bound_of_checkpoint();
    let (checkpoints, before) = (store.counters().checkpoints, store.device().so_far);
    within("put", store, folding, |store| match is_put {
        true if size > page / 4 => store.put(name.as_bytes(), &value[..size], 0, durability),
        true => store.put_small(name.as_bytes(), &value[..size], 0, durability),
        false => store.delete(name.as_bytes(), durability),
    })
    .expect("room");
    if store.counters().checkpoints == checkpoints {
        let asked = store.device().so_far - before;
        assert!(asked.within(plain), "put of {size}: {asked:?}, the bound is {plain:?}");
    }
}

fn run(memory: Memory, page: u32, length: usize, names: u32, seed: u32) {
    let mut random = Random(seed);
    let create = CreateOptions {
        page_size: page,
        journal_length: u64::from(page) * u64::from(8 + random.below(24)),
        chunk_size: 4 * page,
        file_id: [9; 16],
    };
    let device = Counted::new(MemoryDevice::new(vec![0; length], 512));
    let options = OpenOptions { carry_max: 2048, ..OpenOptions::new(memory) };
    let buffer = vec![0; memory.bytes(page as usize)];
    let mut store: Tested =
        Store::create(device, FixedOverlay::new(), buffer, &create, &options).expect("there is room");
    let mut batch: Batch<heapless::Vec<u8, 2048>, heapless::Vec<u8, 32768>> =
        Batch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
    let mut value = vec![0; 16384];
    for _ in 0..250 {
        batch.clear();
        for _ in 0..1 + random.below(3) {
            let name = format!("block/{:03}", random.below(names));
            let size = [8, 60, page / 4 + 1, page, 2 * page][random.below(5) as usize] as usize;
            let added = if random.below(5) == 0 {
                batch.delete(name.as_bytes())
            } else {
                batch.put(name.as_bytes(), &value[..size], 0)
            };
            added.expect("the batch is large enough");
        }
        let plain = store.bound_of_commit(batch.len() as u64, batch.bytes() as u64);
        let folding = plain + store.bound_of_checkpoint();
        let (checkpoints, before) = (store.counters().checkpoints, store.device().so_far);
        let batches = core::slice::from_mut(&mut batch);
        within("commit", &mut store, folding, |store| store.commit(batches, Durability::Durable))
            .expect("room");
        if store.counters().checkpoints == checkpoints {
            let asked = store.device().so_far - before;
            assert!(asked.within(plain), "commit: {asked:?}, the bound is {plain:?}");
        }
        one(&mut store, &mut random, names, &value);
        if random.below(4) == 0 {
            loop {
                let bound = store.bound_of_step();
                if within("step", &mut store, bound, |store| store.checkpoint_step()).expect("room")
                    == Progress::Idle
                {
                    break;
                }
            }
        }
        let name = format!("block/{:03}", random.below(names));
        let bound = store.bound_of_get(u64::from(2 * page));
        within("get", &mut store, bound, |store| store.get(name.as_bytes(), &mut value)).expect("sound");
        let bound = store.bound_of_info();
        within("info", &mut store, bound, |store| store.info(name.as_bytes())).expect("sound");
        let bound = store.bound_of_next_name();
        within("next", &mut store, bound, |store| store.next_name(Some(name.as_bytes()), &mut value[..64]))
            .expect("sound");
        value.rotate_left(1);
        value[0] = random.below(256) as u8;
    }
}

#[test]
fn no_call_asks_more_of_the_device_than_is_documented() {
    for seed in 0..12 {
        run(Memory::TINY, 512, 400 << 10, 14, seed);
        run(Memory::SMALL, 512, 6 << 20, 60, seed);
        run(Memory { staging: 8 << 10, ..Memory::SMALL }, 4096, 4 << 20, 90, seed);
    }
}

/// How many blocks of 16-byte names and so many bytes a profile takes before its registry has all its levels.
fn capacity(memory: Memory, page: u32, value: usize) -> u32 {
    let create = CreateOptions {
        page_size: page,
        journal_length: 32 * u64::from(page),
        chunk_size: page,
        file_id: [9; 16],
    };
    let device = Counted::new(MemoryDevice::new(vec![0; 1800 << 10], 512));
    let buffer = vec![0; memory.bytes(page as usize)];
    let options = OpenOptions::new(memory);
    let mut store: Tested =
        Store::create(device, FixedOverlay::new(), buffer, &create, &options).expect("there is room");
    let mut batch: Batch<heapless::Vec<u8, 2048>, heapless::Vec<u8, 512>> =
        Batch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
    for number in 0..20_000_u32 {
        batch.clear();
        let name = format!("name/of/{:08}", number.wrapping_mul(7919) % 100_000_000);
        batch.put(name.as_bytes(), &[7; 512][..value], 0).expect("the batch is large enough");
        if store.commit(core::slice::from_mut(&mut batch), Durability::Buffered).is_err() {
            return number;
        }
    }
    20_000
}

#[test]
fn a_profile_takes_as_many_blocks_as_its_documentation_says() {
    let (tiny, small) = (capacity(Memory::TINY, 512, 16), capacity(Memory::SMALL, 512, 16));
    std::println!("TINY {tiny}, SMALL {small}");
    assert!(tiny >= 70 && small >= 380, "TINY {tiny}, SMALL {small}");
}
