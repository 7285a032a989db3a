//! The one place where locks, condition variables and atomics come from.
//!
//! | build | lock and condition variable | waiting |
//! |---|---|---|
//! | `--cfg loom` | `loom::sync` | the model's scheduler: every interleaving, up to a bound |
//! | `--cfg shuttle` | `shuttle::sync` | the model's scheduler: interleavings drawn at random |
//! | feature `std` | `std::sync` | the thread sleeps |
//! | neither | `spin` | the processor spins, with the lock released |
//!
//! All offer the same calls:
//! - [`Mutex::new`] and [`Mutex::lock`]. A lock never reports poison: whoever needs to know that a
//!   thread panicked while it held one carries a flag of its own inside it.
//! - [`Condvar::new`], [`Condvar::wait`] and [`Condvar::notify_all`]. A wait may return without a
//!   notification, so it belongs in a loop. With feature `std` there is `Condvar::wait_timeout`,
//!   which in a model never times out, because it has no clock.
//! - [`atomic`], which in a model is modelled, and under loom therefore not `const`.
//!
//! A spinning lock that is shared with an interrupt handler deadlocks: do not share it. On one
//! core without pre-emption a spinning wait never ends, because nothing else can run: such a
//! target polls instead of waiting.

#[cfg(any(loom, shuttle, feature = "std"))]
mod hosted;
#[cfg(not(any(loom, shuttle, feature = "std")))]
mod spinning;

#[cfg(any(loom, shuttle, feature = "std"))]
pub use hosted::{Condvar, Mutex, MutexGuard};
#[cfg(not(any(loom, shuttle, feature = "std")))]
pub use spinning::{Condvar, Mutex, MutexGuard};

#[cfg(not(any(loom, shuttle, feature = "portable-atomic")))]
pub use core::sync::atomic;
#[cfg(loom)]
pub use loom::sync::atomic;
#[cfg(all(feature = "portable-atomic", not(any(loom, shuttle))))]
pub use portable_atomic as atomic;
#[cfg(shuttle)]
pub use shuttle::sync::atomic;
