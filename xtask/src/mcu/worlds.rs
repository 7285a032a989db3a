//! One file, several worlds: the firmware, the command line, the engine on this host, and the images that
//! earlier versions and other shells left.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use blockyard_core::format::Superblock;
use blockyard_core::{Digest, Hasher};
use xshell::{Shell, cmd};

use super::board::{BOARDS, Board, Pace};
use crate::tally::Tally;
use crate::toolchain::build_folder;

/// Images that go through all worlds, and where they are.
const IMAGES: [&str; 2] = ["core/tests/golden", "wasm-shell/tests/golden"];

/// What a store holds, as a world sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    blocks: u64,
    bytes: u64,
    /// Over names, lengths and digests, in order.
    content: String,
}

/// A file of zeros; its name for the firmware.
pub(crate) fn empty_file(path: &Path, length: u64) -> Result<String> {
    std::fs::File::create(path)?.set_len(length)?;
    Ok(path.to_str().context("the temporary folder's name is not Unicode")?.to_owned())
}

/// Builds the command line.
pub(crate) fn build(shell: &Shell) -> Result<()> {
    Ok(cmd!(shell, "cargo build --quiet --package blockyard-cli").run()?)
}

/// The command line says that every byte is right.
pub(crate) fn verified(shell: &Shell, file: &str) -> Result<()> {
    Ok(blockyard(shell, &["verify", file]).quiet().ignore_stdout().run()?)
}

fn blockyard<'a>(shell: &'a Shell, words: &[&str]) -> xshell::Cmd<'a> {
    let program = build_folder(shell, "debug").join("blockyard");
    cmd!(shell, "{program} {words...}")
}

/// The program that works on files, for a file of the host's.
fn station(shell: &Shell, board: &Board, words: &[&str]) -> Result<String> {
    board.run(&super::board::folder(shell), Pace::Free, "station", words)
}

/// Checks files across worlds.
pub(crate) fn check(shell: &Shell, tally: &mut Tally) -> Result<()> {
    let folder = tempfile::tempdir()?;
    for board in &BOARDS {
        let path = folder.path().join("made.by");
        let there_and_back = made_by_firmware(shell, board, &path);
        tally.record(
            &format!("{}: its file opened, verified, extended by the command line", board.name),
            there_and_back,
        );
        let path = folder.path().join("given.by");
        let given = made_by_command_line(shell, board, &path);
        tally.record(&format!("{}: a file of the command line opened and extended", board.name), given);
    }
    let mut images = Vec::new();
    for folder in IMAGES {
        let Ok(entries) = std::fs::read_dir(shell.current_dir().join(folder)) else { continue };
        images.extend(entries.flatten().map(|entry| entry.path()));
    }
    images.retain(|path| path.extension().is_some_and(|it| it == "by"));
    images.sort();
    for image in &images {
        let name = image.file_name().unwrap_or_default().to_string_lossy();
        let result = same_everywhere(shell, image, &folder.path().join("image.by"));
        tally.record(&format!("{name}: the same root digest and content in all worlds"), result);
    }
    tally.record("images of earlier versions were found", {
        let found = images.len();
        if found > 0 { Ok(()) } else { Err(anyhow::anyhow!("none in {IMAGES:?}")) }
    });
    Ok(())
}

/// The firmware makes a store and leaves its journal full; the command line recovers and extends it; the
/// firmware sees what the command line sees.
fn made_by_firmware(shell: &Shell, board: &Board, path: &Path) -> Result<()> {
    let file = empty_file(path, 96 << 10)?;
    let said = station(shell, board, &[&file, "make"])?;
    ensure!(
        said.contains("pending=") && !said.contains("pending=0"),
        "the journal is to be left full: {said}"
    );
    verified(shell, &file)?;
    put(shell, &file, "from/command-line", "written by the command line")?;
    agree(shell, board, &file)?;
    station(shell, board, &[&file, "extend", "again/"])?;
    verified(shell, &file)?;
    agree(shell, board, &file)
}

/// The command line makes a store; the firmware extends it; the command line reads what the firmware wrote.
fn made_by_command_line(shell: &Shell, board: &Board, path: &Path) -> Result<()> {
    let file = path.to_str().context("the temporary folder's name is not Unicode")?;
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    blockyard(shell, &["create", file, "--journal-size", "64K"]).quiet().ignore_stdout().run()?;
    for number in 0..3 {
        put(shell, file, &format!("desk/{number}"), &"text ".repeat(1 + 400 * number))?;
    }
    agree(shell, board, file)?;
    station(shell, board, &[file, "extend", "card/"])?;
    verified(shell, file)?;
    agree(shell, board, file)?;
    let read = blockyard(shell, &["get", file, "card/3"]).quiet().read()?;
    ensure!(read == "card/".repeat(140), "the firmware wrote another value: {read}");
    Ok(())
}

fn put(shell: &Shell, file: &str, name: &str, value: &str) -> Result<()> {
    Ok(blockyard(shell, &["put", file, name]).stdin(value).quiet().ignore_stdout().run()?)
}

/// An image: the firmware of every board and the command line see the same, and nobody changes a byte.
fn same_everywhere(shell: &Shell, image: &Path, copy: &Path) -> Result<()> {
    let mut bytes = std::fs::read(image)?;
    // Golden images end where their zeros begin.
    bytes.resize(bytes.len().max(512 << 10), 0);
    for board in &BOARDS {
        std::fs::write(copy, &bytes)?;
        let file = copy.to_str().context("the temporary folder's name is not Unicode")?;
        agree(shell, board, file)?;
        ensure!(std::fs::read(copy)? == bytes, "reading changed the file");
    }
    Ok(())
}

/// Firmware and command line see the same content, and the root digest that is in the file.
fn agree(shell: &Shell, board: &Board, file: &str) -> Result<()> {
    let said = station(shell, board, &[file, "look"])?;
    let there = seen_by_firmware(&said)?;
    let here = seen_by_command_line(shell, file)?;
    ensure!(there == here, "the firmware sees {there:?}, the command line {here:?}");
    let root = word(&said, "root=")?;
    let newest = newest_root(&std::fs::read(file)?).context("no superblock")?;
    ensure!(root == newest.to_string(), "the root digest is {root} there and {newest} in the file");
    Ok(())
}

/// The root digest of the newest superblock.
fn newest_root(bytes: &[u8]) -> Option<Digest> {
    let copies = (0..4_u32).filter_map(|slot| {
        let copy = Superblock::read(bytes.get(slot as usize * 4096..)?)?;
        copy.is_valid(slot).then_some(copy)
    });
    copies.max_by_key(|copy| copy.generation.get()).map(|copy| Digest(copy.root_digest))
}

fn seen_by_firmware(said: &str) -> Result<Seen> {
    let number = |key| Ok::<u64, anyhow::Error>(word(said, key)?.parse()?);
    let content = word(said.split_once("content ").context("no content")?.1, "digest=")?.to_owned();
    Ok(Seen { blocks: number("blocks=")?, bytes: number("bytes=")?, content })
}

/// The word behind a key.
fn word<'s>(said: &'s str, key: &str) -> Result<&'s str> {
    let (_, rest) = said.split_once(key).with_context(|| format!("no {key} in: {said}"))?;
    Ok(rest.split_whitespace().next().unwrap_or_default())
}

fn seen_by_command_line(shell: &Shell, file: &str) -> Result<Seen> {
    let listed = blockyard(shell, &["ls", file, "--json"]).quiet().read()?;
    let mut hasher = Hasher::new();
    let mut seen = Seen { blocks: 0, bytes: 0, content: String::new() };
    for line in listed.lines() {
        let block: serde_json::Value = serde_json::from_str(line)?;
        let name = match (block["name"].as_str(), block["name_hex"].as_str()) {
            (Some(name), _) => name.as_bytes().to_vec(),
            (None, Some(hex)) => unhex(hex)?,
            _ => anyhow::bail!("a block without a name: {line}"),
        };
        let length = block["length"].as_u64().context("a block without a length")?;
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(&length.to_le_bytes());
        hasher.update(&name);
        hasher.update(&unhex(block["digest"].as_str().context("a block without a digest")?)?);
        seen.blocks += 1;
        seen.bytes += length;
    }
    seen.content = hasher.finish().to_string();
    Ok(seen)
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair)?;
        Ok(u8::from_str_radix(pair, 16)?)
    });
    pairs.collect()
}
