//! Properties of the engine's parts that can be reached from outside, tried on random cases that shrink.
//!
//! The tree, the free map and the journal alone are in `src/tree/property`, `src/freemap/property.rs` and
//! `src/journal/property.rs`, for they are private.
#![cfg(not(loom))]

mod budget;
mod codecs;
mod found;
mod store;
