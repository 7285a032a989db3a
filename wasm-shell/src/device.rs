//! The devices of this shell: a handle of the host, or memory.
//!
//! 1. Store and readers share one device; nobody holds it across a call of theirs.
//! 2. A handle answers at once (`FileSystemSyncAccessHandle`, or an object over `node:fs` of the same
//!    shape), so an operation is over when its method returns.
//! 3. What a handle throws is kept by its name, never by its text.
//! 4. Small writes to pages, which nothing refers to before a record or a superblock is written, may wait in
//!    [`Behind`] to go on as one. They are in the handle before anything else is written or synced, and a read
//!    sees them.

use blockyard_core::device::VecDevice;
use blockyard_core::{BlockDevice, DeviceError, DeviceErrorKind};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// A `FileSystemSyncAccessHandle`, or an object with the same methods.
    #[derive(Clone, Debug)]
    pub type Handle;

    #[wasm_bindgen(method, catch)]
    fn read(this: &Handle, buffer: &mut [u8], options: &Position) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn write(this: &Handle, buffer: &[u8], options: &Position) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn flush(this: &Handle) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = getSize)]
    fn get_size(this: &Handle) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn truncate(this: &Handle, length: f64) -> Result<(), JsValue>;

    /// Whatever was thrown.
    type Thrown;
    #[wasm_bindgen(method, getter, structural, catch)]
    fn name(this: &Thrown) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, getter, structural, catch)]
    fn message(this: &Thrown) -> Result<JsValue, JsValue>;

    /// The options of a read or a write.
    #[wasm_bindgen(extends = js_sys::Object)]
    #[derive(Clone, Debug)]
    type Position;

    #[wasm_bindgen(method, setter)]
    fn set_at(this: &Position, at: f64);
}

/// Name of what is thrown for a length that cannot be.
pub(crate) const TOO_LARGE: &str = "RangeError";

/// What a device failed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The exception's name.
    pub name: String,
    /// The exception's message, for people.
    pub message: String,
}

impl Fault {
    fn new(name: &str, message: &str) -> Self {
        Self { name: name.to_owned(), message: message.to_owned() }
    }

    /// Memory has no room for so many bytes.
    pub(crate) fn too_large(length: u64) -> Self {
        let message = format!("memory has no room for {length} bytes at once: read them in parts");
        Self { name: TOO_LARGE.to_owned(), message }
    }

    fn thrown(value: &JsValue) -> Self {
        // Not every host throws an `Error`.
        let thrown = value.unchecked_ref::<Thrown>();
        let text =
            |found: Result<JsValue, JsValue>| found.ok().and_then(|it| it.as_string()).unwrap_or_default();
        Self { name: text(thrown.name()), message: text(thrown.message()) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

impl std::error::Error for Fault {}

impl DeviceError for Fault {
    fn kind(&self) -> DeviceErrorKind {
        match self.name.as_str() {
            // Firefox throws its own code where the standard has a name.
            "QuotaExceededError" | "NS_ERROR_FILE_NO_DEVICE_SPACE" => DeviceErrorKind::NoSpace,
            "NoModificationAllowedError" => DeviceErrorKind::ReadOnly,
            _ => DeviceErrorKind::Other,
        }
    }
}

/// What lies under a store.
#[derive(Debug)]
enum Medium {
    Handle { handle: Handle, position: Position, length: u64, behind: Behind },
    Memory(VecDevice),
}

/// A device that store and readers share.
#[derive(Clone, Debug)]
pub struct Device {
    medium: Rc<RefCell<Medium>>,
    unit: u32,
}

/// Writes that lie one behind the other, on their way to a handle: a call of it costs more than their bytes.
#[derive(Debug)]
struct Behind {
    at: u64,
    bytes: Vec<u8>,
    /// Where the pages begin: what is written before that goes to the handle at once.
    pages: u64,
}

/// Bytes that wait at most.
const MOST: usize = 256 << 10;
/// A longer write is worth a call of its own.
const SHORT: usize = 32 << 10;

impl Behind {
    const fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    /// Whether a write may wait here at all.
    const fn takes(&self, offset: u64, length: usize) -> bool {
        offset >= self.pages && length <= SHORT
    }

    /// Whether a write goes on where the last one has ended.
    const fn goes_on(&self, offset: u64, length: usize) -> bool {
        self.takes(offset, length) && offset == self.end() && self.bytes.len() + length <= MOST
    }

    /// Puts what waits over what was read from `offset` on.
    fn show(&self, offset: u64, read: &mut [u8]) {
        let start = self.at.max(offset);
        let end = self.end().min(offset + read.len() as u64);
        if start < end {
            let waiting = &self.bytes[(start - self.at) as usize..(end - self.at) as usize];
            read[(start - offset) as usize..(end - offset) as usize].copy_from_slice(waiting);
        }
    }
}

/// Writes to a handle.
fn write_to(handle: &Handle, position: &Position, offset: u64, data: &[u8]) -> Result<(), Fault> {
    position.set_at(offset as f64);
    let moved = handle.write(data, position).map_err(|error| Fault::thrown(&error))?;
    short(moved, data.len())
}

impl Medium {
    /// Writes what waits.
    fn hand_on(&mut self) -> Result<(), Fault> {
        if let Self::Handle { handle, position, behind, .. } = self
            && !behind.bytes.is_empty()
        {
            write_to(handle, position, behind.at, &behind.bytes)?;
            behind.bytes.clear();
        }
        Ok(())
    }
}

/// The most bytes that a store in memory may have: what a 32-bit module can hold beside everything else.
const MEMORY_LIMIT: u64 = 2 << 30;

impl Device {
    /// A device over a handle.
    ///
    /// # Errors
    /// What asking for the handle's length throws.
    pub fn over(handle: Handle) -> Result<Self, Fault> {
        let length = handle.get_size().map_err(|error| Fault::thrown(&error))? as u64;
        let position = js_sys::Object::new().unchecked_into();
        let behind = Behind { at: 0, bytes: Vec::new(), pages: u64::MAX };
        Ok(Self::new(Medium::Handle { handle, position, length, behind }))
    }

    /// Lets small writes from `offset` on, where the pages of a store begin, wait for each other.
    pub fn gather_from(&self, offset: u64) {
        if let Medium::Handle { behind, .. } = &mut *self.medium.borrow_mut() {
            behind.pages = offset;
        }
    }

    /// A device in memory that holds `image`.
    #[must_use]
    pub fn memory(image: Vec<u8>) -> Self {
        Self::new(Medium::Memory(VecDevice::from_bytes(image, 512, MEMORY_LIMIT)))
    }

    fn new(medium: Medium) -> Self {
        Self { medium: Rc::new(RefCell::new(medium)), unit: 512 }
    }

    /// The same device with units of `unit` bytes: a new store lays out its journal by them.
    #[must_use]
    pub fn with_unit(&self, unit: u32) -> Self {
        Self { unit, ..self.clone() }
    }

    /// The bytes of a device in memory.
    #[cfg(test)]
    pub(crate) fn image(&self) -> Vec<u8> {
        match &*self.medium.borrow() {
            Medium::Memory(memory) => memory.bytes().to_vec(),
            Medium::Handle { .. } => Vec::new(),
        }
    }
}

fn memory_fault(error: blockyard_core::device::MemoryError) -> Fault {
    match error.kind() {
        DeviceErrorKind::NoSpace => Fault::new("QuotaExceededError", "the memory's limit is reached"),
        _ => Fault::new(TOO_LARGE, "beyond the end"),
    }
}

/// A handle that moved fewer bytes than asked.
fn short(moved: f64, wanted: usize) -> Result<(), Fault> {
    if moved == wanted as f64 {
        return Ok(());
    }
    Err(Fault::new("DataError", "the handle moved fewer bytes than it was asked to"))
}

impl BlockDevice for Device {
    type Error = Fault;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Fault> {
        match &mut *self.medium.borrow_mut() {
            Medium::Memory(memory) => memory.read(offset, buf).map_err(memory_fault),
            Medium::Handle { handle, position, behind, .. } => {
                position.set_at(offset as f64);
                let wanted = buf.len();
                let moved = handle.read(buf, position).map_err(|error| Fault::thrown(&error))?;
                short(moved, wanted)?;
                behind.show(offset, buf);
                Ok(())
            }
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Fault> {
        let medium = &mut *self.medium.borrow_mut();
        if !matches!(medium, Medium::Handle { behind, .. } if behind.goes_on(offset, data.len())) {
            medium.hand_on()?;
        }
        match medium {
            Medium::Memory(memory) => memory.write(offset, data).map_err(memory_fault),
            Medium::Handle { behind, .. } if behind.takes(offset, data.len()) => {
                if behind.bytes.is_empty() {
                    behind.at = offset;
                }
                behind.bytes.extend_from_slice(data);
                Ok(())
            }
            Medium::Handle { handle, position, .. } => write_to(handle, position, offset, data),
        }
    }

    fn sync(&mut self) -> Result<(), Fault> {
        let medium = &mut *self.medium.borrow_mut();
        medium.hand_on()?;
        match medium {
            Medium::Memory(_) => Ok(()),
            Medium::Handle { handle, .. } => handle.flush().map_err(|error| Fault::thrown(&error)),
        }
    }

    fn length(&mut self) -> Result<u64, Fault> {
        match &mut *self.medium.borrow_mut() {
            Medium::Memory(memory) => memory.length().map_err(memory_fault),
            // Nobody else has the handle: the length is what it was, or what `grow` made of it.
            Medium::Handle { length, .. } => Ok(*length),
        }
    }

    fn grow(&mut self, wanted: u64) -> Result<(), Fault> {
        match &mut *self.medium.borrow_mut() {
            Medium::Memory(memory) => memory.grow(wanted).map_err(memory_fault),
            Medium::Handle { handle, length, .. } => {
                if wanted > *length {
                    handle.truncate(wanted as f64).map_err(|error| Fault::thrown(&error))?;
                    *length = wanted;
                }
                Ok(())
            }
        }
    }

    fn atomic_unit(&self) -> u32 {
        self.unit
    }
}
