//! The asynchronous engine beside the blocking one: the same bytes, and futures dropped at every wait.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
// Work with everything in it is a deep future.
#![recursion_limit = "256"]

mod adapters;
mod dropped;
mod same;
mod sizes;
mod slow;
mod work;
