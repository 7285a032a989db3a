//! The same work for several stores on the same chip: a change of one of 32 small records a commit, durable when
//! it is answered.
#![no_std]

#[cfg(target_os = "none")]
pub mod card;
#[cfg(feature = "littlefs")]
pub mod littlefs;

use blockyard_core::overlay::FixedOverlay;
use blockyard_core::store::{CreateOptions, Memory, OpenOptions};
use blockyard_core::{Batch, Durability, Store};
use cards::NorDevice;
use core::fmt::Debug;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use sequential_storage::cache::Cache;
use sequential_storage::map::{MapConfig, MapStorage};

/// Bytes of an erase block.
pub const BLOCK: usize = 4096;
/// Bytes of the chip.
pub const CHIP: usize = 1 << 20;
/// Records whose values change by turns.
const NAMES: u32 = 32;
/// The bytes of a value.
pub type Value = [u8; 12];

/// The chip: bits are cleared by programming and set by erasing a block.
pub trait Chip {
    /// Reads bytes.
    fn read(&mut self, at: usize, into: &mut [u8]);
    /// Programs whole words of four bytes.
    fn program(&mut self, at: usize, bytes: &[u8]);
    /// Erases the block that begins at `at`.
    fn erase(&mut self, at: usize);
}

/// No chip fails here.
#[derive(Clone, Copy, Debug)]
pub enum Never {}

impl core::fmt::Display for Never {
    fn fmt(&self, _: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {}
    }
}

impl core::error::Error for Never {}

impl NorFlashError for Never {
    fn kind(&self) -> NorFlashErrorKind {
        match *self {}
    }
}

/// A chip as each store wants it.
pub struct Flash<C>(pub C);

impl<C> ErrorType for Flash<C> {
    type Error = Never;
}

impl<C: Chip> ReadNorFlash for Flash<C> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Never> {
        self.0.read(offset as usize, bytes);
        Ok(())
    }

    fn capacity(&self) -> usize {
        CHIP
    }
}

impl<C: Chip> NorFlash for Flash<C> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = BLOCK;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Never> {
        (from as usize..to as usize).step_by(BLOCK).for_each(|at| self.0.erase(at));
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Never> {
        self.0.program(offset as usize, bytes);
        Ok(())
    }
}

impl<C: Chip> embedded_storage_async::nor_flash::ReadNorFlash for Flash<C> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Never> {
        self.0.read(offset as usize, bytes);
        Ok(())
    }

    fn capacity(&self) -> usize {
        CHIP
    }
}

impl<C: Chip> embedded_storage_async::nor_flash::NorFlash for Flash<C> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = BLOCK;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Never> {
        (from as usize..to as usize).step_by(BLOCK).for_each(|at| self.0.erase(at));
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Never> {
        self.0.program(offset as usize, bytes);
        Ok(())
    }
}

impl<C: Chip> ekv::flash::Flash for Flash<C> {
    type Error = Never;

    fn page_count(&self) -> usize {
        CHIP / BLOCK
    }

    async fn erase(&mut self, page: ekv::flash::PageID) -> Result<(), Never> {
        self.0.erase(page.index() * BLOCK);
        Ok(())
    }

    async fn read(&mut self, page: ekv::flash::PageID, offset: usize, bytes: &mut [u8]) -> Result<(), Never> {
        self.0.read(page.index() * BLOCK + offset, bytes);
        Ok(())
    }

    async fn write(&mut self, page: ekv::flash::PageID, offset: usize, bytes: &[u8]) -> Result<(), Never> {
        self.0.program(page.index() * BLOCK + offset, bytes);
        Ok(())
    }
}

/// Runs what never waits.
pub fn run<R>(work: impl Future<Output = R>) -> R {
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(result) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
    }
}

/// What was just done, for whoever counts operations of the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// A commit.
    Commit,
    /// The record was read back.
    Read,
}

/// A store could not do its work.
#[derive(Clone, Copy, Debug)]
pub struct Failed;

fn or_failed<R, E: Debug>(result: Result<R, E>) -> Result<R, Failed> {
    result.map_err(|_| Failed)
}

/// The name that commit `n` changes.
fn name(n: u32) -> [u8; 8] {
    let number = n.wrapping_mul(7) % NAMES;
    let mut name = *b"value/00";
    let [.., tens, ones] = &mut name;
    *tens += (number / 10) as u8;
    *ones += (number % 10) as u8;
    name
}

/// What it changes it to.
fn value(n: u32) -> Value {
    let mut value = [n as u8; 12];
    if let Some(start) = value.first_chunk_mut() {
        *start = n.to_le_bytes();
    }
    value
}

/// Whether commit `n` left what it must.
fn is_right(found: Option<&[u8]>, n: u32) -> Result<(), Failed> {
    if found == Some(&value(n)[..]) { Ok(()) } else { Err(Failed) }
}

/// Memory of Blockyard for pages of an erase block.
pub const BYTES: usize = Memory::TINY.bytes(BLOCK);

type Blockyard<'b, C> = Store<NorDevice<Flash<C>>, FixedOverlay<64, 8>, &'b mut [u8]>;

/// Blockyard: an erase block a journal record, 64 blocks of journal, folded in after 64 changes.
///
/// # Errors
/// The store's, or a wrong value.
pub fn blockyard<C: Chip>(
    chip: C,
    buffer: &mut [u8],
    commits: u32,
    told: &mut dyn FnMut(Done),
) -> Result<(), Failed> {
    let device = or_failed(NorDevice::new(Flash(chip), 0, CHIP as u32))?;
    let create = CreateOptions {
        page_size: BLOCK as u32,
        journal_length: (64 * BLOCK) as u64,
        chunk_size: BLOCK as u32,
        file_id: [9; 16],
    };
    let options = OpenOptions { carry_max: 2048, ..OpenOptions::new(Memory::TINY) };
    let made = Blockyard::create(device, FixedOverlay::new(), &mut *buffer, &create, &options);
    let device = made.map_err(|_| Failed)?.into_device();
    let mut place = None;
    let opened = Blockyard::open_at(&mut place, device, FixedOverlay::new(), buffer, &options);
    let (store, _) = opened.map_err(|_| Failed)?;
    let mut batch: Batch<heapless::Vec<u8, 128>, heapless::Vec<u8, 0>> =
        Batch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
    for n in 0..commits {
        batch.clear();
        or_failed(batch.put(&name(n), &value(n), 0))?;
        store.commit(core::slice::from_mut(&mut batch), Durability::Durable).map_err(|_| Failed)?;
        told(Done::Commit);
        let mut found = [0; 12];
        let length = store.get(&name(n), &mut found).map_err(|_| Failed)?;
        is_right(length.and_then(|length| found.get(..length)), n)?;
        told(Done::Read);
    }
    Ok(())
}

/// ekv: a transaction a commit.
///
/// # Errors
/// The store's, or a wrong value.
pub fn ekv<C: Chip>(chip: C, commits: u32, told: &mut dyn FnMut(Done)) -> Result<(), Failed> {
    let store = ekv::Database::<_, NoopRawMutex>::new(Flash(chip), ekv::Config::default());
    run(async {
        or_failed(store.format().await)?;
        or_failed(store.mount().await)?;
        for n in 0..commits {
            let mut transaction = store.write_transaction().await;
            or_failed(transaction.write(&name(n), &value(n)).await)?;
            or_failed(transaction.commit().await)?;
            told(Done::Commit);
            let mut found = [0; 12];
            let transaction = store.read_transaction().await;
            let length = or_failed(transaction.read(&name(n), &mut found).await)?;
            is_right(found.get(..length), n)?;
            drop(transaction);
            told(Done::Read);
        }
        Ok(())
    })
}

/// sequential-storage: a map, without a cache.
///
/// # Errors
/// The store's, or a wrong value.
pub fn sequential<C: Chip>(chip: C, commits: u32, told: &mut dyn FnMut(Done)) -> Result<(), Failed> {
    let config = or_failed(MapConfig::try_new(0..CHIP as u32))?;
    let mut store = MapStorage::<[u8; 8], _, _>::new(Flash(chip), config, Cache::new_uncached());
    run(async {
        let mut buffer = [0; 64];
        or_failed(store.erase_all().await)?;
        for n in 0..commits {
            or_failed(store.store_item(&mut buffer, &name(n), &value(n)).await)?;
            told(Done::Commit);
            let found = or_failed(store.fetch_item::<Value>(&mut buffer, &name(n)).await)?;
            is_right(found.as_ref().map(|found| &found[..]), n)?;
            told(Done::Read);
        }
        Ok(())
    })
}
