//! `cargo xtask sim`: power cuts, faults and damage in the simulator, then every bit of an image flipped.

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

/// Seeds that a minute on two processors comes to.
const A_MINUTE: u64 = 300;

/// How long, and what.
#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// How long the campaigns go on, in seconds
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Run so many seeds of each campaign instead, however long that takes
    #[arg(long, conflicts_with = "seconds")]
    seeds: Option<u64>,
    /// Run this seed alone
    #[arg(long)]
    seed: Option<u64>,
    /// Run this campaign alone
    #[arg(long)]
    campaign: Option<String>,
    /// The first seed, to go where no run was before
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Also flip every single bit of an image with data in every zone (some minutes)
    #[arg(long)]
    bits: bool,
}

impl Arguments {
    /// What a run of all steps has time for: what is a minute of two quiet processors, the same seeds each time however
    /// busy they are. The tests of the engine flip two bits of every byte.
    pub(crate) const fn budgeted() -> Self {
        Self { seconds: 600, seeds: Some(A_MINUTE), seed: None, campaign: None, first: 0, bits: false }
    }
}

/// Runs the campaigns; an error if any seed fails, or if some kind of trouble never came.
pub(crate) fn run(shell: &Shell, arguments: &Arguments) -> Result<()> {
    let Arguments { seconds, seeds, seed, campaign, first, bits } = arguments;
    if *bits {
        let flips = cmd!(shell, "cargo test --package blockyard-core --test it flipped_bit -- --nocapture");
        flips.env("BLOCKYARD_ALL_BITS", "1").run().context("a flipped bit was not told")?;
    }
    let (unit, length) = seeds.as_ref().map_or(("--seconds", seconds), |seeds| ("--seeds", seeds));
    let (length, first) = (length.to_string(), first.to_string());
    let mut command =
        cmd!(shell, "cargo run --quiet --package blockyard-sim -- {unit} {length} --first {first}");
    if let Some(seed) = seed {
        command = command.arg("--seed").arg(seed.to_string());
    }
    if let Some(campaign) = campaign {
        command = command.arg("--campaign").arg(campaign);
    }
    command.env("RUST_BACKTRACE", "0").run().context("the simulator found something")
}
