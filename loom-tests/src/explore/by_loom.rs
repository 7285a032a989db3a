//! Loom: every order of a few threads that a bounded number of pre-emptions can make.

use super::{Model, THOROUGH};

pub use loom::sync::Arc;
pub use loom::thread;

/// How many threads the scenario has.
pub(super) fn threads(model: Model) -> usize {
    model.threads
}

/// How many interleavings there must be.
pub(super) fn floor(model: Model) -> usize {
    model.floor
}

/// Runs the scenario in every order that the bound allows; thoroughly, with one pre-emption more.
/// `LOOM_MAX_PREEMPTIONS` overrides both.
pub(super) fn explore(model: Model, scenario: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let bound = model.preemptions + usize::from(std::env::var_os(THOROUGH).is_some());
    builder.preemption_bound = builder.preemption_bound.or(Some(bound));
    builder.max_branches = 10_000;
    builder.check(scenario);
}
