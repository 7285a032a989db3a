//! Makes the recorded file anew as a power cut may have left it, again and again, and examines it.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::super::Part;
use super::daemon::FIRST_LENGTH;
use super::log::Entry;
use super::trace::Event;
use crate::account::Account;
use crate::examine::{Care, Standing};
use crate::random::Random;
use crate::report::Line;

/// Random subsets of the writes between two syncs that are tried.
const SUBSETS: u64 = 4;

/// Where the files are made: in memory if there is such a place, because all they need is to be read.
const IN_MEMORY: &str = "/dev/shm";

const CARE: Care = Care { power_cut: true, read_only_first: false };

/// A write as it went to the device.
#[derive(Clone, Debug)]
struct Write {
    offset: u64,
    bytes: Vec<u8>,
}

/// What happened, with the bytes.
#[derive(Clone, Debug)]
enum Step {
    Told(Line),
    Wrote(Write),
    Synced,
    Grew(u64),
}

/// A record, ready to be replayed.
pub(super) struct Replay {
    standing: Standing,
    steps: Vec<Step>,
}

/// What a replay came to.
#[derive(Debug, Default)]
pub(super) struct Counts {
    writes: u64,
    syncs: u64,
    prefixes: u64,
    grown: u64,
    subsets: u64,
    torn: u64,
    acknowledged: u64,
    beyond: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { writes, syncs, prefixes, grown, subsets, torn, acknowledged, beyond } = self;
        write!(
            f,
            "{writes} writes and {syncs} syncs; {prefixes} prefixes, {grown} of them with growth that no sync \
             covered, {subsets} subsets, {torn} with a torn write; {acknowledged} commits acknowledged, \
             {beyond} found beyond"
        )
    }
}

impl Replay {
    /// Brings the two sides of the record together; they must tell the same.
    pub(super) fn new(standing: Standing, log: Vec<Entry>, events: Vec<Event>) -> Result<Self> {
        let mut log = log.into_iter().peekable();
        let mut steps = Vec::new();
        let mut written = false;
        for event in events {
            match event {
                Event::Told(line) => steps.push(Step::Told(line)),
                Event::Grew(length) => steps.push(Step::Grew(length)),
                Event::Wrote { offset, length } => {
                    let end = offset + length;
                    let mut at = offset;
                    while at < end {
                        let Some(Entry::Write { offset, bytes }) = log.next() else {
                            bail!("the log lacks the bytes at {at}");
                        };
                        let next = offset + bytes.len() as u64;
                        ensure!(offset == at && next <= end, "the log has bytes at {offset} instead of {at}");
                        steps.push(Step::Wrote(Write { offset, bytes }));
                        at = next;
                    }
                    written = true;
                }
                Event::Synced => {
                    // A sync with nothing to make durable does not come down.
                    if log.next_if(|entry| *entry == Entry::Sync).is_none() {
                        ensure!(!written, "the log lacks a sync");
                    }
                    written = false;
                    steps.push(Step::Synced);
                }
            }
        }
        // Closing a file makes it durable too.
        ensure!(log.all(|entry| entry == Entry::Sync), "the log has writes that nobody made");
        Ok(Self { standing, steps })
    }

    /// Examines the file as it may have been after every step.
    pub(super) fn run(self, seed: u64, part: &mut Part<'_>) -> Result<Counts> {
        let folder =
            if Path::new(IN_MEMORY).is_dir() { tempfile::tempdir_in(IN_MEMORY) } else { tempfile::tempdir() };
        let folder = folder.context("no temporary folder")?;
        let mut device = Device {
            account: Account::new(&self.standing.commits()),
            standing: self.standing,
            file: folder.path().join("store.by"),
            now: vec![0; FIRST_LENGTH as usize],
            synced: vec![0; FIRST_LENGTH as usize],
            length: FIRST_LENGTH,
            pending: Vec::new(),
            random: Random::of(&[seed, 0x7265_706c_6179]),
            counts: Counts::default(),
        };
        for (number, step) in self.steps.into_iter().enumerate() {
            for (what, result) in device.step(step) {
                if part.record(&format!("step {number}, {what}"), result).is_none() {
                    println!("    the file was {}", folder.keep().display());
                    return Ok(device.counts);
                }
            }
        }
        device.counts.acknowledged = device.account.acks;
        Ok(device.counts)
    }
}

/// The device under the file, and what the child had been told.
struct Device {
    standing: Standing,
    account: Account,
    file: PathBuf,
    /// With all writes so far.
    now: Vec<u8>,
    /// As the last sync left it.
    synced: Vec<u8>,
    /// The newest length.
    length: u64,
    /// Writes since the last sync.
    pending: Vec<Write>,
    random: Random,
    counts: Counts,
}

fn apply(image: &mut Vec<u8>, write: &Write, length: usize) {
    let (start, end) = (write.offset as usize, write.offset as usize + length);
    if image.len() < end {
        image.resize(end, 0);
    }
    image[start..end].copy_from_slice(&write.bytes[..length]);
}

impl Device {
    /// One step, and the examinations it gives rise to.
    fn step(&mut self, step: Step) -> Vec<(String, Result<()>)> {
        match step {
            Step::Told(line) => {
                self.account.take(line);
                Vec::new()
            }
            Step::Grew(length) => {
                self.length = self.length.max(length);
                vec![("grown".to_owned(), self.grown(length))]
            }
            Step::Wrote(write) => self.wrote(write),
            Step::Synced => self.sync(),
        }
    }

    fn wrote(&mut self, write: Write) -> Vec<(String, Result<()>)> {
        self.counts.writes += 1;
        apply(&mut self.now, &write, write.bytes.len());
        self.pending.push(write);
        self.counts.prefixes += 1;
        let image = self.now.clone();
        let mut all = vec![("a prefix".to_owned(), self.examine(&image))];
        if (self.now.len() as u64) < self.length {
            all.push(("a prefix, grown".to_owned(), self.grown(self.length)));
        }
        all
    }

    /// All writes so far, and the file longer than a sync has made it.
    fn grown(&mut self, length: u64) -> Result<()> {
        self.counts.prefixes += 1;
        self.counts.grown += 1;
        let mut image = self.now.clone();
        image.resize(image.len().max(length as usize), 0);
        self.examine(&image)
    }

    /// Before the sync, any of the pending writes may be missing; after it, none.
    fn sync(&mut self) -> Vec<(String, Result<()>)> {
        self.counts.syncs += 1;
        let mut all = Vec::new();
        let pending = std::mem::take(&mut self.pending);
        if pending.len() > 1 || self.length > self.synced.len() as u64 {
            for _ in 0..SUBSETS {
                let (image, what) = self.subset(&pending);
                self.counts.subsets += 1;
                all.push((what, self.examine(&image)));
            }
        }
        self.now.resize(self.now.len().max(self.length as usize), 0);
        self.synced.clone_from(&self.now);
        let image = self.now.clone();
        self.counts.prefixes += 1;
        all.push(("a sync".to_owned(), self.examine(&image)));
        all
    }

    /// Some of the writes on top of what was synced, one of them torn, and some of the growth.
    fn subset(&mut self, pending: &[Write]) -> (Vec<u8>, String) {
        let mut image = self.synced.clone();
        let least = image.len() as u64 / 512;
        let most = (self.length / 512).max(least);
        image.resize(self.random.within(least, most) as usize * 512, 0);
        let mut what = format!("length {}, writes", image.len());
        let mut may_tear = true;
        for (number, write) in pending.iter().enumerate() {
            let sectors = write.bytes.len() as u64 / 512;
            match self.random.below(5) {
                0..2 => {}
                2 if may_tear && sectors > 1 => {
                    let kept = self.random.within(1, sectors - 1) as usize * 512;
                    apply(&mut image, write, kept);
                    may_tear = false;
                    self.counts.torn += 1;
                    what += &format!(" {number}[..{kept}]");
                }
                _ => {
                    apply(&mut image, write, write.bytes.len());
                    what += &format!(" {number}");
                }
            }
        }
        (image, format!("{what} of {}", pending.len()))
    }

    fn examine(&mut self, image: &[u8]) -> Result<()> {
        let mut file = File::create(&self.file).context("cannot make the file")?;
        file.write_all(image).context("cannot make the file")?;
        drop(file);
        self.standing.advance(&self.account.floors(true));
        let found = self.standing.clone().examine(&self.file, &self.account, CARE)?;
        self.counts.beyond += found.beyond;
        Ok(())
    }
}
