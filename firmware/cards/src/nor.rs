//! NOR flash, an erase block at a time.
//!
//! A write erases the blocks under it and programs them anew. That keeps the device's contract as it stands:
//! a power cut leaves the block at hand erased, half programmed or whole, and no other block touched. The erase
//! block therefore is the atomic unit, and may have 4 KiB at most, which most serial chips have.
//!
//! No translation is under it, so wear is the format's own. The journal's ring takes turns, and allocation goes
//! round the whole file before it comes back. The superblock and the free map's page do not: of the superblock's
//! four slots two are written at each checkpoint, each slot at every other one, and so are the map's two. A chip
//! of 100,000 erasures takes 200,000 checkpoints. How many commits that is depends on how many a checkpoint
//! folds in: the longer the journal, and the more the overlay holds, the more.

use blockyard_core::device::{BlockDevice, DeviceError, DeviceErrorKind};
use core::fmt;
use embedded_storage::nor_flash::NorFlash;

/// An error of a [`NorDevice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NorError<E> {
    /// The chip or its driver failed.
    Flash(E),
    /// The range does not lie in the part of the chip that was given.
    OutOfRange,
    /// A chip has the size it has.
    FixedSize,
    /// Erase blocks of this chip are no power of two of 4 KiB at most, or are not whole words of its.
    EraseBlock,
}

impl<E: fmt::Debug> fmt::Display for NorError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(error) => write!(f, "the flash failed: {error:?}"),
            Self::OutOfRange => f.write_str("the range lies beyond the part of the flash that was given"),
            Self::FixedSize => f.write_str("the part of the flash that was given cannot grow"),
            Self::EraseBlock => f.write_str(
                "erase blocks have to be a power of two of 4 KiB at most; put a translation layer under",
            ),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for NorError<E> {}

impl<E: fmt::Debug + 'static> DeviceError for NorError<E> {
    fn kind(&self) -> DeviceErrorKind {
        match self {
            Self::FixedSize => DeviceErrorKind::NoSpace,
            _ => DeviceErrorKind::Other,
        }
    }
}

/// A store's device on a run of erase blocks. The store's pages have to be an erase block at least.
///
/// A sync does nothing: a call of `embedded-storage` returns when the chip is done.
#[derive(Debug)]
pub struct NorDevice<F> {
    flash: F,
    start: u32,
    length: u32,
}

impl<F: NorFlash> NorDevice<F> {
    /// The `length` bytes from `start` on, both whole erase blocks.
    ///
    /// # Errors
    /// [`NorError::EraseBlock`], [`NorError::OutOfRange`].
    pub fn new(flash: F, start: u32, length: u32) -> Result<Self, NorError<F::Error>> {
        let block = F::ERASE_SIZE;
        let word = F::WRITE_SIZE.max(F::READ_SIZE).max(1);
        if !block.is_power_of_two() || block > 4096 || !block.is_multiple_of(word) {
            return Err(NorError::EraseBlock);
        }
        let whole = start.is_multiple_of(block as u32) && length.is_multiple_of(block as u32);
        let inside = u64::from(start) + u64::from(length) <= flash.capacity() as u64;
        if whole && inside { Ok(Self { flash, start, length }) } else { Err(NorError::OutOfRange) }
    }

    /// Gives the chip back.
    pub fn into_inner(self) -> F {
        self.flash
    }

    fn place(&self, offset: u64, length: usize) -> Result<u32, NorError<F::Error>> {
        let unit = F::ERASE_SIZE;
        let whole = offset.is_multiple_of(unit as u64) && length.is_multiple_of(unit);
        let inside = offset + length as u64 <= u64::from(self.length);
        if whole && inside { Ok(self.start + offset as u32) } else { Err(NorError::OutOfRange) }
    }
}

impl<F> BlockDevice for NorDevice<F>
where
    F: NorFlash,
    F::Error: 'static,
{
    type Error = NorError<F::Error>;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        let at = self.place(offset, buf.len())?;
        self.flash.read(at, buf).map_err(NorError::Flash)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Self::Error> {
        let mut at = self.place(offset, data.len())?;
        // Block by block, so that a cut leaves one of them erased, not all.
        for block in data.chunks_exact(F::ERASE_SIZE) {
            let end = at + F::ERASE_SIZE as u32;
            self.flash.erase(at, end).map_err(NorError::Flash)?;
            self.flash.write(at, block).map_err(NorError::Flash)?;
            at = end;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn length(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from(self.length))
    }

    fn grow(&mut self, length: u64) -> Result<(), Self::Error> {
        if length <= u64::from(self.length) { Ok(()) } else { Err(NorError::FixedSize) }
    }

    fn atomic_unit(&self) -> u32 {
        F::ERASE_SIZE as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockyard_core::overlay::FixedOverlay;
    use blockyard_core::store::{CreateOptions, Memory, OpenOptions};
    use blockyard_core::{Batch, Durability, Store};
    use embedded_storage::nor_flash::{ErrorType, NorFlashError, NorFlashErrorKind, ReadNorFlash};
    use std::{format, println, string::String, vec, vec::Vec};

    /// A chip as chips are: programming clears bits and sets none, erasing takes a whole block, and the power
    /// may go in the middle of either.
    struct Chip<const BLOCK: usize> {
        bytes: Vec<u8>,
        erasures: Vec<u32>,
        /// Erasures and programmings until power goes.
        left: Option<u32>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum ChipError {
        NotErased,
        PowerLost,
    }

    impl NorFlashError for ChipError {
        fn kind(&self) -> NorFlashErrorKind {
            NorFlashErrorKind::Other
        }
    }

    impl<const BLOCK: usize> Chip<BLOCK> {
        fn new(length: usize) -> Self {
            Self { bytes: vec![0xff; length], erasures: vec![0; length / BLOCK], left: None }
        }

        /// Bytes of an operation that happen before power goes.
        fn reach(&mut self, length: usize) -> Result<usize, ChipError> {
            match &mut self.left {
                None => Ok(length),
                Some(0) => Err(ChipError::PowerLost),
                Some(left) => {
                    *left -= 1;
                    Ok(if *left == 0 { length / 3 } else { length })
                }
            }
        }

        fn ended(&self) -> Result<(), ChipError> {
            if self.left == Some(0) { Err(ChipError::PowerLost) } else { Ok(()) }
        }
    }

    impl<const BLOCK: usize> ErrorType for Chip<BLOCK> {
        type Error = ChipError;
    }

    impl<const BLOCK: usize> ReadNorFlash for Chip<BLOCK> {
        const READ_SIZE: usize = 1;

        fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), ChipError> {
            self.ended()?;
            bytes.copy_from_slice(&self.bytes[offset as usize..offset as usize + bytes.len()]);
            Ok(())
        }

        fn capacity(&self) -> usize {
            self.bytes.len()
        }
    }

    impl<const BLOCK: usize> NorFlash for Chip<BLOCK> {
        const WRITE_SIZE: usize = 4;
        const ERASE_SIZE: usize = BLOCK;

        fn erase(&mut self, from: u32, to: u32) -> Result<(), ChipError> {
            let reach = self.reach((to - from) as usize)?;
            self.bytes[from as usize..from as usize + reach].fill(0xff);
            (from as usize / BLOCK..to as usize / BLOCK).for_each(|block| self.erasures[block] += 1);
            self.ended()
        }

        fn write(&mut self, offset: u32, data: &[u8]) -> Result<(), ChipError> {
            let reach = self.reach(data.len())?;
            for (byte, new) in self.bytes[offset as usize..].iter_mut().zip(&data[..reach]) {
                if *byte != 0xff {
                    return Err(ChipError::NotErased);
                }
                *byte = *new;
            }
            self.ended()
        }
    }

    const MEMORY: Memory = Memory::TINY;
    type Tested<'b, const BLOCK: usize> =
        Store<NorDevice<&'b mut Chip<BLOCK>>, FixedOverlay<16, 32>, Vec<u8>>;

    fn options() -> OpenOptions {
        OpenOptions { carry_max: 2048, ..OpenOptions::new(MEMORY) }
    }

    fn open<const BLOCK: usize>(chip: &mut Chip<BLOCK>) -> Option<Tested<'_, BLOCK>> {
        let length = chip.bytes.len() as u32;
        let device = NorDevice::new(chip, 0, length).expect("a chip of this kind");
        let buffer = vec![0; MEMORY.bytes(BLOCK.max(512))];
        Store::open(device, FixedOverlay::new(), buffer, &options()).ok().map(|(store, _)| store)
    }

    fn create<const BLOCK: usize>(chip: &mut Chip<BLOCK>) {
        let length = chip.bytes.len() as u32;
        let page = BLOCK.max(512) as u32;
        let layout = CreateOptions {
            page_size: page,
            journal_length: 8 * u64::from(page),
            chunk_size: page,
            file_id: [3; 16],
        };
        let device = NorDevice::new(chip, 0, length).expect("a chip of this kind");
        let buffer = vec![0; MEMORY.bytes(page as usize)];
        let store: Tested<'_, BLOCK> =
            Store::create(device, FixedOverlay::new(), buffer, &layout, &options()).expect("there is room");
        drop(store);
    }

    /// Commits numbers `from` to `to`, each as the value of one of eight names; the last one answered.
    fn work<const BLOCK: usize>(store: &mut Tested<'_, BLOCK>, from: u32, to: u32) -> u32 {
        let mut batch: Batch<heapless::Vec<u8, 256>, heapless::Vec<u8, 0>> =
            Batch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
        for number in from..=to {
            batch.clear();
            let name = name_of(number);
            batch.put(name.as_bytes(), &number.to_le_bytes(), 0).expect("the batch is large enough");
            if store.commit(core::slice::from_mut(&mut batch), Durability::Durable).is_err() {
                return number - 1;
            }
        }
        to
    }

    fn name_of(number: u32) -> String {
        format!("value/{}", number % 8)
    }

    /// What was answered is there: of each name the last value, or, of the commit in doubt, the next one.
    fn check<const BLOCK: usize>(store: &mut Tested<'_, BLOCK>, answered: u32) {
        let found = store.sequence().0 as u32;
        assert!(found == answered || found == answered + 1, "{answered} were answered, {found} are there");
        for number in found.saturating_sub(7).max(1)..=found {
            let mut value = [0; 4];
            let length = store.get(name_of(number).as_bytes(), &mut value).expect("it can be read");
            assert_eq!((length, u32::from_le_bytes(value)), (Some(4), number));
        }
    }

    #[test]
    fn power_may_go_in_every_erasure_and_every_programming() {
        let mut cuts = 0;
        for cut in 1.. {
            let mut chip = Chip::<4096>::new(512 << 10);
            create(&mut chip);
            chip.left = Some(cut);
            let answered = open(&mut chip).map_or(0, |mut store| work(&mut store, 1, 40));
            let through = chip.left != Some(0);
            // Again while it recovers, at an operation that differs from round to round.
            chip.left = Some(1 + cut % 13);
            drop(open(&mut chip));
            chip.left = None;
            let mut store = open(&mut chip).expect("it recovers");
            check(&mut store, answered);
            let found = store.sequence().0 as u32;
            assert_eq!(work(&mut store, found + 1, found + 3), found + 3);
            drop(store);
            check(&mut open(&mut chip).expect("after a clean write"), found + 3);
            cuts += 1;
            if through {
                break;
            }
        }
        assert!(cuts > 100, "only {cuts} operations were cut");
    }

    #[test]
    fn wear_is_spread_but_for_the_superblock() {
        let mut chip = Chip::<4096>::new(1 << 20);
        create(&mut chip);
        let commits = 20_000;
        let mut store = open(&mut chip).expect("it opens");
        assert_eq!(work(&mut store, 1, commits), commits);
        let checkpoints = store.counters().checkpoints as u32;
        drop(store);
        let most = |blocks: &[u32]| blocks.iter().copied().max().unwrap_or(0);
        let (slots, rest) = chip.erasures.split_at(4);
        let (journal, pages) = rest.split_at(8);
        let mean = pages.iter().sum::<u32>() / pages.len() as u32;
        println!(
            "{commits} commits, {checkpoints} checkpoints: slots {}, journal {}, pages {} (mean {mean})",
            most(slots),
            most(journal),
            most(pages)
        );
        assert!(most(slots) <= checkpoints / 2 + 4, "a slot is written at every other checkpoint");
        assert!(most(journal) <= commits / 4, "the ring takes turns");
        // The free map's two slots are written by turns, and are where they are.
        let mut sorted = pages.to_vec();
        sorted.sort_unstable();
        let third = sorted[sorted.len() - 3];
        assert!(third <= 2 * mean + 2, "pages but the free map's: {third}, the mean is {mean}");
    }

    #[test]
    fn a_chip_of_large_blocks_is_refused() {
        let chip = Chip::<65536>::new(1 << 20);
        assert_eq!(NorDevice::new(chip, 0, 65536).map(|_| ()), Err(NorError::EraseBlock));
        let chip = Chip::<4096>::new(1 << 20);
        assert_eq!(NorDevice::new(chip, 4096, 1 << 20).map(|_| ()), Err(NorError::OutOfRange));
    }
}
