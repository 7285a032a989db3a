//! Shuttle: many threads in orders drawn at random, half of them with priorities that change at a few
//! points (PCT), which finds what needs a thread to stay behind for long.

use super::{Model, THOROUGH};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

pub use shuttle::sync::Arc;
pub use shuttle::thread;

/// The seed of all schedules, in the environment; without it, it is 1.
const SEED: &str = "BLOCKYARD_MODELS_SEED";

/// How many threads the scenario has.
pub(super) fn threads(_model: Model) -> usize {
    8
}

/// How many interleavings there must be: all that were asked for.
pub(super) fn floor(_model: Model) -> usize {
    2 * schedules()
}

/// How many orders each scheduler draws.
fn schedules() -> usize {
    if std::env::var_os(THOROUGH).is_some() { 200_000 } else { 5_000 }
}

/// Runs the scenario in orders drawn by both schedulers.
pub(super) fn explore(_model: Model, scenario: impl Fn() + Send + Sync + 'static) {
    let seed = std::env::var(SEED).map_or(1, |seed| seed.parse().expect("the seed is a number"));
    let scenario = std::sync::Arc::new(scenario);
    run(RandomScheduler::new_from_seed(seed, schedules()), std::sync::Arc::clone(&scenario));
    run(PctScheduler::new_from_seed(seed, 3, schedules()), scenario);
}

fn run(scheduler: impl Scheduler + 'static, scenario: std::sync::Arc<impl Fn() + Send + Sync + 'static>) {
    let mut config = Config::new();
    // A failing assertion formats its message on the stack of the task.
    config.stack_size = 256 << 10;
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(move || scenario());
}
