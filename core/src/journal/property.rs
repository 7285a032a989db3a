//! The journal ring alone: what was appended is read back, whatever its length and wherever the ring ends.
//!
//! 1. Every record between tail and head is there, whole, through a buffer of any number of units.
//! 2. A record for which there is room overtakes nothing that recovery needs.
//! 3. A unit that held a durable byte is not written again while its record is needed.

use super::{Journal, RingReader, RingWindow};
use crate::budget::{Tally, check, pattern};
use crate::device::{BlockDevice, MemoryError};
use crate::digest::Digest;
use crate::format::{Geometry, RecordHeader, U32, U64, record_kind};
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;
use zerocopy::{FromZeros as _, IntoBytes as _};

static TALLY: Tally = Tally::new();

#[derive(Clone, Debug)]
enum Event {
    /// Bytes of operations and values, in so many parts, or as many as there is room for; perhaps the values
    /// first.
    Append {
        meta: u16,
        data: u16,
        parts: u8,
        fill: bool,
        ahead: bool,
    },
    /// A sync has covered everything.
    Sync,
    /// A checkpoint: nothing before the head is needed.
    MoveTail,
    /// The file is closed and opened.
    Reopen,
    Read {
        buffer: u8,
    },
}

#[derive(Clone, Copy, Debug)]
struct Sizes {
    page: u32,
    unit: u32,
    pages: u64,
    staging: usize,
    /// Where the journal begins, logically.
    start: u32,
}

/// The bytes of a ring, and which of them are durable and needed.
struct Ring {
    bytes: Vec<u8>,
    geometry: Geometry,
    needed: Vec<bool>,
    written: u64,
}

impl Ring {
    fn units(&self, offset: u64, length: usize) -> core::ops::Range<usize> {
        let start = (offset - self.geometry.journal_offset()) as usize;
        let unit = self.geometry.unit();
        assert!(start.is_multiple_of(unit) && length.is_multiple_of(unit) && length > 0, "whole units");
        assert!(start + length <= self.bytes.len(), "inside the ring");
        start..start + length
    }
}

impl BlockDevice for Ring {
    type Error = MemoryError;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        let range = self.units(offset, buf.len());
        buf.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        let range = self.units(offset, data.len());
        let unit = self.geometry.unit();
        let units = range.start / unit..range.end / unit;
        assert!(!self.needed[units].contains(&true), "a unit that holds something durable is written");
        self.bytes[range].copy_from_slice(data);
        self.written += data.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), MemoryError> {
        Ok(())
    }

    fn length(&mut self) -> Result<u64, MemoryError> {
        Ok(self.geometry.journal_offset() + self.bytes.len() as u64)
    }

    fn grow(&mut self, _: u64) -> Result<(), MemoryError> {
        Ok(())
    }

    fn atomic_unit(&self) -> u32 {
        self.geometry.unit() as u32
    }
}

struct World {
    ring: Ring,
    geometry: Geometry,
    journal: Journal,
    tail: u64,
    staging: Vec<u8>,
    /// Position and bytes of the records that recovery needs.
    records: Vec<(u64, RecordHeader, Vec<u8>)>,
    written: u64,
}

impl World {
    fn new(sizes: &Sizes) -> Self {
        let length = sizes.pages * u64::from(sizes.page);
        let geometry = Geometry::new(sizes.page, sizes.unit, length, sizes.page).expect("possible");
        let bytes = vec![0; length as usize];
        let needed = vec![false; length as usize / geometry.unit()];
        let start = u64::from(sizes.start);
        let journal = Journal::new(start, Digest::default(), &geometry);
        let staging = vec![0xEE; 2 * sizes.page as usize + sizes.staging];
        Self {
            ring: Ring { bytes, geometry, needed, written: 0 },
            geometry,
            journal,
            tail: start,
            staging,
            records: Vec::new(),
            written: 0,
        }
    }

    fn append(&mut self, meta: usize, data: usize, parts: usize, fill: bool, ahead: bool) {
        let room = self.journal.room(self.tail, &self.geometry) as usize;
        let most = room.saturating_sub(RecordHeader::SIZE);
        let (meta, data) = if fill { (most / 2, most - most / 2) } else { (meta, data) };
        let mut header = RecordHeader::new_zeroed();
        (header.kind, header.position) = (U32::new(record_kind::COMMIT), U64::new(self.journal.head));
        (header.meta_length, header.data_length) = (U32::new(meta as u32), U32::new(data as u32));
        header.previous = self.journal.chain.0;
        let header = header.sealed();
        if RecordHeader::SIZE + meta + data > room {
            TALLY.hit("no room");
            return;
        }
        self.written += 1;
        let body = pattern(self.written, meta + data);
        let (listed, values) = body.split_at(meta);
        let values = values.chunks(data / parts + 1);
        let pieces = listed.chunks(meta / parts + 1).chain(values.clone());
        let all = core::iter::once(header.as_bytes()).chain(pieces);
        let head = self.journal.head;
        let before = self.ring.written;
        let (ring, geometry, staging) = (&mut self.ring, &self.geometry, &mut self.staging);
        let before_values = (RecordHeader::SIZE + meta) as u64;
        let written = ahead
            .then(|| self.journal.append_ahead(ring, geometry, staging, before_values, values))
            .and_then(|written| written.expect("nothing fails"));
        TALLY.hit(if written.is_some() { "values first" } else { "in order" });
        self.journal.append(ring, geometry, staging, all, written).expect("nothing fails");
        assert_eq!(self.journal.head, head + header.record_length(), "a record ends at a multiple of 8");
        let unit = self.geometry.unit() as u64;
        let bytes = self.journal.head.next_multiple_of(unit) - (head - head % unit);
        assert_eq!(self.ring.written - before, bytes, "only the units that the record lies in are written");
        let end = self.journal.head.next_multiple_of(unit) - self.geometry.unit_down(self.tail);
        assert!(end <= self.geometry.journal_length(), "the tail is overtaken");
        let length = self.geometry.journal_length();
        TALLY.hit(if head / length < (self.journal.head - 1) / length {
            "record across the end"
        } else {
            "record"
        });
        self.journal.chain = Digest(header.digest);
        self.records.push((head, header, body));
    }

    /// From here on the units up to the head may not be written.
    fn sync(&mut self) {
        self.journal.leave_unit(&self.geometry);
        let unit = self.geometry.unit() as u64;
        assert!(self.journal.head.is_multiple_of(unit));
        self.need();
    }

    fn need(&mut self) {
        let unit = self.geometry.unit() as u64;
        let units = self.ring.needed.len() as u64;
        self.ring.needed.fill(false);
        for at in self.geometry.unit_down(self.tail) / unit..self.journal.head / unit {
            self.ring.needed[(at % units) as usize] = true;
        }
    }

    fn read(&mut self, buffer: usize) {
        let unit = self.geometry.unit();
        let mut space = vec![0; unit * (1 + buffer)];
        let mut window = RingWindow::default();
        for (position, header, body) in &self.records {
            // One reader for each record, the next goes on with what the one before had read.
            let mut ring = RingReader::new(&mut self.ring, &self.geometry, &mut space, &mut window);
            assert_eq!(ring.header(*position), Ok(Some(*header)), "the record at {position}");
            assert_eq!(ring.header(position + 8).map(|found| found.is_some()), Ok(false));
            let at = position + RecordHeader::SIZE as u64;
            let mut into = vec![0; body.len()];
            ring.read(at, &mut into).expect("nothing fails");
            assert_eq!(into, *body, "the record at {position}");
            assert_eq!(ring.has(at, body.len() as u64, &Digest::of(body).0), Ok(true));
            TALLY.hit("record read");
        }
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Append { meta, data, parts, fill, ahead } => {
                self.append(usize::from(meta), usize::from(data), usize::from(parts), fill, ahead);
            }
            Event::Sync => self.sync(),
            Event::MoveTail => {
                // As a checkpoint: its head, then a sync.
                self.tail = self.journal.head;
                self.records.clear();
                self.sync();
                TALLY.hit("tail moved");
            }
            Event::Reopen => {
                // What is found is folded in, so that nothing is needed any more.
                let (head, chain) = (self.journal.head, self.journal.chain);
                self.journal = Journal::new(head, chain, &self.geometry);
                self.tail = head;
                self.records.clear();
                self.need();
                TALLY.hit("opened");
            }
            Event::Read { buffer } => self.read(usize::from(buffer)),
        }
        let unit = self.geometry.unit() as u64;
        let (head, tail) = (self.journal.head, self.tail);
        let room = self.journal.room(self.tail, &self.geometry);
        assert!(room + 2 * unit + (head - tail) >= self.geometry.journal_length() - unit, "room is wasted");
    }
}

fn event() -> impl Strategy<Value = Event> {
    let size = || prop_oneof![4 => 0..200_u16, 2 => 0..3000_u16, 1 => 500..520_u16];
    prop_oneof![
        8 => (size(), size(), 1..5_u8, prop::bool::weighted(0.1), any::<bool>()).prop_map(
            |(meta, data, parts, fill, ahead)| Event::Append { meta, data, parts, fill, ahead }
        ),
        3 => Just(Event::Sync),
        2 => Just(Event::MoveTail),
        1 => Just(Event::Reopen),
        3 => (0..6_u8).prop_map(|buffer| Event::Read { buffer }),
    ]
}

#[test]
fn a_ring_gives_back_what_was_appended() {
    let sizes = (9..13_u32, 9..13_u32, 4..20_u64, 0..9000_usize, any::<u32>()).prop_map(
        |(page, unit, pages, staging, start)| Sizes {
            page: 1 << page,
            unit: 1 << unit.min(page),
            pages,
            staging,
            start,
        },
    );
    let strategy = (sizes, prop::collection::vec(event(), 1..80));
    let kinds = [
        "record",
        "record across the end",
        "record read",
        "values first",
        "in order",
        "no room",
        "tail moved",
        "opened",
    ];
    let regressions = "tests/property/regressions/journal.txt";
    check(("the journal alone", regressions), 300, &strategy, (&TALLY, &kinds), |(sizes, events)| {
        let mut world = World::new(&sizes);
        for event in &events {
            world.apply(event);
        }
        world.read(1);
    });
}
