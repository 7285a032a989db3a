//! Blockyard's engine: named blocks of bytes in one crash-safe, checksummed file.
//!
//! This crate knows no operating system, no thread, no clock and no heap. It holds the page
//! format ([`format`]), the free map, the journal, the copy-on-write registry tree and the commit
//! protocol over an abstract [`BlockDevice`]. A shell around it (the `blockyard` package for
//! files, `blockyard-wasm` for browsers, firmware for cards) owns threads, caches and names.
//!
//! Start at [`Store`] for the life of a commit, [`device`] for what a device has to promise and
//! [`format`] for the bytes.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod batch;
pub mod device;
mod digest;
pub mod error;
pub mod format;
mod freemap;
mod ids;
mod journal;
pub mod overlay;
pub mod queue;
pub mod store;
pub mod sync;
pub mod tree;

pub use batch::Batch;
pub use device::{BlockDevice, DeviceError, DeviceErrorKind};
pub use digest::{Digest, Hasher};
pub use error::{Damage, OpenError, ReadError, Structure, WriteError};
pub use format::Geometry;
pub use ids::{Extent, PageIndex, Sequence};
pub use store::{CreateOptions, Durability, Store};
