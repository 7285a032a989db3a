//! The asynchronous engine beside the blocking one: the same bytes, and futures dropped at every wait.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod adapters;
mod dropped;
mod same;
mod sizes;
mod slow;
mod work;
