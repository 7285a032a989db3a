//! `cargo xtask mcu`: the engine on microcontrollers. The firmware is built for three processors, run under
//! QEMU with power cut at every operation, weighed and measured; files go from world to world.

mod board;
mod elf;
mod figures;
mod worlds;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::setup::debian;
use crate::tally::Tally;
use board::{BOARDS, Board};
use figures::Figures;

/// The firmware's workspace.
const FIRMWARE: &str = "firmware";

/// What to do besides the checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Arguments {
    /// Write the figures into docs/EMBEDDED.md
    #[arg(long)]
    write: bool,
}

/// Builds, runs, checks, prints the table.
pub(crate) fn run(shell: &Shell, arguments: &Arguments) -> Result<()> {
    let mut tally = Tally::default();
    require_machines(shell)?;
    tally.record("firmware: formatted", formatted(shell));
    tally.record("firmware: its work and its adapters pass on a host", tested_here(shell));
    let mut figures = Figures::default();
    for board in &BOARDS {
        let built = board.build(shell);
        let name = board.name;
        let is_built = built.is_ok();
        tally.record(&format!("{name}: builds"), built);
        if !is_built {
            continue;
        }
        tally.record(&format!("{name}: weighed"), figures.weigh(shell, board));
        tally.record(&format!("{name}: measured, no call above its bound"), figures.measure(shell, board));
        tally.record(&format!("{name}: every operation cut by a reset"), cut(shell, board, None));
    }
    let [first, ..] = &BOARDS;
    tally.record("a file of the host's: every operation cut by a reset", cut_in_file(shell, first));
    worlds::check(shell, &mut tally)?;
    let table = figures.table();
    println!("\n{table}");
    if arguments.write {
        figures::write(shell, &table)?;
    }
    tally.finish()
}

/// QEMU, from Debian's packages if it is missing.
fn require_machines(shell: &Shell) -> Result<()> {
    let missing = BOARDS.iter().any(|board| {
        let program = board.machine.program();
        cmd!(shell, "{program} --version").quiet().ignore_stdout().ignore_stderr().run().is_err()
    });
    if !missing {
        return Ok(());
    }
    debian::require(shell, &["qemu-system-arm", "qemu-system-misc"]).context("QEMU is missing")
}

fn formatted(shell: &Shell) -> Result<()> {
    let manifest = format!("{FIRMWARE}/Cargo.toml");
    Ok(cmd!(shell, "cargo fmt --manifest-path {manifest} --all --check").run()?)
}

/// The campaign and its broken twin, the bounds, and the adapters of cards and chips, on the host.
fn tested_here(shell: &Shell) -> Result<()> {
    let folder = board::folder(shell);
    let _inside = shell.push_dir(FIRMWARE);
    let packages = ["--package", "blockyard-firmware-work", "--package", "blockyard-cards"];
    let clippy = cmd!(shell, "cargo clippy --quiet {packages...} --all-targets -- -D warnings");
    clippy.env("CARGO_TARGET_DIR", &folder).run()?;
    let test = cmd!(shell, "cargo test --quiet --release {packages...}");
    Ok(test.env("CARGO_TARGET_DIR", &folder).run()?)
}

/// Runs the campaign on the machine's RAM disk, or on a file.
fn cut(shell: &Shell, board: &Board, file: Option<&str>) -> Result<()> {
    let said = board.run(shell, "powercut", &[file.unwrap_or("ram")])?;
    let line = said.lines().find(|line| line.starts_with("powercut:"));
    println!("  {}", line.context("the program did not say what it did")?);
    Ok(())
}

fn cut_in_file(shell: &Shell, board: &Board) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = worlds::empty_file(&folder.path().join("cut.by"), 96 << 10)?;
    cut(shell, board, Some(&file))?;
    worlds::verified(shell, &file)
}
