//! Where a thread that helps another runs: not on the processor of whoever wakes it.
//!
//! Some kernels let a thread that is woken run where it was woken, before whoever woke it, though another processor is idle (seen
//! in virtual machines). For a thread that is to work beside its caller this is the worst place: the caller waits for it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(target_os = "linux")]
type Thread = rustix::thread::Pid;

#[cfg(not(target_os = "linux"))]
type Thread = ();

/// The place of a helping thread.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    thread: OnceLock<Thread>,
    /// It waits for work, so it is there.
    rests: AtomicBool,
}

impl Seat {
    /// Waits for work, in the thread that helps.
    pub(crate) fn rest<R>(&self, wait: impl FnOnce() -> R) -> R {
        self.thread.get_or_init(current);
        self.rests.store(true, Ordering::Release);
        let found = wait();
        self.rests.store(false, Ordering::Release);
        found
    }

    /// Has the thread, if it rests, run on another processor than this one when it is woken next, among those that the
    /// caller may use. Nobody may end its wait but the caller.
    pub(crate) fn away_from_here(&self) {
        if self.rests.load(Ordering::Acquire)
            && let Some(thread) = self.thread.get()
        {
            move_away(*thread);
        }
    }
}

#[cfg(target_os = "linux")]
fn current() -> Thread {
    rustix::thread::gettid()
}

#[cfg(not(target_os = "linux"))]
const fn current() -> Thread {}

/// What fails leaves the thread where it was.
#[cfg(target_os = "linux")]
fn move_away(thread: Thread) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
    let here = sched_getcpu();
    let Ok(mut allowed) = sched_getaffinity(None) else { return };
    if here < CpuSet::MAX_CPU && allowed.is_set(here) && allowed.count() > 1 {
        allowed.unset(here);
        let _ = sched_setaffinity(Some(thread), &allowed);
    }
}

#[cfg(not(target_os = "linux"))]
const fn move_away((): Thread) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    /// Processors that this thread may run on; of other systems nothing is known, and nothing done.
    fn processors() -> u32 {
        #[cfg(target_os = "linux")]
        return rustix::thread::sched_getaffinity(None).map_or(0, |set| set.count());
        #[cfg(not(target_os = "linux"))]
        return 1;
    }

    #[test]
    fn who_rests_is_sent_away_and_nobody_else() {
        let seat = Arc::new(Seat::default());
        // Nobody sits there yet.
        seat.away_from_here();
        let (sender, receiver) = channel();
        let its = Arc::clone(&seat);
        let helper = std::thread::spawn(move || (its.rest(|| receiver.recv()), processors()));
        while !seat.rests.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        seat.away_from_here();
        sender.send(7).expect("it waits");
        let ours = processors();
        // One processor is left out if there are two.
        assert_eq!(helper.join().expect("it ends"), (Ok(7), if ours > 1 { ours - 1 } else { ours }));
        assert!(!seat.rests.load(Ordering::Acquire), "it has ended: its number may be another's");
    }
}
