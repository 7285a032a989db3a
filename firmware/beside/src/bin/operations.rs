//! Runs each store on a chip that counts. `cargo xtask mcu --write` reads the lines.

#[cfg(target_os = "none")]
compile_error!("this one is for a host");

use std::cell::Cell;
use std::rc::Rc;

use blockyard_firmware_beside::{BLOCK, BYTES, CHIP, Chip, Done, Failed};

const COMMITS: u32 = 100_000;

/// Operations of a chip.
#[derive(Clone, Copy, Default)]
struct Operations {
    reads: u64,
    bytes_read: u64,
    programs: u64,
    bytes_programmed: u64,
    erases: u64,
}

/// A chip in memory.
struct Counting {
    bytes: Vec<u8>,
    operations: Rc<Cell<Operations>>,
}

impl Counting {
    fn count(&self, change: impl FnOnce(&mut Operations)) {
        let mut operations = self.operations.get();
        change(&mut operations);
        self.operations.set(operations);
    }
}

impl Chip for Counting {
    fn read(&mut self, at: usize, into: &mut [u8]) {
        self.count(|it| (it.reads, it.bytes_read) = (it.reads + 1, it.bytes_read + into.len() as u64));
        into.copy_from_slice(&self.bytes[at..at + into.len()]);
    }

    fn program(&mut self, at: usize, bytes: &[u8]) {
        self.count(|it| {
            (it.programs, it.bytes_programmed) = (it.programs + 1, it.bytes_programmed + bytes.len() as u64);
        });
        for (kept, new) in self.bytes[at..].iter_mut().zip(bytes) {
            *kept &= new;
        }
    }

    fn erase(&mut self, at: usize) {
        self.count(|it| it.erases += 1);
        self.bytes[at..at + BLOCK].fill(0xff);
    }
}

fn measure(
    name: &str,
    work: impl FnOnce(Counting, &mut dyn FnMut(Done)) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let operations = Rc::new(Cell::new(Operations::default()));
    let chip = Counting { bytes: vec![0xff; CHIP], operations: Rc::clone(&operations) };
    let (mut commits, mut gets, mut most_erases) = (Operations::default(), Operations::default(), 0);
    let mut first = true;
    work(chip, &mut |done| {
        let now = operations.take();
        let sum = if done == Done::Commit { &mut commits } else { &mut gets };
        // Before the first commit the store was made.
        if std::mem::take(&mut first) {
            return;
        }
        sum.reads += now.reads;
        sum.bytes_read += now.bytes_read;
        sum.programs += now.programs;
        sum.bytes_programmed += now.bytes_programmed;
        sum.erases += now.erases;
        most_erases = most_erases.max(now.erases);
    })?;
    let each = |sum: u64| sum as f64 / f64::from(COMMITS);
    println!(
        "store={name} reads={:.1} bytes-read={:.0} programs={:.1} bytes-programmed={:.0} erases={:.3} \
         most-erases={most_erases} get-reads={:.1} get-bytes={:.0}",
        each(commits.reads),
        each(commits.bytes_read),
        each(commits.programs),
        each(commits.bytes_programmed),
        each(commits.erases),
        each(gets.reads),
        each(gets.bytes_read)
    );
    Ok(())
}

fn main() -> Result<(), Failed> {
    let mut buffer = vec![0; BYTES];
    measure("Blockyard", |chip, told| {
        blockyard_firmware_beside::blockyard(chip, &mut buffer, COMMITS, told)
    })?;
    #[cfg(feature = "littlefs")]
    measure("littlefs2-0.8.1", |chip, told| {
        blockyard_firmware_beside::littlefs::littlefs(chip, COMMITS, told)
    })?;
    measure("ekv-1.0.0", |chip, told| blockyard_firmware_beside::ekv(chip, COMMITS, told))?;
    measure("sequential-storage-8.0.2", |chip, told| {
        blockyard_firmware_beside::sequential(chip, COMMITS, told)
    })
}
