//! The engine for devices that are waited for.

#[allow(
    dead_code,
    unused_imports,
    async_fn_in_trait,
    clippy::all,
    reason = "made of code that is held to all of them"
)]
#[deny(unused_must_use)]
mod made {
    include!(concat!(env!("OUT_DIR"), "/asynchronous.rs"));
}

pub use made::{device, store, tree};
pub use device::BlockDevice;
pub use store::Store;
