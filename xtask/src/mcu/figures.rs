//! What images weigh and what calls take, as tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use super::board::Board;
use super::elf::Image;

/// Where the tables go, between these lines.
const PAGE: &str = "docs/EMBEDDED.md";
const BEGIN: &str = "<!-- figures: written by `cargo xtask mcu --write` -->";
const END: &str = "<!-- end of figures -->";

/// Images that are weighed, and what they do.
const IMAGES: [(&str, &str); 5] = [
    ("read", "read-only"),
    ("write", "read-write"),
    ("put", "read-write, one change a commit"),
    ("full", "full"),
    (ASYNCHRONOUS, "read-write, asynchronous"),
];

/// The image that may be able to panic: the compiler puts a panic into each future, for one that is polled after its end.
const ASYNCHRONOUS: &str = "write-async";

/// Tables as they grow.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    weights: String,
    sizes: String,
    calls: String,
    wear: String,
}

/// A line of the firmware's: words of the form key=value.
pub(crate) type Line<'s> = BTreeMap<&'s str, &'s str>;

/// The words of a line.
pub(crate) fn fields(line: &str) -> Line<'_> {
    line.split_whitespace().filter_map(|word| word.split_once('=')).collect()
}

impl Figures {
    /// Weighs the images of a board in `folder`. None of the blocking ones may be able to panic.
    pub(crate) fn weigh(&mut self, shell: &Shell, folder: &Path, board: &Board) -> Result<()> {
        let base = Image::read(&board.image(folder, "base"))?;
        let toolchain = board.toolchain(shell)?;
        let version = toolchain.rustc_version(shell)?;
        for (name, what) in IMAGES {
            let image = Image::read(&board.image(folder, name))?;
            ensure!(image.text > base.text, "the image {name} is empty");
            let (text, rodata) = (image.text - base.text, image.rodata.saturating_sub(base.rodata));
            let panics = image.panics();
            writeln!(
                self.weights,
                "| {} | {what} | {text} | {rodata} | {} | {} | {version} |",
                board.triple,
                image.variables,
                panics.len()
            )?;
            ensure!(
                panics.is_empty() || name == ASYNCHRONOUS,
                "the {what} image can panic: {}",
                panics.join(", ")
            );
        }
        Ok(())
    }

    /// Takes in what the program `measure` said on a board, and compares it with what is documented.
    pub(crate) fn measure(&mut self, board: &Board, said: &str) -> Result<()> {
        let (mut job, mut calls) = ("", 0);
        for line in said.lines() {
            let line = fields(line);
            let get = |key| line.get(key).copied().with_context(|| format!("a line without {key}: {line:?}"));
            if let Some(name) = line.get("job") {
                job = name;
            } else if let Some(size) = line.get("size") {
                writeln!(self.sizes, "| {} | {size} | {} |", board.name, get("bytes")?)?;
            } else if let Some(call) = line.get("call").filter(|_| line.get("calls") != Some(&"0")) {
                calls += 1;
                writeln!(
                    self.calls,
                    "| {} | {job} | {call} | {} | {} | {} | {} | {} | {} | {} | {} |",
                    board.name,
                    get("calls")?,
                    get("mean")?,
                    get("most")?,
                    get("stack")?,
                    get("reads")?,
                    get("writes")?,
                    get("sectors")?,
                    get("syncs")?
                )?;
                if *call == "commit" {
                    let (sectors, syncs): (u64, u64) = (get("sectors")?.parse()?, get("syncs")?.parse()?);
                    ensure!(syncs == 1, "a durable commit is one sync, not {syncs}");
                    ensure!(sectors <= 3, "a small commit writes three pages at most, not {sectors}");
                }
                let over = line.get("over").copied().unwrap_or("0");
                ensure!(over == "0", "{call}: {over} calls asked more of the device than is documented");
            }
        }
        ensure!(calls >= 16, "only {calls} kinds of calls were measured");
        Ok(())
    }

    /// Takes in what the program `asynchronous` said on a board: what its futures take.
    pub(crate) fn futures(&mut self, board: &Board, said: &str) -> Result<()> {
        let mut futures = 0;
        for line in said.lines().map(fields) {
            if let (Some(size), Some(bytes)) = (line.get("size"), line.get("bytes")) {
                futures += 1;
                writeln!(self.sizes, "| {} | {} | {bytes} |", board.name, size.replace('-', " "))?;
            }
        }
        ensure!(futures >= 5, "only {futures} kinds of futures were measured");
        Ok(())
    }

    /// Takes in what the example `wear` said.
    pub(crate) fn wear(&mut self, said: &str) -> Result<()> {
        let mut device = String::new();
        for line in said.lines() {
            let line = fields(line);
            let get = |key| line.get(key).copied().with_context(|| format!("a line without {key}: {line:?}"));
            if let Some(name) = line.get("device") {
                let name = name.replace('-', " ").replace(',', ", ");
                device = format!("{name} | {} | {}", get("changes")?, get("checkpoints")?);
            } else if let Some(zone) = line.get("zone") {
                let zone = zone.replace('-', " ");
                let [units, most, mean, deviation] =
                    [get("units")?, get("most")?, get("mean")?, get("deviation")?];
                writeln!(self.wear, "| {device} | {zone} | {units} | {most} | {mean} | {deviation} % |")?;
            }
        }
        ensure!(!self.wear.is_empty(), "no figures of wear");
        Ok(())
    }

    /// All tables.
    pub(crate) fn table(&self) -> String {
        let Self { weights, sizes, calls, wear } = self;
        format!(
            "| target | build | .text | .rodata | variables | panic symbols | compiler |\n\
             |---|---|---|---|---|---|---|\n{weights}\n\
             | processor | RAM of | bytes |\n|---|---|---|\n{sizes}\n\
             | processor | job | call | calls | instructions, mean | most | stack | reads | writes | sectors written \
             | syncs |\n|---|---|---|---|---|---|---|---|---|---|---|\n{calls}\n\
             | device | overlay | checkpoints | zone | units | most writes | mean | deviation |\n\
             |---|---|---|---|---|---|---|---|\n{wear}"
        )
    }
}

/// Puts the tables into the page.
pub(crate) fn write(shell: &Shell, table: &str) -> Result<()> {
    let page = shell.read_file(PAGE)?;
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("{PAGE} has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PAGE} has no line {END}"))?;
    shell.write_file(PAGE, format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))?;
    println!("{PAGE} is written");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart() {
        let line = fields("call=get calls=3 mean=10");
        assert_eq!((line["call"], line["calls"], line.get("over")), ("get", "3", None));
    }
}
