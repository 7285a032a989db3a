//! The store as its users see it: one binary for all integration tests.

mod basics;
mod copies;
mod crash;
mod device;
mod devices;
mod failures;
mod faults;
mod history;
mod ledger;
mod model;
mod program;
mod reads;
mod regressions;
mod streams;
mod support;
mod tally;
mod threads;
mod worker;
