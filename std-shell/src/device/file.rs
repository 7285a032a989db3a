//! The file device: positioned I/O, `fdatasync`, `fallocate`.

use super::Device;
use std::fs::File;
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;

/// A file as a device. It takes no lock: a store that is opened by its path does. When it is dropped, any
/// lock on the file is let go.
#[derive(Debug)]
pub struct FileDevice {
    file: File,
    unit: u32,
}

impl FileDevice {
    /// The device over `file`, whose writes a power cut leaves torn within `unit` bytes at most.
    #[must_use]
    pub const fn new(file: File, unit: u32) -> Self {
        Self { file, unit }
    }

    /// The same file with another unit.
    pub(crate) const fn with_unit(mut self, unit: u32) -> Self {
        self.unit = unit;
        self
    }

    /// The file.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }
}

/// Bytes that are written in pieces of half of it.
const LONG: usize = 1 << 20;

/// The lock that the store took goes with its file, at once: else it would stay until a process that
/// another thread is about to start has let go of its copy of the descriptor.
impl Drop for FileDevice {
    fn drop(&mut self) {
        // The lock goes when the descriptor is closed, if not before.
        let _ = self.file.unlock();
    }
}

impl Device for FileDevice {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    /// Of a long write the medium gets the first piece while the next is copied to the operating system.
    fn write_at(&self, mut offset: u64, data: &[u8]) -> io::Result<()> {
        let mut rest = data;
        while rest.len() > LONG {
            let (piece, behind) = rest.split_at(LONG / 2);
            self.file.write_all_at(piece, offset)?;
            self.start_sync();
            (offset, rest) = (offset + piece.len() as u64, behind);
        }
        self.file.write_all_at(rest, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Reserves the blocks, so that a later write into them does not run out of space. Where the
    /// file system cannot reserve, the file is made longer and stays sparse.
    fn grow(&self, length: u64) -> io::Result<()> {
        let old = self.length()?;
        if length <= old {
            return Ok(());
        }
        let flags = rustix::fs::FallocateFlags::empty();
        // A signal that arrives meanwhile is no failure of the device.
        let reserve = || rustix::fs::fallocate(&self.file, flags, old, length - old);
        match rustix::io::retry_on_intr(reserve) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.file.set_len(length),
            Err(error) => Err(error.into()),
        }
    }

    fn atomic_unit(&self) -> u32 {
        self.unit
    }

    /// Starts the writing of what the operating system holds; without that its own sync is late by all of it.
    #[cfg(target_os = "linux")]
    fn start_sync(&self) {
        // What fails here stays unwritten, or is noted with the file, and the sync that follows tells it: only
        // waiting would take the note away.
        // SAFETY: the call takes a descriptor, which the file keeps open, and touches no memory of ours.
        let _ = unsafe { libc::sync_file_range(self.file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    }

    fn will_need(&self, offset: u64, length: u64) {
        let length = std::num::NonZeroU64::new(length);
        // Advice that is not taken costs nothing but speed.
        let _ = rustix::fs::fadvise(&self.file, offset, length, rustix::fs::Advice::WillNeed);
    }

    /// Drops the range from the operating system's cache, as far as it can be told to.
    fn forget(&self, offset: u64, length: u64) {
        let length = std::num::NonZeroU64::new(length);
        let _ = rustix::fs::fadvise(&self.file, offset, length, rustix::fs::Advice::DontNeed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Device as _, FileDevice};
    use std::fs::File;

    /// Starting a sync is advice: what was written is there before and after it, and after the sync.
    #[test]
    fn a_sync_can_be_started() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let file =
            File::options().create_new(true).read(true).write(true).open(folder.path().join("file"))?;
        let device = FileDevice::new(file, 512);
        device.start_sync();
        device.grow(1 << 20)?;
        for page in 0..256_u64 {
            device.write_at(page * 4096, &[page as u8; 4096])?;
            if page % 64 == 63 {
                device.start_sync();
            }
        }
        let mut read = [0; 4096];
        for synced in [false, true] {
            for page in 0..256_u64 {
                device.read_at(page * 4096, &mut read)?;
                assert_eq!(read, [page as u8; 4096], "page {page}, synced: {synced}");
            }
            device.sync()?;
        }
        Ok(())
    }

    /// A store that was closed and opened again was told that it is open elsewhere: another thread was
    /// starting a process, whose copy of the descriptor kept the lock. Now the lock goes with the device.
    #[test]
    fn a_copy_of_the_descriptor_keeps_no_lock() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("file");
        let file = File::create_new(&path)?;
        file.lock()?;
        let copy = file.try_clone()?;
        drop(FileDevice::new(file, 512));
        let other = File::open(&path)?;
        assert!(other.try_lock().is_ok(), "the lock is still held");
        drop(copy);
        Ok(())
    }
}
