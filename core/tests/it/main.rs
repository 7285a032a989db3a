//! The engine from outside: what it stores it gives back, whatever happens in between.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod embedded;
mod hostile;
mod crash;
mod crash_device;
mod faults;
mod large;
mod model;
mod rename;
mod smoke;
mod support;
