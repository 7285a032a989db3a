//! Copying a stream through one buffer, keeping apart which side failed.

use std::io::{self, Read, Write};

/// Bytes moved at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// Which side of a copy failed.
#[derive(Debug)]
pub(crate) enum CopyError {
    /// The source could not be read.
    Read(io::Error),
    /// The target could not be written.
    Write(io::Error),
}

/// Copies everything from `from` to `to` and gives the number of bytes; `step` is told of every
/// piece.
pub(crate) fn stream(
    from: &mut impl Read,
    to: &mut impl Write,
    mut step: impl FnMut(u64),
) -> Result<u64, CopyError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut copied = 0;
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Read(error)),
        };
        let piece = buffer.get(..length).unwrap_or_default();
        to.write_all(piece).map_err(CopyError::Write)?;
        copied += length as u64;
        step(length as u64);
    }
}
