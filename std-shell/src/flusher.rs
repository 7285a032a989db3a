//! The background thread: leads what nobody waits for, makes buffered commits durable in time,
//! advances checkpoints, and seals an idle journal.

use crate::error::Error;
use crate::inner::Inner;
use blockyard_core::store::Progress;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Weak;
use std::time::{Duration, Instant};

/// How long nothing must have happened before the last durable commit is sealed.
const IDLE: Duration = Duration::from_millis(20);

/// How long a thread sleeps before it looks whether its store is still there.
const LOOK: Duration = Duration::from_millis(500);

/// How long a checkpoint that was refused (no room, a damaged page) is not tried again: it would read
/// and pack everything once more.
const REST: Duration = Duration::from_secs(1);

/// What the thread remembers between its passes.
#[derive(Default)]
struct Flusher {
    /// Nothing has happened since the last seal.
    idle: bool,
    /// When a checkpoint was refused.
    refused: Option<Instant>,
}

/// Runs until the store is closed or dropped. A panic, of the device or of a task that is woken, ends a
/// pass and not the thread: whoever awaits a commit has nobody else to make or refuse it.
pub(crate) fn run(store: &Weak<Inner>) {
    let mut flusher = Flusher::default();
    loop {
        let pass = catch_unwind(AssertUnwindSafe(|| flusher.pass(store)));
        match pass {
            Ok(ControlFlow::Break(())) => return,
            Ok(ControlFlow::Continue(())) => {}
            Err(_) => tracing::error!("the background thread met a panic"),
        }
    }
}

impl Flusher {
    /// Sleeps until there is something to do, and does it.
    fn pass(&mut self, store: &Weak<Inner>) -> ControlFlow<()> {
        let Some(inner) = store.upgrade() else { return ControlFlow::Break(()) };
        let due = match sleep(&inner, self.idle) {
            Wake::Stop => return ControlFlow::Break(()),
            Wake::Work { due } => due,
            Wake::Idle => {
                self.idle = true;
                seal(&inner);
                return ControlFlow::Continue(());
            }
        };
        self.idle = false;
        inner.flush_queue();
        if due {
            sync(&inner);
        }
        if self.refused.is_none_or(|at| at.elapsed() >= REST) {
            self.refused = advance(&inner).err().map(|Refused| Instant::now());
        }
        ControlFlow::Continue(())
    }
}

enum Wake {
    Stop,
    Work { due: bool },
    Idle,
}

/// Sleeps until something is to be done, or until nothing has been for a while.
fn sleep(inner: &Inner, idle: bool) -> Wake {
    let mut signal = inner.signal.lock();
    if !signal.wake && !signal.stop {
        let wait = match signal.since {
            // An interval beyond what the clock can count to never ends.
            Some(since) => since
                .checked_add(inner.flush_interval)
                .map_or(LOOK, |due| due.saturating_duration_since(Instant::now())),
            None if idle => LOOK,
            None => IDLE,
        };
        let timed_out = inner.signalled.wait_for(&mut signal, wait).timed_out();
        if timed_out && !signal.wake && signal.since.is_none() && !signal.stop {
            return Wake::Idle;
        }
    }
    if signal.stop {
        return Wake::Stop;
    }
    signal.wake = false;
    let aged = signal.since.is_some_and(|since| since.elapsed() >= inner.flush_interval);
    Wake::Work { due: aged || signal.unsynced >= inner.flush_operations }
}

fn sync(inner: &Inner) {
    // Clear the account first: what comes in meanwhile counts for the next sync.
    {
        let mut signal = inner.signal.lock();
        (signal.unsynced, signal.since) = (0, None);
    }
    match inner.engine().and_then(|mut locked| Ok(locked.engine.sync()?)) {
        Ok(_) | Err(Error::Closed | Error::Poisoned) => {}
        Err(error) => {
            tracing::error!(%error, "a background sync failed; the store refuses writes from here on")
        }
    }
}

fn seal(inner: &Inner) {
    if let Ok(mut locked) = inner.engine()
        && !locked.engine.is_poisoned()
        && !inner.read_only
        && let Err(error) = locked.engine.seal()
    {
        tracing::error!(%error, "sealing the journal failed");
    }
}

/// A checkpoint did not succeed.
struct Refused;

/// Brings a checkpoint that is due to its end, a step at a time.
fn advance(inner: &Inner) -> Result<(), Refused> {
    loop {
        let Ok(mut locked) = inner.engine() else { return Ok(()) };
        if locked.engine.is_poisoned() || !locked.engine.wants_checkpoint() {
            return Ok(());
        }
        let progress = locked.engine.checkpoint_step();
        locked.give_way();
        match progress {
            Ok(Progress::Working) => {}
            Ok(progress) => {
                tracing::debug!(?progress, "checkpoint");
                return Ok(());
            }
            Err(error) => {
                tracing::warn!(%error, "a checkpoint did not succeed");
                return Err(Refused);
            }
        }
    }
}
