//! Blockyard beside other stores for bare flash: the same work on the same chip. Measured, not checked; only when
//! the figures are written down.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use super::FIRMWARE;
use super::board::{self, Board};
use super::elf::Image;
use super::figures::fields;
use crate::setup::debian;

const PACKAGE: [&str; 2] = ["--package", "blockyard-firmware-beside"];

/// Stores as the lines name them, and their images.
const STORES: [(&str, &str); 3] = [
    ("Blockyard", "weigh-blockyard"),
    ("ekv-1.0.0", "weigh-ekv"),
    ("sequential-storage-8.0.2", "weigh-sequential"),
];

/// A store that is compiled from C, and what compiles it: a library that reads C's headers, a compiler for the chip.
const FROM_C: (&str, &str) = ("littlefs2-0.8.1", "weigh-littlefs");
const COMPILERS: [&str; 3] = ["libclang-dev", "gcc-arm-none-eabi", "libnewlib-arm-none-eabi"];

/// Words for the library that reads C's headers, when it reads them for the chip.
const CLANG_ARGS: &str = "BINDGEN_EXTRA_CLANG_ARGS_thumbv7em_none_eabi";

/// Where it finds `stdint.h` and its like: of the newest libclang on a machine they may not be there, and so those are named
/// that the compiler for the chip looks through.
fn headers_for_chip(shell: &Shell) -> Result<String> {
    let said = cmd!(shell, "arm-none-eabi-gcc -x c -E -v -").stdin("").read_stderr()?;
    let lines = said.lines().skip_while(|line| !line.starts_with("#include <")).skip(1);
    let folders: Vec<_> = lines.take_while(|line| line.starts_with(' ')).map(str::trim).collect();
    ensure!(!folders.is_empty(), "arm-none-eabi-gcc does not say where its headers are:\n{said}");
    Ok(folders.iter().map(|folder| format!("-isystem{folder}")).collect::<Vec<_>>().join(" "))
}

/// The table.
pub(crate) fn table(shell: &Shell, board: &Board) -> Result<String> {
    let folder = board::folder(shell);
    let mut stores = STORES.to_vec();
    let mut features: &[&str] = &[];
    if let Err(error) = debian::require(shell, &COMPILERS) {
        println!("without {}: {error:#}", FROM_C.0);
    } else {
        stores.insert(1, FROM_C);
        features = &["--features", "littlefs"];
    }
    let headers = if features.is_empty() { String::new() } else { headers_for_chip(shell)? };
    let said = {
        let _inside = shell.push_dir(FIRMWARE);
        let run = cmd!(shell, "cargo run --quiet {PACKAGE...} {features...} --bin operations");
        let said = run.env("CARGO_TARGET_DIR", &folder).read()?;
        for bin in stores.iter().map(|(_, bin)| *bin).chain(["weigh-base"]) {
            let words = ["build", "--quiet", "--release", "--bin", bin, "--target", board.triple];
            let build = board.toolchain(shell)?.cargo(shell).args(words).args(PACKAGE).args(features);
            // Flags of ours would replace the firmware's.
            let build = build.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
            let build = if features.is_empty() { build } else { build.env(CLANG_ARGS, &headers) };
            build.env("CARGO_TARGET_DIR", &folder).run()?;
        }
        said
    };
    let base = Image::read(&board.image(&folder, "weigh-base"))?.text;
    let mut table = String::from(
        "| store | .text | a commit: reads | bytes read | programs | bytes programmed | erasures | most erasures \
         | a get: reads | bytes read |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (store, image) in stores {
        let line = said.lines().map(fields).find(|line| line.get("store") == Some(&store));
        let line = line.with_context(|| format!("no figures of {store}"))?;
        let text = Image::read(&board.image(&folder, image))?.text - base;
        write!(
            table,
            "| {} | {text} |",
            store.replace("-1", " 1").replace("-8", " 8").replace("2-0", "2 0")
        )?;
        for key in [
            "reads",
            "bytes-read",
            "programs",
            "bytes-programmed",
            "erases",
            "most-erases",
            "get-reads",
            "get-bytes",
        ] {
            write!(table, " {} |", line.get(key).with_context(|| format!("no {key} of {store}"))?)?;
        }
        table.push('\n');
    }
    Ok(table)
}
