//! Blockyard's engine for JavaScript.
//!
//! [`Engine`] drives `blockyard-core` on one thread over a [`Device`]: a handle of the host
//! (`FileSystemSyncAccessHandle` in a browser's worker, an object over `node:fs` under Node) or memory.
//! [`Yard`](api::Yard) is the same for JavaScript; the npm package `blockyard` beside this crate puts
//! workers, tabs and promises around it.

pub mod api;
mod device;
mod engine;
mod error;
mod lanes;
mod read;
mod scan;
mod source;
#[cfg(test)]
mod tests;
mod view;

pub use device::{Device, Fault, Handle};
pub use engine::{Engine, Settings};
pub use error::Error;
