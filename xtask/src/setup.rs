//! `cargo xtask setup`: installs what the checks need and says what it does; quick when all is there.
//!
//! Rustup's way is tried first. Where it has nothing to download from, Debian's packages are (see
//! [`debian`]). To try that way on a machine with a network, remove the targets by `rustup target
//! remove` and run the step with `RUSTUP_DIST_SERVER` set to an address where nothing answers.

mod components;
pub(crate) mod debian;
mod sysroot;

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::toolchain::{TARGETS, Target, Toolchain};

/// Installs what is missing.
pub(crate) fn run(shell: &Shell) -> Result<()> {
    components::install(shell)?;
    let missing = missing_targets(shell);
    if missing.is_empty() {
        return Ok(());
    }
    if add_by_rustup(shell, &missing) {
        return Ok(());
    }
    debian::install(shell, &missing)
}

/// The targets for which no toolchain compiles.
fn missing_targets(shell: &Shell) -> Vec<Target> {
    let is_missing = |target: &Target| match Toolchain::with_target(shell, *target) {
        Some(toolchain) => {
            println!("{}: there, in {toolchain}", target.triple);
            false
        }
        None => {
            println!("{}: missing", target.triple);
            true
        }
    };
    TARGETS.into_iter().filter(is_missing).collect()
}

/// Downloads the targets; false if that does not make them work.
fn add_by_rustup(shell: &Shell, missing: &[Target]) -> bool {
    let triples = missing.iter().map(|target| target.triple);
    // A machine without a network should learn so soon.
    let add = cmd!(shell, "rustup target add {triples...}")
        .env("RUSTUP_MAX_RETRIES", "1")
        .env("RUST_BACKTRACE", "0");
    if let Err(error) = add.run() {
        println!("rustup cannot add the targets ({error})");
        return false;
    }
    missing.iter().all(|target| match Toolchain::Default.probe(shell, *target) {
        Ok(()) => true,
        Err(error) => {
            println!("rustup added {}, but {error:#}", target.triple);
            false
        }
    })
}
