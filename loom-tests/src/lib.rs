//! Models of what threads do to each other in Blockyard, explored by loom and by shuttle.
//!
//! `cargo xtask loom` builds this package twice, with `--cfg loom` and with `--cfg shuttle`. Under
//! loom a few threads run in every order that a bounded number of pre-emptions can make, with
//! atomics that show stale values wherever their orderings allow it. Under shuttle more threads run
//! in orders drawn at random. In a plain build the package is empty.
//!
//! | part | what it is |
//! |---|---|
//! | `engine` | what a scenario needs of a group-commit engine |
//! | `medium` | the device: marks for written and synced, and the rules for using it |
//! | `queued` | the engine under test: `GroupQueue` and a leader |
//! | `sketch` | a small queue of its own, in which a known bug can be switched on |
//! | `scenario` | one property each, generic over the engine |
//! | `pinned` | readers of old states and a writer that reuses extents |
//! | `explore` | running a scenario in many orders, counting them, expecting a failure |
//!
//! 1. A scenario is one function. It passes with the real engine, and with the sketch when no flaw is
//!    switched on; with the broken twin, at least one order makes it fail with the message expected.
//! 2. Whatever threads share is modelled: locks and atomics come from `blockyard_core::sync`, threads
//!    and `Arc` from `explore`. What is not (the waker's `Arc`, counters of orders) decides nothing.
//! 3. A model that ran in fewer orders than its floor has failed: it models nothing any more.
//!
//! Not modelled: `arc_swap`, by which the shell hands out layers, has atomics of its own. `pinned`
//! puts a lock in its place and relies on what `arc_swap` promises: once a store has returned,
//! everybody who loaded the old value is counted as its holder. Time-outs do not exist in a model.
#![cfg(any(loom, shuttle))]

pub mod engine;
pub mod explore;
pub mod medium;
pub mod pinned;
pub mod queued;
pub mod scenario;
pub mod sketch;
