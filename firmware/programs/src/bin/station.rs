//! `station FILE look|make|extend NAME`: a store in a file of the host's, which other worlds made or will open.
//!
//! | word | |
//! |---|---|
//! | `look` | reads and verifies everything, and writes nothing |
//! | `make` | lays out a store of 512-byte pages; the data logger works on it and stops without folding in |
//! | `extend` | puts blocks of several sizes, the names beginning with `NAME`, and folds in |
#![no_std]
#![no_main]

use blockyard_core::device::{EmbeddedDevice, EmbeddedError};
use blockyard_core::overlay::FixedOverlay;
use blockyard_core::store::{Memory, OpenOptions};
use blockyard_core::{Batch, Durability, ReadError, Store, WriteError};
use blockyard_firmware_programs::{fixed, host_file, pending};
use board::host::{HostError, HostFile};
use board::{host, say};
use work::SmallBatch;
use work::job::Job;
use work::lives::{layout, options};
use work::look::{Count, content};

board::entry!(main);

/// Memory for files of other worlds: pages of 4 KiB at most, a journal that somebody left full.
const MEMORY: Memory = Memory::SMALL;
const LARGEST_PAGE: usize = 4096;
type Device = EmbeddedDevice<HostFile>;
type Pending = FixedOverlay<64, 64>;
type Large<'b> = Store<Device, Pending, &'b mut [u8]>;
type Failed = EmbeddedError<HostError>;

/// Commits of the logger.
const COMMITS: u32 = 26;

fn main() -> ! {
    let Some(words) = host::words::<160>() else { fail("no command line") };
    let mut words = words.into_iter().flatten().skip(1);
    let (Some(file), Some(what)) = (words.next(), words.next()) else {
        fail("usage: station FILE look|make|extend NAME")
    };
    let Some(device) = host_file(file).map(|file| EmbeddedDevice::growable(file, 512)) else {
        fail("the host does not open the file")
    };
    let done = match (what, words.next()) {
        ("make", _) => make(device),
        ("look", _) => open(device, true).and_then(|mut store| look(&mut store)),
        ("extend", Some(name)) => open(device, false).and_then(|mut store| extend(&mut store, name)),
        _ => fail("usage: station FILE look|make|extend NAME"),
    };
    if let Err(why) = done {
        fail(why);
    }
    host::exit(true)
}

fn fail(why: &str) -> ! {
    say!("FAILED {why}");
    host::exit(false)
}

fn open(device: Device, read_only: bool) -> Result<Large<'static>, &'static str> {
    let options = OpenOptions { read_only, growth: 16, ..OpenOptions::new(MEMORY) };
    let opened = Store::open(device, Pending::new(), buffer(), &options);
    let (store, recovery) = opened.map_err(|error| {
        say!("{error}");
        "the store does not open"
    })?;
    say!("recovered records={} torn={}", recovery.records, recovery.torn_tail);
    Ok(store)
}

fn buffer() -> &'static mut [u8] {
    fixed!(MEMORY.bytes(LARGEST_PAGE))
}

/// Reads and verifies everything, and says what is there.
fn look(store: &mut Large<'_>) -> Result<(), &'static str> {
    let read = |error: ReadError<Failed>| {
        say!("{error}");
        "reading failed"
    };
    let found = content(store, fixed!(2 * 1024), fixed!(512)).map_err(read)?;
    let mut problems = Count::default();
    store.verify(&mut problems).map_err(read)?;
    let (root, sequence) = (store.root().digest, store.sequence());
    say!("content blocks={} bytes={} digest={}", found.blocks, found.bytes, found.digest);
    say!("root={root} sequence={sequence} problems={}", problems.0);
    if problems.0 == 0 { Ok(()) } else { Err("verification found problems") }
}

fn make(mut device: Device) -> Result<(), &'static str> {
    let store = Store::create(&mut device, pending(), buffer(), &layout(), &options());
    let mut store = store.map_err(|_| "create failed")?;
    let mut batch = SmallBatch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
    for n in 1..=COMMITS {
        Job::Logger.commit(&mut store, &mut batch, n).map_err(|_| "a commit failed")?;
    }
    say!("made sequence={} pending={}", store.sequence(), store.pending());
    Ok(())
}

fn extend(store: &mut Large<'_>, name: &str) -> Result<(), &'static str> {
    let written = |error: WriteError<Failed>| {
        say!("{error}");
        "writing failed"
    };
    let mut batch: Batch<heapless::Vec<u8, 2048>, heapless::Vec<u8, 8192>> =
        Batch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
    for (digit, length) in [0_usize, 7, 100, 700, 3000].into_iter().enumerate() {
        let mut full = heapless::String::<64>::new();
        let named = full.push_str(name).and_then(|()| full.push((b'0' + digit as u8) as char));
        named.map_err(|_| "the name is too long")?;
        let mut value = [0; 3000];
        value.iter_mut().zip(name.bytes().cycle()).for_each(|(byte, letter)| *byte = letter);
        batch.clear();
        let length = length.min(store.geometry().chunk_size() as usize);
        batch.put(full.as_bytes(), &value[..length], 5).map_err(|_| "the batch is full")?;
        store.commit(core::slice::from_mut(&mut batch), Durability::Durable).map_err(written)?;
    }
    store.checkpoint().map_err(written)?;
    look(store)
}
