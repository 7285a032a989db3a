//! Verifying every byte of a file.

mod map;
mod trail;
mod walk;

pub use map::FreeSpace;

use super::Store;
use crate::bytes;
use crate::device::BlockDevice;
use crate::digest::Hasher;
use crate::error::{Damage, ReadError};
use crate::failure::Failure;
use crate::ids::Extent;
use crate::overlay::Overlay;
use walk::{Next, Value, Walk};

/// What was found to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Bytes are not what was written there.
    Damaged(Damage),
    /// Pages are in use that the free map calls free, or that are its own: they might be overwritten.
    Unmarked(Extent),
    /// The free map or the superblock counts other numbers than the tree holds.
    Miscounted {
        /// What was recorded.
        recorded: u64,
        /// What was found.
        found: u64,
    },
}

/// Hears of everything that verification meets.
pub trait VerifySink {
    /// A problem, with the name of the block that it was met under, if any.
    fn problem(&mut self, name: Option<&[u8]>, problem: Problem);
    /// A block's first record or a further chunk was checked: its name and bytes.
    fn checked(&mut self, name: &[u8], first: bool, bytes: u64);
    /// These pages are in use by the registry or a block.
    fn reachable(&mut self, extent: Extent) {
        let _ = extent;
    }
}

/// What verification counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Blocks in the registry.
    pub blocks: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Pages of the registry.
    pub tree_pages: u64,
    /// Pages in use by the registry and the blocks.
    pub used_pages: u64,
    /// Pages that the free map calls used and nothing refers to.
    pub leaked_pages: u64,
    /// Problems reported.
    pub problems: u64,
    /// A checkpoint came to its end between two [steps](Store::verify_step), or a step could not read what it was to: numbers were
    /// compared with nothing, and a list of chunks in whose middle that was not with its block. After a checkpoint pages are counted anew.
    pub partial: bool,
}

impl VerifyReport {
    /// Counts a problem and tells it.
    pub(crate) fn add(&mut self, sink: &mut impl VerifySink, name: Option<&[u8]>, problem: Problem) {
        self.problems += 1;
        sink.problem(name, problem);
    }
}

/// A verification in steps, between which the store is used: see [`Store::verify_step`].
pub struct Verification<N> {
    /// The last name, between two steps.
    name: N,
    walk: Walk,
    reading: Reading,
}

/// A value that is being read, if one is, how much of it was, and the digest of that.
struct Reading {
    value: Option<Value>,
    done: u64,
    hasher: Hasher,
}

impl Reading {
    /// Nothing of a value is read; where it lies, for a hasher is large for a small stack.
    #[inline(never)]
    fn begin(&mut self, value: Option<Value>) {
        (self.value, self.done, self.hasher) = (value, 0, Hasher::new());
    }
}

impl<N: AsRef<[u8]> + AsMut<[u8]>> Verification<N> {
    /// One that has not begun. `name` is memory for the name that it has come to, of at least
    /// [`Geometry::max_name`](crate::Geometry::max_name) bytes.
    pub const fn new(name: N) -> Self {
        Self { name, walk: Walk::new(), reading: Reading { value: None, done: 0, hasher: Hasher::new() } }
    }

    /// What was counted so far.
    pub const fn report(&self) -> &VerifyReport {
        &self.walk.report
    }
}

impl<N> core::fmt::Debug for Verification<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Verification").field("report", &self.walk.report).finish_non_exhaustive()
    }
}

impl<D: BlockDevice, O: Overlay, B: AsMut<[u8]>> Store<D, O, B> {
    /// Reads and digests the superblock copies and everything that the newest of them leads to: the
    /// registry, every block's bytes, the free map; and compares the free map with what is in use, keys
    /// with those before them, and each list of chunks with its block. Changes that are still in the
    /// journal are checked when they are read or folded in; call [`checkpoint`](Self::checkpoint) first
    /// to have them here. It takes as long as the file is; [`verify_step`](Self::verify_step) does not.
    ///
    /// # Errors
    /// A device that fails to read; damage is reported to `sink` and verification goes on.
    pub fn verify(&mut self, sink: &mut impl VerifySink) -> Result<VerifyReport, ReadError<D::Error>> {
        self.verify_all(sink).map_err(|failure| self.io.read_error(failure))
    }

    /// A step of what [`verify`](Self::verify) does at once: the superblock copies, the next record of the registry and the pages
    /// on the way to it, a part of a value as long as the buffer for them (two pages where there is no heap), or a group of
    /// the free map, by at most [`bound_of_verify_step`](Self::bound_of_verify_step). False when there is nothing more to do; a
    /// step behind that begins anew.
    ///
    /// Between two steps the store may be used for anything. What a checkpoint puts in the place of what was to be verified is
    /// verified as it is then; a block that it changes is verified before or after, or not at all: then it was written in the
    /// meantime. Numbers, and the list of a block of chunks in whose middle that was, are not compared then, and the report
    /// [says so](VerifyReport::partial). A verification belongs to the store that it was begun with.
    ///
    /// # Errors
    /// A device that fails to read: the next step goes on behind what was not read. [`ReadError::BufferTooSmall`] if the longest name
    /// has no room. Damage is reported to `sink`.
    pub fn verify_step<N: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        verification: &mut Verification<N>,
        sink: &mut impl VerifySink,
    ) -> Result<bool, ReadError<D::Error>> {
        self.verify_some(verification, sink).map_err(|failure| self.io.read_error(failure))
    }

    #[inline(never)]
    fn verify_all(&mut self, sink: &mut impl VerifySink) -> Result<VerifyReport, Failure> {
        let (mut walk, mut value) = (Walk::new(), None);
        while self.verify_next(&mut walk, &mut value, sink)? != Next::Over {
            if let Some(found) = &value {
                let sound = found.inside && self.extent_has(found.page.0, found.bytes, &found.digest.0)?;
                self.verify_value(found, sound, &mut walk, sink)?;
                value = None;
            }
        }
        Ok(walk.report)
    }

    fn verify_some<N: AsRef<[u8]> + AsMut<[u8]>>(
        &mut self,
        verification: &mut Verification<N>,
        sink: &mut impl VerifySink,
    ) -> Result<bool, Failure> {
        let Verification { name, walk, reading } = verification;
        let longest = self.geometry.max_name();
        if name.as_ref().len() < longest {
            return Err(self.io.too_small(longest as u64));
        }
        // The walk has the name where nobody keeps anything between two calls.
        bytes::copy_some(self.walked_name(), name.as_ref());
        let more = self.verify_part(walk, reading, sink);
        if more.is_err() {
            // What cannot be read is not tried again.
            reading.value = None;
            walk.pass_over();
        }
        bytes::copy_some(name.as_mut(), self.walked_name());
        more
    }

    fn verify_part(
        &mut self,
        walk: &mut Walk,
        reading: &mut Reading,
        sink: &mut impl VerifySink,
    ) -> Result<bool, Failure> {
        if walk.is_over() {
            walk.begin();
        }
        let moved = !self.is_of_now(walk);
        if moved {
            if reading.value.is_some() {
                walk.give_back();
            }
            self.walk_elsewhere(walk, sink)?;
        }
        if moved || reading.value.is_none() {
            let mut found = None;
            let more = self.verify_on(walk, &mut found, sink)?;
            // A value that is where it was, in another registry, is read on: else it would never come to its end where a checkpoint comes
            // between any two steps.
            if found.is_none() || found != reading.value {
                reading.begin(found);
                return Ok(more);
            }
        }
        let whole = self.read_on(reading)?;
        if whole && let Some(found) = &reading.value {
            let sound = found.inside && reading.hasher.has(&found.digest.0);
            self.verify_value(found, sound, walk, sink)?;
            reading.value = None;
        }
        Ok(true)
    }

    /// Checks what comes next, down to a cell: a step comes further, wherever it has to go down to from the root. A sound registry has a
    /// node a level on the way.
    fn verify_on(
        &mut self,
        walk: &mut Walk,
        found: &mut Option<Value>,
        sink: &mut impl VerifySink,
    ) -> Result<bool, Failure> {
        let height = self.superblock.height.get();
        for _ in 0..3 * height + 1 {
            match self.verify_next(walk, found, sink)? {
                Next::OnTheWay => {}
                next => return Ok(next != Next::Over),
            }
        }
        Ok(true)
    }

    /// Reads the next part of a value; whether it was the last.
    fn read_on(&mut self, reading: &mut Reading) -> Result<bool, Failure> {
        let Some(value) = reading.value.as_ref().filter(|value| value.inside && reading.done < value.bytes)
        else {
            return Ok(true);
        };
        let (start, length) = (self.geometry.offset(value.page.0), value.bytes);
        reading.done += self.digest_part(start + reading.done, length - reading.done, &mut reading.hasher)?;
        Ok(reading.done >= length)
    }
}
