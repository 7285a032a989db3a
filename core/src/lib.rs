//! Blockyard's engine: named blocks of bytes in one crash-safe, checksummed file.
//!
//! This crate knows no operating system, no thread, no clock and no heap. It holds the page
//! format ([`format`]), the free map, the journal, the copy-on-write registry tree and the commit
//! protocol over an abstract [`BlockDevice`]. A shell around it (the `blockyard` package for
//! files, `blockyard-wasm` for browsers, firmware for cards) owns threads, caches and names.
//!
//! ```
//! use blockyard_core::device::MemoryDevice;
//! use blockyard_core::overlay::FixedOverlay;
//! use blockyard_core::store::{CreateOptions, Memory, OpenOptions};
//! use blockyard_core::{Batch, Durability, Store};
//!
//! // All memory is the caller's: the device's (here a RAM disk), the store's, the batch's.
//! const MEMORY: Memory = Memory::SMALL;
//! let device = MemoryDevice::new([0_u8; 128 << 10], 512);
//! let create =
//!     CreateOptions { page_size: 512, journal_length: 8 << 10, chunk_size: 4096, file_id: [7; 16] };
//! let options = OpenOptions::new(MEMORY);
//! let buffer = [0_u8; MEMORY.bytes(512)];
//! let mut store = Store::create(device, FixedOverlay::<16, 64>::new(), buffer, &create, &options)?;
//!
//! let mut batch: Batch<heapless::Vec<u8, 512>, heapless::Vec<u8, 2048>> =
//!     Batch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
//! batch.put(b"sensor/1", b"21.5", 0).unwrap();
//! batch.put(b"sensor/2", b"19.0", 0).unwrap();
//! store.commit(&mut [batch], Durability::Durable).unwrap();
//!
//! let mut value = [0; 16];
//! let length = store.get(b"sensor/2", &mut value).unwrap().unwrap();
//! assert_eq!(&value[..length], b"19.0");
//! # Ok::<(), blockyard_core::OpenError<blockyard_core::device::MemoryError>>(())
//! ```
//!
//! Start at [`Store`] for the life of a commit, [`device`] for what a device has to promise and
//! [`format`] for the bytes.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

#[cfg(feature = "async")]
pub mod asynchronous;
pub mod batch;
#[cfg(all(test, not(loom)))]
#[path = "../tests/property/budget.rs"]
mod budget;
mod bytes;
mod changes;
pub mod device;
mod digest;
pub mod error;
mod failure;
pub mod format;
mod freemap;
mod ids;
mod journal;
pub mod overlay;
#[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
pub mod queue;
pub mod store;
#[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
pub mod sync;
pub mod tree;

pub use batch::Batch;
pub use device::{BlockDevice, DeviceError, DeviceErrorKind};
pub use digest::{Digest, Hasher};
pub use error::{Damage, OpenError, ReadError, Structure, WriteError};
pub use format::Geometry;
pub use ids::{Extent, PageIndex, Sequence};
pub use store::{CreateOptions, Durability, Store};
