//! The boards: what compiles for them and what runs it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use xshell::Shell;

use super::FIRMWARE;
use crate::child::{self, Echo};
use crate::toolchain::{TARGETS, Target, Toolchain, build_folder};

/// A machine of QEMU's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    /// By this name, of Arm's.
    Arm(&'static str),
    /// RISC-V of 32 bits, `virt`.
    RiscV,
}

/// A processor on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Board {
    pub(crate) name: &'static str,
    pub(crate) triple: &'static str,
    pub(crate) machine: Machine,
}

/// Every board; the first one is the one that files go through.
pub(crate) const BOARDS: [Board; 3] = [
    Board { name: "Cortex-M4", triple: "thumbv7em-none-eabi", machine: Machine::Arm("mps2-an386") },
    // Code for a Cortex-M0, on a Cortex-M3: QEMU's only M0 has 16 KiB of RAM and no other.
    Board { name: "Cortex-M0 code", triple: "thumbv6m-none-eabi", machine: Machine::Arm("mps2-an385") },
    Board { name: "RISC-V", triple: "riscv32imac-unknown-none-elf", machine: Machine::RiscV },
];

/// A program that takes longer hangs: the longest takes half a minute on a machine that is idle, and a machine
/// that does other work besides may be slower many times over.
const PATIENCE: Duration = Duration::from_secs(1800);

/// How time goes by on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As it comes: nothing in the program depends on it.
    Free,
    /// A nanosecond an instruction, so that instructions can be counted.
    Counted,
}

/// Where the firmware is built.
pub(crate) fn folder(shell: &Shell) -> PathBuf {
    build_folder(shell, "mcu")
}

impl Machine {
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Arm(_) => "qemu-system-arm",
            Self::RiscV => "qemu-system-riscv32",
        }
    }

    fn words(self) -> Vec<&'static str> {
        match self {
            Self::Arm(name) => vec!["-M", name],
            Self::RiscV => vec!["-M", "virt", "-bios", "none"],
        }
    }
}

impl Board {
    fn target(&self) -> Result<Target> {
        let found = TARGETS.into_iter().find(|target| target.triple == self.triple);
        found.context("the target is not one of those that the checks need")
    }

    /// The toolchain that compiles for it.
    pub(crate) fn toolchain(&self, shell: &Shell) -> Result<Toolchain> {
        let missing = || format!("no toolchain can compile for {}; run `cargo xtask setup`", self.triple);
        Toolchain::with_target(shell, self.target()?).with_context(missing)
    }

    /// Builds the images that are weighed and those that are run: apart, for they want other panics.
    pub(crate) fn build(&self, shell: &Shell) -> Result<()> {
        let toolchain = self.toolchain(shell)?;
        let folder = folder(shell);
        // Its configuration is read from the folder that cargo runs in.
        let _inside = shell.push_dir(FIRMWARE);
        for package in ["blockyard-firmware-sizes", "blockyard-firmware-programs"] {
            let cargo = toolchain.cargo(shell).args(["build", "--quiet", "--release", "--package", package]);
            // Flags of ours would replace the firmware's.
            let cargo = cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
            cargo.args(["--target", self.triple]).env("CARGO_TARGET_DIR", &folder).run()?;
        }
        Ok(())
    }

    /// An image that was built in `folder`.
    pub(crate) fn image(&self, folder: &Path, name: &str) -> PathBuf {
        folder.join(self.triple).join("release").join(name)
    }

    /// Runs a program of `folder` with these words on its command line; what it said.
    pub(crate) fn run(&self, folder: &Path, pace: Pace, program: &str, words: &[&str]) -> Result<String> {
        let mut semihosting = format!("enable=on,target=native,arg={program}");
        for word in words {
            ensure!(!word.contains(','), "QEMU takes a comma for the end of a word: {word}");
            semihosting.push_str(",arg=");
            semihosting.push_str(word);
        }
        let mut command = Command::new(self.machine.program());
        // By itself QEMU keeps what it has translated until it holds a gigabyte.
        command.args(self.machine.words()).args(["-nographic", "-accel", "tcg,tb-size=64"]);
        if pace == Pace::Counted {
            command.args(["-icount", "shift=0"]);
        }
        command.args(["-semihosting-config", &semihosting, "-kernel"]).arg(self.image(folder, program));
        let ended = child::run(command, PATIENCE, Echo::Silent)?;
        if ended.timed_out {
            bail!("{program} hangs; it said:\n{}", child::tail(&ended.output, 10));
        }
        ensure!(ended.success, "{program} failed; it said:\n{}", child::tail(&ended.output, 10));
        Ok(ended.output)
    }
}
