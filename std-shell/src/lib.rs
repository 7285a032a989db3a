//! Named blocks of bytes in one crash-safe, checksummed file.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("notes.by");
//! use blockyard::Store;
//!
//! let store = Store::create(&path)?;
//! store.put("greeting", "hello")?;               // durable when it returns: one sync
//! let mut batch = store.batch();                 // all or nothing
//! batch.put("user/1", "Ada")?;
//! batch.put("user/2", "Grace")?;
//! batch.delete("greeting")?;
//! store.commit(batch)?;
//! for item in store.prefix("user/") {
//!     let item = item?;
//!     println!("{} has {} bytes", item.name().escape_ascii(), item.length());
//! }
//! assert_eq!(store.get("user/2")?.as_deref(), Some(&b"Grace"[..]));
//! assert!(store.verify(|_| {})?.is_clean());
//! store.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! What a commit survives is chosen per commit ([`Durability`]): *buffered* a crash of the process,
//! *durable* a power cut. Whatever happens, after a reopen the store is as it was after some commit,
//! none of them half, none before the last one that was answered durable.

mod batch;
mod buffer;
mod cache;
mod company;
mod copy;
mod device;
mod digests;
mod error;
mod fetch;
mod file;
mod flusher;
mod get;
mod inner;
mod iter;
mod lead;
mod memtable;
mod names;
mod node;
mod open;
mod options;
mod read;
mod recycled;
mod seat;
mod snapshot;
mod source;
mod stats;
mod store;
mod stream;
mod ticket;
mod transaction;
mod verifier;
mod verify;
mod view;

pub use batch::WriteBatch;
pub use blockyard_core::store::Recovery as RecoveryReport;
pub use blockyard_core::{Damage, Digest, Durability, Sequence, Structure};
pub use copy::Copied;
pub use device::{Device, FileDevice, MemoryDevice};
pub use error::{Error, OpenError, Result};
pub use iter::{Item, Iter};
pub use options::OpenOptions;
pub use read::{BlockRef, Metadata};
pub use snapshot::Snapshot;
pub use stats::Stats;
pub use store::{PutOptions, Store};
pub use stream::{BlockReader, BlockWriter};
pub use ticket::Ticket;
pub use transaction::Transaction;
pub use verify::{Problem, VerifyProgress, VerifyReport};

pub use blockyard_core as core;

/// The example of the README, so that it compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct ReadmeExample;
