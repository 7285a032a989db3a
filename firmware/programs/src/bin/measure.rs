//! What each call takes: instructions, stack, operations of the device, over the work of a data logger, of
//! a settings store and of a meter. `cargo xtask mcu` reads the lines.
#![no_std]
#![no_main]

use blockyard_core::Durability;
use blockyard_core::store::{Bound, Progress, Verification};
use blockyard_firmware_programs::{fixed, pending};
use board::retained::RamDisk;
use board::{host, say, stack};
use core::mem::size_of;
use work::counted::{Counted, Operations};
use work::job::{JOBS, Job, LONGEST};
use work::lives::{layout, options};
use work::look::Count;
use work::{BYTES, LONGEST_NAME, Pending, SmallBatch, SmallStore};

board::entry!(main);

/// Bytes of the RAM disk.
const DISK: usize = 96 << 10;
/// Commits of each job.
const COMMITS: u32 = 120;

/// For calls whose work is all there is.
const ANY: Bound = Bound { reads: u64::MAX, writes: u64::MAX, syncs: u64::MAX };

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
    /// Calls that asked for more of the device than is documented.
    over: u32,
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
        let Self { calls, instructions, most, stack, operations, over } = *self;
        let Operations { reads, writes, sectors, syncs } = operations;
        let mean = instructions / u64::from(calls.max(1));
        say!(
            "call={what} calls={calls} mean={mean} most={most} stack={stack} reads={reads} writes={writes} \
             sectors={sectors} syncs={syncs} over={over}"
        );
    }
}

/// Does something and says what it took, less its operations of the device.
#[inline(never)]
fn timed<R>(work: impl FnOnce() -> R) -> (R, u32, usize) {
    let painted = stack::paint();
    let begin = board::now();
    let result = apart(work);
    let instructions = board::instructions_since(begin);
    (result, instructions, painted.depth())
}

/// Does something in a function of its own: what the compiler puts into it of what it calls counts too.
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// As [`timed`], with the operations of the store's device, added up in `into` and compared with `bound`.
fn metered<'b, R>(
    into: &mut Taken,
    store: &mut Store<'b>,
    bound: Bound,
    work: impl FnOnce(&mut Store<'b>) -> R,
) -> R {
    let before = store.device().so_far;
    let (result, instructions, stack) = timed(|| work(store));
    let operations = store.device().so_far - before;
    into.add(instructions, stack, operations);
    into.over += u32::from(!operations.within(bound));
    result
}

fn main() -> ! {
    board::start_counting();
    say!("size=store bytes={}", size_of::<Store<'_>>());
    say!("size=overlay bytes={}", size_of::<Pending>());
    say!("size=batch bytes={}", size_of::<SmallBatch>());
    say!("size=buffer bytes={BYTES}");
    say!("size=verification bytes={}", size_of::<Verification<[u8; LONGEST_NAME]>>());
    let (pending, buffer): (_, &mut [u8]) = (pending(), fixed!(BYTES));
    let well = JOBS.into_iter().all(|job| measure(job, pending, buffer).is_some());
    host::exit(well)
}

fn measure(job: Job, pending: &mut Pending, buffer: &mut [u8]) -> Option<()> {
    say!("job={}", job.name());
    // SAFETY: the only disk at a time; the machines that run this have the RAM.
    let mut disk = Counted::new(unsafe { RamDisk::new(DISK) });
    let mut create = Taken::default();
    let mut place = None;
    let (made, instructions, depth) = timed(|| {
        SmallStore::create_at(&mut place, &mut disk, &mut *pending, &mut *buffer, &layout(), &options())
            .is_ok()
    });
    drop(place);
    create.add(instructions, depth, disk.so_far);
    create.say("create");
    if !made {
        return None;
    }
    work_on(job, &mut disk, pending, buffer)?;
    let [recovering, clean, returned] = ["open-recovering", "open-clean", "open-by-value"].map(|what| {
        disk.so_far = Operations::default();
        pending.clear();
        let mut taken = Taken::default();
        let mut place = None;
        // Apart, for what one has on the stack is not the other's.
        let (done, instructions, depth) = if what == "open-by-value" {
            timed(|| SmallStore::open(&mut disk, &mut *pending, &mut *buffer, &options()).is_ok())
        } else {
            timed(|| {
                SmallStore::open_at(&mut place, &mut disk, &mut *pending, &mut *buffer, &options()).is_ok()
            })
        };
        drop(place);
        taken.add(instructions, depth, disk.so_far);
        taken.say(what);
        done
    });
    (recovering && clean && returned).then_some(())
}

/// Commits and reads; leaves the journal full.
fn work_on(job: Job, disk: &mut Disk, pending: &mut Pending, buffer: &mut [u8]) -> Option<()> {
    let (mut store, _) = SmallStore::open(&mut *disk, &mut *pending, &mut *buffer, &options()).ok()?;
    let mut batch = SmallBatch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
    let [mut plain, mut folding, mut step, mut get, mut next, mut verify, mut part] = [Taken::default(); 7];
    for n in 1..=COMMITS {
        job.fill(n, &mut batch).ok()?;
        let one = job.one(n);
        let checkpoints = store.counters().checkpoints;
        let mut this = Taken::default();
        let bound = match &one {
            Some((name, value)) => store.bound_of_put(name.len(), value.as_ref().map_or(0, |it| it.len())),
            None => store.bound_of_commit(batch.len() as u64, batch.bytes() as u64),
        };
        let folding_too = bound + store.bound_of_checkpoint();
        let batches = core::slice::from_mut(&mut batch);
        let durably = Durability::Durable;
        match &one {
            Some((name, Some(value))) => metered(&mut this, &mut store, ANY, |store| {
                store.put(name.as_bytes(), value, u64::from(n), durably)
            }),
            Some((name, None)) => {
                metered(&mut this, &mut store, ANY, |store| store.delete(name.as_bytes(), durably))
            }
            None => metered(&mut this, &mut store, ANY, |store| store.commit(batches, durably)),
        }
        .ok()?;
        let (kind, bound) = if store.counters().checkpoints == checkpoints {
            (&mut plain, bound)
        } else {
            (&mut folding, folding_too)
        };
        kind.add(this.most, this.stack, this.operations);
        kind.over += u32::from(!this.operations.within(bound));
        if n.is_multiple_of(3) && n < COMMITS - 8 {
            fold(&mut step, &mut store)?;
        }
        if n.is_multiple_of(4) {
            list(&mut next, &mut get, &mut store)?;
        }
    }
    job.check(&mut store, COMMITS).ok()?.ok()?;
    let problems = examine(&mut verify, &mut part, &mut store)?;
    for (taken, what) in [
        (plain, "commit"),
        (folding, "commit-that-folds"),
        (step, "checkpoint-step"),
        (get, "get"),
        (next, "next-name"),
        (verify, "verify"),
        (part, "verify-step"),
    ] {
        taken.say(what);
    }
    (problems.0 == 0).then_some(())
}

/// Verifies at once, and in steps.
fn examine(verify: &mut Taken, part: &mut Taken, store: &mut Store<'_>) -> Option<Count> {
    let mut problems = Count::default();
    metered(verify, store, ANY, |store| store.verify(&mut problems)).ok()?;
    let mut verification = Verification::new([0; LONGEST_NAME]);
    loop {
        let bound = store.bound_of_verify_step();
        let step = |store: &mut Store<'_>| store.verify_step(&mut verification, &mut problems);
        if !metered(part, store, bound, step).ok()? {
            return Some(problems);
        }
    }
}

/// A checkpoint in steps.
fn fold(step: &mut Taken, store: &mut Store<'_>) -> Option<()> {
    loop {
        let bound = store.bound_of_step();
        if metered(step, store, bound, |store| store.checkpoint_step()).ok()? == Progress::Idle {
            return Some(());
        }
    }
}

/// Goes through all names and gets every block.
fn list(next: &mut Taken, get: &mut Taken, store: &mut Store<'_>) -> Option<()> {
    let (mut name, mut last, mut value) = ([0; 16], [0; 16], [0; LONGEST]);
    let mut after = None;
    loop {
        let bound = store.bound_of_next_name();
        let found =
            metered(next, store, bound, |store| store.next_name(after.map(|it| &last[..it]), &mut name));
        let Some(length) = found.ok()? else { return Some(()) };
        (last, after) = (name, Some(length));
        let bound = store.bound_of_get(LONGEST as u64);
        metered(get, store, bound, |store| store.get(&name[..length], &mut value)).ok()?;
    }
}
