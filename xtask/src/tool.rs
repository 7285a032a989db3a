//! Cargo's tools from the registry, built once a machine and version.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

/// A tool that `cargo install` builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    /// The package, and the program in it.
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

impl Tool {
    /// The program, built if it is not there yet.
    pub(crate) fn program(self, shell: &Shell) -> Result<PathBuf> {
        let Self { name, version } = self;
        let root = cache()?.join(format!("{name}-{version}"));
        let program = root.join("bin").join(name);
        if program.is_file() {
            return Ok(program);
        }
        println!("{name} {version}: missing; building it once, some minutes");
        cmd!(shell, "cargo install {name} --version ={version} --root {root}")
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .run()
            .with_context(|| {
                format!("cannot build it; `cargo install {name} --version {version}` needs a registry")
            })?;
        if !program.is_file() {
            bail!("cargo installed {name} and {} is not there", program.display());
        }
        Ok(program)
    }
}

/// A folder outside the checkout that outlives it.
pub(crate) fn cache() -> Result<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let folder = given.or_else(home).context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(folder.join("blockyard/tools"))
}
