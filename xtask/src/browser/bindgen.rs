//! What makes the JavaScript beside the module: the library of wasm-bindgen in a program of our own. Its command
//! line needs five times as many packages, most of them for a server and a client that nothing here uses.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::tool;

/// What the JavaScript is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Package,
    Tests,
}

/// The program.
#[derive(Debug)]
pub(super) struct Bindgen {
    program: PathBuf,
}

impl Bindgen {
    /// Builds it, in a folder that outlives the checkout; cargo knows what is there already. A copy goes to
    /// `builds`: another checkout's build may replace what is in that folder.
    pub(super) fn build(shell: &Shell, builds: &Path) -> Result<Self> {
        let folder = tool::cache()?.join("bindgen");
        cmd!(shell, "cargo build --quiet --locked --manifest-path bindgen/Cargo.toml")
            .env("CARGO_TARGET_DIR", &folder)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .run()
            .context("the library of wasm-bindgen needs a registry")?;
        let built = folder.join("debug/blockyard-bindgen");
        let program = builds.join("blockyard-bindgen");
        shell.create_dir(builds)?;
        shell.copy_file(built, &program)?;
        Ok(Self { program })
    }

    /// Writes the JavaScript for `module` into a fresh `folder`.
    pub(super) fn run(&self, shell: &Shell, module: &Path, folder: &Path, kind: Kind) -> Result<()> {
        let program = &self.program;
        shell.remove_path(folder)?;
        let run = match kind {
            Kind::Package => cmd!(shell, "{program} {module} {folder} blockyard"),
            Kind::Tests => cmd!(shell, "{program} {module} {folder} tests --tests"),
        };
        Ok(run.run()?)
    }
}
