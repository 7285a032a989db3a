//! littlefs, which is compiled from C: a file a name, written and closed a commit.

use crate::{BLOCK, CHIP, Chip, Done, Failed, Flash, is_right, name, or_failed, value};
use littlefs2::consts::{U2, U256};
use littlefs2::driver::Storage;
use littlefs2::fs::Filesystem;
use littlefs2::io::Result as Answer;
use littlefs2::path::PathBuf;

impl<C: Chip> Storage for Flash<C> {
    const READ_SIZE: usize = 16;
    const WRITE_SIZE: usize = 16;
    const BLOCK_SIZE: usize = BLOCK;
    const BLOCK_COUNT: usize = CHIP / BLOCK;
    const BLOCK_CYCLES: isize = 500;
    type CACHE_SIZE = U256;
    type LOOKAHEAD_SIZE = U2;

    fn read(&mut self, at: usize, into: &mut [u8]) -> Answer<usize> {
        self.0.read(at, into);
        Ok(into.len())
    }

    fn write(&mut self, at: usize, bytes: &[u8]) -> Answer<usize> {
        self.0.program(at, bytes);
        Ok(bytes.len())
    }

    fn erase(&mut self, at: usize, length: usize) -> Answer<usize> {
        (at..at + length).step_by(BLOCK).for_each(|at| self.0.erase(at));
        Ok(length)
    }
}

/// The file of the name that commit `n` changes.
fn file(n: u32) -> Result<PathBuf, Failed> {
    let mut file = name(n);
    // A name has no folder here.
    file[5] = b'-';
    or_failed(PathBuf::try_from(&file[..]))
}

/// littlefs: a file of 12 bytes is written anew and closed, which syncs it.
///
/// # Errors
/// The file system's, or a wrong value.
pub fn littlefs<C: Chip>(chip: C, commits: u32, told: &mut dyn FnMut(Done)) -> Result<(), Failed> {
    let mut flash = Flash(chip);
    or_failed(Filesystem::format(&mut flash))?;
    let mut allocation = Filesystem::allocate();
    let files = or_failed(Filesystem::mount(&mut allocation, &mut flash))?;
    for n in 0..commits {
        or_failed(files.write(&file(n)?, &value(n)))?;
        told(Done::Commit);
        let mut found = [0; 12];
        let length = files.open_file_with_options_and_then(
            |options| options.read(true),
            &file(n)?,
            |file| file.read(&mut found),
        );
        is_right(found.get(..or_failed(length)?), n)?;
        told(Done::Read);
    }
    Ok(())
}
