//! What `core/build` has made of the engine.
#![allow(
    async_fn_in_trait,
    dead_code,
    unused_imports,
    clippy::all,
    reason = "the sources that this is made of are held to them; which future can be sent is the device's matter"
)]
#![deny(unused_must_use, reason = "a future that nobody awaits: core/build has missed a call")]

include!(concat!(env!("OUT_DIR"), "/asynchronous.rs"));
