//! What the firmware does with a store, and how it is cut off: runs on a chip and, as a test, on a host.
//!
//! | | |
//! |---|---|
//! | [`counted`] | a device that counts what is asked of it |
//! | [`cut`] | a device that loses power at one operation, with all that a device may do then |
//! | [`job`] | a data logger, a settings store and a meter: their commits, and what a store must hold after each |
//! | [`lives`] | the campaign: every operation cut, two cuts more while recovering, then all is checked |
//! | [`look`] | one digest over all that a store holds, by which worlds are compared |
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

#[cfg(test)]
mod bad_test;
#[cfg(test)]
mod bounds_test;
pub mod counted;
pub mod cut;
#[cfg(test)]
mod full_test;
pub mod job;
pub mod lives;
pub mod look;
pub mod notes;

use blockyard_core::overlay::FixedOverlay;
use blockyard_core::store::Memory;
use blockyard_core::{Batch, Store};

/// Page size of what the firmware makes: a card's sector.
pub const PAGE: usize = 512;
/// Bytes of the longest name that a file of such pages may hold.
pub const LONGEST_NAME: usize = PAGE / 8;
/// The memory of such a store.
pub const MEMORY: Memory = Memory::TINY;
/// Its bytes.
pub const BYTES: usize = MEMORY.bytes(PAGE);
/// Changes that are kept between checkpoints.
pub type Pending = FixedOverlay<12, 16>;
/// A store of 512-byte pages on `D`.
pub type SmallStore<'b, D> = Store<D, &'b mut Pending, &'b mut [u8]>;
/// Changes that are committed together: four or so, the values of one page.
pub type SmallBatch = Batch<heapless::Vec<u8, 512>, heapless::Vec<u8, PAGE>>;

/// The example of docs/EMBEDDED.md compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/EMBEDDED.md")]
pub struct Embedded;
