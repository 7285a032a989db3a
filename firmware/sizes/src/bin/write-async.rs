//! As `write`, by the asynchronous engine: opens a store after whatever happened, reads, commits durably and folds in.
#![no_std]
#![no_main]

use blockyard_core::Durability;
use blockyard_core::asynchronous::{BlockDevice, Store};
use blockyard_core::store::OpenOptions;
use blockyard_firmware_sizes::{
    Card, CardError, MEMORY, PAGE, Pending, TinyBatch, buffer, look, pending, rest, tell,
};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

board::entry!(main);

type AsyncStore = Store<WaitedCard, &'static mut Pending, &'static mut [u8]>;

/// The card, when its register says that it is ready.
struct WaitedCard(Card);

struct Ready;

impl Future for Ready {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if look() == 0 { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl BlockDevice for WaitedCard {
    type Error = CardError;

    async fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), CardError> {
        Ready.await;
        blockyard_core::BlockDevice::read(&mut self.0, offset, buf)
    }
    async fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), CardError> {
        Ready.await;
        blockyard_core::BlockDevice::write(&mut self.0, offset, data)
    }
    async fn sync(&mut self) -> Result<(), CardError> {
        Ready.await;
        blockyard_core::BlockDevice::sync(&mut self.0)
    }
    async fn length(&mut self) -> Result<u64, CardError> {
        blockyard_core::BlockDevice::length(&mut self.0)
    }
    async fn grow(&mut self, _: u64) -> Result<(), CardError> {
        Err(CardError)
    }
    fn atomic_unit(&self) -> u32 {
        PAGE as u32
    }
}

/// Where the store lies, in RAM that the linker counts.
fn place() -> &'static mut Option<AsyncStore> {
    static mut PLACE: Option<AsyncStore> = None;
    // SAFETY: called once by an image that has one thread and is never run.
    unsafe { &mut *core::ptr::addr_of_mut!(PLACE) }
}

async fn work() {
    let options = OpenOptions::new(MEMORY);
    let opening = AsyncStore::open_at(place(), WaitedCard(Card), pending(), buffer(), &options);
    let Ok((store, _)) = opening.await else { return };
    let mut batch = TinyBatch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
    let mut value = [0; 64];
    loop {
        let name = look().to_le_bytes();
        tell(store.get(&name, &mut value).await.ok().flatten().unwrap_or(0) as u32);
        batch.clear();
        let added = if look() == 0 { batch.delete(&name) } else { batch.put(&name, &value, 0) };
        let batches = core::slice::from_mut(&mut batch);
        let done = added.is_ok() && store.commit(batches, Durability::Durable).await.is_ok();
        let folded = store.wants_checkpoint() && store.checkpoint_step().await.is_ok();
        tell(u32::from(done) | u32::from(folded) << 1);
    }
}

fn main() -> ! {
    let mut work = pin!(work());
    let mut context = Context::from_waker(Waker::noop());
    while work.as_mut().poll(&mut context).is_pending() {}
    rest()
}
