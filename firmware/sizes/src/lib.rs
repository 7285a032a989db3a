//! What the images share: a card behind one register, and the memory of the tiny profile.
#![no_std]
#![cfg(target_os = "none")]

use blockyard_core::device::{BlockDevice, DeviceError, DeviceErrorKind};
use blockyard_core::overlay::FixedOverlay;
use blockyard_core::store::Memory;
use blockyard_core::{Batch, Store};
use core::fmt;

/// Bytes of a page, and of a sector of the card.
pub const PAGE: usize = 512;
/// The memory of the store.
pub const MEMORY: Memory = Memory::TINY;
/// Its bytes.
pub const BYTES: usize = MEMORY.bytes(PAGE);
/// What is committed and not folded in yet.
pub type Pending = FixedOverlay<8, 16>;
/// The store.
pub type TinyStore = Store<Card, &'static mut Pending, &'static mut [u8]>;
/// Changes that are committed together.
pub type TinyBatch = Batch<heapless::Vec<u8, 256>, heapless::Vec<u8, 0>>;

/// The register of a card that nobody has built: every access counts as one that matters.
const REGISTER: *mut u32 = 0x4000_0000 as *mut u32;

/// A card that answers at one register; stands for a driver, and weighs next to nothing.
#[derive(Debug)]
pub struct Card;

/// The card did not answer.
#[derive(Clone, Copy, Debug)]
pub struct CardError;

impl fmt::Display for CardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the card did not answer")
    }
}

impl core::error::Error for CardError {}

impl DeviceError for CardError {
    fn kind(&self) -> DeviceErrorKind {
        DeviceErrorKind::Other
    }
}

/// A look at the register.
#[inline(never)]
pub fn look() -> u32 {
    // SAFETY: a device register; the image is weighed and never run.
    unsafe { REGISTER.read_volatile() }
}

/// Tells the register something.
#[inline(never)]
pub fn tell(word: u32) {
    // SAFETY: as above.
    unsafe { REGISTER.write_volatile(word) }
}

fn answer() -> Result<(), CardError> {
    if look() == 0 { Ok(()) } else { Err(CardError) }
}

impl BlockDevice for Card {
    type Error = CardError;

    #[inline(never)]
    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), CardError> {
        tell((offset >> 9) as u32);
        buf.iter_mut().for_each(|byte| *byte = look() as u8);
        answer()
    }

    #[inline(never)]
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), CardError> {
        tell((offset >> 9) as u32);
        data.iter().for_each(|&byte| tell(u32::from(byte)));
        answer()
    }

    #[inline(never)]
    fn sync(&mut self) -> Result<(), CardError> {
        answer()
    }

    fn length(&mut self) -> Result<u64, CardError> {
        Ok(u64::from(look()) << 9)
    }

    fn grow(&mut self, _: u64) -> Result<(), CardError> {
        Err(CardError)
    }

    fn atomic_unit(&self) -> u32 {
        PAGE as u32
    }
}

/// The buffer of the store, in RAM that the linker counts.
pub fn buffer() -> &'static mut [u8] {
    static mut BUFFER: [u8; BYTES] = [0; BYTES];
    // SAFETY: called once by an image that has one thread and is never run.
    unsafe { &mut *core::ptr::addr_of_mut!(BUFFER) }
}

/// Goes through all names, and gets every block.
pub fn get_all(store: &mut TinyStore) {
    let (mut name, mut last, mut value) = ([0; 16], [0; 16], [0; 64]);
    let mut after = None;
    while let Ok(Some(length)) = store.next_name(after.and_then(|length| last.get(..length)), &mut name) {
        last = name;
        after = Some(length);
        let found = store.get(name.get(..length).unwrap_or(&[]), &mut value);
        tell(found.ok().flatten().unwrap_or(0) as u32);
    }
}

/// What is not folded in yet, likewise.
pub fn pending() -> &'static mut Pending {
    static mut PENDING: Pending = Pending::new();
    // SAFETY: as above.
    unsafe { &mut *core::ptr::addr_of_mut!(PENDING) }
}

/// Where the store lies, likewise.
pub fn place() -> &'static mut Option<TinyStore> {
    static mut PLACE: Option<TinyStore> = None;
    // SAFETY: as above.
    unsafe { &mut *core::ptr::addr_of_mut!(PLACE) }
}

/// The end of every image.
pub fn rest() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
