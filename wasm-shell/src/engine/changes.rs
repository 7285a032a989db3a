//! Batches, and values written ahead of them.

use super::{Engine, Error, Result, Values};
use blockyard_core::Digest;
use blockyard_core::format::ChunkRef;

pub(super) type Batch = blockyard_core::Batch<Vec<u8>, Values>;

/// Bytes of a batch that no journal record carries.
pub(super) const MANY: usize = 128 << 10;

/// A batch, and whether it names pages that no commit names yet.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) batch: Batch,
    pub(super) staged: bool,
}

/// A value that arrives in pieces.
#[derive(Debug, Default)]
pub(super) struct Writer {
    buffer: Vec<u8>,
    chunks: Vec<ChunkRef>,
    length: u64,
    pub(super) staged: bool,
}

impl Engine {
    /// Begins a batch.
    pub fn begin(&mut self) -> u32 {
        self.begin_for(0)
    }

    /// Begins a batch that will hold about so many bytes.
    pub(crate) fn begin_for(&mut self, bytes: usize) -> u32 {
        let number = self.number();
        let mut buffer = Vec::new();
        if bytes > MANY {
            // Whoever puts much after much reads none of it in between.
            self.pass(false);
            buffer = std::mem::take(&mut self.spare);
        }
        if buffer.capacity() < bytes {
            buffer = Vec::with_capacity(bytes);
        }
        let mut batch = Batch::new(self.store.geometry(), Vec::new(), Values::within(buffer));
        if bytes > MANY {
            // All of them by the commit, several at once.
            batch.digest_at_once(0);
        }
        self.batches.insert(number, Changes { batch, staged: false });
        number
    }

    /// Adds a put to a batch. A value longer than a chunk is written to the file at once, and named by
    /// the batch.
    ///
    /// # Errors
    /// [`Error::Batch`]; for a long value also [`Error::Write`].
    pub fn put(&mut self, number: u32, name: &[u8], value: &[u8], tag: u64) -> Result<()> {
        if value.len() as u64 > u64::from(self.store.geometry().chunk_size()) {
            let writer = self.begin_writer();
            let done = self.write(writer, value).and_then(|()| self.finish_writer(writer, number, name, tag));
            self.release(writer);
            return done;
        }
        let changes = self.batches.get_mut(number).ok_or(Error::Gone)?;
        Ok(changes.batch.put(name, value, tag)?)
    }

    /// Adds a deletion to a batch.
    ///
    /// # Errors
    /// [`Error::Batch`].
    pub fn delete(&mut self, number: u32, name: &[u8]) -> Result<()> {
        let changes = self.batches.get_mut(number).ok_or(Error::Gone)?;
        Ok(changes.batch.delete(name)?)
    }

    /// Begins a value that arrives in pieces.
    pub fn begin_writer(&mut self) -> u32 {
        let number = self.number();
        self.writers.insert(number, Writer::default());
        number
    }

    /// Takes the next bytes of a value. Each full chunk goes to the file at once.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::Gone`]. After an error the value cannot be finished.
    pub fn write(&mut self, number: u32, mut bytes: &[u8]) -> Result<()> {
        let size = self.store.geometry().chunk_size() as usize;
        let mut writer = self.writers.remove(number).ok_or(Error::Gone)?;
        let mut done = Ok(());
        while !bytes.is_empty() && done.is_ok() {
            if writer.buffer.len() == size {
                done = self.put_chunk(&mut writer);
            }
            let now = bytes.len().min(size - writer.buffer.len());
            writer.buffer.extend_from_slice(&bytes[..now]);
            writer.length += now as u64;
            bytes = &bytes[now..];
        }
        match done {
            Ok(()) => self.writers.insert(number, writer),
            Err(_) if writer.staged => self.store.end_staged(),
            Err(_) => {}
        }
        done
    }

    /// Takes a whole chunk of a value of several chunks, whose digest somebody has computed already.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_chunk(&mut self, number: u32, chunk: &[u8], digest: Digest) -> Result<()> {
        let mut writer = self.writers.remove(number).ok_or(Error::Gone)?;
        if !writer.buffer.is_empty() || chunk.len() != self.store.geometry().chunk_size() as usize {
            self.writers.insert(number, writer);
            return self.write(number, chunk);
        }
        match self.append(&mut writer, chunk, digest) {
            Ok(()) => {
                writer.length += chunk.len() as u64;
                self.writers.insert(number, writer);
                Ok(())
            }
            Err(error) => {
                self.store.end_staged();
                Err(error)
            }
        }
    }

    fn put_chunk(&mut self, writer: &mut Writer) -> Result<()> {
        let buffer = std::mem::take(&mut writer.buffer);
        let put = self.append(writer, &buffer, Digest::of(&buffer));
        writer.buffer = buffer;
        put?;
        writer.buffer.clear();
        Ok(())
    }

    /// Writes a chunk to fresh pages.
    fn append(&mut self, writer: &mut Writer, chunk: &[u8], digest: Digest) -> Result<()> {
        if !writer.staged {
            self.store.begin_staged();
            writer.staged = true;
        }
        let staged = self.store.write_chunk(chunk, digest)?;
        writer.chunks.push(staged.to_ref());
        Ok(())
    }

    /// Adds a put of what was written to a batch; the writer is used up.
    ///
    /// # Errors
    /// [`Error::Batch`], [`Error::Write`], [`Error::Gone`].
    pub fn finish_writer(&mut self, writer: u32, batch: u32, name: &[u8], tag: u64) -> Result<()> {
        let mut written = self.writers.remove(writer).ok_or(Error::Gone)?;
        let added = self.add_written(&mut written, batch, name, tag);
        if written.staged {
            self.store.end_staged();
        }
        added
    }

    fn add_written(&mut self, written: &mut Writer, batch: u32, name: &[u8], tag: u64) -> Result<()> {
        if written.chunks.is_empty() {
            let changes = self.batches.get_mut(batch).ok_or(Error::Gone)?;
            return Ok(changes.batch.put(name, &written.buffer, tag)?);
        }
        if !written.buffer.is_empty() {
            self.put_chunk(written)?;
        }
        let size = self.store.geometry().chunk_size();
        let changes = self.batches.get_mut(batch).ok_or(Error::Gone)?;
        changes.batch.put_chunks(name, written.length, tag, size, &written.chunks)?;
        // The batch keeps the pages from here on.
        if !changes.staged {
            changes.staged = true;
            self.store.begin_staged();
        }
        Ok(())
    }
}
