//! The engine once more, for devices that are waited for: the same [`Store`] with `async` methods over an
//! asynchronous [`BlockDevice`]. No heap, no executor of its own, no `unsafe`.
//!
//! It is not written a second time. The build script makes it of the modules `device`, `freemap`, `journal`, `store`
//! and `tree`: what leads to the device becomes `async` and is awaited, everything else is used as it is. Batches, errors,
//! options, overlays and reports are those of the blocking engine, and the two write the same bytes.
//!
//! ```
//! use blockyard_core::asynchronous::Store;
//! use blockyard_core::asynchronous::device::MemoryDevice;
//! use blockyard_core::overlay::FixedOverlay;
//! use blockyard_core::store::{CreateOptions, Memory, OpenOptions};
//! use blockyard_core::{Batch, Durability};
//!
//! const MEMORY: Memory = Memory::SMALL;
//! # let run = async {
//! let device = MemoryDevice::new([0_u8; 128 << 10], 512);
//! let create =
//!     CreateOptions { page_size: 512, journal_length: 8 << 10, chunk_size: 4096, file_id: [7; 16] };
//! let options = OpenOptions::new(MEMORY);
//! let buffer = [0_u8; MEMORY.bytes(512)];
//! let overlay = FixedOverlay::<16, 64>::new();
//! let mut store = Store::create(device, overlay, buffer, &create, &options).await?;
//!
//! let mut batch: Batch<heapless::Vec<u8, 512>, heapless::Vec<u8, 2048>> =
//!     Batch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
//! batch.put(b"sensor/1", b"21.5", 0).unwrap();
//! store.commit(&mut [batch], Durability::Durable).await.unwrap();
//!
//! let mut value = [0; 16];
//! let length = store.get(b"sensor/1", &mut value).await.unwrap().unwrap();
//! assert_eq!(&value[..length], b"21.5");
//! # Ok::<(), blockyard_core::OpenError<blockyard_core::device::MemoryError>>(())
//! # };
//! # let mut run = core::pin::pin!(run);
//! # let mut context = core::task::Context::from_waker(core::task::Waker::noop());
//! # assert!(matches!(run.as_mut().poll(&mut context), core::task::Poll::Ready(Ok(()))));
//! ```
//!
//! # A future that is dropped
//!
//! A call waits nowhere but for the device. If its future is dropped there (a timeout, a `select`), this holds:
//!
//! | call | the store | the file |
//! |---|---|---|
//! | `get`, `info`, `exists`, `next_name`, `reader`, [`BlockReader::read`](store::BlockReader::read) | as if it had not been called | untouched |
//! | `verify`, `verify_step`, `free_space` | the same; a [`Verification`](store::Verification) is of no use any more; poisoned if they had to write for room (only while a checkpoint is under way) | as after a power cut at that moment |
//! | what changes something: `commit`, `sync`, `seal`, `checkpoint`, `checkpoint_step`, `rename`, `write_chunk`, a [`BlockWriter`](store::BlockWriter) | poisoned: it refuses changes with [`WriteError::Poisoned`](crate::WriteError::Poisoned), as after a failed write, and has to be opened again | as after a power cut at that moment |
//! | `open`, `create` | there is none | as after a power cut at that moment |
//! | `open_at`, `open_to_read_at`, `create_at` | there is none: the place is empty again | the same |
//!
//! So a commit whose future was dropped is there as a whole or not at all when the file is opened again; every commit
//! that was answered durable before is there. Until then the store still answers reads: from what was committed before the
//! call, and of a call that folds the changes of a large group in at once perhaps from that group too, which is not durable
//! yet. A batch that was being committed may have been changed: clear it before it is used again.
//!
//! Whoever wants a limit on the time of a commit therefore does better to let it run in a task of its own and to wait for
//! its answer with the limit: the answer may come late, the store stays whole.
//!
//! # Sizes
//!
//! A future holds what the call would have on its stack. See docs/EMBEDDED.md for figures.

mod made;
#[cfg(feature = "block-device-driver")]
mod sectors;

pub use device::BlockDevice;
pub use made::{device, store, tree};
#[cfg(feature = "block-device-driver")]
pub use sectors::{SectorDevice, SectorError};
pub use store::Store;
