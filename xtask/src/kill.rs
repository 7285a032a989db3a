//! `cargo xtask kill`: children that commit and report, killed by SIGKILL at random moments.
//!
//! The work is done by the package `blockyard-torture`, whose last line is ours.

use anyhow::Result;
use xshell::{Shell, cmd};

/// How much to kill.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Arguments {
    /// Rounds; each has one kill or more
    #[arg(long, default_value_t = 500)]
    rounds: u64,
    /// What the workloads follow from; drawn and printed if not given
    #[arg(long)]
    seed: Option<u64>,
}

impl Arguments {
    /// Half a minute's worth, of the same workloads each time.
    pub(crate) const fn budgeted() -> Self {
        Self { rounds: 60, seed: Some(1) }
    }
}

/// Kills, and fails if anything was lost or invented.
pub(crate) fn run(shell: &Shell, arguments: &Arguments) -> Result<()> {
    let Arguments { rounds, seed } = arguments;
    let mut words = vec!["kill".to_owned(), format!("--rounds={rounds}")];
    words.extend(seed.map(|seed| format!("--seed={seed}")));
    Ok(cmd!(shell, "cargo run --quiet --package blockyard-torture -- {words...}").run()?)
}
