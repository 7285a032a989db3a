//! A card, or part of one.

use blockyard_core::device::{BlockDevice, DeviceError, DeviceErrorKind};
use core::fmt;
use embedded_sdmmc::{Block, BlockDevice as Blocks, BlockIdx};

const SECTOR: usize = 512;

/// An error of an [`SdDevice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SdError<E> {
    /// The card or its driver failed.
    Card(E),
    /// The range does not lie in the part of the card that was given.
    OutOfRange,
    /// A card has the size it has.
    FixedSize,
}

impl<E: fmt::Debug> fmt::Display for SdError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Card(error) => write!(f, "the card failed: {error:?}"),
            Self::OutOfRange => f.write_str("the range lies beyond the part of the card that was given"),
            Self::FixedSize => f.write_str("the part of the card that was given cannot grow"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for SdError<E> {}

impl<E: fmt::Debug + 'static> DeviceError for SdError<E> {
    fn kind(&self) -> DeviceErrorKind {
        match self {
            Self::FixedSize => DeviceErrorKind::NoSpace,
            _ => DeviceErrorKind::Other,
        }
    }
}

/// A store's device on a run of sectors: all of a card, or a partition.
///
/// A sync does nothing: `embedded-sdmmc` waits after each write until the card is no longer busy, and then the
/// sector is in the card. What the card's own controller makes of a power cut is between you and its maker; a
/// store on a card that loses what it called written may come back without its last commits, never damaged
/// without a word.
#[derive(Debug)]
pub struct SdDevice<D> {
    card: D,
    first: u32,
    sectors: u32,
}

impl<D: Blocks> SdDevice<D> {
    /// The `sectors` sectors from `first` on.
    pub const fn new(card: D, first: u32, sectors: u32) -> Self {
        Self { card, first, sectors }
    }

    /// A whole card.
    ///
    /// # Errors
    /// The card does not say how large it is.
    pub fn whole(card: D) -> Result<Self, SdError<D::Error>> {
        let sectors = card.num_blocks().map_err(SdError::Card)?.0;
        Ok(Self { card, first: 0, sectors })
    }

    /// Gives the card back.
    pub fn into_inner(self) -> D {
        self.card
    }

    /// The first sector of a range of whole sectors that lies inside.
    fn sector(&self, offset: u64, length: usize) -> Result<u32, SdError<D::Error>> {
        let whole = offset.is_multiple_of(SECTOR as u64) && length.is_multiple_of(SECTOR);
        let start = offset / SECTOR as u64;
        let inside = start + (length / SECTOR) as u64 <= u64::from(self.sectors);
        if whole && inside { Ok(self.first + start as u32) } else { Err(SdError::OutOfRange) }
    }
}

impl<D: Blocks> BlockDevice for SdDevice<D> {
    type Error = SdError<D::Error>;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        let first = self.sector(offset, buf.len())?;
        let mut block = [Block::new()];
        for (at, sector) in (first..).zip(buf.chunks_exact_mut(SECTOR)) {
            self.card.read(&mut block, BlockIdx(at)).map_err(SdError::Card)?;
            sector.copy_from_slice(&block[0].contents);
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Self::Error> {
        let first = self.sector(offset, data.len())?;
        let mut block = [Block::new()];
        for (at, sector) in (first..).zip(data.chunks_exact(SECTOR)) {
            block[0].contents.copy_from_slice(sector);
            self.card.write(&block, BlockIdx(at)).map_err(SdError::Card)?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn length(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from(self.sectors) * SECTOR as u64)
    }

    fn grow(&mut self, length: u64) -> Result<(), Self::Error> {
        if length <= self.length()? { Ok(()) } else { Err(SdError::FixedSize) }
    }

    fn atomic_unit(&self) -> u32 {
        SECTOR as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;
    use embedded_sdmmc::BlockCount;
    use std::{vec, vec::Vec};
    use work::lives::{End, Room, live};
    use work::notes::Notes;

    /// A card in memory, behind a shared reference as drivers have it.
    struct Card(RefCell<Vec<u8>>);

    impl Blocks for Card {
        type Error = core::fmt::Error;

        fn read(&self, blocks: &mut [Block], start: BlockIdx) -> Result<(), Self::Error> {
            for (at, block) in (start.0 as usize..).zip(blocks) {
                let bytes = self.0.borrow();
                block
                    .contents
                    .copy_from_slice(bytes.get(at * SECTOR..(at + 1) * SECTOR).ok_or(core::fmt::Error)?);
            }
            Ok(())
        }

        fn write(&self, blocks: &[Block], start: BlockIdx) -> Result<(), Self::Error> {
            for (at, block) in (start.0 as usize..).zip(blocks) {
                let mut bytes = self.0.borrow_mut();
                let sector = bytes.get_mut(at * SECTOR..(at + 1) * SECTOR).ok_or(core::fmt::Error)?;
                sector.copy_from_slice(&block.contents);
            }
            Ok(())
        }

        fn num_blocks(&self) -> Result<BlockCount, Self::Error> {
            Ok(BlockCount((self.0.borrow().len() / SECTOR) as u32))
        }
    }

    #[test]
    fn every_operation_of_a_store_in_a_partition_is_cut() {
        let card = Card(RefCell::new(vec![0x77; 256 << 10]));
        let mut device = SdDevice::new(card, 40, 192);
        let (mut buffer, mut undo) = (vec![0; work::BYTES], vec![0; 24 * work::cut::UNDO]);
        let mut pending = work::Pending::new();
        let (buffer, pending, undo) = (&mut buffer[..], &mut pending, &mut undo[..]);
        let mut room = Room { buffer, pending, undo, stride: 1, lies: false };
        let mut notes = Notes::new();
        while live(&mut notes, &mut device, &mut room, || ()).expect("nothing is lost") == End::Again {}
        assert!(notes.resets > 400, "{notes:?}");
        let bytes = device.into_inner().0.into_inner();
        let (before, rest) = bytes.split_at(40 * SECTOR);
        let outside = before.iter().chain(&rest[192 * SECTOR..]);
        assert!(outside.copied().all(|byte| byte == 0x77), "other partitions keep their bytes");
    }

    #[test]
    fn what_lies_outside_is_refused() {
        let mut device = SdDevice::whole(Card(RefCell::new(vec![0; 1 << 10]))).expect("it says its size");
        assert_eq!(device.length(), Ok(1 << 10));
        assert_eq!(device.read(512, &mut [0; 1024]), Err(SdError::OutOfRange));
        assert_eq!(device.write(1, &[0; 512]), Err(SdError::OutOfRange));
        assert_eq!(device.grow(4 << 10).expect_err("fixed").kind(), DeviceErrorKind::NoSpace);
    }
}
