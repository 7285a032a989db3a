//! A device over the sectors of a `block-device-driver`.

use super::BlockDevice;
use crate::bytes;
use crate::device::{DeviceError, DeviceErrorKind};
use aligned::Aligned;
use block_device_driver::{BlockDevice as Driver, slice_to_blocks, slice_to_blocks_mut};
use core::fmt;

/// An error of a [`SectorDevice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SectorError<E> {
    /// The driver failed.
    Driver(E),
    /// The range is not whole sectors, or lies beyond those that a driver can name.
    OutOfRange,
    /// The device has the size it has.
    FixedSize,
}

impl<E: fmt::Debug> fmt::Display for SectorError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Driver(error) => write!(f, "the device failed: {error:?}"),
            Self::OutOfRange => f.write_str("the range is not whole sectors of the device"),
            Self::FixedSize => f.write_str("the device cannot grow beyond its size"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for SectorError<E> {}

impl<E: fmt::Debug + 'static> DeviceError for SectorError<E> {
    fn kind(&self) -> DeviceErrorKind {
        match self {
            Self::FixedSize => DeviceErrorKind::NoSpace,
            Self::Driver(_) | Self::OutOfRange => DeviceErrorKind::Other,
        }
    }
}

/// A device over a `block-device-driver` with sectors of `SIZE` bytes, which are its atomic unit: a power of two, at most
/// 4,096. Memory that lies as the driver wants it is handed to it as it is, and a run of sectors at once; other memory
/// goes through one sector of its own.
///
/// The driver's trait has no barrier. Its `write` must not return before the bytes survive a power cut; a driver that
/// keeps them in a cache is none for this.
#[derive(Debug)]
pub struct SectorDevice<T: Driver<SIZE>, const SIZE: usize> {
    driver: T,
    sector: [Aligned<T::Align, [u8; SIZE]>; 1],
}

impl<T: Driver<SIZE>, const SIZE: usize> SectorDevice<T, SIZE> {
    /// A device over `driver`.
    pub const fn new(driver: T) -> Self {
        const { assert!(SIZE.is_power_of_two() && SIZE <= 4096, "sectors are 1 to 4,096 bytes, a power of two") };
        Self { driver, sector: [Aligned([0; SIZE])] }
    }

    /// Gives the driver back.
    pub fn into_inner(self) -> T {
        self.driver
    }

    /// Whether bytes lie as the driver wants them.
    fn fits(bytes: &[u8]) -> bool {
        let align = align_of::<Aligned<T::Align, [u8; SIZE]>>();
        SIZE.is_multiple_of(align) && bytes.as_ptr().addr().is_multiple_of(align)
    }

    /// The sectors of a range, by their numbers.
    fn sectors(offset: u64, length: usize) -> Result<impl Iterator<Item = u32>, SectorError<T::Error>> {
        let size = SIZE as u64;
        let whole = offset.is_multiple_of(size) && length.is_multiple_of(SIZE);
        let end = offset.checked_add(length as u64).filter(|_| whole).ok_or(SectorError::OutOfRange)?;
        let number = |at: u64| u32::try_from(at / size).map_err(|_| SectorError::OutOfRange);
        Ok(number(offset)?..number(end)?)
    }
}

impl<T: Driver<SIZE>, const SIZE: usize> BlockDevice for SectorDevice<T, SIZE>
where
    T::Error: 'static,
{
    type Error = SectorError<T::Error>;

    async fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        let mut sectors = Self::sectors(offset, buf.len())?;
        if Self::fits(buf) {
            let Some(first) = sectors.next() else { return Ok(()) };
            return self.driver.read(first, slice_to_blocks_mut(buf)).await.map_err(SectorError::Driver);
        }
        for (sector, piece) in sectors.zip(buf.chunks_mut(SIZE)) {
            self.driver.read(sector, &mut self.sector).await.map_err(SectorError::Driver)?;
            let [sector] = &self.sector;
            bytes::copy_some(piece, &sector[..]);
        }
        Ok(())
    }

    async fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Self::Error> {
        let mut sectors = Self::sectors(offset, data.len())?;
        if Self::fits(data) {
            let Some(first) = sectors.next() else { return Ok(()) };
            return self.driver.write(first, slice_to_blocks(data)).await.map_err(SectorError::Driver);
        }
        for (number, piece) in sectors.zip(data.chunks(SIZE)) {
            let [sector] = &mut self.sector;
            bytes::copy_some(&mut sector[..], piece);
            self.driver.write(number, &self.sector).await.map_err(SectorError::Driver)?;
        }
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn length(&mut self) -> Result<u64, Self::Error> {
        self.driver.size().await.map_err(SectorError::Driver)
    }

    async fn grow(&mut self, length: u64) -> Result<(), Self::Error> {
        if length <= self.length().await? { Ok(()) } else { Err(SectorError::FixedSize) }
    }

    fn atomic_unit(&self) -> u32 {
        SIZE as u32
    }
}
