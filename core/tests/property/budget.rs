//! How much each property is tried, where its failures are kept, and what a run met.
//!
//! A run is the same every time, so that a failure says something about the change at hand. `PROPTEST_CASES=n`
//! tries n / 256 as many cases as usual and `PROPTEST_RNG_SEED=n` others. What fails is shrunk, printed and
//! noted in `tests/property/regressions`, to be tried first from then on.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestRunner};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::{boxed::Box, panic, println};

/// How often each kind of event came about in all cases of a property.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    pub(crate) fn hit(&self, what: &'static str) {
        self.add(what, 1);
    }

    pub(crate) fn add(&self, what: &'static str, times: u64) {
        // A case that panics poisons nothing that counting could get wrong.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += times;
    }

    /// Demands that each of `kinds` came about, and prints all that did.
    fn demand(&self, property: &str, kinds: &[&str]) {
        let met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        println!("{property}: {met:?}");
        for kind in kinds {
            assert!(met.contains_key(kind), "{property}: \"{kind}\" never came about, the run shows nothing");
        }
    }
}

/// Tries `cases` cases (as scaled) of a property; the failing ones are kept in `regressions`, a path below
/// the package. Demands that every one of `kinds` came about.
pub(crate) fn check<S: Strategy>(
    (property, regressions): (&str, &'static str),
    cases: u32,
    strategy: &S,
    (tally, kinds): (&Tally, &[&str]),
    case: impl Fn(S::Value),
) {
    let usual = Config::default();
    let scaled = (u64::from(cases) * u64::from(usual.cases)).div_ceil(256);
    let config = Config {
        cases: u32::try_from(scaled).unwrap_or(u32::MAX),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        rng_seed: match usual.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            asked => asked,
        },
        max_shrink_iters: 5_000,
        ..usual
    };
    let mut runner = TestRunner::new(config);
    let result = runner.run(strategy, |value| {
        tally.hit("cases");
        case(value);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{property}: {error}");
    }
    // A tenth of a run need not meet everything.
    tally.demand(property, if scaled >= u64::from(cases) { kinds } else { &[] });
}

/// Some bytes that `seed` determines and that no other seed has.
pub(crate) fn pattern(seed: u64, length: usize) -> std::vec::Vec<u8> {
    let mut state = seed ^ 0x9E37_79B9_7F4A_7C15;
    let words = core::iter::repeat_with(move || {
        // One step of SplitMix64.
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    });
    words.flatten().take(length).collect()
}
