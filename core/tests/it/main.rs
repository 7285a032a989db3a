//! The engine from outside: what it stores it gives back, whatever happens in between.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod batches;
mod between;
mod bounded;
mod bounds;
mod crash;
mod embedded;
mod faults;
mod fixture;
mod golden;
mod hostile;
mod journal;
mod large;
mod length;
mod little;
mod model;
mod one;
mod rename;
mod smoke;
mod sparse;
mod staged;
mod steps;
mod support;
mod survivors;
mod unfit;
