//! The engine as JavaScript sees it. The package's TypeScript is the only caller and keeps the types.
//!
//! Blocks of a list travel as one array of bytes: for each block a head of fixed length, its name, its
//! value. A call across the border costs more than decoding that.

use crate::device::{Device, Handle};
use crate::engine::{Engine, SPARE, Settings};
use crate::error::Error;
use crate::read::Located;
use crate::scan::Span;
use blockyard_core::store::{Problem, VerifySink};
use blockyard_core::{BlockDevice as _, Digest, Durability, Extent, OpenError};
use js_sys::{Array, Function, Uint8Array};
use std::ops::Bound;
use wasm_bindgen::prelude::*;

/// Thrown as `[code, message, name of the exception behind it]`, of which the package makes an error.
impl From<Error> for JsValue {
    fn from(error: Error) -> Self {
        let cause = error.cause().map_or(Self::UNDEFINED, |fault| Self::from_str(&fault.name));
        list([Self::from_str(error.code()), Self::from_str(&error.to_string()), cause]).into()
    }
}

/// An array of JavaScript's. There is one way to make them, for each takes words in what a page loads.
fn list(items: impl IntoIterator<Item = JsValue>) -> Array {
    items.into_iter().collect()
}

type Result<T> = std::result::Result<T, Error>;

/// How to open a file, and how to create it if nothing is there: `id` are 16 random bytes; the numbers are the
/// sizes of page, journal and chunk of a new file, the bytes by which a file grows, the bytes of the cache (zero
/// is the default for each), and whether a store is created where nothing is.
fn settings(id: &[u8], numbers: &[f64]) -> Settings {
    let default = Settings::default();
    let number = |at: usize, default: u64| match numbers.get(at) {
        Some(&number) if number > 0.0 => number as u64,
        _ => default,
    };
    Settings {
        file_id: id.first_chunk().copied().unwrap_or_default(),
        page_size: number(0, default.page_size.into()) as u32,
        journal_length: number(1, default.journal_length),
        chunk_size: number(2, default.chunk_size.into()) as u32,
        growth: number(3, default.growth),
        cache: number(4, default.cache as u64) as usize,
        create: number(5, 0) > 0,
        read_only: false,
    }
}

/// A store over one handle, or in memory.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Yard {
    engine: Engine,
    /// What packed changes are copied to: it stays for the next ones, for memory that was touched before costs less
    /// than filling it.
    packed: Vec<u8>,
}

impl From<Engine> for Yard {
    fn from(engine: Engine) -> Self {
        Self { engine, packed: Vec::new() }
    }
}

fn durability(durable: bool) -> Durability {
    if durable { Durability::Durable } else { Durability::Buffered }
}

#[wasm_bindgen]
impl Yard {
    /// Opens the file behind a handle, or creates it there; without a handle, a new store in memory.
    ///
    /// # Errors
    /// An `Error` with a `code`.
    pub fn open(handle: Option<Handle>, id: &[u8], numbers: &[f64]) -> Result<Self> {
        let device = match handle {
            Some(handle) => Device::over(handle).map_err(OpenError::Device)?,
            None => Device::memory(Vec::new()),
        };
        Ok(Engine::open(device, &settings(id, numbers))?.into())
    }

    /// Bytes `start..end` of a block, or undefined. Snapshot 0 is the newest state.
    ///
    /// # Errors
    /// As [`open`](Self::open); so for all that follow.
    pub fn get(&mut self, snapshot: u32, name: &[u8], start: f64, end: f64) -> Result<Option<Uint8Array>> {
        let range = (start as u64, end as u64);
        Ok(self.engine.get(snapshot, name, range)?.map(|bytes| Uint8Array::from(bytes.as_slice())))
    }

    /// What is known of a block, as one entry of a list; empty if it does not exist.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub fn metadata(&mut self, snapshot: u32, name: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        if let Some(located) = self.engine.find(snapshot, name)? {
            write_entry(&mut out, name, &located, None);
        }
        Ok(out)
    }

    /// Up to `limit` blocks of a span, or as many as come to `most` bytes. A bound that is missing is
    /// open; the flags say whether bounds are part of the span, and the direction.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    #[expect(clippy::too_many_arguments, reason = "one call across the border instead of six")]
    pub fn scan(
        &mut self,
        snapshot: u32,
        lower: Option<Vec<u8>>,
        upper: Option<Vec<u8>>,
        flags: u32,
        limit: u32,
        most: u32,
        values: bool,
    ) -> Result<Vec<u8>> {
        let bound = |name: Option<Vec<u8>>, included: bool| match name {
            None => Bound::Unbounded,
            Some(name) if included => Bound::Included(name),
            Some(name) => Bound::Excluded(name),
        };
        let span = Span {
            lower: bound(lower, flags & 1 != 0),
            upper: bound(upper, flags & 2 != 0),
            forward: flags & 4 == 0,
        };
        let (mut out, mut count) = (Vec::new(), 0);
        if limit == 0 {
            return Ok(out);
        }
        self.engine.scan(snapshot, span, values, |name, located, value| {
            write_entry(&mut out, name, located, value.as_deref());
            count += 1;
            count < limit && out.len() < most as usize
        })?;
        Ok(out)
    }

    /// Holds the state of now, until `release`.
    pub fn snapshot(&mut self) -> u32 {
        self.engine.snapshot()
    }

    /// Whether there is a snapshot of this number.
    #[must_use]
    pub fn holds(&self, snapshot: u32) -> bool {
        self.engine.holds(snapshot)
    }

    /// Lets go of a snapshot, a batch or a writer.
    pub fn release(&mut self, number: u32) {
        self.engine.release(number);
    }

    /// Begins a batch.
    pub fn begin(&mut self) -> u32 {
        self.engine.begin()
    }

    /// Begins a batch with changes that travel as one array of bytes. For each: length of the name, length of
    /// the value or all ones for a deletion (32 bits each), the tag (a float of 64 bits), name, value.
    ///
    /// # Errors
    /// See [`get`](Self::get). There is no batch then.
    pub fn stage(&mut self, packed: &Uint8Array) -> Result<u32> {
        let length = packed.length() as usize;
        let mut buffer = std::mem::take(&mut self.packed);
        if buffer.len() < length {
            buffer = vec![0; length];
        }
        packed.copy_to(&mut buffer[..length]);
        let batch = self.stage_from(&buffer[..length]);
        if buffer.len() <= SPARE {
            self.packed = buffer;
        }
        batch
    }

    fn stage_from(&mut self, mut packed: &[u8]) -> Result<u32> {
        let batch = self.engine.begin_for(packed.len());
        while let Some((head, rest)) = packed.split_first_chunk() {
            let (change, rest) = Change::split(head, rest);
            let added = match change.value {
                Some(value) => self.engine.put(batch, change.name, value, change.tag),
                None => self.engine.delete(batch, change.name),
            };
            if let Err(error) = added {
                self.engine.release(batch);
                return Err(error);
            }
            packed = rest;
        }
        Ok(batch)
    }

    /// Adds a put to a batch.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub fn put(&mut self, batch: u32, name: &[u8], value: &[u8], tag: f64) -> Result<()> {
        self.engine.put(batch, name, value, tag as u64)
    }

    /// Adds a deletion to a batch.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub fn delete(&mut self, batch: u32, name: &[u8]) -> Result<()> {
        self.engine.delete(batch, name)
    }

    /// Commits batches in order with at most one sync; returns the last one's sequence.
    ///
    /// # Errors
    /// See [`get`](Self::get). The batches are then as they were.
    pub fn commit(&mut self, batches: &[u32], durable: bool) -> Result<f64> {
        Ok(self.engine.commit(batches, durability(durable))?.0 as f64)
    }

    /// Renames a block without moving its bytes.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub fn rename(&mut self, from: &[u8], to: &[u8], durable: bool) -> Result<f64> {
        Ok(self.engine.rename(from, to, durability(durable))?.0 as f64)
    }

    /// Begins a value that arrives in pieces.
    #[wasm_bindgen(js_name = beginWriter)]
    pub fn begin_writer(&mut self) -> u32 {
        self.engine.begin_writer()
    }

    /// Takes the next bytes of a value. A whole chunk of a value that has several may come with its SHA-256;
    /// without one `digest` is empty.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub fn write(&mut self, writer: u32, bytes: &[u8], digest: &[u8]) -> Result<()> {
        match digest.first_chunk() {
            Some(digest) => self.engine.write_chunk(writer, bytes, Digest(*digest)),
            None => self.engine.write(writer, bytes),
        }
    }

    /// Adds a put of what was written to a batch.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    #[wasm_bindgen(js_name = finishWriter)]
    pub fn finish_writer(&mut self, writer: u32, batch: u32, name: &[u8], tag: f64) -> Result<()> {
        self.engine.finish_writer(writer, batch, name, tag as u64)
    }

    /// The tag of a block as it is: a float has room for 53 of its bits. 0 if there is no such block.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub fn tag(&mut self, snapshot: u32, name: &[u8]) -> Result<u64> {
        Ok(self.engine.find(snapshot, name)?.map_or(0, |located| located.tag))
    }

    /// As [`finish_writer`](Self::finish_writer), with a tag that was found by [`tag`](Self::tag).
    ///
    /// # Errors
    /// See [`get`](Self::get).
    #[wasm_bindgen(js_name = finishCopy)]
    pub fn finish_copy(&mut self, writer: u32, batch: u32, name: &[u8], tag: u64) -> Result<()> {
        self.engine.finish_writer(writer, batch, name, tag)
    }

    /// Makes everything committed so far durable.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub fn sync(&mut self) -> Result<f64> {
        Ok(self.engine.sync()?.0 as f64)
    }

    /// Writes down that the last commit is durable; for idle moments, in which its values go into the cache too.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub fn seal(&mut self) -> Result<()> {
        self.engine.keep();
        self.engine.seal()
    }

    /// Whether a checkpoint is under way or advisable. Asked behind the answer to a commit; what the next commit would have to
    /// do before it begins is done here.
    #[wasm_bindgen(js_name = wantsCheckpoint)]
    #[must_use]
    pub fn wants_checkpoint(&mut self) -> bool {
        self.engine.keep_little();
        self.engine.wants_checkpoint()
    }

    /// Advances a checkpoint by one step; whether there is another. The values of the last commit go into the cache before.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    #[wasm_bindgen(js_name = checkpointStep)]
    pub fn checkpoint_step(&mut self) -> Result<bool> {
        self.engine.keep();
        self.engine.checkpoint_step()
    }

    /// Folds everything into the registry.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub fn checkpoint(&mut self) -> Result<()> {
        self.engine.checkpoint()
    }

    /// Before the handle is closed: folds everything in, or at least makes it durable.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub fn settle(&mut self) -> Result<()> {
        self.engine.settle()
    }

    /// Reads and compares every byte. `report` hears `(blocks, bytes, of blocks, of bytes)` for each
    /// record. Returns `[blocks, bytes, pages, leaked pages, problems, [name, message], …]`.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub fn verify(&mut self, report: Option<Function>) -> Result<Array> {
        // The totals are the registry's; what hinders this, the verification tells.
        let _ = self.engine.checkpoint();
        let superblock = self.engine.store().superblock();
        let (blocks, bytes) = (superblock.blocks.get(), superblock.bytes.get());
        let pages = self.engine.store().pages().div_ceil(64) as usize;
        let mut sink = Sink {
            report,
            total: (blocks, bytes),
            met: (0, 0),
            found: Vec::new(),
            seen: vec![0; pages],
            doubled: 0,
        };
        let result = self.engine.verify(&mut sink)?;
        let problems = result.problems + sink.doubled;
        let counts = [result.blocks, result.bytes, result.used_pages, result.leaked_pages, problems];
        Ok(list(counts.map(|count| JsValue::from_f64(count as f64)).into_iter().chain(sink.found)))
    }

    /// Figures, in the order of `FIGURES` in the package's `engine.ts`.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub fn stats(&mut self) -> Result<Vec<f64>> {
        let free = self.engine.free_space()?;
        let (hits, misses) = self.engine.hits_and_misses();
        let recovery = *self.engine.recovery();
        let (store, geometry) = (self.engine.store(), self.engine.geometry());
        let (counters, superblock) = (store.counters(), store.superblock());
        let figures = [
            store.sequence().0,
            store.durable_sequence().0,
            superblock.blocks.get(),
            superblock.bytes.get(),
            store.pending(),
            store.pages() * geometry.page_size() as u64,
            free.pages * geometry.page_size() as u64,
            superblock.tree_pages.get() * geometry.page_size() as u64,
            geometry.page_size() as u64,
            u64::from(geometry.chunk_size()),
            geometry.journal_offset(),
            geometry.journal_length(),
            store.journal_used(),
            geometry.offset(geometry.first_group()),
            u64::from(superblock.height.get()),
            counters.reads,
            counters.bytes_read,
            counters.writes,
            counters.bytes_written,
            counters.syncs,
            counters.checkpoints,
            counters.grows,
            hits,
            misses,
            recovery.records,
            u64::from(recovery.torn_tail),
            u64::from(store.is_poisoned()),
            geometry.max_name() as u64,
        ];
        Ok(figures.map(|figure| figure as f64).to_vec())
    }

    /// Reads the file as it is.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    pub fn raw(&mut self, offset: f64, length: u32) -> Result<Uint8Array> {
        Ok(Uint8Array::from(self.engine.raw(offset as u64, length as usize)?.as_slice()))
    }

    /// Length of the file in bytes.
    ///
    /// # Errors
    /// See [`get`](Self::get).
    #[wasm_bindgen(js_name = fileLength)]
    pub fn file_length(&mut self) -> Result<f64> {
        let length = self.engine.store().device().clone().length();
        Ok(length.map_err(blockyard_core::ReadError::Device)? as f64)
    }

    /// Whether an earlier write failed, so that nothing is written any more.
    #[wasm_bindgen(js_name = isPoisoned)]
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.engine.store().is_poisoned()
    }
}

/// One change of a packed batch.
struct Change<'a> {
    name: &'a [u8],
    value: Option<&'a [u8]>,
    tag: u64,
}

impl<'a> Change<'a> {
    /// Takes a change apart whose head was read, and gives back what is behind it.
    fn split(head: &[u8; 16], rest: &'a [u8]) -> (Self, &'a [u8]) {
        let [a, b, c, d, e, f, g, h, tag @ ..] = *head;
        let (name, rest) = rest.split_at(u32::from_le_bytes([a, b, c, d]) as usize);
        let tag = f64::from_le_bytes(tag) as u64;
        match u32::from_le_bytes([e, f, g, h]) {
            u32::MAX => (Self { name, value: None, tag }, rest),
            length => {
                let (value, rest) = rest.split_at(length as usize);
                (Self { name, value: Some(value), tag }, rest)
            }
        }
    }
}

/// Head of an entry: lengths of name and value (all ones: not asked for), chunks, 4 bytes of nothing,
/// length, sequence, tag, digest.
fn write_entry(out: &mut Vec<u8>, name: &[u8], located: &Located, value: Option<&[u8]>) {
    out.extend_from_slice(&(name.len() as u32).to_le_bytes());
    out.extend_from_slice(&value.map_or(u32::MAX, |value| value.len() as u32).to_le_bytes());
    out.extend_from_slice(&located.chunks().to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    for number in [located.length, located.sequence.0, located.tag] {
        out.extend_from_slice(&(number as f64).to_le_bytes());
    }
    out.extend_from_slice(&located.digest().0);
    out.extend_from_slice(name);
    out.extend_from_slice(value.unwrap_or_default());
}

/// The most problems that a verification lists.
const MOST: usize = 1000;

struct Sink {
    report: Option<Function>,
    total: (u64, u64),
    met: (u64, u64),
    found: Vec<JsValue>,
    /// One bit a page: in use by something met before.
    seen: Vec<u64>,
    doubled: u64,
}

impl Sink {
    fn add(&mut self, name: Option<&[u8]>, message: &str) {
        if self.found.len() < MOST {
            let name = name.map_or(JsValue::NULL, |name| Uint8Array::from(name).into());
            self.found.push(list([name, JsValue::from_str(message)]).into());
        }
    }
}

impl VerifySink for Sink {
    fn problem(&mut self, name: Option<&[u8]>, problem: Problem) {
        let message = match problem {
            Problem::Damaged(damage) => damage.to_string(),
            Problem::Unmarked(extent) => {
                format!("{} pages from page {} on are in use and marked free", extent.pages, extent.start)
            }
            Problem::Miscounted { recorded, found } => {
                format!("a count of {recorded} is recorded where {found} was found")
            }
        };
        self.add(name, &message);
    }

    fn checked(&mut self, _name: &[u8], first: bool, bytes: u64) {
        self.met.0 += u64::from(first);
        self.met.1 = self.met.1.saturating_add(bytes);
        if let Some(report) = &self.report {
            let figures = [self.met.0, self.met.1, self.total.0, self.total.1];
            let words = list(figures.map(|figure| JsValue::from_f64(figure as f64)));
            // A listener that throws does not end a verification.
            let _ = report.apply(&JsValue::NULL, &words);
        }
    }

    /// Two owners of one page would sooner or later damage each other.
    fn reachable(&mut self, extent: Extent) {
        for page in extent.start.0..extent.end().min(self.seen.len() as u64 * 64) {
            let Some(word) = self.seen.get_mut((page / 64) as usize) else { return };
            let bit = 1_u64 << (page % 64);
            let is_met = *word & bit != 0;
            *word |= bit;
            if is_met {
                self.doubled += 1;
                self.add(None, &format!("page {page} has two owners"));
            }
        }
    }
}
