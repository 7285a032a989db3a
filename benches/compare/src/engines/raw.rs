//! The floor: each record has its place in one file, written in place and synced. No names, no atomicity, no
//! checks, no space to manage: what an engine would cost that did nothing but make bytes durable.
//!
//! 1. The file is settled: every place was written and synced before anything is measured.
//! 2. A place is empty when its first eight bytes are zero, which no value's are.
//! 3. Writers share syncs: a sync that begins after a write is done serves it, whoever asked for it.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context, Result, ensure};
use parking_lot::{Condvar, Mutex};

use super::{Change, Engine, Kind, Opening, PIECE, Reader, Reading, Role, Session, Settings, Span, Visit};
use crate::data::{index_of, key};

pub(super) const KIND: Kind = Kind {
    name: "raw",
    package: None,
    role: Role::Floor,
    zero_copy: false,
    on_disk: true,
    rust_heap: true,
    settings: Settings {
        durable: "pwrite in place into a settled file and fdatasync; writers share a sync",
        relaxed: "pwrite; then fdatasync",
        reads: "pread; a scan reads 1 MiB at a time",
        other: "the floor of an engine that writes in place; not atomic, not checked",
    },
    open: open_one,
};

pub(super) const TWO_SYNCS: Kind = Kind {
    name: "raw-two-syncs",
    settings: Settings {
        durable: "pwrite in place, fdatasync, then 4 KiB of a journal and a second fdatasync",
        relaxed: "pwrite; then the two syncs",
        reads: "as raw",
        other: "the floor of an engine that orders data before its commit; only durable workloads",
    },
    open: open_two,
    ..KIND
};

/// Bytes before the first place: the journal of the floor with two syncs.
const JOURNAL: u64 = 1 << 20;
const JOURNAL_PAGE: usize = 4096;

struct Raw {
    file: File,
    length: usize,
    room: u64,
    two_syncs: bool,
    gate: Gate,
}

/// Who waits for which sync.
#[derive(Default)]
struct Gate {
    state: Mutex<Waiting>,
    synced: Condvar,
}

#[derive(Default)]
struct Waiting {
    written: u64,
    durable: u64,
    syncing: bool,
}

fn open_one(opening: &Opening) -> Result<Box<dyn Engine>> {
    open(opening, false)
}

fn open_two(opening: &Opening) -> Result<Box<dyn Engine>> {
    open(opening, true)
}

fn open(opening: &Opening, two_syncs: bool) -> Result<Box<dyn Engine>> {
    let path = opening.path("raw");
    let fresh = !path.exists();
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    let raw = Raw { file, length: opening.length, room: opening.room, two_syncs, gate: Gate::default() };
    if fresh {
        let zeros = vec![0; 1 << 20];
        let (mut at, end) = (0, raw.place(raw.room));
        while at < end {
            let now = (end - at).min(zeros.len() as u64) as usize;
            raw.file.write_all_at(&zeros[..now], at)?;
            at += now as u64;
        }
        raw.file.sync_all()?;
    }
    Ok(Box::new(raw))
}

impl Raw {
    const fn place(&self, index: u64) -> u64 {
        JOURNAL + index * self.length as u64
    }

    fn place_of(&self, key: &[u8]) -> Option<u64> {
        index_of(key).filter(|&index| index < self.room).map(|index| self.place(index))
    }

    fn write(&self, change: &Change<'_>) -> Result<()> {
        let (key, value): (_, &[u8]) = match *change {
            Change::Put(key, value) => (key, value),
            Change::Delete(key) => (key, &[0; 8]),
        };
        ensure!(value.len() <= self.length, "the value is too long for its place");
        let place = self.place_of(key).context("the file has no place for this record")?;
        Ok(self.file.write_all_at(value, place)?)
    }

    fn sync_once(&self, number: u64) -> Result<()> {
        self.file.sync_data()?;
        if self.two_syncs {
            let page = number % (JOURNAL / JOURNAL_PAGE as u64);
            self.file.write_all_at(&[number as u8; JOURNAL_PAGE], page * JOURNAL_PAGE as u64)?;
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Returns when what the caller wrote before is durable.
    fn durable(&self) -> Result<()> {
        let mut state = self.gate.state.lock();
        state.written += 1;
        let mine = state.written;
        while state.durable < mine {
            if state.syncing {
                self.gate.synced.wait(&mut state);
                continue;
            }
            state.syncing = true;
            let target = state.written;
            let result = parking_lot::MutexGuard::unlocked(&mut state, || self.sync_once(target));
            state.syncing = false;
            if result.is_ok() {
                state.durable = target;
            }
            self.gate.synced.notify_all();
            result?;
        }
        Ok(())
    }
}

impl Engine for Raw {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(self))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.file.sync_all()?)
    }
}

impl Session for &Raw {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.write(&Change::Put(key, value))?;
        self.durable()
    }

    fn put_relaxed(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.write(&Change::Put(key, value))
    }

    fn sync(&mut self) -> Result<()> {
        self.durable()
    }

    fn batch(&mut self, changes: &[Change<'_>], durable: bool) -> Result<()> {
        changes.iter().try_for_each(|change| self.write(change))?;
        if durable { self.durable() } else { Ok(()) }
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.write(&Change::Delete(key))?;
        self.durable()
    }

    fn read(&mut self, work: Reading<'_>) -> Result<()> {
        work(self)
    }

    fn stream_in(&mut self, _name: u64, length: u64, source: &mut dyn Read) -> Result<()> {
        let mut piece = vec![0; PIECE];
        let mut at = 0;
        while at < length {
            let now = PIECE.min((length - at) as usize);
            source.read_exact(&mut piece[..now])?;
            self.file.write_all_at(&piece[..now], JOURNAL + at)?;
            at += now as u64;
        }
        self.durable()
    }

    fn stream_out(&mut self, _name: u64, length: u64, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut piece = vec![0; PIECE];
        let mut at = 0;
        while at < length {
            let now = PIECE.min((length - at) as usize);
            self.file.read_exact_at(&mut piece[..now], JOURNAL + at)?;
            sink(&piece[..now]);
            at += now as u64;
        }
        Ok(())
    }

    fn unstream(&mut self, _name: u64, _length: u64) -> Result<()> {
        Ok(())
    }
}

fn is_empty(value: &[u8]) -> bool {
    value.iter().take(8).all(|&byte| byte == 0)
}

impl Reader for &Raw {
    fn get_into(&mut self, key: &[u8], buffer: &mut [u8]) -> Result<Option<usize>> {
        let Some(place) = self.place_of(key) else { return Ok(None) };
        let value = buffer.get_mut(..self.length).context("the buffer is too small")?;
        self.file.read_exact_at(value, place)?;
        Ok((!is_empty(value)).then_some(self.length))
    }

    fn show(&mut self, _: &[u8], _: &mut dyn FnMut(&[u8])) -> Result<bool> {
        anyhow::bail!("a file shows nothing without a copy")
    }

    fn scan(&mut self, span: Span<'_>, visit: Visit<'_>) -> Result<()> {
        let first = match span {
            Span::Forward | Span::Backward => 0,
            // The numbers of a group follow each other.
            Span::Prefix(prefix) => {
                let digits = std::str::from_utf8(prefix)?.trim_end_matches('/');
                digits.parse::<u64>()? * crate::data::GROUP
            }
            Span::From(from) => index_of(from).context("nobody's name")?,
        };
        let end = match span {
            Span::Prefix(_) => (first + crate::data::GROUP).min(self.room),
            _ => self.room,
        };
        let backward = matches!(span, Span::Backward);
        // A short scan must not read a megabyte for a few records.
        let most = if matches!(span, Span::From(_)) { 16 << 10 } else { 1 << 20 };
        let step = (most / self.length).max(1) as u64;
        let mut buffer = vec![0; step as usize * self.length];
        let pieces = (end - first).div_ceil(step);
        for piece in 0..pieces {
            let piece = if backward { pieces - 1 - piece } else { piece };
            let start = first + piece * step;
            let count = step.min(end - start) as usize;
            let bytes = &mut buffer[..count * self.length];
            self.file.read_exact_at(bytes, self.place(start))?;
            for at in 0..count {
                let at = if backward { count - 1 - at } else { at };
                let value = &bytes[at * self.length..(at + 1) * self.length];
                if !is_empty(value) && !visit(&key(start + at as u64), value) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
