//! Copying a snapshot into another store: a backup of one that is in use, or a file as short as its blocks.

use crate::error::{Error, Result};
use crate::iter::Item;
use crate::snapshot::Snapshot;
use crate::store::Store;
use blockyard_core::Durability;
use std::io::BufRead as _;

/// The longest value that is copied as part of a batch; longer ones are streamed.
const SHORT: u64 = 64 << 10;

/// A batch that holds so many bytes is committed.
const BATCH: usize = 1 << 20;

/// What a copy came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Blocks.
    pub blocks: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

impl Snapshot {
    /// Copies every block, with its tag, into `target`, where blocks of the same names are replaced; `progress` is told of
    /// the values' bytes as they are copied. Both stores can be used meanwhile, and the copy is of the snapshot's moment. The
    /// target numbers its commits itself. Every byte is compared with its digest. Memory: a batch of a MiB and three
    /// chunks of the target.
    ///
    /// When it returns, all is durable in `target`; before that, and after an error, some of it is there: copy into a file
    /// with a name of its own, close it, and rename it.
    ///
    /// # Errors
    /// What [`Store::get`] of a block can fail with, or [`Store::put`] into the target;
    /// [`Error::NameTooLong`](crate::Error::NameTooLong) where the target's pages are shorter.
    pub fn copy_to(&self, target: &Store, mut progress: impl FnMut(u64)) -> Result<Copied> {
        let (mut copied, mut batch) = (Copied::default(), target.batch());
        let chunk = u64::from(target.inner().geometry.chunk_size());
        let mut blocks = self.iter();
        while let Some(item) = blocks.advance() {
            let item = item?;
            if item.length() <= SHORT.min(chunk) {
                item.with_value(|value| batch.put_tagged(item.name(), value, item.metadata().tag))??;
                progress(item.length());
            } else {
                self.stream_to(target, item, &mut progress)?;
            }
            if batch.bytes() >= BATCH {
                target.commit_with(std::mem::replace(&mut batch, target.batch()), Durability::Buffered)?;
            }
            copied.blocks += 1;
            copied.bytes += item.length();
        }
        target.commit_with(batch, Durability::Buffered)?;
        target.sync()?;
        Ok(copied)
    }

    fn stream_to(&self, target: &Store, item: &Item, progress: &mut impl FnMut(u64)) -> Result<()> {
        // The snapshot that lists it has it: nothing is left out without a word.
        let mut reader = self.reader(item.name())?.ok_or(Error::NotFound)?;
        let writer = target.writer(item.name())?.durability(Durability::Buffered);
        let mut writer = writer.tag(item.metadata().tag);
        loop {
            let piece = reader.fill()?;
            if piece.is_empty() {
                break;
            }
            let length = piece.len();
            writer.write_bytes(piece)?;
            reader.consume(length);
            progress(length as u64);
        }
        writer.finish()?;
        Ok(())
    }
}
