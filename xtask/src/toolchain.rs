//! Compilers and the targets they can build for.
//!
//! A machine may have a target in its everyday toolchain (rustup downloaded it) or in a toolchain that
//! `cargo xtask setup` linked to Debian's packages. Whether a target is there is never looked up in a
//! list: a tiny crate is compiled for it, which also notices a standard library of another compiler.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::{Cmd, Shell, cmd};

/// A target besides the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The target's name for rustc.
    pub(crate) triple: &'static str,
    /// Crates of the standard library to compile where they cannot be downloaded. `test` is for
    /// `cargo test` on wasm.
    pub(crate) std_crates: &'static str,
    probe: Probe,
}

/// The crate compiled to see whether a target works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Probe {
    crate_type: &'static str,
    source: &'static str,
}

/// A crate for a processor without an operating system.
const BARE: Probe = Probe {
    crate_type: "lib",
    source: "#![no_std] extern crate alloc; pub fn probe() -> alloc::vec::Vec<u8> { alloc::vec::Vec::new() }",
};

/// Every target the checks need.
pub(crate) const TARGETS: [Target; 4] = [
    Target { triple: "thumbv7em-none-eabi", std_crates: "core,alloc", probe: BARE },
    // A Cortex-M0 has no compare-and-swap.
    Target { triple: "thumbv6m-none-eabi", std_crates: "core,alloc", probe: BARE },
    Target { triple: "riscv32imac-unknown-none-elf", std_crates: "core,alloc", probe: BARE },
    Target {
        triple: "wasm32-unknown-unknown",
        std_crates: "std,panic_abort,test",
        // Linked, so a missing linker shows.
        probe: Probe {
            crate_type: "cdylib",
            source: "pub fn probe() -> std::string::String { String::new() }",
        },
    },
];

/// A compiler with its standard libraries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The one that runs this program.
    Default,
    /// Debian's packages under /usr, linked into rustup by this name.
    Debian(&'static str),
}

impl Toolchain {
    /// Where Debian's packages put the compiler.
    pub(crate) const DEBIAN_ROOT: &'static str = "/usr";
    /// Names under which Debian's toolchain is looked for, and linked: the first that is not another's.
    const DEBIAN_NAMES: [&'static str; 2] = ["debian", "blockyard-debian"];

    /// A toolchain that can build for `target`, the everyday one before Debian's.
    pub(crate) fn with_target(shell: &Shell, target: Target) -> Option<Self> {
        [Some(Self::Default), Self::linked_debian(shell)]
            .into_iter()
            .flatten()
            .find(|it| it.has(shell, target))
    }

    /// Debian's toolchain if it is linked.
    pub(crate) fn linked_debian(shell: &Shell) -> Option<Self> {
        let is_debian = |name: &&str| sysroot_of(shell, name).as_deref() == Some(Self::DEBIAN_ROOT);
        Self::DEBIAN_NAMES.into_iter().find(is_debian).map(Self::Debian)
    }

    /// Links Debian's toolchain unless it is linked already.
    pub(crate) fn link_debian(shell: &Shell) -> Result<Self> {
        if let Some(linked) = Self::linked_debian(shell) {
            return Ok(linked);
        }
        let free = |name: &&str| sysroot_of(shell, name).is_none();
        let name = Self::DEBIAN_NAMES.into_iter().find(free).context(
            "the toolchain names \"debian\" and \"blockyard-debian\" are taken by other toolchains; \
             remove one by `rustup toolchain uninstall`",
        )?;
        let root = Self::DEBIAN_ROOT;
        cmd!(shell, "rustup toolchain link {name} {root}").run()?;
        Ok(Self::Debian(name))
    }

    /// Whether a small crate compiles for `target`.
    pub(crate) fn has(&self, shell: &Shell, target: Target) -> bool {
        self.probe(shell, target).is_ok()
    }

    /// Compiles a small crate for `target`; the error carries what the compiler said.
    pub(crate) fn probe(&self, shell: &Shell, target: Target) -> Result<()> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let output = folder.path().join("probe");
        let Target { triple, probe: Probe { crate_type, source }, .. } = target;
        let rustc = self.tool(shell, "rustc").arg("--target").arg(triple).args(["--crate-name", "probe"]);
        let rustc = rustc.args(["--crate-type", crate_type]).arg("-o").arg(output).arg("-").stdin(source);
        let result =
            rustc.quiet().ignore_status().output().with_context(|| format!("cannot run rustc of {self}"))?;
        if !result.status.success() {
            let said = String::from_utf8_lossy(&result.stderr);
            anyhow::bail!("{self} cannot compile for {triple}:\n{}", said.trim());
        }
        Ok(())
    }

    /// The number of this toolchain's compiler.
    pub(crate) fn rustc_version(&self, shell: &Shell) -> Result<String> {
        let said = self.tool(shell, "rustc").arg("--version").quiet().read()?;
        Ok(said.split_whitespace().nth(1).unwrap_or_default().to_owned())
    }

    /// This toolchain's cargo.
    pub(crate) fn cargo<'a>(&self, shell: &'a Shell) -> Cmd<'a> {
        self.tool(shell, "cargo")
    }

    fn tool<'a>(&self, shell: &'a Shell, tool: &str) -> Cmd<'a> {
        match self {
            Self::Default => cmd!(shell, "{tool}"),
            // Cargo told us where it is by CARGO; another toolchain's must not hear of it.
            Self::Debian(name) => cmd!(shell, "rustup run {name} {tool}").env_remove("CARGO"),
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default toolchain"),
            Self::Debian(name) => write!(f, "toolchain \"{name}\""),
        }
    }
}

/// Where a toolchain lives; None if rustup knows none of that name or is not there itself.
fn sysroot_of(shell: &Shell, name: &str) -> Option<String> {
    cmd!(shell, "rustup run {name} rustc --print sysroot")
        .env_remove("CARGO")
        .quiet()
        .ignore_stderr()
        .read()
        .ok()
}

/// Where a step builds that needs flags of its own: below the folder of all builds.
pub(crate) fn build_folder(shell: &Shell, name: &str) -> PathBuf {
    let builds = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    // Relative to the root of the workspace, where the shell stands.
    shell.current_dir().join(builds).join(name)
}
