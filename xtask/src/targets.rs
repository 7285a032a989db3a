//! The engine compiles for a browser and for a microcontroller, with a heap and without.

use anyhow::{Result, bail};
use xshell::Shell;

use crate::checks::run_each;
use crate::toolchain::{TARGETS, Toolchain};

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
    let mut failures = Vec::new();
    // What a toolchain compiles for several targets it compiles at once: that keeps all processors at work.
    let mut groups: Vec<(Toolchain, Vec<&str>)> = Vec::new();
    for target in TARGETS {
        let triple = target.triple;
        let Some(toolchain) = Toolchain::with_target(shell, target) else {
            failures.push(format!("no toolchain can compile for {triple}; run `cargo xtask setup`"));
            continue;
        };
        println!("{triple}: by {toolchain}");
        match groups.iter_mut().find(|(of, _)| *of == toolchain) {
            Some((_, triples)) => triples.push(triple),
            None => groups.push((toolchain, vec![triple])),
        }
    }
    for (toolchain, triples) in &groups {
        failures.extend(check(shell, toolchain, triples).err().map(|error| format!("{error:#}")));
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

fn check(shell: &Shell, toolchain: &Toolchain, triples: &[&str]) -> Result<()> {
    run_each(FEATURES.into_iter().map(|features| {
        toolchain
            .cargo(shell)
            .args(["check", "--keep-going", "--package", "blockyard-core"])
            .args(triples.iter().flat_map(|triple| ["--target", *triple]))
            .args(features)
    }))
}
