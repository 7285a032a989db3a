//! What images weigh and what calls take, as tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use super::board::Board;
use super::elf::Image;

/// Where the tables go, between these lines.
const PAGE: &str = "docs/EMBEDDED.md";
const BEGIN: &str = "<!-- figures: written by `cargo xtask mcu --write` -->";
const END: &str = "<!-- end of figures -->";

/// Images that are weighed, and what they do.
const IMAGES: [(&str, &str); 3] = [("read", "read-only"), ("write", "read-write"), ("full", "full")];

/// Tables as they grow.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    weights: String,
    sizes: String,
    calls: String,
}

/// A line of the firmware's: words of the form key=value.
type Line<'s> = BTreeMap<&'s str, &'s str>;

fn fields(line: &str) -> Line<'_> {
    line.split_whitespace().filter_map(|word| word.split_once('=')).collect()
}

impl Figures {
    /// Weighs the images of a board.
    pub(crate) fn weigh(&mut self, shell: &Shell, board: &Board) -> Result<()> {
        let base = Image::read(&board.image(shell, "base"))?;
        let toolchain = board.toolchain(shell)?;
        let version = toolchain.rustc_version(shell)?;
        for (name, what) in IMAGES {
            let image = Image::read(&board.image(shell, name))?;
            ensure!(image.text > base.text, "the image {name} is empty");
            let (text, rodata) = (image.text - base.text, image.rodata.saturating_sub(base.rodata));
            let panics = image.panics().len();
            writeln!(
                self.weights,
                "| {} | {what} | {text} | {rodata} | {} | {panics} | {version} |",
                board.triple, image.variables
            )?;
        }
        Ok(())
    }

    /// Measures calls on a board and compares them with what is documented.
    pub(crate) fn measure(&mut self, shell: &Shell, board: &Board) -> Result<()> {
        let said = board.run(shell, "measure", &[])?;
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

    /// All tables.
    pub(crate) fn table(&self) -> String {
        let Self { weights, sizes, calls } = self;
        format!(
            "| target | build | .text | .rodata | variables | panic symbols | compiler |\n\
             |---|---|---|---|---|---|---|\n{weights}\n\
             | processor | RAM of | bytes |\n|---|---|---|\n{sizes}\n\
             | processor | job | call | calls | instructions, mean | most | stack | reads | writes | sectors written \
             | syncs |\n|---|---|---|---|---|---|---|---|---|---|---|\n{calls}"
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
