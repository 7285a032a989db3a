//! Transitions that only read, in all the ways there are, and refusals that follow from the arguments alone.

use super::walk;
use super::world::{Held, TALLY, World, with};
use crate::budget::pattern;
use blockyard_core::batch::BatchError;
use blockyard_core::error::{ReadError, WriteError};
use blockyard_core::store::{BlockInfo, BlockLocation, FreeSpace};
use blockyard_core::{Digest, Durability, Sequence};
use blockyard_sim::fixture::{Findings, batch};

impl World {
    /// Everything that the store gives out is what the map holds.
    pub(crate) fn contents(&mut self) {
        let mut name = [0; 1024];
        let mut last: Option<Vec<u8>> = None;
        let map = self.map.clone();
        for (expected, held) in &map {
            let length = with!(self.engine(), store => store.next_name(last.as_deref(), &mut name))
                .expect("no damage");
            assert_eq!(length.map(|length| &name[..length]), Some(expected.as_slice()), "the next name");
            let mut value = vec![0; held.bytes.len()];
            let length = with!(self.engine(), store => store.get(expected, &mut value)).expect("no damage");
            assert_eq!((length, &value), (Some(value.len()), &*held.bytes));
            last = Some(expected.clone());
        }
        let end = with!(self.engine(), store => store.next_name(last.as_deref(), &mut name));
        assert_eq!(end, Ok(None), "no other name");
        TALLY.add("blocks compared", map.len() as u64);
    }

    /// Looks at one name in every way.
    pub(crate) fn look(&mut self, number: u8, piece: u16, from: u16) {
        let name = self.name(number);
        let held = self.map.get(&name).cloned();
        let writes = with!(self.engine(), store => store.counters().writes);
        assert_eq!(with!(self.engine(), store => store.exists(&name)), Ok(held.is_some()));
        match held {
            None => {
                TALLY.hit("look at nothing");
                assert_eq!(with!(self.engine(), store => store.info(&name)), Ok(None));
                assert_eq!(with!(self.engine(), store => store.get(&name, &mut [])), Ok(None));
                let reader = with!(self.engine(), store => store.reader(&name).map(|reader| *reader.info()));
                assert_eq!(reader, Err(ReadError::NotFound));
            }
            Some(held) => {
                self.assert_info(&name, &held);
                self.assert_bytes(&name, &held, usize::from(from));
                self.assert_stream(&name, &held, usize::from(piece), usize::from(from));
            }
        }
        assert_eq!(with!(self.engine(), store => store.counters().writes), writes, "reading writes nothing");
    }

    fn assert_info(&mut self, name: &[u8], held: &Held) {
        let inline = self.geometry().max_inline();
        let info = with!(self.engine(), store => store.info(name)).expect("no damage").expect("it is there");
        let BlockInfo { length, tag, sequence, digest, location } = info;
        assert_eq!((length, tag, sequence), (held.bytes.len() as u64, held.tag, Sequence(held.sequence)));
        assert_eq!(digest, held.digest(), "the digest of {length} bytes");
        match (location, held.chunk) {
            (BlockLocation::Chunks { chunk_size, count }, Some(chunk)) => {
                TALLY.hit("look at chunks");
                assert_eq!((chunk_size, u64::from(count)), (chunk, length.div_ceil(u64::from(chunk))));
            }
            (BlockLocation::Extent { page }, None) => {
                TALLY.hit("look at an extent");
                assert!(page.0 >= self.geometry().first_group());
            }
            (BlockLocation::Memory, None) if held.bytes.len() <= inline => {
                TALLY.hit("look at an inline block")
            }
            (BlockLocation::Memory, None) => TALLY.hit("look at a carried block"),
            (location, chunk) => panic!("{location:?} of {chunk:?}"),
        }
    }

    fn assert_bytes(&mut self, name: &[u8], held: &Held, more: usize) {
        let length = held.bytes.len();
        let mut into = vec![0xEE; length + more % 100];
        assert_eq!(with!(self.engine(), store => store.get(name, &mut into)), Ok(Some(length)));
        assert_eq!(into[..length], **held.bytes);
        assert!(into[length..].iter().all(|&byte| byte == 0xEE), "bytes behind the block are the caller's");
        if length > 0 {
            let short = &mut into[..(length - 1).min(more)];
            let needed = length as u64;
            let refused = with!(self.engine(), store => store.get(name, short));
            assert_eq!(refused, Err(ReadError::BufferTooSmall { needed }));
        }
    }

    /// Reads a block piece by piece, then from a place in it.
    fn assert_stream(&mut self, name: &[u8], held: &Held, piece: usize, from: usize) {
        let length = held.bytes.len();
        let from = from % (length + 2);
        let mut into = vec![0; piece];
        let (mut whole, mut rest) = (Vec::new(), Vec::new());
        with!(self.engine(), store => {
            let mut reader = store.reader(name).expect("it is there");
            loop {
                match reader.read(&mut into).expect("no damage") {
                    0 => break,
                    read => whole.extend_from_slice(&into[..read]),
                }
            }
            assert_eq!(reader.read(&mut into), Ok(0), "the end stays the end");
            reader.seek(from as u64);
            assert_eq!(reader.read(&mut []), Ok(0));
            // At most a few pieces, so that the next seek starts anywhere.
            for _ in 0..3 {
                let read = reader.read(&mut into).expect("no damage");
                rest.extend_from_slice(&into[..read]);
            }
        });
        assert_eq!(whole, **held.bytes, "as a stream");
        let expected = &held.bytes[from.min(length)..];
        assert_eq!(rest, expected[..rest.len()], "from byte {from} on");
        assert!(!rest.is_empty() || expected.is_empty());
    }

    /// The name that follows any bytes, be they a name or not.
    pub(crate) fn next_name(&mut self, after: u8, cut: u8) {
        let mut bound = self.name(after);
        match cut {
            0 => {}
            1 => drop(bound.pop()),
            _ => bound.resize(1500, b'x'),
        }
        let expected = self.map.keys().find(|name| **name > bound).cloned();
        let mut name = [0; 1024];
        let found =
            with!(self.engine(), store => store.next_name(Some(&bound), &mut name)).expect("no damage");
        assert_eq!(found.map(|length| &name[..length]), expected.as_deref(), "behind {bound:?}");
        let Some(expected) = expected else { return };
        TALLY.hit("next name");
        let needed = expected.len() as u64;
        let short = &mut name[..expected.len() - 1];
        let refused = with!(self.engine(), store => store.next_name(Some(&bound), short));
        assert_eq!(refused, Err(ReadError::BufferTooSmall { needed }));
    }

    /// The registry as it was folded last, whatever has been committed since.
    pub(crate) fn walk_tree(&mut self) {
        let (geometry, device) = (self.geometry(), self.device.clone());
        let root = with!(self.engine(), store => store.root());
        walk::assert_tree(&device, &geometry, &root, &self.history[&root.sequence.0]);
        TALLY.hit("registry walked");
    }

    /// Everything durable is whole, whatever is pending; no page is lost or counted twice.
    pub(crate) fn verify(&mut self) {
        let geometry = self.geometry();
        let root = with!(self.engine(), store => store.root());
        let mut findings = Findings::default();
        let report = with!(self.engine(), store => store.verify(&mut findings)).expect("the device reads");
        assert!(findings.problems.is_empty(), "{:?} {report:?}", findings.problems);
        assert_eq!((report.problems, report.leaked_pages), (0, 0), "{report:?}");
        let folded = &self.history[&root.sequence.0];
        let bytes = folded.values().map(|held| held.bytes.len() as u64).sum::<u64>();
        assert_eq!((report.blocks, report.bytes), (folded.len() as u64, bytes));
        assert_eq!((findings.first_records, findings.bytes), (folded.len() as u64, bytes), "all was checked");
        let FreeSpace { pages, runs, largest } =
            with!(self.engine(), store => store.free_space()).expect("the device reads");
        assert!(largest <= pages && runs <= pages && (runs > 0) == (pages > 0));
        assert!(largest * runs >= pages, "the longest run is not shorter than the mean");
        // Each group begins with two slots for its bits, and more where a page of a level above begins.
        let inside = with!(self.engine(), store => store.pages()) - geometry.first_group();
        if inside <= geometry.group_pages() {
            let slots = inside.min(16);
            assert_eq!(pages + report.used_pages + slots, inside, "free, used and map pages are all");
        }
        TALLY.hit("verified");
    }

    /// What cannot be is refused for what it is, and changes nothing.
    pub(crate) fn refused(&mut self, number: u8) {
        let geometry = self.geometry();
        let (name, max) = (self.name(number), geometry.max_name());
        let long = vec![b'n'; max + 1 + usize::from(number)];
        let length = long.len();
        let mut batch = batch(&geometry);
        assert_eq!(batch.put(b"", b"value", 0), Err(BatchError::NameEmpty));
        assert_eq!(batch.delete(b""), Err(BatchError::NameEmpty));
        assert_eq!(batch.put(&long, b"value", 0), Err(BatchError::NameTooLong { length, max }));
        assert_eq!(batch.put(&long, &pattern(0, max * 4), 0), Err(BatchError::NameTooLong { length, max }));
        assert_eq!(batch.delete(&long), Err(BatchError::NameTooLong { length, max }));
        assert_eq!((batch.len(), batch.bytes()), (0, 0), "nothing was added");
        let chunk = geometry.chunk_size() as usize;
        let (page, present) = (geometry.page_size(), self.map.contains_key(&name));
        let mut buffer = vec![0; 2 * chunk + page];
        with!(self.engine(), store => {
            let too_long = WriteError::NameTooLong { length, max };
            let buffered = Durability::Buffered;
            assert_eq!(store.rename(&name, b"", &mut batch, buffered), Err(WriteError::NameEmpty));
            assert_eq!(store.rename(&name, &long, &mut batch, buffered), Err(too_long));
            for nothing in [&b""[..], &long, b"no such name"] {
                assert_eq!(store.rename(nothing, b"to", &mut batch, buffered), Err(WriteError::NotFound));
                assert_eq!(store.exists(nothing), Ok(false));
                assert_eq!(store.info(nothing), Ok(None));
                assert_eq!(store.get(nothing, &mut buffer), Ok(None));
            }
            assert_eq!(store.writer::<4>(b"", 0, &mut buffer[..page]).err(), Some(WriteError::NameEmpty));
            assert_eq!(store.writer::<4>(&long, 0, &mut buffer[..page]).err(), Some(too_long));
            for unsuitable in [0, page - 1, page + 1, chunk + page, 2 * chunk] {
                let writer = store.writer::<4>(b"name", 0, &mut buffer[..unsuitable]);
                assert_eq!(writer.err(), Some(WriteError::WorkspaceTooSmall), "a buffer of {unsuitable} bytes");
            }
            for wrong in [0, chunk + 1] {
                let bytes = &buffer[..wrong];
                let written = store.write_chunk(bytes, Digest::of(bytes));
                assert_eq!(written.err(), Some(WriteError::BatchTooLarge), "a chunk of {wrong} bytes");
            }
            assert_eq!(store.exists(&name), Ok(present));
        });
        TALLY.hit("refused for its arguments");
    }
}
