//! A sensor whose task must not be held up by its card: a commit runs in a task of its own, and the sensor waits for the
//! answer no longer than it likes. Nothing of the commit is dropped, so the store stays whole.
//!
//! `cargo run -p async-tests --example sensor`

use std::cell::RefCell;
use std::pin::pin;
use std::task::{Context, Waker};

use async_tests::{Pause, finish};
use blockyard_core::asynchronous::{BlockDevice, Store};
use blockyard_core::device::{BlockDevice as _, MemoryError, VecDevice};
use blockyard_core::overlay::FixedOverlay;
use blockyard_core::store::{CreateOptions, Memory, OpenOptions};
use blockyard_core::{Batch, Durability};

/// A card that takes its time: every write is waited for as often as it has sectors.
struct Card(VecDevice);

impl BlockDevice for Card {
    type Error = MemoryError;

    async fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        self.0.read(offset, buf)
    }
    async fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        for _ in 0..data.len() / 512 {
            Pause::new().await;
        }
        self.0.write(offset, data)
    }
    async fn sync(&mut self) -> Result<(), MemoryError> {
        Pause::new().await;
        self.0.sync()
    }
    async fn length(&mut self) -> Result<u64, MemoryError> {
        self.0.length()
    }
    async fn grow(&mut self, length: u64) -> Result<(), MemoryError> {
        self.0.grow(length)
    }
    fn atomic_unit(&self) -> u32 {
        self.0.atomic_unit()
    }
}

/// Stands behind the last value.
const END: u32 = u32::MAX;

const MEMORY: Memory = Memory::TINY;
type Changes = Batch<heapless::Vec<u8, 512>, heapless::Vec<u8, 512>>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let card = Card(VecDevice::new(512, 1 << 20));
    let layout =
        CreateOptions { page_size: 512, journal_length: 8 << 10, chunk_size: 4096, file_id: [7; 16] };
    let options = OpenOptions::new(MEMORY);
    let mut buffer = [0_u8; MEMORY.bytes(512)];
    let overlay = FixedOverlay::<12, 16>::new();
    let store = finish(Store::create(card, overlay, &mut buffer[..], &layout, &options))?;

    // What has been measured and not yet committed, and what the card has answered.
    let measured = RefCell::new(Vec::new());
    let durable = RefCell::new(0);
    let keeper = async {
        let mut store = store;
        let mut changes = Changes::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
        loop {
            Pause::new().await;
            let some = measured.borrow().len().min(4);
            let taken: Vec<u32> = measured.borrow_mut().drain(..some).collect();
            match taken.as_slice() {
                [] => continue,
                [END, ..] => return store,
                _ => {}
            }
            changes.clear();
            for value in &taken {
                let name = format!("at {:02}", value % 50);
                changes.put(name.as_bytes(), &value.to_le_bytes(), 0).expect("four of them fit");
            }
            store
                .commit(std::slice::from_mut(&mut changes), Durability::Durable)
                .await
                .expect("there is room");
            *durable.borrow_mut() += taken.len();
            if store.wants_checkpoint() {
                store.checkpoint_step().await.expect("there is room");
            }
        }
    };
    // An executor of two tasks: the sensor measures at each turn and never waits for the card.
    let mut keeper = pin!(keeper);
    let mut context = Context::from_waker(Waker::noop());
    let mut late = 0;
    for value in 0..200 {
        measured.borrow_mut().push(value);
        let before = *durable.borrow();
        assert!(keeper.as_mut().poll(&mut context).is_pending());
        late += u32::from(*durable.borrow() == before);
    }
    while !measured.borrow().is_empty() {
        assert!(keeper.as_mut().poll(&mut context).is_pending());
    }
    measured.borrow_mut().push(END);
    let store = finish(keeper);
    println!("{} values are durable; at {late} of 200 turns the card had not answered", durable.borrow());
    println!("{:?}", store.counters());
    Ok(())
}
