//! Fills a file until there is no room for more, and checks what then still works.
//!
//! 1. What does not fit is refused as full and changes nothing; the store is not poisoned by it.
//! 2. On a full disk blocks can be deleted, and what they took can be used again.
//! 3. When there is room, the file grows again. Nothing was lost at any time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use blockyard::{Durability, Error, OpenOptions, PutOptions, Store};

use crate::random::Random;
use crate::workload::Value;

/// How often the disk is emptied a little and filled again.
const CYCLES: u64 = 4;

/// More puts than any of the places here can take.
const MOST: u64 = 20_000;

/// What to fill.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The store's file
    #[arg(long)]
    file: PathBuf,
    /// What is put follows from it
    #[arg(long)]
    seed: u64,
    /// A file that takes what is left of the file system and is removed to make room; without it, room is
    /// made by lifting the limit on the length of files
    #[arg(long)]
    filler: Option<PathBuf>,
}

/// A store on a full disk, and what must be in it.
struct Filled {
    options: OpenOptions,
    file: PathBuf,
    store: Option<Store>,
    blocks: BTreeMap<String, Value>,
    random: Random,
    names: u64,
    puts: u64,
    refused: u64,
    deleted: u64,
}

/// Fills, empties, fills again.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(120));
        eprintln!("filling hung");
        std::process::exit(4);
    });
    if let Some(filler) = &arguments.filler {
        // What is given back at the end.
        File::create(filler).and_then(|mut file| file.write_all(&vec![1; 3 << 20])).context("no filler")?;
    }
    let mut filled = Filled::new(arguments)?;
    filled.fill(40_000)?;
    if let Some(filler) = &arguments.filler {
        take_the_rest(filler)?;
    }
    // To the last page: what is large is refused first.
    for most in [40_000, 4000, 900, 16] {
        filled.fill(most)?;
    }
    filled.compare().context("on the full disk")?;
    for cycle in 0..CYCLES {
        filled.empty_a_little().with_context(|| format!("cycle {cycle}"))?;
        filled.fill(if cycle % 2 == 0 { 40_000 } else { 2000 })?;
        if cycle == CYCLES / 2 {
            filled.reopen().context("on the full disk")?;
        }
    }
    filled.compare().context("on the disk that is full again")?;
    match &arguments.filler {
        Some(filler) => std::fs::remove_file(filler).context("cannot make room")?,
        None => lift_the_limit()?,
    }
    for _ in 0..40 {
        let length = filled.random.within(1, 40_000);
        ensure!(filled.put(length)?, "a put was refused although there is room");
    }
    filled.reopen().context("with room again")?;
    filled.compare().context("with room again")?;
    let Filled { puts, refused, deleted, .. } = filled;
    ensure!(refused > 0 && deleted > 0, "the disk was never full");
    println!("{puts} puts, {refused} refused as full, {deleted} deletions on a full disk");
    Ok(ExitCode::SUCCESS)
}

/// Makes a file longer until not one byte more goes in.
fn take_the_rest(filler: &PathBuf) -> Result<()> {
    let mut file = File::options().append(true).open(filler).context("cannot open the filler")?;
    let mut piece = vec![0x5a; 64 << 10];
    loop {
        match file.write(&piece).and_then(|_| file.sync_data()) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull && piece.len() > 1 => {
                piece.truncate(piece.len() / 2);
            }
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error).context("cannot fill the file system"),
        }
    }
}

fn lift_the_limit() -> Result<()> {
    let this = std::process::id().to_string();
    let status = Command::new("prlimit").args(["--pid", &this, "--fsize=unlimited"]).status();
    ensure!(status.context("cannot run prlimit")?.success(), "prlimit cannot lift the limit");
    Ok(())
}

impl Filled {
    fn new(arguments: &Arguments) -> Result<Self> {
        let options = OpenOptions::new()
            .create(true)
            .journal_size(64 << 10)
            .chunk_size(16 << 10)
            .growth_step(256 << 10);
        let store = options.open(&arguments.file).context("cannot create the file")?;
        Ok(Self {
            options,
            file: arguments.file.clone(),
            store: Some(store),
            blocks: BTreeMap::new(),
            random: Random::of(&[arguments.seed, 0xf111]),
            names: 0,
            puts: 0,
            refused: 0,
            deleted: 0,
        })
    }

    fn store(&self) -> Result<&Store> {
        self.store.as_ref().context("the store is closed")
    }

    /// Puts a new block, or another value into an old one; false if there is no room.
    fn put(&mut self, length: u64) -> Result<bool> {
        let value = Value::new(self.random.next(), length as u32);
        let name = match self.random.below(4) {
            0 if !self.blocks.is_empty() => self.any(),
            _ => {
                self.names += 1;
                format!("block/{:05}", self.names)
            }
        };
        let durability = if self.random.chance(50) { Durability::Durable } else { Durability::Buffered };
        let options = PutOptions { durability: Some(durability), ..PutOptions::default() };
        let store = self.store()?;
        match store.put_with(&name, value.bytes(), options) {
            Ok(_) => {
                self.blocks.insert(name, value);
                self.puts += 1;
                Ok(true)
            }
            Err(Error::Full) => {
                ensure!(store.flush().is_ok(), "a full disk poisoned the store");
                let before = self.blocks.get(&name).map(|value| value.bytes());
                ensure!(store.get(&name)? == before, "what was refused changed {name}");
                self.refused += 1;
                Ok(false)
            }
            Err(error) => Err(error).context("a put on a full disk"),
        }
    }

    /// A name that is there.
    fn any(&mut self) -> String {
        let at = self.random.below(self.blocks.len() as u64) as usize;
        self.blocks.keys().nth(at).cloned().unwrap_or_default()
    }

    /// Puts blocks of at most `most` bytes until several in a row are refused.
    fn fill(&mut self, most: u64) -> Result<()> {
        let mut in_a_row = 0;
        for _ in 0..MOST {
            let length = self.random.within(most / 2, most);
            in_a_row = if self.put(length)? { 0 } else { in_a_row + 1 };
            if in_a_row == 4 {
                return Ok(());
            }
        }
        bail!("{MOST} puts of at most {most} bytes did not fill the disk")
    }

    /// Deletes a third of the blocks; what they took is used again.
    fn empty_a_little(&mut self) -> Result<()> {
        for _ in 0..self.blocks.len() / 3 + 1 {
            let name = self.any();
            let deleted = self.store()?.delete(&name).with_context(|| format!("deleting {name}"))?;
            ensure!(deleted, "{name} was not there");
            self.blocks.remove(&name);
            self.deleted += 1;
        }
        self.store()?.checkpoint().context("folding in the deletions")?;
        for _ in 0..4 {
            ensure!(self.put(3000)?, "what was deleted cannot be used again");
        }
        Ok(())
    }

    /// Closes the store, on a full disk too, and opens it again.
    fn reopen(&mut self) -> Result<()> {
        if let Some(store) = self.store.take() {
            match store.close() {
                // What cannot be folded in stays in the journal.
                Ok(()) | Err(Error::Full) => {}
                Err(error) => return Err(error).context("closing"),
            }
        }
        self.store = Some(self.options.open(&self.file).context("opening again")?);
        self.compare().context("opened again")
    }

    /// Every block is what it must be, there is no other, and verification is clean.
    fn compare(&self) -> Result<()> {
        let store = self.store()?;
        let mut expected = self.blocks.clone();
        for item in store.iter() {
            let item = item?;
            let name = String::from_utf8_lossy(item.name()).into_owned();
            let value = expected.remove(&name).with_context(|| format!("{name} was invented"))?;
            ensure!(item.value()?[..] == value.bytes(), "{name} is another");
        }
        ensure!(expected.is_empty(), "{} blocks are lost: {:?}", expected.len(), expected.first_key_value());
        let report = store.verify(|_| {})?;
        ensure!(report.is_clean(), "verification: {:?}", report.problems);
        Ok(())
    }
}
