//! Closing without writing, as a crash of the process does, and opening again: the same, otherwise, for reading.

use super::plan::{Kind, Working};
use super::world::{Engine, FIXED, Opening, TALLY, World, with};
use super::writes::durability;
use blockyard_core::error::{OpenError, WriteError};
use blockyard_core::format::GeometryError;
use blockyard_core::store::{OpenOptions, Recovery};
use blockyard_core::{Digest, Sequence, Store};
use blockyard_sim::fixture::{Fixed, Heap, batch};

impl World {
    fn open(&self, working: &Working, change: impl FnOnce(&mut OpenOptions)) -> Opening {
        let shape = self.setup.shape(working);
        let mut options = shape.options();
        change(&mut options);
        let (device, buffer) = (self.device.clone(), shape.buffer());
        device.set_unit(working.unit);
        match working.kind {
            Kind::Heap => {
                let opened = Store::open(device, Heap::default(), buffer, &options);
                opened.map(|(store, recovery)| (Engine::Heap(Box::new(store)), recovery))
            }
            Kind::Fixed => {
                let opened = Store::open(device, Fixed::default(), buffer, &options);
                opened.map(|(store, recovery)| (Engine::Fixed(Box::new(store)), recovery))
            }
        }
    }

    /// The process ends here: nothing is written, and chunks without a commit are nobody's.
    fn close(&mut self) -> Recovery {
        let engine = self.engine.take().expect("it is open");
        let (sequence, from) = with!(&engine, store => (store.sequence(), store.root().sequence));
        let superblock = with!(&engine, store => *store.superblock());
        self.closed = (superblock.epoch.get(), superblock.generation.get());
        drop(engine);
        self.staged = None;
        Recovery { from, to: sequence, watermark: Sequence(self.durable), ..Recovery::default() }
    }

    /// What recovery says must follow from what was committed.
    fn assert_recovery(&self, found: &Recovery, expected: &Recovery) {
        let Recovery { records, from, to, watermark, torn_tail, damage } = *found;
        assert_eq!((from, to, torn_tail, damage), (expected.from, expected.to, false, None));
        assert!(watermark <= expected.watermark && watermark >= from, "{found:?} {expected:?}");
        // A record a group, and seals.
        assert!(records >= self.logged.len() as u64, "{records} records for {} groups", self.logged.len());
    }

    fn adopt(&mut self, engine: Engine, working: Working) {
        let (epoch, generation) = self.closed;
        let superblock = with!(&engine, store => *store.superblock());
        assert_eq!(superblock.epoch.get(), epoch + 1, "what was written before is dead");
        assert_eq!(superblock.generation.get(), generation + 1);
        self.engine = Some(engine);
        self.working = working;
        // Everything was folded in, and a new count begins.
        self.durable = self.sequence;
        self.forget_counters();
        TALLY.hit("opened");
    }

    pub(crate) fn reopen(&mut self, working: Working) {
        let expected = self.close();
        self.open_again(working, &expected);
    }

    fn open_again(&mut self, working: Working, expected: &Recovery) {
        let (engine, recovery) = self.open(&working, |_| {}).expect("what was closed can be opened");
        self.assert_recovery(&recovery, expected);
        TALLY.hit(if recovery.records > 0 { "opened with a journal" } else { "opened with nothing to do" });
        self.adopt(engine, working);
        self.assert_opened();
    }

    fn assert_opened(&mut self) {
        let (durable, pending) = with!(self.engine(), store => (store.durable_sequence().0, store.pending()));
        assert_eq!((durable, pending), (self.sequence, 0), "opening makes durable what it found");
        self.settle();
        self.contents();
        self.verify();
        self.walk_tree();
    }

    /// Opens with other memory, or says why not and changes nothing that the old memory cannot open.
    pub(crate) fn reopen_with(&mut self, wanted: Working) {
        let before = self.working;
        let made_unit = self.geometry().unit() as u32;
        let height = with!(self.engine(), store => store.root().height) as usize;
        let operations: usize = self.logged.iter().map(|group| group.operations).sum();
        let name = self.logged.iter().map(|group| group.longest_name).max().unwrap_or(0);
        let body = self.logged.iter().map(|group| group.longest_body).max().unwrap_or(0);
        let page = u64::from(self.setup.page_size);
        let piece = (wanted.staging as u64 / page).max(2) * page;
        let must_open = match wanted.kind {
            Kind::Heap => body <= piece,
            Kind::Fixed => operations <= FIXED.0 && name <= FIXED.1,
        } && (wanted.levels >= before.levels || (operations == 0 && height <= wanted.levels));
        let expected = self.close();
        let image = self.device.bytes();
        match self.open(&wanted, |_| {}) {
            Ok((engine, recovery)) => {
                assert!(wanted.unit <= made_unit && height <= wanted.levels, "{wanted:?}");
                self.assert_recovery(&recovery, &expected);
                TALLY.hit(if wanted.kind == before.kind {
                    "opened with other memory"
                } else {
                    "overlay exchanged"
                });
                self.adopt(engine, wanted);
                self.assert_opened();
            }
            Err(OpenError::Geometry(GeometryError::Unit(unit))) => {
                TALLY.hit("refused: larger units");
                assert!(unit == wanted.unit && unit > made_unit);
                assert!(self.device.bytes() == image, "nothing is written before the file was found sound");
                self.open_again(before, &expected);
            }
            Err(OpenError::WorkspaceTooSmall) => {
                TALLY.hit("refused: too little memory");
                assert!(
                    !must_open,
                    "{wanted:?} does: {operations} changes, names of {name}, bodies of {body}"
                );
                if height > wanted.levels {
                    assert!(
                        self.device.bytes() == image,
                        "nothing is written before the file was found sound"
                    );
                }
                // A fold that came to too many levels has written, but nothing that anything refers to.
                self.open_again(before, &expected);
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Opens for reading only, looks at everything, is refused every change, and opens as before.
    pub(crate) fn read_only(&mut self, salvage: bool, kind: Kind) {
        let before = self.working;
        let operations: usize = self.logged.iter().map(|group| group.operations).sum();
        let name = self.logged.iter().map(|group| group.longest_name).max().unwrap_or(0);
        let fits = kind == before.kind || (kind == Kind::Fixed && operations <= FIXED.0 && name <= FIXED.1);
        let working = if fits { Working { kind, ..before } } else { before };
        let folded = self.logged.clone();
        let expected = self.close();
        let image = self.device.bytes();
        self.device.forbid_writes(true);
        let (engine, recovery) = self
            .open(&working, |options| (options.read_only, options.salvage) = (true, salvage))
            .expect("it can be read");
        self.assert_recovery(&recovery, &expected);
        let durable = self.durable;
        (self.engine, self.durable) = (Some(engine), recovery.watermark.0);
        self.forget_counters();
        self.contents();
        self.verify();
        self.walk_tree();
        let names: Vec<u8> = (0..super::plan::NAMES).step_by(7).collect();
        names.into_iter().for_each(|name| self.look(name, 700, 300));
        self.assert_refuses_writes();
        self.settle();
        self.engine = None;
        self.device.forbid_writes(false);
        assert!(self.device.bytes() == image, "reading only writes nothing");
        (self.logged, self.durable) = (folded, durable);
        let (engine, again) = self.open(&before, |_| {}).expect("what can be read can be opened");
        assert_eq!(again, recovery, "reading changes nothing of what recovery finds");
        TALLY.hit("opened for reading");
        self.adopt(engine, before);
        self.assert_opened();
    }

    fn assert_refuses_writes(&mut self) {
        let geometry = self.geometry();
        let (mut batch, mut scratch) = (batch(&geometry), batch(&geometry));
        batch.put(b"name", b"value", 0).expect("a small block");
        let mut chunk = vec![0; geometry.page_size()];
        with!(self.engine(), store => {
            for durable in [false, true] {
                let one = core::slice::from_mut(&mut batch);
                assert_eq!(store.commit(one, durability(durable)), Err(WriteError::ReadOnly));
                let renamed = store.rename(b"a", b"b", &mut scratch, durability(durable));
                assert_eq!(renamed, Err(WriteError::ReadOnly));
            }
            assert_eq!(store.sync(), Err(WriteError::ReadOnly));
            assert_eq!(store.seal(), Err(WriteError::ReadOnly));
            assert_eq!(store.checkpoint(), Err(WriteError::ReadOnly));
            assert_eq!(store.checkpoint_step(), Err(WriteError::ReadOnly));
            assert_eq!(store.write_chunk(&chunk, Digest::of(&chunk)).err(), Some(WriteError::ReadOnly));
            assert_eq!(store.writer::<4>(b"name", 0, &mut chunk).err(), Some(WriteError::ReadOnly));
        });
    }
}
