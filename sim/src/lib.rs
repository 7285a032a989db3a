//! Proof that Blockyard loses nothing and invents nothing: one simulated device, a model, campaigns.
//!
//! | | |
//! |---|---|
//! | [`device`] | [`SimDevice`](device::SimDevice): memory with a cache that may lie, faults as overlays, a trace |
//! | [`fault`] | what can go wrong, once or for ever, and what really did |
//! | [`image`] | the bytes of a device, cheap to copy |
//! | [`moment`] | what a power cut at one moment may leave, every subset of it or samples |
//! | [`fixture`] | stores, batches and comparisons for all tests |
//! | [`work`] | random work with the state after each commit |
//! | [`check`] | what must hold of a state that a crash left |
//! | [`campaign`] | many seeds of all that, with counts |
//!
//! Everything is drawn from a seed; a failure prints it, and the same seed does the same again.
#![forbid(unsafe_code)]

pub mod campaign;
pub mod check;
pub mod device;
pub mod fault;
pub mod fixture;
pub mod image;
pub mod moment;
pub mod work;
