//! Memory as a device: for tests, caches, and images that are part of a program.

use super::Device;
use parking_lot::RwLock;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Bytes in memory as a device. Clones share them; they are gone with the last one.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use blockyard::{MemoryDevice, OpenOptions};
///
/// let memory = MemoryDevice::new();
/// let store = OpenOptions::new().create_new(true).open_device(memory.clone())?;
/// store.put("greeting", "hello")?;
/// store.close()?;
/// let image = memory.to_vec(); // what a file would hold
/// let store = OpenOptions::new().read_only(true).open_device(MemoryDevice::from(image))?;
/// assert_eq!(store.get("greeting")?.as_deref(), Some(&b"hello"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryDevice {
    bytes: Arc<RwLock<Bytes>>,
}

#[derive(Default)]
struct Bytes(Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Bytes {
    fn range(&self, offset: u64, length: usize) -> io::Result<Range<usize>> {
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|start| Some(start..start.checked_add(length)?));
        range.filter(|range| range.end <= self.0.len()).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl MemoryDevice {
    /// An empty device, to create a store on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of what it holds: the image of a file.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.bytes.read().0.clone()
    }
}

impl From<Vec<u8>> for MemoryDevice {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: Arc::new(RwLock::new(Bytes(bytes))) }
    }
}

impl Device for MemoryDevice {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes.read();
        let range = bytes.range(offset, buf.len())?;
        buf.copy_from_slice(&bytes.0[range]);
        Ok(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = self.bytes.write();
        let range = bytes.range(offset, data.len())?;
        bytes.0[range].copy_from_slice(data);
        Ok(())
    }

    /// Does nothing: no power cut spares memory, and a crash of the process neither.
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes.read().0.len() as u64)
    }

    /// Memory that cannot be had is a full device.
    fn grow(&self, length: u64) -> io::Result<()> {
        let bytes = &mut self.bytes.write().0;
        let full = |_| io::Error::from(io::ErrorKind::StorageFull);
        let length = usize::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::StorageFull))?;
        if length > bytes.len() {
            bytes.try_reserve(length - bytes.len()).map_err(full)?;
            bytes.resize(length, 0);
        }
        Ok(())
    }

    fn atomic_unit(&self) -> u32 {
        512
    }
}
