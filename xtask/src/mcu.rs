//! `cargo xtask mcu`: the engine on microcontrollers. The firmware is built for three processors, run under
//! QEMU with power cut at every operation, weighed and measured; files go from world to world.

mod beside;
mod board;
mod elf;
mod figures;
mod worlds;

use std::path::Path;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use xshell::{Shell, cmd};

use crate::setup::debian;
use crate::tally::Tally;
use board::{BOARDS, Board, Pace};
use figures::Figures;

/// The firmware's workspace.
const FIRMWARE: &str = "firmware";

/// Cuts that a campaign over every operation comes to, at least.
const CUTS: u32 = 500;

/// Futures that the asynchronous engine's program drops, at least.
const DROPS: u32 = 100;

/// What to do besides the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct Arguments {
    /// Measure other stores beside it, and write the figures into docs/EMBEDDED.md
    #[arg(long)]
    write: bool,
    /// Under QEMU cut one operation in so many (on the host every one is cut in any case)
    #[arg(long, default_value_t = 1)]
    stride: u32,
}

impl Arguments {
    /// What a run of all steps has time for.
    pub(crate) const fn budgeted() -> Self {
        Self { write: false, stride: 7 }
    }
}

/// What a board's programs said.
struct Ran {
    measured: Result<String>,
    cut: Result<String>,
    dropped: Result<String>,
}

/// Builds, runs, checks, prints the table.
pub(crate) fn run(shell: &Shell, arguments: &Arguments) -> Result<()> {
    let mut tally = Tally::default();
    let stride = arguments.stride.max(1);
    require_machines(shell)?;
    tally.record("firmware: formatted", formatted(shell));
    let folder = board::folder(shell);
    let mut figures = Figures::default();
    // A board's programs run while the next one's are compiled.
    thread::scope(|scope| {
        let mut running = Vec::new();
        for board in &BOARDS {
            let built = board.build(shell);
            let is_built = built.is_ok();
            tally.record(&format!("{}: builds", board.name), built);
            if is_built {
                let folder = &folder;
                running.push((board, scope.spawn(move || ran(folder, board, stride))));
            }
        }
        tally.record("firmware: no warning of clippy", linted(shell));
        tally.record("firmware: its work and its adapters pass on a host", tested_here(shell));
        let wear = worn(shell).and_then(|said| figures.wear(&said));
        tally.record("wear of 100,000 commits is spread", wear);
        for (board, running) in running {
            let name = board.name;
            let Ran { measured, cut, dropped } = running.join().unwrap_or_else(|_| Ran::panicked());
            tally.record(&format!("{name}: weighed, and cannot panic"), figures.weigh(shell, &folder, board));
            let measured = measured.and_then(|said| figures.measure(board, &said));
            tally.record(&format!("{name}: measured, no call above its bound"), measured);
            let cut = cut.and_then(|said| enough_cuts(&said, stride));
            tally.record(&format!("{name}: operations cut by a reset"), cut);
            let dropped = dropped.and_then(|said| {
                enough_drops(&said)?;
                figures.futures(board, &said)
            });
            tally.record(&format!("{name}: futures dropped at every wait"), dropped);
        }
    });
    let built = worlds::build(shell);
    let is_built = built.is_ok();
    tally.record("the command line builds", built);
    if is_built {
        let [first, ..] = &BOARDS;
        tally.record(
            "a file of the host's: operations cut by a reset",
            cut_in_file(shell, &folder, first, stride),
        );
        worlds::check(shell, &mut tally)?;
    }
    let mut table = figures.table();
    if arguments.write {
        let [first, ..] = &BOARDS;
        table = format!("{table}\n{}", beside::table(shell, first)?);
        figures::write(shell, &table)?;
    }
    println!("\n{table}");
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

/// What of the firmware can be compiled for this host.
const PACKAGES: [&str; 6] = [
    "--package",
    "blockyard-firmware-work",
    "--package",
    "blockyard-cards",
    "--package",
    "blockyard-firmware-copies",
];

fn linted(shell: &Shell) -> Result<()> {
    let folder = board::folder(shell);
    let _inside = shell.push_dir(FIRMWARE);
    let clippy = cmd!(shell, "cargo clippy --quiet {PACKAGES...} --all-targets -- -D warnings");
    Ok(clippy.env("CARGO_TARGET_DIR", &folder).run()?)
}

/// The campaign and its broken twin, the bounds, and the adapters of cards and chips, on the host.
fn tested_here(shell: &Shell) -> Result<()> {
    let folder = board::folder(shell);
    let _inside = shell.push_dir(FIRMWARE);
    let test = cmd!(shell, "cargo test --quiet {PACKAGES...}");
    Ok(test.env("CARGO_TARGET_DIR", &folder).run()?)
}

/// How often each unit of a device is written.
fn worn(shell: &Shell) -> Result<String> {
    let folder = board::folder(shell);
    let _inside = shell.push_dir(FIRMWARE);
    let wear = cmd!(shell, "cargo run --quiet --package blockyard-firmware-work --example wear");
    Ok(wear.env("CARGO_TARGET_DIR", &folder).read()?)
}

impl Ran {
    fn panicked() -> Self {
        let failed = || Err(anyhow!("the thread that runs QEMU panicked"));
        Self { measured: failed(), cut: failed(), dropped: failed() }
    }
}

/// Runs what a board runs without files.
fn ran(folder: &Path, board: &Board, stride: u32) -> Ran {
    let measured = board.run(folder, Pace::Counted, "measure", &[]);
    let cut = board.run(folder, Pace::Free, "powercut", &["ram", &stride.to_string()]);
    let dropped = board.run(folder, Pace::Free, "asynchronous", &[]);
    Ran { measured, cut, dropped }
}

/// Says what the asynchronous engine did, and that it was not nothing.
fn enough_drops(said: &str) -> Result<()> {
    let line = said.lines().find_map(|line| line.strip_prefix("asynchronous: "));
    let line = line.context("the program did not say what it did")?;
    println!("  {line}");
    let drops: u32 = line.split(' ').next().unwrap_or_default().parse()?;
    ensure!(drops >= DROPS, "only {drops} futures dropped");
    Ok(())
}

/// Says what the campaign did, and that it was not nothing.
fn enough_cuts(said: &str, stride: u32) -> Result<()> {
    let line = said.lines().find_map(|line| line.strip_prefix("powercut: "));
    let line = line.context("the program did not say what it did")?;
    println!("  {line}");
    let resets: u32 = line.split(' ').next().unwrap_or_default().parse()?;
    ensure!(resets >= CUTS / stride, "only {resets} resets");
    Ok(())
}

fn cut_in_file(shell: &Shell, images: &Path, board: &Board, stride: u32) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = worlds::empty_file(&folder.path().join("cut.by"), 96 << 10)?;
    let said = board.run(images, Pace::Free, "powercut", &[&file, &stride.to_string()])?;
    enough_cuts(&said, stride)?;
    worlds::verified(shell, &file)
}
