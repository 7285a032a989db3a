//! Which code is changed, and which tests are to notice.

use std::fmt;

/// Files and the tests that they are tested by.
pub(super) struct Suite {
    pub(super) name: &'static str,
    pub(super) files: &'static [&'static str],
    /// Functions that are constant, and cannot be in a build with all mutants, because they call one that is
    /// changed: file and name.
    pub(super) constant: &'static [(&'static str, &'static str)],
    /// Of the engine, for its tests.
    pub(super) features: &'static str,
    /// What survives one meets the next: what takes a moment and is enough for most comes first.
    pub(super) stages: &'static [Stage],
}

/// Some tests.
pub(super) struct Stage {
    /// Their program.
    pub(super) test: &'static str,
    /// Those with these words in their names; all, if there are none.
    only: &'static [&'static str],
    /// Tests that are left out.
    without: &'static [&'static str],
    /// Of the processor: whoever takes longer is in a loop. Several times what they take.
    pub(super) seconds: u32,
}

impl Stage {
    /// Arguments of the tests' program.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &'static str> {
        let without = self.without.iter().flat_map(|test| ["--skip", test]);
        self.only.iter().copied().chain(without)
    }
}

pub(super) const SUITES: [Suite; 2] = [
    Suite {
        name: "queue",
        files: &["core/src/queue.rs", "core/src/queue/*.rs"],
        constant: &[],
        features: "std",
        stages: &[Stage { test: "queue", only: &[], without: &[], seconds: 30 }],
    },
    Suite {
        name: "store",
        files: &[
            "core/src/store/commit.rs",
            "core/src/store/room.rs",
            "core/src/store/checkpoint.rs",
            "core/src/store/open.rs",
            "core/src/store/recover.rs",
            "core/src/store/replay.rs",
            "core/src/journal.rs",
        ],
        constant: &[("core/src/store/mod.rs", "journal_used")],
        features: "alloc",
        stages: &[
            Stage { test: UNIT, only: &["store::room", "store::replay"], without: &[], seconds: 8 },
            Stage { test: "it", only: &[], without: LONG, seconds: 8 },
            Stage { test: "few_seeds", only: &[], without: &[], seconds: 12 },
            Stage {
                test: "it",
                only: &["sparse::", "bounded::", "large::", "model::", "hostile::forge"],
                without: &[],
                seconds: 60,
            },
        ],
    },
];

/// The tests that lie beside what they test.
pub(super) const UNIT: &str = "blockyard_core";

/// What takes long: the seeds again, and what is about other things.
const LONG: &[&str] =
    &["crash::", "hostile::a_flipped_bit", "hostile::forge", "model::", "sparse::", "bounded::", "large::"];

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// A test failed.
    Caught,
    /// A test ran for ever.
    TimedOut,
    /// It does not compile.
    Unviable,
    /// Every test passed.
    Survived,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caught => "caught",
            Self::TimedOut => "hangs",
            Self::Unviable => "does not compile",
            Self::Survived => "survives",
        })
    }
}
