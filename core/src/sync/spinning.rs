//! Locks of a target without an operating system: they spin.

use super::atomic::{AtomicUsize, Ordering};
use core::hint::spin_loop;
use core::ops::{Deref, DerefMut};
use spin::mutex::{SpinMutex, SpinMutexGuard};

/// The longest pause between two looks at the condition, in turns of the spin loop.
const LONGEST_PAUSE: u32 = 1 << 10;

/// A lock around a value.
pub struct Mutex<T>(SpinMutex<T>);

/// The lock, held: it is released when this is dropped.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    value: SpinMutexGuard<'a, T>,
}

impl<T> Mutex<T> {
    /// Puts a value behind a lock.
    pub fn new(value: T) -> Self {
        Self(SpinMutex::new(value))
    }

    /// Spins until the lock is free. If a holder panicked, the value is handed out as it is.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, value: self.0.lock() }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// Where callers spin until another one has changed what a lock guards.
#[derive(Default)]
pub struct Condvar {
    /// Changes with every notification. Two notifications at once may count as one, which is why
    /// the store needs no read-modify-write (some cores have none): a waiter that saw the first
    /// and missed the second returns after its last pause all the same.
    notified: AtomicUsize,
}

impl Condvar {
    /// A condition variable on which nobody waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Releases the lock, spins with growing pauses until notified or until the longest pause is
    /// over, and takes the lock again.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let seen = self.notified.load(Ordering::Acquire);
        let mutex = guard.mutex;
        drop(guard);
        let mut pause = 1;
        while self.notified.load(Ordering::Acquire) == seen && pause <= LONGEST_PAUSE {
            for _ in 0..pause {
                spin_loop();
            }
            pause *= 2;
        }
        mutex.lock()
    }

    /// Ends the pauses of everybody who waits.
    pub fn notify_all(&self) {
        self.notified.store(self.notified.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }
}
