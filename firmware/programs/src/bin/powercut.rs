//! `powercut ram|FILE STRIDE`: the campaign of [`work::lives`], each cut a reset of the processor, at one
//! operation in `STRIDE`. The disk is RAM that outlives it, or a file of the host's.
#![no_std]
#![no_main]

use blockyard_core::BlockDevice;
use blockyard_core::device::EmbeddedDevice;
use blockyard_firmware_programs::{Retained, fixed, host_file, pending};
use board::retained::RamDisk;
use board::{host, say};
use work::cut::UNDO;
use work::lives::{End, Keep as _, Room, live};
use work::notes::Notes;

board::entry!(main);

/// Bytes of the RAM disk.
const DISK: usize = 96 << 10;

fn main() -> ! {
    if !Retained.load().is_ours() {
        Retained.store(Notes::new());
    }
    let Some(words) = host::words::<160>() else { fail("no command line") };
    let mut words = words.into_iter().flatten().skip(1);
    let (disk, stride) = (words.next(), words.next().and_then(|stride| stride.parse().ok()));
    match (disk, stride) {
        // SAFETY: the only disk, and `cargo xtask mcu` runs this on machines that have the RAM.
        (Some("ram"), Some(stride)) => run(&mut unsafe { RamDisk::new(DISK) }, stride),
        (Some(name), Some(stride)) => match host_file(name) {
            Some(file) => run(&mut EmbeddedDevice::new(file, 512), stride),
            None => fail("the host does not open the file"),
        },
        _ => fail("usage: powercut ram|FILE STRIDE"),
    }
}

fn run<D: BlockDevice>(disk: &mut D, stride: u32) -> ! {
    let (buffer, pending, undo) = (fixed!(work::BYTES), pending(), fixed!(24 * UNDO));
    let mut room = Room { buffer, pending, undo, stride, lies: false };
    loop {
        match live(&mut Retained, disk, &mut room, || board::reset()) {
            Ok(End::Again) => {}
            Ok(End::Done) => break,
            Err(failure) => {
                let notes = Retained.load();
                say!("FAILED {failure:?} in {notes:?}");
                Retained.store(Notes::default());
                host::exit(false)
            }
        }
    }
    let notes = Retained.load();
    say!("{notes:?}");
    say!(
        "powercut: {} resets, {} commits answered, {} times all compared, {} commits in doubt found whole",
        notes.resets,
        notes.commits,
        notes.checks,
        notes.unanswered
    );
    Retained.store(Notes::default());
    host::exit(true)
}

fn fail(why: &str) -> ! {
    say!("FAILED {why}");
    host::exit(false)
}
