//! The adapters: what a store writes through them is what it writes to memory.

use crate::work::{Progress, steps, work_async};
use aligned::{A4, Aligned};
use async_tests::{Pause, finish};
use blockyard_core::asynchronous::device::{EmbeddedDevice, MemoryDevice};
use blockyard_core::asynchronous::{BlockDevice, SectorDevice, SectorError, Store};
use blockyard_core::device::DeviceErrorKind;
use blockyard_core::{DeviceError as _, OpenError};
use blockyard_sim::fixture::{Fixed, Shape};
use embedded_io_async::{ErrorKind, ErrorType, Read, Seek, SeekFrom, Write};

/// Does the work on a device, and gives the device back.
fn worked<D: BlockDevice>(device: D) -> D
where
    D::Error: std::fmt::Debug,
{
    let shape = Shape::SMALL;
    let (create, options) = (shape.create(), shape.options());
    let made = Store::create(device, Fixed::default(), shape.buffer(), &create, &options);
    let mut store = finish(made).unwrap();
    finish(work_async(&mut store, &shape, &steps(&shape), &Progress::log()));
    store.into_device()
}

const LENGTH: usize = 512 << 9;

fn expected() -> Vec<u8> {
    worked(MemoryDevice::new(vec![0; LENGTH], 512)).into_inner()
}

/// A card that reads and writes a part at a time.
struct Card {
    bytes: Vec<u8>,
    at: usize,
}

impl ErrorType for Card {
    type Error = ErrorKind;
}

impl Read for Card {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        Pause::new().await;
        let now = buf.len().min(300).min(self.bytes.len() - self.at);
        buf[..now].copy_from_slice(&self.bytes[self.at..self.at + now]);
        self.at += now;
        Ok(now)
    }
}

impl Write for Card {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        Pause::new().await;
        let now = buf.len().min(300).min(self.bytes.len() - self.at);
        self.bytes[self.at..self.at + now].copy_from_slice(&buf[..now]);
        self.at += now;
        if now == 0 { Err(ErrorKind::WriteZero) } else { Ok(now) }
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Pause::new().await;
        Ok(())
    }
}

impl Seek for Card {
    async fn seek(&mut self, to: SeekFrom) -> Result<u64, ErrorKind> {
        self.at = match to {
            SeekFrom::Start(at) => at as usize,
            SeekFrom::End(back) => {
                self.bytes.len().checked_add_signed(back as isize).ok_or(ErrorKind::InvalidInput)?
            }
            SeekFrom::Current(by) => {
                self.at.checked_add_signed(by as isize).ok_or(ErrorKind::InvalidInput)?
            }
        };
        Ok(self.at as u64)
    }
}

#[test]
fn embedded_io_async_holds_what_memory_holds() {
    let card = Card { bytes: vec![0; LENGTH], at: 0 };
    let device = worked(EmbeddedDevice::new(card, 512));
    assert!(device.into_inner().bytes == expected());
}

/// A driver of sectors, which lie as its controller wants them.
struct Sectors {
    sectors: Vec<Aligned<A4, [u8; 512]>>,
    transfers: usize,
    longest: usize,
}

impl Sectors {
    fn new() -> Self {
        Self { sectors: vec![Aligned([0; 512]); LENGTH / 512], transfers: 0, longest: 0 }
    }
}

impl block_device_driver::BlockDevice<512> for Sectors {
    type Error = ErrorKind;
    type Align = A4;

    async fn read(
        &mut self,
        block_address: u32,
        data: &mut [Aligned<A4, [u8; 512]>],
    ) -> Result<(), ErrorKind> {
        Pause::new().await;
        self.transfers += 1;
        let at = block_address as usize;
        let from = self.sectors.get(at..at + data.len()).ok_or(ErrorKind::InvalidInput)?;
        data.copy_from_slice(from);
        Ok(())
    }

    async fn write(&mut self, block_address: u32, data: &[Aligned<A4, [u8; 512]>]) -> Result<(), ErrorKind> {
        Pause::new().await;
        (self.transfers, self.longest) = (self.transfers + 1, self.longest.max(data.len()));
        let at = block_address as usize;
        self.sectors.get_mut(at..at + data.len()).ok_or(ErrorKind::InvalidInput)?.copy_from_slice(data);
        Ok(())
    }

    async fn size(&mut self) -> Result<u64, ErrorKind> {
        Ok(LENGTH as u64)
    }
}

#[test]
fn sectors_hold_what_memory_holds() {
    let sectors = worked(SectorDevice::new(Sectors::new())).into_inner();
    let bytes: Vec<u8> = sectors.sectors.iter().flat_map(|sector| sector.iter().copied()).collect();
    assert!(bytes == expected());
    assert!(sectors.longest > 1, "a run of sectors is one transfer");
}

#[test]
fn memory_that_lies_otherwise_goes_through_a_sector() {
    let mut device = SectorDevice::new(Sectors::new());
    let value: Vec<u8> = (0..1025).map(|byte| (byte % 251) as u8).collect();
    let mut found = vec![0; 1025];
    // One of the two lies at an odd address.
    for start in [0, 1] {
        finish(device.write(1024, &value[start..start + 1024])).unwrap();
        for into in [0, 1] {
            finish(device.read(1024, &mut found[into..into + 1024])).unwrap();
            assert_eq!(found[into..into + 1024], value[start..start + 1024]);
        }
    }
    assert_eq!(finish(device.write(100, &value[..512])), Err(SectorError::OutOfRange));
    assert_eq!(finish(device.read(0, &mut found[..100])), Err(SectorError::OutOfRange));
    assert_eq!(
        finish(device.read(u64::from(u32::MAX) * 512 + 512, &mut found[..512])),
        Err(SectorError::OutOfRange)
    );
    assert_eq!(
        finish(device.write(LENGTH as u64, &value[..512])),
        Err(SectorError::Driver(ErrorKind::InvalidInput))
    );
    let full = finish(device.grow(LENGTH as u64 + 1)).unwrap_err();
    assert_eq!((full.kind(), full), (DeviceErrorKind::NoSpace, SectorError::FixedSize));
}

#[test]
fn a_card_that_is_too_small_is_full() {
    let shape = Shape::SMALL;
    let card = EmbeddedDevice::new(Card { bytes: vec![0; 8 << 10], at: 0 }, 512);
    let (create, options) = (shape.create(), shape.options());
    let made = Store::create(card, Fixed::default(), shape.buffer(), &create, &options);
    assert!(matches!(finish(made), Err(OpenError::Full)));
}
