//! The store as its users see it: one binary for all integration tests.

mod basics;
mod failures;
mod regressions;
mod support;
mod threads;
