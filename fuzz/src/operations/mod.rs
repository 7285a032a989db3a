//! Target `operations`: any work on a store of any sizes is work on a map.
//!
//! The bytes choose the sizes, the memory, the overlay and the device, then one operation after the other.
//! After each, what it touched is compared with a map in memory; at the end everything is: the
//! contents, the counts, the free map, and that nothing stays behind when all is deleted.

mod change;
mod look;
mod world;

use crate::device::Watched;
use crate::input::Input;
use crate::setup::{Fixed, Heap, Setup, Tiny};
use blockyard_core::overlay::Overlay;
pub(crate) use look::{ImagePages, keys, keys_back};
use world::World;

/// Operations after which an input ends: what takes longer is two inputs.
const STEPS: usize = 100;

/// The same for pages so large that every operation takes long.
const STEPS_OF_LARGE_PAGES: usize = 16;

/// Device operations that all of them together may take.
const LIMIT: u32 = 400_000;

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let setup = Setup::draw(&mut input);
    match input.byte() % 4 {
        0 | 1 => work::<Heap>(setup, input),
        2 => work::<Fixed>(setup, input),
        _ => work::<Tiny>(setup, input),
    }
}

fn work<O: Overlay + Default>(setup: Setup, mut input: Input<'_>) {
    let page = u64::from(setup.page_size);
    let room = setup.front_pages() + 33 + input.below(256) as u64;
    let (length, room) = match input.byte() % 4 {
        // A device that hardly fills up, one that is full one day, two that cannot grow.
        0 => (0, setup.front_pages() + 33 + (2 << 20) / page),
        1 => (0, room),
        2 => (room, room),
        _ => (setup.front_pages() + 32, setup.front_pages() + 32),
    };
    let device = Watched::new(vec![0x5A; (length * page) as usize], setup.unit, room * page, LIMIT);
    let store = setup.create::<O, _>(device).expect("these sizes are possible");
    let mut world = World::new(setup, store);
    let steps = if page > 4096 { STEPS_OF_LARGE_PAGES } else { STEPS };
    for _ in 0..steps {
        if input.is_empty() {
            break;
        }
        world = world.step(&mut input);
    }
    world.finish();
}
