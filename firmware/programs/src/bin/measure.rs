//! What each call takes: instructions, stack, operations of the device, over the work of a data logger and of
//! a settings store. `cargo xtask mcu` reads the lines.
#![no_std]
#![no_main]

use blockyard_core::Durability;
use blockyard_firmware_programs::{fixed, pending};
use board::retained::RamDisk;
use board::{host, say, stack};
use core::mem::size_of;
use work::counted::{Counted, Operations};
use work::job::{JOBS, Job, LONGEST};
use work::lives::{layout, options};
use work::look::Count;
use work::{BYTES, Pending, SmallBatch, SmallStore};

board::entry!(main);

/// Bytes of the RAM disk.
const DISK: usize = 96 << 10;
/// Commits of each job.
const COMMITS: u32 = 120;

type Disk = Counted<RamDisk>;
type Store<'b> = SmallStore<'b, &'b mut Disk>;

/// What the calls of one kind took.
#[derive(Clone, Copy, Default)]
struct Taken {
    calls: u32,
    instructions: u64,
    most: u32,
    stack: usize,
    operations: Operations,
}

impl Taken {
    fn add(&mut self, instructions: u32, stack: usize, operations: Operations) {
        self.calls += 1;
        self.instructions += u64::from(instructions);
        self.most = self.most.max(instructions);
        self.stack = self.stack.max(stack);
        self.operations = self.operations.max(operations);
    }

    fn say(&self, what: &str) {
        let Self { calls, instructions, most, stack, operations } = *self;
        let Operations { reads, writes, sectors, syncs } = operations;
        let mean = instructions / u64::from(calls.max(1));
        say!(
            "call={what} calls={calls} mean={mean} most={most} stack={stack} reads={reads} writes={writes} \
             sectors={sectors} syncs={syncs}"
        );
    }
}

/// Does something and says what it took, less its operations of the device.
#[inline(never)]
fn timed<R>(work: impl FnOnce() -> R) -> (R, u32, usize) {
    let painted = stack::paint();
    let begin = board::instructions();
    let result = work();
    let instructions = board::instructions().wrapping_sub(begin);
    (result, instructions, painted.depth())
}

/// As [`timed`], with the operations of the store's device, added up in `into`.
fn metered<'b, R>(into: &mut Taken, store: &mut Store<'b>, work: impl FnOnce(&mut Store<'b>) -> R) -> R {
    let before = store.device().so_far;
    let (result, instructions, stack) = timed(|| work(store));
    into.add(instructions, stack, store.device().so_far - before);
    result
}

fn main() -> ! {
    board::start_counting();
    say!("size=store bytes={}", size_of::<Store<'_>>());
    say!("size=overlay bytes={}", size_of::<Pending>());
    say!("size=batch bytes={}", size_of::<SmallBatch>());
    say!("size=buffer bytes={BYTES}");
    let (pending, buffer): (_, &mut [u8]) = (pending(), fixed!(BYTES));
    let well = JOBS.into_iter().all(|job| measure(job, pending, buffer).is_some());
    host::exit(well)
}

fn measure(job: Job, pending: &mut Pending, buffer: &mut [u8]) -> Option<()> {
    say!("job={}", job.name());
    // SAFETY: the only disk at a time; the machines that run this have the RAM.
    let mut disk = Counted::new(unsafe { RamDisk::new(DISK) });
    let mut create = Taken::default();
    let (made, instructions, depth) =
        timed(|| SmallStore::create(&mut disk, &mut *pending, &mut *buffer, &layout(), &options()).is_ok());
    create.add(instructions, depth, disk.so_far);
    create.say("create");
    if !made {
        return None;
    }
    work_on(job, &mut disk, pending, buffer)?;
    disk.so_far = Operations::default();
    pending.clear();
    let mut recover = Taken::default();
    let (opened, instructions, depth) =
        timed(|| SmallStore::open(&mut disk, &mut *pending, &mut *buffer, &options()).is_ok());
    recover.add(instructions, depth, disk.so_far);
    recover.say("open-recovering");
    disk.so_far = Operations::default();
    pending.clear();
    let mut open = Taken::default();
    let (again, instructions, depth) =
        timed(|| SmallStore::open(&mut disk, &mut *pending, &mut *buffer, &options()).is_ok());
    open.add(instructions, depth, disk.so_far);
    open.say("open-clean");
    (opened && again).then_some(())
}

/// Commits and reads; leaves the journal full.
fn work_on(job: Job, disk: &mut Disk, pending: &mut Pending, buffer: &mut [u8]) -> Option<()> {
    let (mut store, _) = SmallStore::open(&mut *disk, &mut *pending, &mut *buffer, &options()).ok()?;
    let mut batch = SmallBatch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
    let [mut plain, mut folding, mut step, mut get, mut next, mut verify] = [Taken::default(); 6];
    let mut value = [0; LONGEST];
    for n in 1..=COMMITS {
        job.fill(n, &mut batch).ok()?;
        let checkpoints = store.counters().checkpoints;
        let mut this = Taken::default();
        let batches = core::slice::from_mut(&mut batch);
        metered(&mut this, &mut store, |store| store.commit(batches, Durability::Durable)).ok()?;
        let kind = if store.counters().checkpoints == checkpoints { &mut plain } else { &mut folding };
        kind.add(this.most, this.stack, this.operations);
        if n % 3 == 0 && n < COMMITS - 8 {
            while metered(&mut step, &mut store, |store| store.checkpoint_step()).ok()?
                != blockyard_core::store::Progress::Idle
            {}
        }
        if n % 4 == 0 {
            let (mut name, mut last) = ([0; 16], [0; 16]);
            let mut after = None;
            while let Some(length) = metered(&mut next, &mut store, |store| {
                store.next_name(after.map(|it| &last[..it]), &mut name)
            })
            .ok()?
            {
                (last, after) = (name, Some(length));
                metered(&mut get, &mut store, |store| store.get(&name[..length], &mut value)).ok()?;
            }
        }
    }
    job.check(&mut store, COMMITS).ok()?.ok()?;
    let mut problems = Count::default();
    metered(&mut verify, &mut store, |store| store.verify(&mut problems)).ok()?;
    for (taken, what) in [
        (plain, "commit"),
        (folding, "commit-that-folds"),
        (step, "checkpoint-step"),
        (get, "get"),
        (next, "next-name"),
        (verify, "verify"),
    ] {
        taken.say(what);
    }
    (problems.0 == 0).then_some(())
}
