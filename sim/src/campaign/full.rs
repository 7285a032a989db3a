//! A device that is full to the last page a commit may take, with a checkpoint under way.
//!
//! What a checkpoint will take is set aside by every commit. Whether it was enough shows only where nothing else is
//! free: power goes, or a read fails, shortly before the checkpoint's end, and all of it has to be done again with
//! what is left. A life is lived twice, for only the first tells how many steps its checkpoint has, and how many
//! pages it leaves: the second one's device has hardly more than are needed.

use super::Seen;
use crate::check::{Depth, Judge};
use crate::device::SimDevice;
use crate::fault::{Event, Fault, Fired, Operation, SimError};
use crate::fixture::*;
use crate::work::{Habits, Puts, Work, Written};
use blockyard_core::Durability::{self, Buffered, Durable};
use blockyard_core::error::WriteError;
use blockyard_core::overlay::Overlay;
use blockyard_core::store::{Memory, Progress};
use std::sync::Arc;

/// A registry of many nodes takes its time to check: one state of a moment has to do.
const DEPTH: Depth = Depth { writes: 0, units: 0, samples: 1 };

/// What stands in front of a name's number: as much of it as is wanted.
const PREFIX: &str = "record/record/record/record/record/record/record/record/record/record/record/record/record/record/record/";

/// What one life is like.
#[derive(Clone, Copy)]
struct Plan {
    shape: Shape,
    /// Pages of the device.
    pages: u64,
    /// Names that are loaded.
    names: u32,
    /// Bytes in front of a name's number: the longer, the fewer names has an inner node.
    prefix: usize,
    /// Bytes of their values at most.
    value: usize,
    /// Changes that the checkpoint has to fold in.
    changes: u32,
    /// Changes in a batch.
    batch: u32,
    /// As far apart as they can be: each has a leaf of its own.
    spread: bool,
    /// Of a hundred commits so many are durable.
    durable: u8,
}

impl Plan {
    fn draw(rng: &mut fastrand::Rng, longest: usize) -> Self {
        let page_size = [512, 512, 1024][rng.usize(..3)];
        let shape = Shape {
            page_size,
            journal_pages: [200, 1000, 1000, 1000][rng.usize(..4)],
            chunk_pages: [24, 900, 900, 900][rng.usize(..4)],
            memory: Memory { levels: 12, map_pages: 8 + rng.usize(..4), staging: [0, 4096][rng.usize(..2)] },
            growth: [3, 64][rng.usize(..2)],
            groups_ahead: 1,
            carry_max: [0, 700, 4096][rng.usize(..3)],
        };
        let value = [8, 8, 90][rng.usize(..3)];
        let prefix = [0, 7, (page_size as usize / 8).min(longest).min(PREFIX.len()) - 9][rng.usize(..3)];
        let names = if rng.u8(..4) == 0 { rng.u32(100..400) } else { rng.u32(900..2000) };
        let registry = u64::from(names) * (2 * prefix + value / 2 + 150) as u64 / u64::from(page_size);
        let changes = if rng.u8(..4) == 0 { rng.u32(1..95) } else { names / rng.u32(3..9) };
        Self {
            shape,
            pages: shape.front_pages() + registry * rng.u64(4..9) + rng.u64(40..200),
            names,
            prefix,
            value,
            changes,
            batch: changes / rng.u32(8..40) + 1,
            spread: rng.u8(..4) > 0,
            durable: [0, 10, 60][rng.usize(..3)],
        }
    }
}

/// One life, up to where its trouble begins.
struct Life<O> {
    plan: Plan,
    work: Work<O>,
    rng: fastrand::Rng,
}

impl<O: Overlay + Default> Life<O> {
    /// A store with a registry, and changes that are not folded in yet, on a device that has fewer pages than there
    /// could be.
    fn new(seed: u64, fewer: u64, fired: &Arc<Fired>) -> Result<Self, String> {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0xF011);
        let mut plan = Plan::draw(&mut rng, O::default().max_name());
        plan.pages -= fewer;
        let bytes = plan.pages * u64::from(plan.shape.page_size);
        let device = SimDevice::counting(vec![0x77; bytes as usize], bytes, seed, Arc::clone(fired));
        let habits = Habits::draw(&mut rng, &plan.shape);
        let work = Work::on(device, bytes, plan.shape, habits, rng.fork());
        let mut life = Self { plan, work, rng };
        life.prepare().map_err(|error| format!("without any fault: {error}"))?;
        Ok(life)
    }

    fn prepare(&mut self) -> Written {
        let numbers: Vec<u32> = (0..self.plan.names).collect();
        numbers.chunks(100).try_for_each(|numbers| self.put(numbers, Buffered))?;
        // Nearly empty leaves make the inner nodes larger than what they lead to.
        if self.rng.u8(..5) == 0 {
            let gone: Vec<u32> = numbers.iter().copied().filter(|_| self.rng.u8(..10) > 0).collect();
            gone.chunks(100).try_for_each(|numbers| self.delete(numbers))?;
        }
        self.work.store.checkpoint()?;
        self.work.forget_early();
        let Plan { names, changes, batch, spread, .. } = self.plan;
        for first in (0..changes).step_by(batch as usize) {
            let those = first..changes.min(first + batch);
            let numbers: Vec<u32> = match spread {
                true => those.map(|change| change * names / changes).collect(),
                false => those.map(|_| self.rng.u32(..names + names / 64)).collect(),
            };
            let durability = if self.rng.u8(..100) < self.plan.durable { Durable } else { Buffered };
            match self.rng.u8(..8) {
                0 if !spread => self.delete(&numbers)?,
                _ => self.put(&numbers, durability)?,
            }
        }
        Ok(())
    }

    fn name(&self, number: u32) -> Vec<u8> {
        format!("{}{number:09}", &PREFIX[..self.plan.prefix]).into_bytes()
    }

    fn put(&mut self, numbers: &[u32], durability: Durability) -> Written {
        let mut puts = Puts::new();
        for number in numbers {
            let value = bytes(self.rng.u64(..), self.rng.usize(..=self.plan.value));
            puts.push((self.name(*number), 1, value));
        }
        self.work.put(puts, durability)
    }

    fn delete(&mut self, numbers: &[u32]) -> Written {
        let names: Vec<Vec<u8>> = numbers.iter().map(|number| self.name(*number)).collect();
        self.work.remove(&names, Buffered)
    }

    /// Makes the checkpoint of all that is not folded in. The pages at hand before each of its steps.
    fn steps(&mut self) -> Result<Vec<u64>, WriteError<SimError>> {
        let mut at_hand = Vec::new();
        loop {
            at_hand.push(self.work.store.pages_at_hand());
            if self.work.store.checkpoint_step()? != Progress::Working {
                return Ok(at_hand);
            }
        }
    }

    /// Puts values as long as they find their pages without a checkpoint.
    fn fill(&mut self) -> Written {
        let page = self.plan.shape.page_size as usize;
        let slack = self.rng.u64(..3);
        let mut most = u64::from(self.plan.shape.chunk_pages);
        let made = self.work.store.superblock().generation.get();
        for number in 0.. {
            // Its own path has a share of what is set aside.
            let path = 2 * u64::from(self.work.store.superblock().height.get()) + 4;
            let at_hand = self.work.store.pages_at_hand().saturating_sub(path + slack);
            most = most.min(at_hand);
            if most == 0 || self.work.store.superblock().generation.get() > made {
                break;
            }
            let name = format!("filled/{number:04}").into_bytes();
            let value = bytes(self.rng.u64(..), most as usize * page - self.rng.usize(..page / 2));
            let before = self.work.store.sequence();
            self.work.put(vec![(name, 2, value)], Buffered)?;
            if self.work.store.sequence() == before {
                most /= 2;
            }
        }
        Ok(())
    }
}

/// Fills a device up between two of the last steps of a checkpoint, and lets that be lost, by power or by a read
/// that fails; what is left has to do for another one, and for a deletion.
///
/// # Errors
/// What was lost or invented, or found no room.
pub fn full<O: Overlay + Default>(seed: u64, fired: &Arc<Fired>) -> Result<Seen, String> {
    let without = |error: WriteError<SimError>| format!("without any fault: {error}");
    let at_hand = Life::<O>::new(seed, 0, &Arc::default())?.steps().map_err(without)?;
    let mut rng = fastrand::Rng::with_seed(!seed);
    let steps = at_hand.len();
    let left = [1, 1, 2, 3, rng.usize(1..=steps)][rng.usize(..5)].min(steps);
    let fewer = at_hand[0].min(at_hand[steps - left]).saturating_sub([0, 8, 60][rng.usize(..3)]);
    let mut life: Life<O> = Life::new(seed, fewer, fired)?;
    let made = life.work.store.superblock().generation.get();
    for _ in left..steps {
        life.work.store.checkpoint_step().map_err(without)?;
    }
    life.fill().map_err(without)?;
    if rng.bool() {
        life.work.store.sync().map_err(without)?;
        life.work.acknowledge();
    }
    if rng.bool() {
        life.work.store.seal().map_err(without)?;
    }
    let Life { mut work, .. } = life;
    let late = work.store.superblock().generation.get() == made;
    work.met.full_amid += u64::from(late && work.store.pages_at_hand() < 16);
    let at = |error: String| {
        format!("{steps} steps, {left} left, {}: {error}", if late { "late" } else { "done" })
    };
    let states = match rng.u8(..3) {
        0 => lost_by_a_read(&mut work, fired, &mut rng),
        _ => lost_by_power(&mut work, fired, &mut rng),
    };
    Ok(Seen { states: states.map_err(at)?, met: work.met })
}

/// Power goes at any of the changes that the checkpoint still makes.
fn lost_by_power<O: Overlay + Default>(
    work: &mut Work<O>,
    fired: &Fired,
    rng: &mut fastrand::Rng,
) -> Result<u64, String> {
    fired.count(Event::PowerCut);
    work.device.record();
    let folded = work.store.checkpoint();
    let mut moments = work.device.moments();
    folded.map_err(|error| format!("a checkpoint under way: {error}"))?;
    // The first is that of the full device; of the others some.
    while moments.len() > 3 {
        moments.remove(rng.usize(1..moments.len()));
    }
    Judge::new(work, fired).check_all(&moments, DEPTH, rng)
}

/// A step fails at a read, and the checkpoint begins anew.
fn lost_by_a_read<O: Overlay + Default>(
    work: &mut Work<O>,
    fired: &Fired,
    rng: &mut fastrand::Rng,
) -> Result<u64, String> {
    let staged = rng.bool();
    if staged {
        work.store.begin_staged();
    }
    work.device.arm([Fault::Fails(Operation::Read, rng.u64(..3))]);
    let first = work.store.checkpoint();
    work.device.arm([]);
    match first {
        Ok(()) | Err(WriteError::Device(SimError::Eio)) => {}
        Err(error) => return Err(format!("with a read that fails: {error}")),
    }
    work.store.checkpoint().map_err(|error| format!("after a read that failed: {error}"))?;
    if staged {
        work.store.end_staged();
    }
    work.acknowledge();
    assert_same(&contents(&mut work.store), &work.model, "after a read that failed");
    let (sequence, one) = (work.store.sequence(), work.model.keys().take(1).cloned().collect::<Vec<_>>());
    work.remove(&one, Durable).map_err(|error| format!("deleting from a full device: {error}"))?;
    if work.store.sequence() == sequence {
        return Err("a full device takes no deletion".into());
    }
    Judge::new(work, fired).check_all(&[work.device.moment()], DEPTH, rng)
}
