//! The checks that cargo does by itself. A step with several commands runs them all before it fails.

use anyhow::{Result, bail};
use xshell::{Cmd, Shell, cmd};

/// Workspaces of their own, beside the one at the root.
const OTHERS: [&str; 2] = ["benches/compare/Cargo.toml", "fuzz/Cargo.toml"];

/// Code is formatted by rustfmt, in the workspaces that stand beside this one too: that compiles none of what
/// they depend on.
pub(crate) fn fmt(shell: &Shell) -> Result<()> {
    let others = OTHERS.map(|manifest| cmd!(shell, "cargo fmt --manifest-path {manifest} --check"));
    run_each(std::iter::once(cmd!(shell, "cargo fmt --all --check")).chain(others))
}

/// No warning of clippy: the workspace with its tests, then the engine alone as small devices build it
/// (in the workspace, feature unification always gives it `std`).
pub(crate) fn clippy(shell: &Shell) -> Result<()> {
    run_each([
        cmd!(shell, "cargo clippy --workspace --all-targets -- -D warnings"),
        cmd!(shell, "cargo clippy --package blockyard-core --no-default-features -- -D warnings"),
        cmd!(
            shell,
            "cargo clippy --package blockyard-core --no-default-features --features alloc -- -D warnings"
        ),
        cmd!(
            shell,
            "cargo clippy --package blockyard-core --no-default-features --features async -- -D warnings"
        ),
    ])
}

/// All tests of the workspace. CI reads the closing lines of plain `cargo test`.
pub(crate) fn unit(shell: &Shell) -> Result<()> {
    run_each([cmd!(shell, "cargo test --workspace --no-fail-fast")])
}

/// Documentation builds without a warning and its examples pass.
pub(crate) fn doc(shell: &Shell) -> Result<()> {
    run_each([
        cmd!(shell, "cargo doc --workspace --no-deps").env("RUSTDOCFLAGS", "-Dwarnings"),
        cmd!(shell, "cargo test --doc --workspace --no-fail-fast"),
    ])
}

/// Runs every command, with its output going to ours, and fails when any of them failed.
pub(crate) fn run_each<'a>(commands: impl IntoIterator<Item = Cmd<'a>>) -> Result<()> {
    let mut failures = Vec::new();
    for command in commands {
        if let Err(error) = command.run() {
            eprintln!("{error}");
            failures.push(error.to_string());
        }
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}
