//! The engine compiles for a browser and for a microcontroller, with a heap and without.

use anyhow::{Result, bail};
use xshell::Shell;

use crate::checks::run_each;
use crate::toolchain::{TARGETS, Target, Toolchain};

/// Feature sets of the engine on small devices; `std` is for hosts.
const FEATURES: [&[&str]; 5] = [
    &["--no-default-features"],
    &["--no-default-features", "--features", "alloc"],
    &["--no-default-features", "--features", "defmt,log"],
    &["--no-default-features", "--features", "async"],
    &["--no-default-features", "--features", "block-device-driver,defmt"],
];

/// Checks the engine for every target in every feature set.
pub(crate) fn run(shell: &Shell) -> Result<()> {
    let failures: Vec<String> = TARGETS
        .into_iter()
        .filter_map(|target| check(shell, target).err())
        .map(|e| format!("{e:#}"))
        .collect();
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

fn check(shell: &Shell, target: Target) -> Result<()> {
    let triple = target.triple;
    let Some(toolchain) = Toolchain::with_target(shell, target) else {
        bail!("no toolchain can compile for {triple}; run `cargo xtask setup`");
    };
    println!("{triple}: by {toolchain}");
    run_each(FEATURES.into_iter().map(|features| {
        toolchain
            .cargo(shell)
            .args(["check", "--package", "blockyard-core", "--target", triple])
            .args(features)
    }))
}
