//! The background thread: leads what nobody waits for, makes buffered commits durable in time, advances
//! checkpoints, uses pauses for those that will soon be due, and seals an idle journal.

use crate::error::Error;
use crate::inner::{Inner, Wanted};
use blockyard_core::store::Progress;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Weak;
use std::time::{Duration, Instant};

/// How long nothing must have happened before the last durable commit is sealed.
const IDLE: Duration = Duration::from_millis(20);

/// How long a thread sleeps before it looks whether its store is still there.
const LOOK: Duration = Duration::from_millis(500);

/// How long commits must have stayed away before a checkpoint that is not late goes on.
const PAUSE: Duration = Duration::from_micros(500);

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
    /// Groups of commits when a checkpoint under way last let them go first.
    paused: Option<u64>,
    /// Groups of commits when nothing was to be done last.
    rested: u64,
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
        let due = match sleep(&inner, self.idle, self.paused.is_some()) {
            Wake::Stop => return ControlFlow::Break(()),
            Wake::Work { due } => due,
            Wake::Idle => {
                seal(&inner);
                self.rest(&inner);
                return ControlFlow::Continue(());
            }
        };
        self.busy(&inner);
        inner.flush_queue();
        if due {
            sync(&inner);
        }
        if !self.is_refused() {
            let seen = self.paused.take();
            self.advance(&inner, seen, Wanted::Now);
        }
        ControlFlow::Continue(())
    }

    /// Whether a checkpoint was refused a moment ago.
    fn is_refused(&self) -> bool {
        self.refused.is_some_and(|at| at.elapsed() < REST)
    }

    /// Something is to be done.
    fn busy(&mut self, inner: &Inner) {
        self.idle = false;
        inner.signal.lock().resting = false;
    }

    /// Nothing is to be done now. If no commits came since that was so last, a checkpoint that will soon be due is
    /// made in this idle time, so that the next commits find the journal empty.
    fn rest(&mut self, inner: &Inner) {
        let groups = inner.company.groups();
        let stirred = std::mem::replace(&mut self.rested, groups) != groups;
        let refused = self.is_refused();
        // The next walk finds the changes in order.
        inner.shared.put_in_order();
        if !refused && !stirred {
            self.advance(inner, Some(groups), Wanted::InIdleTime);
        }
        self.idle = refused || inner.engine().map_or(true, |locked| Wanted::by(&locked.engine) == Wanted::No);
        inner.signal.lock().resting = self.idle;
    }

    /// Advances a checkpoint, if it is called for as much as `least`, and notes how far it came.
    fn advance(&mut self, inner: &Inner, seen: Option<u64>, least: Wanted) {
        let advanced = advance(inner, seen, least);
        self.refused = advanced.is_err().then(Instant::now);
        self.paused = advanced.unwrap_or_default();
        inner.signal.lock().giving_way = self.paused.is_some();
    }
}

enum Wake {
    Stop,
    Work { due: bool },
    Idle,
}

/// Sleeps until something is to be done, or until nothing has been for a while.
fn sleep(inner: &Inner, idle: bool, paused: bool) -> Wake {
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
        let wait = if paused { wait.min(PAUSE) } else { wait };
        let timed_out = inner.signalled.wait_for(&mut signal, wait).timed_out();
        if timed_out && !paused && !signal.wake && signal.since.is_none() && !signal.stop {
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

/// Advances a checkpoint, if it is called for as much as `least`, a step at a time, to its end or until commits
/// come in, which then go first unless it is late. Returns the number of groups at which it gave way. `paused` is
/// what the call before returned.
fn advance(inner: &Inner, paused: Option<u64>, least: Wanted) -> Result<Option<u64>, Refused> {
    let groups = || inner.company.groups();
    let mut seen = paused.unwrap_or_else(groups);
    if inner.engine().is_ok_and(|locked| Wanted::by(&locked.engine) >= least) {
        inner.shared.put_in_order();
    }
    loop {
        let Ok(mut locked) = inner.engine() else { return Ok(None) };
        if locked.engine.is_poisoned() || Wanted::by(&locked.engine) < least {
            return Ok(None);
        }
        let now = groups();
        if now != seen && locked.engine.checkpoint_has_time() {
            return Ok(Some(now));
        }
        seen = now;
        let progress = locked.engine.checkpoint_step();
        locked.give_way();
        drop(locked);
        match progress {
            Ok(Progress::Working) => {}
            Ok(progress) => {
                tracing::debug!(?progress, "checkpoint");
                return Ok(None);
            }
            Err(error) => {
                tracing::warn!(%error, "a checkpoint did not succeed");
                return Err(Refused);
            }
        }
    }
}
