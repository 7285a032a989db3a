//! Campaigns: many seeds of one kind of trouble.

mod cuts;
mod failures;
mod full;
mod lives;
mod media;

use crate::fault::{Event, Fired};
use crate::fixture::{Fixed, Heap};
use crate::work::Met;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

pub use cuts::cuts;
pub use failures::failures;
pub use full::full;
pub use lives::lives;
pub use media::media;

/// What one seed came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// States of the device that were recovered and checked.
    pub states: u64,
    /// What the stores met on the way.
    pub met: Met,
}

/// A campaign for one seed.
type Run = fn(u64, &Arc<Fired>) -> Result<Seen, String>;

/// A kind of trouble.
#[derive(Clone, Copy)]
pub struct Campaign {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    run: Run,
}

/// Every campaign.
pub const CAMPAIGNS: [Campaign; 9] = [
    Campaign { name: "cuts", about: "power cuts, bodies on the heap", run: cuts::<Heap> },
    Campaign { name: "cuts-fixed", about: "power cuts, bodies in the journal", run: cuts::<Fixed> },
    Campaign { name: "failures", about: "failed operations, caches that lie", run: failures::<Heap> },
    Campaign { name: "failures-fixed", about: "the same, bodies in the journal", run: failures::<Fixed> },
    Campaign { name: "lives", about: "long lives of faults, restarts and cuts", run: lives::<Heap> },
    Campaign { name: "lives-fixed", about: "the same, bodies in the journal", run: lives::<Fixed> },
    Campaign { name: "full", about: "a full device, a checkpoint lost near its end", run: full::<Heap> },
    Campaign { name: "full-fixed", about: "the same, bodies in the journal", run: full::<Fixed> },
    Campaign { name: "media", about: "rot, lost, misdirected and stale sectors", run: media::<Heap> },
];

/// The counts of all seeds of a campaign, or of several.
#[derive(Debug, Default)]
pub struct Counts {
    /// Seeds that showed nothing wrong.
    pub passed: u64,
    /// The others: campaign, seed, what was wrong.
    pub failed: Vec<(&'static str, u64, String)>,
    /// States of devices that were recovered and checked.
    pub states: u64,
    /// What the stores met on the way.
    pub met: Met,
}

impl Campaign {
    /// Runs one seed; a panic is a failure.
    ///
    /// # Errors
    /// What was lost or invented, or the panic's message.
    pub fn run(&self, seed: u64, fired: &Arc<Fired>) -> Result<Seen, String> {
        catch_unwind(AssertUnwindSafe(|| (self.run)(seed, fired))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned())
        })
    }

    /// Runs one seed and counts what came of it.
    pub fn count(&self, seed: u64, fired: &Arc<Fired>, counts: &Mutex<Counts>) {
        let result = self.run(seed, fired);
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(seen) => {
                counts.passed += 1;
                counts.states += seen.states;
                counts.met.add(&seen.met);
            }
            Err(error) => counts.failed.push((self.name, seed, error)),
        }
    }
}

/// The events that never happened: a campaign without them shows less than it says.
#[must_use]
pub fn missing(fired: &Fired) -> Vec<&'static str> {
    let never = |event: &&Event| fired.times(**event) == 0;
    Event::ALL.iter().filter(never).map(|event| event.name()).collect()
}
