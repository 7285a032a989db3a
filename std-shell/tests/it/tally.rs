//! What a random test met: what never came about was not tested.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Counts of events by name, from all threads.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    pub(crate) fn hit(&self, what: &'static str) {
        self.add(what, 1);
    }

    pub(crate) fn add(&self, what: &'static str, times: u64) {
        // Counting leaves nothing half done for a panic to spoil.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += times;
    }

    /// Prints all counts, and demands that these are not zero.
    pub(crate) fn demand(&self, what: &str, events: &[&str]) {
        let met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        println!("{what}: {met:?}");
        for event in events {
            assert!(met.get(event).is_some_and(|times| *times > 0), "{what}: \"{event}\" never came about");
        }
    }
}

/// Tries a property. The programs are the same every time, what the threads make of them is not.
/// `PROPTEST_CASES=n` tries n / 256 as many as usual, `PROPTEST_RNG_SEED=n` others.
pub(crate) fn check<S: Strategy>(cases: u32, strategy: &S, case: impl Fn(S::Value)) {
    let usual = Config::default();
    let scaled = (u64::from(cases) * u64::from(usual.cases)).div_ceil(256);
    let config = Config {
        cases: u32::try_from(scaled).unwrap_or(u32::MAX),
        failure_persistence: None,
        rng_seed: match usual.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            asked => asked,
        },
        // What fails by chance shrinks to anything.
        max_shrink_iters: 100,
        ..usual
    };
    let result = TestRunner::new(config).run(strategy, |value| {
        case(value);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
