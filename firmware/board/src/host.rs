//! The computer behind the debugger: its terminal, its files, and the words the program was started with.

use core::ffi::CStr;
use core::fmt;
use embedded_io::{ErrorKind, ErrorType, SeekFrom};
use semihosting::io::{Read as _, Seek as _, Write as _};
use semihosting::{fs, io, process};

/// Prints a line; `say!` calls it.
pub fn line(words: fmt::Arguments<'_>) {
    semihosting::println!("{words}");
}

/// Ends the program and QEMU with it; the status says whether all was well.
pub fn exit(well: bool) -> ! {
    process::exit(if well { 0 } else { 1 })
}

/// Words of the command line, in a buffer of `N` bytes.
pub type Words<const N: usize> = semihosting::experimental::env::Args<N>;

/// The command line; None if the host gives none or it is too long.
#[must_use]
pub fn words<const N: usize>() -> Option<Words<N>> {
    semihosting::experimental::env::args().ok()
}

/// An error of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostError(pub i32);

impl From<io::Error> for HostError {
    fn from(error: io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(0))
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the host answered {}", self.0)
    }
}

impl core::error::Error for HostError {}

impl embedded_io::Error for HostError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// A file of the host's, as `embedded-io` has it.
#[derive(Debug)]
pub struct HostFile(fs::File);

impl HostFile {
    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// The host's.
    pub fn open(name: &CStr) -> Result<Self, HostError> {
        Ok(Self(fs::File::options().read(true).write(true).open(name)?))
    }
}

impl ErrorType for HostFile {
    type Error = HostError;
}

impl embedded_io::Read for HostFile {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, HostError> {
        Ok(self.0.read(buf)?)
    }
}

impl embedded_io::Write for HostFile {
    fn write(&mut self, buf: &[u8]) -> Result<usize, HostError> {
        Ok(self.0.write(buf)?)
    }

    /// There is no call for a sync: what was written is with the host's kernel, and survives the end of
    /// QEMU, not a power cut of the host.
    fn flush(&mut self) -> Result<(), HostError> {
        Ok(self.0.flush()?)
    }
}

impl embedded_io::Seek for HostFile {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, HostError> {
        let to = match to {
            SeekFrom::Start(at) => io::SeekFrom::Start(at),
            SeekFrom::End(by) => io::SeekFrom::End(by),
            // The host has no such call; nobody here asks for it.
            SeekFrom::Current(_) => return Err(HostError(0)),
        };
        Ok(self.0.seek(to)?)
    }
}
