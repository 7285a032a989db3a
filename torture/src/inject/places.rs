//! Places where there is no room: a small ext4 behind a loop device, a small tmpfs, and a limit on the
//! length of files.
//!
//! 1. What is mounted here is unmounted whatever happens.
//! 2. A place that this machine does not allow is told, and another must do: one file system and the limit
//!    are the least.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::{Arguments, Part};
use crate::account::Account;
use crate::examine::{Care, Standing};
use crate::process::{Running, child_words};
use crate::report::Kind;
use crate::workload::Workload;

/// The number of SIGXFSZ, which says that a file would be longer than it may be.
const SIGXFSZ: i32 = 25;

/// Bytes that are left to a child, one child after the other. The live blocks of a workload come to about
/// 300 KiB, the file of an empty store to 200.
const ROOMS: [u64; 4] = [700 << 10, 500 << 10, 400 << 10, 300 << 10];

const CARE: Care = Care { power_cut: false, read_only_first: true };

/// A small file system.
struct Mounted {
    what: &'static str,
    folder: PathBuf,
    _scratch: tempfile::TempDir,
}

impl Mounted {
    /// An ext4 of 12 MiB in a file.
    fn ext4() -> Result<Self> {
        let scratch = tempfile::tempdir().context("no temporary folder")?;
        let image = scratch.path().join("image");
        std::fs::File::create(&image)?.set_len(12 << 20)?;
        let image = image.to_str().context("a path that is not UTF-8")?.to_owned();
        call("mkfs.ext4", &["-q", "-F", "-m", "0", &image])?;
        Self::mount("ext4", scratch, &["-t", "ext4", "-o", "loop", &image])
    }

    /// A tmpfs of 6 MiB.
    fn tmpfs() -> Result<Self> {
        let scratch = tempfile::tempdir().context("no temporary folder")?;
        Self::mount("tmpfs", scratch, &["-t", "tmpfs", "-o", "size=6m", "none"])
    }

    fn mount(what: &'static str, scratch: tempfile::TempDir, arguments: &[&str]) -> Result<Self> {
        let folder = scratch.path().join("mounted");
        std::fs::create_dir(&folder)?;
        let target = folder.to_str().context("a path that is not UTF-8")?.to_owned();
        let mut all = arguments.to_vec();
        all.push(&target);
        call("mount", &all)?;
        Ok(Self { what, folder, _scratch: scratch })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let folder = self.folder.to_string_lossy();
        // A lazy unmount goes through while somebody still looks at a file.
        if let Err(error) = call("umount", &[&folder]).or_else(|_| call("umount", &["-l", &folder])) {
            eprintln!("{folder} stays mounted: {error:#}");
        }
    }
}

/// Runs a program that says nothing unless it fails.
fn call(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), said.trim());
    Ok(())
}

/// Fills every place that there is.
pub(super) fn run(_: &Arguments, seed: u64, part: &mut Part<'_>) -> Result<()> {
    let mut file_systems = 0;
    for make in [Mounted::ext4, Mounted::tmpfs] {
        match make() {
            Ok(mounted) => {
                file_systems += 1;
                let what = mounted.what;
                part.record(&format!("a full {what}"), fill(&mounted, seed));
                part.record(&format!("a full {what} without reserving"), sparse(&mounted, seed));
                part.record(&format!("a full {what}, a child"), refused(&mounted, seed));
            }
            Err(error) => println!("this machine does not mount one: {error:#}"),
        }
    }
    ensure!(file_systems > 0, "no small file system could be mounted; run as root, with loop devices");
    part.record("a limit on the length of files", limited(seed));
    part.record("killed for the length of a file", killed_by_limit(seed));
    Ok(())
}

fn this_program() -> Result<String> {
    let program = std::env::current_exe().context("cannot find this program")?;
    program.to_str().map(str::to_owned).context("a path that is not UTF-8")
}

fn run_fill(words: &[String], what: &str) -> Result<()> {
    let (program, arguments) = words.split_first().context("an empty command line")?;
    let output = Command::new(program).args(arguments).output().context("cannot start the child")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}", output.status, said.trim());
    print!("{what}: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// Where something is wrong, the store's files are kept: the place itself goes away.
fn keeping<T>(result: Result<T>, folder: &Path) -> Result<T> {
    result.map_err(|error| {
        let Ok(kept) = tempfile::tempdir() else { return error };
        for name in ["store.by", "store.before"] {
            // One of them may not be there.
            let _ = std::fs::copy(folder.join(name), kept.path().join(name));
        }
        error.context(format!("the file is in {}", kept.keep().display()))
    })
}

/// Filled to the last byte, emptied, filled again.
fn fill(mounted: &Mounted, seed: u64) -> Result<()> {
    let file = mounted.folder.join("store.by");
    let words = vec![
        this_program()?,
        "fill".to_owned(),
        format!("--file={}", file.display()),
        format!("--seed={seed}"),
        format!("--filler={}", mounted.folder.join("filler").display()),
    ];
    let result = keeping(run_fill(&words, &format!("a full {}", mounted.what)), &mounted.folder);
    for path in [file, mounted.folder.join("filler")] {
        // The next on this file system begins with an empty one.
        let _ = std::fs::remove_file(path);
    }
    result
}

fn workload(seed: u64) -> Workload {
    Workload {
        threads: 1,
        queued: false,
        page: 4096,
        journal: 8,
        chunk: 4,
        growth: 16,
        ..Workload::drawn(seed)
    }
}

/// Leaves room for so many bytes only.
fn leave(mounted: &Mounted, bytes: u64) -> Result<PathBuf> {
    let filler = mounted.folder.join("filler");
    let target = mounted.folder.to_str().context("a path that is not UTF-8")?;
    let output = Command::new("stat").args(["-f", "-c", "%a %S", target]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [free, size] = numbers[..] else { bail!("stat said {text:?}") };
    let length = (free * size).saturating_sub(bytes).to_string();
    let path = filler.to_str().context("a path that is not UTF-8")?;
    call("fallocate", &["-l", &length, path])?;
    Ok(filler)
}

/// Runs a workload for which there is not enough room, then makes room and examines the file.
fn short_of_room(mounted: &Mounted, seed: u64, room: u64, strace: &[&str]) -> Result<Account> {
    let file = mounted.folder.join("store.by");
    let filler = leave(mounted, room)?;
    let mut standing = Standing::new(&workload(seed));
    let mut account = Account::new(&standing.commits());
    let mut words: Vec<String> = strace.iter().map(|word| (*word).to_owned()).collect();
    words.extend(child_words(&standing, &file, 400)?);
    let ended = Running::start(&words)?.finish(&mut account)?;
    std::fs::remove_file(filler).context("cannot make room")?;
    let found = standing.examine(&file, &account, CARE);
    keeping(found, &mounted.folder).with_context(|| format!("the child said {:?}", ended.errors.trim()))?;
    std::fs::remove_file(&file).context("cannot remove the file")?;
    Ok(account)
}

/// Runs children, each with less room than the one before, until one had too little; says how many commits
/// were acknowledged.
///
/// How much room a workload needs depends on when the background thread checkpoints.
fn until_too_little(what: &str, mut short: impl FnMut(u64) -> Result<Option<u64>>) -> Result<()> {
    for room in ROOMS {
        if let Some(acks) = short(room)? {
            println!("{what}: {acks} commits acknowledged in {} KiB", room >> 10);
            return Ok(());
        }
    }
    bail!("every child had room enough")
}

/// Without `fallocate` the file system finds out that it is full in the middle of a write, which may be
/// half done: the store is poisoned, and what was answered is there.
fn sparse(mounted: &Mounted, seed: u64) -> Result<()> {
    let strace =
        ["strace", "--seccomp-bpf", "-f", "-qq", "-o", "/dev/null", "--inject=fallocate:error=EOPNOTSUPP"];
    until_too_little(&format!("a full {} without reserving", mounted.what), |room| {
        let account = short_of_room(mounted, seed, room, &strace)?;
        if account.refusals.is_empty() && account.closed == Some(Kind::Fine) {
            return Ok(None);
        }
        ensure!(account.closed == Some(Kind::Poisoned), "closing was answered {:?}", account.closed);
        Ok(Some(account.acks))
    })
}

/// With it the commit is refused as full, and nothing else happens.
fn refused(mounted: &Mounted, seed: u64) -> Result<()> {
    until_too_little(&format!("a full {}, a child", mounted.what), |room| {
        let account = short_of_room(mounted, seed, room, &[])?;
        let full = account.refusals.iter().all(|kind| *kind == Kind::Full);
        ensure!(full, "the child was refused {:?}", account.refusals);
        ensure!(matches!(account.closed, Some(Kind::Fine | Kind::Full)), "closed as {:?}", account.closed);
        Ok((!account.refusals.is_empty()).then_some(account.acks))
    })
}

/// As a full disk, but it is this process that may not write further.
fn limited(seed: u64) -> Result<()> {
    let scratch = tempfile::tempdir().context("no temporary folder")?;
    let mut words = limit(2 << 20);
    // The signal is ignored, so that the call fails.
    words.extend(["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\""].map(str::to_owned));
    let file = scratch.path().join("store.by");
    words.extend([this_program()?, "fill".to_owned(), format!("--file={}", file.display())]);
    words.push(format!("--seed={seed}"));
    keeping(run_fill(&words, "a limit on the length of files"), scratch.path())
}

fn limit(bytes: u64) -> Vec<String> {
    vec!["prlimit".to_owned(), format!("--fsize={bytes}:unlimited"), "--".to_owned()]
}

/// Who does not ignore the signal dies of it: a crash like any other.
fn killed_by_limit(seed: u64) -> Result<()> {
    until_too_little("killed for the length of a file", |room| {
        let scratch = tempfile::tempdir().context("no temporary folder")?;
        let file: &Path = &scratch.path().join("store.by");
        let mut standing = Standing::new(&workload(seed));
        let mut account = Account::new(&standing.commits());
        let mut words = limit(room);
        words.extend(child_words(&standing, file, 400)?);
        let ended = Running::start(&words)?.finish(&mut account)?;
        keeping(standing.examine(file, &account, CARE), scratch.path())?;
        if ended.status.success() {
            return Ok(None);
        }
        ensure!(ended.status.signal() == Some(SIGXFSZ), "the child ended otherwise: {}", ended.status);
        Ok(Some(account.acks))
    })
}
