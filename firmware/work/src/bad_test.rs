//! Bad sectors under the store that has no heap: a sector that cannot be read, a write that fails, a sector that
//! cannot be written any more, and a write that the card acknowledges and never makes.

use crate::job::{JOBS, Job, LONGEST};
use crate::lives::{layout, options};
use crate::look::Count;
use crate::{BYTES, PAGE, Pending, SmallBatch, SmallStore};
use blockyard_core::device::{BlockDevice, DeviceError, DeviceErrorKind, MemoryDevice};
use blockyard_core::store::OpenOptions;
use blockyard_core::{OpenError, ReadError, WriteError};
use core::fmt;
use std::{vec, vec::Vec};

/// What is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    Nothing,
    /// Reads of this sector fail.
    Unreadable(u64),
    /// Write number so and so fails, after nothing or half of it was written.
    Fails {
        write: u32,
        half: bool,
    },
    /// So does every write of this sector.
    Unwritable(u64),
    /// Write number so and so is acknowledged and not made.
    Dropped(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bad sector")
    }
}

impl core::error::Error for Broken {}

impl DeviceError for Broken {
    fn kind(&self) -> DeviceErrorKind {
        DeviceErrorKind::Other
    }
}

/// A card with something bad.
#[derive(Clone, Debug)]
struct Card {
    bytes: Vec<u8>,
    bad: Bad,
    writes: u32,
}

const SECTOR: u64 = PAGE as u64;

impl Card {
    fn new(bytes: Vec<u8>, bad: Bad) -> Self {
        Self { bytes, bad, writes: 0 }
    }

    fn sectors(&self) -> u64 {
        self.bytes.len() as u64 / SECTOR
    }

    fn good(&mut self) -> MemoryDevice<&mut Vec<u8>> {
        MemoryDevice::new(&mut self.bytes, PAGE as u32)
    }
}

fn touches(offset: u64, length: usize, sector: u64) -> bool {
    (offset / SECTOR..(offset + length as u64).div_ceil(SECTOR)).contains(&sector)
}

impl BlockDevice for &mut Card {
    type Error = Broken;

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Broken> {
        match self.bad {
            Bad::Unreadable(sector) if touches(offset, buf.len(), sector) => {
                buf.fill(0xBD);
                Err(Broken)
            }
            _ => self.good().read(offset, buf).map_err(|_| Broken),
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Broken> {
        self.writes += 1;
        let (bad, write) = (self.bad, self.writes);
        let mut put = |data: &[u8]| self.good().write(offset, data).map_err(|_| Broken);
        match bad {
            Bad::Fails { write: bad, half } if bad == write => {
                let part = if half { data.len() / 2 / PAGE * PAGE } else { 0 };
                if part > 0 {
                    put(&data[..part])?;
                }
                Err(Broken)
            }
            Bad::Unwritable(sector) if touches(offset, data.len(), sector) => Err(Broken),
            Bad::Dropped(bad) if bad == write => Ok(()),
            _ => put(data),
        }
    }

    fn sync(&mut self) -> Result<(), Broken> {
        Ok(())
    }

    fn length(&mut self) -> Result<u64, Broken> {
        Ok(self.bytes.len() as u64)
    }

    fn grow(&mut self, length: u64) -> Result<(), Broken> {
        if length <= self.bytes.len() as u64 { Ok(()) } else { Err(Broken) }
    }

    fn atomic_unit(&self) -> u32 {
        PAGE as u32
    }
}

const LENGTH: usize = 96 << 10;

fn empty() -> Vec<u8> {
    let mut card = Card::new(vec![0; LENGTH], Bad::Nothing);
    let (mut pending, mut buffer) = (Pending::new(), vec![0; BYTES]);
    let created = SmallStore::create(&mut card, &mut pending, &mut buffer[..], &layout(), &options());
    drop(created.expect("there is room for an empty store"));
    card.bytes
}

/// What came of the commits of a job.
struct Worked {
    /// Commits that were answered durable.
    done: u32,
    /// Writes when each of them began.
    began: Vec<u32>,
    error: Option<WriteError<Broken>>,
}

/// Opens a card and does what a job does, until it is done or something fails; what could be read before can be
/// read then.
fn work(job: Job, card: &mut Card) -> Result<Worked, OpenError<Broken>> {
    let (mut pending, mut buffer) = (Pending::new(), vec![0; BYTES]);
    let (mut store, _) = SmallStore::open(card, &mut pending, &mut buffer[..], &options())?;
    let mut batch = SmallBatch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
    let mut worked = Worked { done: 0, began: Vec::new(), error: None };
    for n in 1..=job.commits() {
        worked.began.push(store.device().writes);
        if let Err(error) = job.commit(&mut store, &mut batch, n) {
            worked.error = Some(error);
            break;
        }
        worked.done = n;
    }
    if let Some(WriteError::Device(Broken)) = worked.error {
        assert!(store.is_poisoned(), "the store goes on after a write that failed");
        let refused = job.commit(&mut store, &mut batch, worked.done + 1);
        assert_eq!(refused, Err(WriteError::Poisoned));
        assert_eq!(job.check(&mut store, worked.done), Ok(Ok(())), "after a write that failed");
    }
    Ok(worked)
}

/// Opens what is on a card, and looks whether it is the state after commit `n`, or the next one.
fn holds(job: Job, card: &mut Card, n: u32, options: &OpenOptions) {
    let (mut pending, mut buffer) = (Pending::new(), vec![0; BYTES]);
    let opened = SmallStore::open(card, &mut pending, &mut buffer[..], options);
    let (mut store, _) = opened.unwrap_or_else(|error| panic!("{job:?} after commit {n}: {error:?}"));
    let found = [n, n + 1].map(|n| job.check(&mut store, n));
    assert!(found.contains(&Ok(Ok(()))), "{job:?} after commit {n}: {found:?}");
    let report = store.verify(&mut Count::default()).expect("it is readable");
    assert_eq!(report.problems, 0, "{job:?} after commit {n}");
}

#[test]
fn a_sector_that_cannot_be_read_hides_what_lies_in_it_and_nothing_else() {
    for job in JOBS {
        let mut card = Card::new(empty(), Bad::Nothing);
        let worked = work(job, &mut card).expect("the card is good");
        let (n, sectors, bytes) = (worked.done, card.sectors(), card.bytes);
        assert_eq!((n, worked.error), (job.commits(), None));
        let read_only = OpenOptions { read_only: true, ..options() };
        let (mut shut, mut hidden, mut whole) = (0, 0, 0);
        for sector in 0..sectors {
            let mut card = Card::new(bytes.clone(), Bad::Unreadable(sector));
            let (mut pending, mut buffer) = (Pending::new(), vec![0; BYTES]);
            match SmallStore::open(&mut card, &mut pending, &mut buffer[..], &read_only) {
                Ok((mut store, _)) => {
                    let mut missed = false;
                    for name in job.names(n) {
                        let mut found = [0; LONGEST];
                        match store.get(name.as_bytes(), &mut found) {
                            Ok(length) => {
                                let found = length.and_then(|length| found.get(..length));
                                assert_eq!(
                                    found,
                                    job.value_of(&name, n).as_deref(),
                                    "{name}, sector {sector}"
                                );
                            }
                            Err(ReadError::Device(Broken)) => missed = true,
                            Err(error) => panic!("{name}, sector {sector}: {error:?}"),
                        }
                    }
                    if missed { hidden += 1 } else { whole += 1 }
                }
                Err(OpenError::Device(Broken)) => shut += 1,
                Err(error) => panic!("sector {sector}: {error:?}"),
            }
            assert_eq!(card.bytes, bytes, "reading has changed the card");
            // The sector can be read again: nothing was lost.
            card.bad = Bad::Nothing;
            holds(job, &mut card, n, &options());
        }
        // The journal is needed to open; pages of values and of the tree are not.
        assert!(shut > 0 && hidden > 0 && whole > 0, "{shut} {hidden} {whole}");
    }
}

#[test]
fn a_write_that_fails_poisons_the_store_and_loses_nothing_that_was_answered() {
    for (job, half) in JOBS.into_iter().flat_map(|job| [(job, false), (job, true)]) {
        let empty = empty();
        let mut failed = 0;
        for write in 1.. {
            let mut card = Card::new(empty.clone(), Bad::Fails { write, half });
            let n = match work(job, &mut card) {
                Ok(Worked { error: None, .. }) if card.writes < write => break,
                Ok(Worked { error: Some(WriteError::Device(Broken)), done, .. }) => done,
                // While it was opened.
                Err(OpenError::Device(Broken)) => 0,
                Ok(Worked { error, done, .. }) => panic!("write {write}, commit {done}: {error:?}"),
                Err(error) => panic!("write {write}: {error:?}"),
            };
            failed += 1;
            card.bad = Bad::Nothing;
            holds(job, &mut card, n, &options());
        }
        assert!(failed > 30, "only {failed} writes failed");
    }
}

#[test]
fn a_card_with_a_sector_that_cannot_be_written_any_more_can_still_be_read() {
    for job in JOBS {
        let empty = empty();
        let mut met = 0;
        for sector in 0..LENGTH as u64 / SECTOR {
            let mut card = Card::new(empty.clone(), Bad::Unwritable(sector));
            let n = match work(job, &mut card) {
                Ok(Worked { error: None, done, .. }) => done,
                Ok(Worked { error: Some(WriteError::Device(Broken)), done, .. }) => {
                    met += 1;
                    done
                }
                Err(OpenError::Device(Broken)) => {
                    met += 1;
                    0
                }
                Ok(Worked { error, done, .. }) => panic!("sector {sector}, commit {done}: {error:?}"),
                Err(error) => panic!("sector {sector}: {error:?}"),
            };
            holds(job, &mut card, n, &OpenOptions { read_only: true, ..options() });
        }
        assert!(met > 20, "only {met} sectors were ever written");
    }
}

/// A write that the card swallowed shows as damage, or not at all; never as another value. Only the last commit, of
/// which nothing else in the file knows, may be gone without a word.
#[test]
fn a_write_that_is_silently_dropped_is_told_by_the_digests() {
    for job in JOBS {
        let empty = empty();
        let (mut noticed, mut harmless, mut last) = (0, 0, 0);
        for write in 1.. {
            let mut card = Card::new(empty.clone(), Bad::Dropped(write));
            let worked = work(job, &mut card).expect("nothing is read back while it is opened");
            if card.writes < write {
                assert_eq!(worked.error, None);
                break;
            }
            // What the running store reads back is noticed there.
            assert!(
                matches!(worked.error, None | Some(WriteError::Corrupted(_))),
                "write {write}: {:?}",
                worked.error
            );
            let n = worked.done;
            // The last that was answered: behind it there may be one that failed.
            let in_last = n > 0 && write > worked.began[n as usize - 1];
            card.bad = Bad::Nothing;
            let (mut pending, mut buffer) = (Pending::new(), vec![0; BYTES]);
            let read_only = OpenOptions { read_only: true, ..options() };
            let mut store = match SmallStore::open(&mut card, &mut pending, &mut buffer[..], &read_only) {
                Ok((store, _)) => store,
                Err(OpenError::Corrupted(_)) => {
                    noticed += 1;
                    continue;
                }
                Err(error) => panic!("write {write}: {error:?}"),
            };
            let before = in_last && job.check(&mut store, n - 1) == Ok(Ok(()));
            let mut damaged = false;
            for name in job.names(n).filter(|_| !before) {
                let mut found = [0; LONGEST];
                match store.get(name.as_bytes(), &mut found) {
                    Ok(length) => {
                        let found = length.and_then(|length| found.get(..length));
                        assert_eq!(found, job.value_of(&name, n).as_deref(), "{name}, write {write} dropped");
                    }
                    Err(ReadError::Corrupted(_)) => damaged = true,
                    Err(error) => panic!("{name}, write {write}: {error:?}"),
                }
            }
            let problems = store.verify(&mut Count::default()).expect("it is readable").problems;
            assert!(!damaged || problems > 0, "write {write}: damage that verifying does not find");
            match (before, worked.error.is_some() || damaged || problems > 0) {
                (true, _) => last += 1,
                (false, true) => noticed += 1,
                (false, false) => harmless += 1,
            }
        }
        // Harmless: a superblock's twin stands in, a record was folded in before anybody read it.
        assert!(noticed > 10 && harmless > 20 && last >= 1, "{job:?}: {noticed} {harmless} {last}");
    }
}
