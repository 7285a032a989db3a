//! A store over `embedded-io` traits: the device underneath, and blocks read and written as streams.

use blockyard_core::device::EmbeddedDevice;
use blockyard_core::overlay::FixedOverlay;
use blockyard_core::store::{CreateOptions, Memory, OpenOptions};
use blockyard_core::{Batch, Durability, OpenError, Store};
use embedded_io::{ErrorType, Read, Seek, SeekFrom, Write};

/// A card in memory that remembers how often it was flushed.
struct Card {
    bytes: Vec<u8>,
    at: usize,
    flushes: usize,
    may_grow: bool,
}

impl ErrorType for Card {
    type Error = embedded_io::ErrorKind;
}

impl Read for Card {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        // Short reads, as devices do.
        let now = buf.len().min(100).min(self.bytes.len() - self.at);
        buf[..now].copy_from_slice(&self.bytes[self.at..self.at + now]);
        self.at += now;
        Ok(now)
    }
}

impl Write for Card {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        let now = buf.len().min(300);
        if self.at + now > self.bytes.len() {
            if !self.may_grow {
                return Err(embedded_io::ErrorKind::OutOfMemory);
            }
            self.bytes.resize(self.at + now, 0);
        }
        self.bytes[self.at..self.at + now].copy_from_slice(&buf[..now]);
        self.at += now;
        Ok(now)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.flushes += 1;
        Ok(())
    }
}

impl Seek for Card {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, Self::Error> {
        self.at = match to {
            SeekFrom::Start(at) => at as usize,
            SeekFrom::End(by) => (self.bytes.len() as i64 + by) as usize,
            SeekFrom::Current(by) => (self.at as i64 + by) as usize,
        };
        Ok(self.at as u64)
    }
}

const MEMORY: Memory = Memory::SMALL;
const CREATE: CreateOptions =
    CreateOptions { page_size: 512, journal_length: 8 << 10, chunk_size: 4096, file_id: [3; 16] };

type Small = Batch<heapless::Vec<u8, 1024>, heapless::Vec<u8, 4096>>;

fn round_trip(device: EmbeddedDevice<Card>) -> Card {
    let options = OpenOptions { growth: 16, ..OpenOptions::new(MEMORY) };
    let overlay = FixedOverlay::<16, 64>::new();
    let buffer = [0; MEMORY.bytes(512)];
    let mut store = Store::create(device, overlay, buffer, &CREATE, &options).expect("a new store");
    let mut scratch: Small = Batch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
    let value: Vec<u8> = (0..30_000_u32).map(|index| (index * 7 % 251) as u8).collect();
    let mut chunk = [0; 4096];
    let mut writer = store.writer::<8>(b"log", 5, &mut chunk).expect("a writer");
    for piece in value.chunks(333) {
        Write::write_all(&mut writer, piece).expect("written");
    }
    writer.finish(&mut scratch, Durability::Durable).expect("committed");
    scratch.clear();
    scratch.put(b"setting", b"on", 0).expect("fits");
    store.commit(&mut [scratch], Durability::Durable).expect("committed");

    let device = store.into_device();
    let overlay = FixedOverlay::<16, 64>::new();
    let opened = Store::open(device, overlay, [0; MEMORY.bytes(512)], &options).expect("opens again");
    let (mut store, recovery) = opened;
    assert!(recovery.records > 0, "the journal was not folded in before");
    let mut reader = store.reader(b"log").expect("there");
    assert_eq!(reader.info().tag, 5);
    let (mut found, mut piece) = (Vec::new(), [0; 777]);
    loop {
        match Read::read(&mut reader, &mut piece).expect("read") {
            0 => break,
            length => found.extend_from_slice(&piece[..length]),
        }
    }
    assert!(found == value);
    let mut setting = [0; 8];
    assert_eq!(store.get(b"setting", &mut setting), Ok(Some(2)));
    store.into_device().into_inner()
}

#[test]
fn a_card_of_fixed_size_keeps_a_store() {
    let card = Card { bytes: vec![0xFF; 256 << 10], at: 0, flushes: 0, may_grow: false };
    let card = round_trip(EmbeddedDevice::new(card, 512));
    assert!(card.flushes > 0);
    assert_eq!(card.bytes.len(), 256 << 10);
}

#[test]
fn a_file_of_another_file_system_grows() {
    let card = Card { bytes: Vec::new(), at: 0, flushes: 0, may_grow: true };
    let card = round_trip(EmbeddedDevice::growable(card, 512));
    assert!(card.bytes.len() > 64 << 10);
}

#[test]
fn a_card_too_small_is_refused() {
    let card = Card { bytes: vec![0; 20 << 10], at: 0, flushes: 0, may_grow: false };
    let device = EmbeddedDevice::new(card, 512);
    let buffer = [0; MEMORY.bytes(512)];
    let options = OpenOptions::new(MEMORY);
    let refused = Store::create(device, FixedOverlay::<16, 64>::new(), buffer, &CREATE, &options);
    assert!(matches!(refused.map(drop), Err(OpenError::Full)));
}
