//! Stores, batches and comparisons for all tests: those of the simulator.

pub(crate) use blockyard_sim::fixture::*;
