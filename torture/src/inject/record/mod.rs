//! A power cut at every moment: a child works on a file of which every write and sync is recorded, then the
//! file is made anew as it was after each of the writes, opened and examined.
//!
//! 1. The record comes from two sides that must agree: the log below the file has the bytes, the trace of the
//!    child has the order of its writes among its syncs, its growth, and what it was told.
//! 2. After a write the file may have any length between the one that was synced and the newest.
//! 3. Between two syncs any writes may be missing, and one of them torn.

mod daemon;
mod log;
mod replay;
mod trace;

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use self::daemon::Daemon;
use self::replay::Replay;
use super::{Arguments, Part};
use crate::account::Account;
use crate::examine::Standing;
use crate::process::{Running, child_words};
use crate::report::Kind;
use crate::workload::Workload;

/// Records workloads of two page sizes and replays them.
pub(super) fn run(arguments: &Arguments, seed: u64, part: &mut Part<'_>) -> Result<()> {
    for (page, threads) in [(4096, 1), (512, 2)] {
        let drawn = Workload::drawn(seed);
        let workload = Workload { page, threads, queued: true, journal: 12, chunk: 4, growth: 32, ..drawn };
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let what = format!("a recorded file of pages of {page} bytes");
        let recorded = record(&workload, arguments.recorded / threads, folder.path());
        let Some(replay) = part.record(&what, recorded) else {
            println!("    what was recorded is in {}", folder.keep().display());
            continue;
        };
        let counts = replay.run(seed, part)?;
        println!("{what}: {counts}");
    }
    Ok(())
}

/// Runs a child on a file of which everything is recorded.
fn record(workload: &Workload, commits: u64, folder: &Path) -> Result<Replay> {
    let daemon = Daemon::start(folder)?;
    let file = daemon.file();
    let trace = folder.join("trace");
    let mut words: Vec<String> = ["strace", "-f", "-qq", "-y", "-s", "100", "-o"].map(str::to_owned).into();
    words.push(trace.display().to_string());
    words.push("--trace=write,pwrite64,fdatasync,fsync,ftruncate,fallocate".to_owned());
    let standing = Standing::new(workload);
    words.extend(child_words(&standing, &file, commits)?);
    let mut account = Account::new(&standing.commits());
    let ended = Running::start(&words)?.finish(&mut account)?;
    let log = daemon.finish()?;
    ensure!(
        account.closed == Some(Kind::Fine) && account.wrong.is_empty(),
        "the child did not finish: {:?} {}",
        account.wrong,
        ended.errors.trim()
    );
    let trace = std::fs::read_to_string(trace).context("strace left no trace")?;
    let events = trace::parse(&trace, &format!("<{}>", file.display()))?;
    Replay::new(standing, log::parse(&log)?, events)
}
