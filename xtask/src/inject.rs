//! `cargo xtask inject`: calls that fail in every place, a full file system, and a power cut under a file of
//! which every write was recorded.
//!
//! The work is done by the package `blockyard-torture`, whose last line is ours. The tools that it needs are
//! installed here.

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

use crate::setup::debian;

/// Programs, and Debian's packages that they are in.
const TOOLS: [(&str, &str); 3] =
    [("strace", "strace"), ("qemu-storage-daemon", "qemu-utils"), ("mkfs.ext4", "e2fsprogs")];

/// How much to inject.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Arguments {
    /// Fail every so manieth call; 1 is every call
    #[arg(long, default_value_t = 1)]
    stride: u64,
    /// Commits of each workload that is recorded
    #[arg(long, default_value_t = 150)]
    recorded: u64,
    /// What the workloads follow from; drawn and printed if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Run one part only: calls, full or record
    #[arg(long)]
    part: Option<String>,
}

impl Arguments {
    /// A minute's worth: all kinds of faults, at some of the calls, of the same workloads each time.
    pub(crate) const fn budgeted() -> Self {
        Self { stride: 12, recorded: 50, seed: Some(1), part: None }
    }
}

/// Injects, and fails if anything was lost, invented, or told wrongly.
pub(crate) fn run(shell: &Shell, arguments: &Arguments) -> Result<()> {
    let is_missing = |program: &str| {
        // They differ in what makes them say that they are there; any exit will do.
        let asked = std::process::Command::new(program)
            .arg("-V")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
        asked.is_err()
    };
    let missing: Vec<&'static str> =
        TOOLS.into_iter().filter(|(program, _)| is_missing(program)).map(|(_, package)| package).collect();
    if !missing.is_empty() {
        debian::require(shell, &missing)?;
    }
    for (program, package) in TOOLS {
        let found = (!is_missing(program)).then_some(());
        found
            .with_context(|| format!("the package {package} has no {program} here; install that program"))?;
    }
    let Arguments { stride, recorded, seed, part } = arguments;
    let mut words = vec!["inject".to_owned(), format!("--stride={stride}"), format!("--recorded={recorded}")];
    words.extend(seed.map(|seed| format!("--seed={seed}")));
    words.extend(part.iter().map(|part| format!("--part={part}")));
    Ok(cmd!(shell, "cargo run --quiet --package blockyard-torture -- {words...}").run()?)
}
