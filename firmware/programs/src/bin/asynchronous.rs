//! The asynchronous engine on the same disk as the blocking one: every commit is dropped at each of its waits, and what
//! is there afterwards is opened and checked by the blocking engine. Says how much memory the futures take.
#![no_std]
#![no_main]

use blockyard_core::asynchronous::store::Verification;
use blockyard_core::asynchronous::{BlockDevice, Store};
use blockyard_core::device::{BlockDevice as _, MemoryError};
use blockyard_core::{Durability, device};
use blockyard_firmware_programs::{fixed, pending};
use board::retained::RamDisk;
use board::{host, say};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use work::job::{JOBS, Job, LONGEST};
use work::lives::{layout, options};
use work::look::Count;
use work::{BYTES, LONGEST_NAME, Pending, SmallBatch, SmallStore};

board::entry!(main);

/// Bytes of the RAM disk.
const DISK: usize = 96 << 10;
/// Commits of each job.
const COMMITS: u32 = 30;

type AsyncStore<'b> = Store<Waited<'b>, &'b mut Pending, &'b mut [u8]>;

/// A disk that everybody has to wait for once.
struct Waited<'d>(&'d mut RamDisk);

/// Pending once.
#[derive(Default)]
struct Pause(bool);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if core::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl BlockDevice for Waited<'_> {
    type Error = MemoryError;

    async fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        Pause::default().await;
        self.0.read(offset, buf)
    }
    /// Half of it is there while it is waited for.
    async fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        let unit = device::BlockDevice::atomic_unit(self.0) as usize;
        let half = data.get(..data.len() / 2 / unit * unit).unwrap_or_default();
        self.0.write(offset, half)?;
        Pause::default().await;
        self.0.write(offset, data)
    }
    async fn sync(&mut self) -> Result<(), MemoryError> {
        Pause::default().await;
        self.0.sync()
    }
    async fn length(&mut self) -> Result<u64, MemoryError> {
        self.0.length()
    }
    async fn grow(&mut self, length: u64) -> Result<(), MemoryError> {
        self.0.grow(length)
    }
    fn atomic_unit(&self) -> u32 {
        device::BlockDevice::atomic_unit(self.0)
    }
}

/// Polls a future up to so many times and drops it.
fn polled<F: Future>(future: F, polls: u32) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..polls).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// Polls a future until it is done.
fn finished<T, E>(future: impl Future<Output = Result<T, E>>) -> Option<T> {
    polled(future, u32::MAX)?.ok()
}

fn main() -> ! {
    let (pending, buffer): (_, &mut [u8]) = (pending(), fixed!(BYTES));
    let mut drops = 0;
    let well = sizes(pending, buffer).is_some()
        && JOBS.into_iter().all(|job| live(job, pending, buffer, &mut drops).is_some());
    say!("asynchronous: {drops} futures dropped");
    host::exit(well)
}

fn disk() -> RamDisk {
    // SAFETY: the only disk at a time; the machines that run this have the RAM.
    unsafe { RamDisk::new(DISK) }
}

/// Says how much memory the futures take.
fn sizes(pending: &mut Pending, buffer: &mut [u8]) -> Option<()> {
    let (mut disk, mut place) = (disk(), None);
    let (layout, options) = (layout(), options());
    finished(Store::create(Waited(&mut disk), &mut *pending, &mut *buffer, &layout, &options))?;
    let opening = AsyncStore::open_at(&mut place, Waited(&mut disk), pending, buffer, &options);
    let opening_takes = size_of_val(&opening);
    let (store, _) = finished(opening)?;
    let mut batches = [SmallBatch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new())];
    let (mut name, mut value, mut problems) = ([0; 16], [0; LONGEST], Count::default());
    say!("size=future-of-open_at bytes={opening_takes}");
    say!("size=future-of-commit bytes={}", size_of_val(&store.commit(&mut batches, Durability::Durable)));
    say!("size=future-of-put bytes={}", size_of_val(&store.put(b"name", &value, 0, Durability::Durable)));
    say!("size=future-of-checkpoint_step bytes={}", size_of_val(&store.checkpoint_step()));
    say!("size=future-of-sync bytes={}", size_of_val(&store.sync()));
    say!("size=future-of-get bytes={}", size_of_val(&store.get(b"name", &mut value)));
    say!("size=future-of-next_name bytes={}", size_of_val(&store.next_name(None, &mut name)));
    say!("size=future-of-verify bytes={}", size_of_val(&store.verify(&mut problems)));
    let mut verification = Verification::new([0; LONGEST_NAME]);
    let part = size_of_val(&store.verify_step(&mut verification, &mut problems));
    say!("size=future-of-verify_step bytes={part}");
    Some(())
}

/// Each commit of a job, dropped at each of its waits until it comes to its end or is there all the same.
fn live(job: Job, pending: &mut Pending, buffer: &mut [u8], drops: &mut u32) -> Option<()> {
    let mut disk = disk();
    let (layout, options) = (layout(), options());
    pending.clear();
    finished(Store::create(Waited(&mut disk), &mut *pending, &mut *buffer, &layout, &options))?;
    for n in 1..=COMMITS {
        for polls in 1.. {
            pending.clear();
            let mut place = None;
            let waited = Waited(&mut disk);
            let opening = AsyncStore::open_at(&mut place, waited, &mut *pending, &mut *buffer, &options);
            let (store, _) = finished(opening)?;
            let mut batch = SmallBatch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
            job.fill(n, &mut batch).ok()?;
            let batches = core::slice::from_mut(&mut batch);
            let durably = Durability::Durable;
            let committed = match job.one(n) {
                Some((name, Some(value))) => {
                    polled(store.put(name.as_bytes(), &value, n.into(), durably), polls)
                }
                Some((name, None)) => polled(store.delete(name.as_bytes(), durably), polls),
                None => polled(store.commit(batches, durably), polls),
            };
            if committed.is_none() && !store.is_poisoned() {
                say!("commit {n} was dropped and the store goes on");
                return None;
            }
            let committed = committed.is_some_and(|answer| answer.is_ok());
            if committed && n.is_multiple_of(4) {
                finished(store.checkpoint())?;
            }
            drop(place);
            pending.clear();
            let (mut store, _) = SmallStore::open(&mut disk, &mut *pending, &mut *buffer, &options).ok()?;
            let found = store.sequence().0 as u32;
            if found != n && (committed || found != n - 1) {
                say!("commit {n} was dropped, {found} are there");
                return None;
            }
            job.check(&mut store, found).ok()?.ok()?;
            *drops += u32::from(!committed);
            if found == n {
                break;
            }
        }
    }
    Some(())
}
