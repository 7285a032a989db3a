//! Locks of a hosted target (`std`), or of a model that stands in for one (`loom`, `shuttle`).

#[cfg(not(any(loom, shuttle)))]
extern crate std;

#[cfg(loom)]
use loom::sync as host;
#[cfg(shuttle)]
use shuttle::sync as host;
#[cfg(not(any(loom, shuttle)))]
use std::sync as host;

pub use host::MutexGuard;

/// A lock around a value.
pub struct Mutex<T>(host::Mutex<T>);

impl<T> Mutex<T> {
    /// Puts a value behind a lock.
    pub fn new(value: T) -> Self {
        Self(host::Mutex::new(value))
    }

    /// Waits for the lock. If a thread panicked while holding it, the value is handed out as it is.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Where threads sleep until another one has changed what a lock guards.
#[derive(Default)]
pub struct Condvar(host::Condvar);

impl Condvar {
    /// A condition variable on which nobody waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Releases the lock, sleeps until notified (or for no reason), and takes the lock again.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// As [`Condvar::wait`], for at most `timeout`; the flag says whether the time ran out.
    #[cfg(feature = "std")]
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: core::time::Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let (guard, result) =
            self.0.wait_timeout(guard, timeout).unwrap_or_else(|poisoned| poisoned.into_inner());
        (guard, result.timed_out())
    }

    /// Wakes everybody who waits.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}
