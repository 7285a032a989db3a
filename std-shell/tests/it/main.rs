//! The store as its users see it: one binary for all integration tests.

mod basics;
mod failures;
mod support;
mod threads;
