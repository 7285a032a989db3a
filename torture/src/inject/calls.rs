//! Faults in a child's calls, by strace: every kind of fault, at every call of its kind.
//!
//! 1. strace counts the calls of each thread for itself. The main thread opens, commits and closes; the
//!    store's own thread is traced alone, by its number.
//! 2. A kind of fault is tried at call 1, 2, 3 … until a run ends without it: so no call is left out, and
//!    a run that was not hit is checked as well.
//! 3. The fault is over when the file is examined. Nothing was cut off from the system's cache, so all that
//!    was answered must be there, buffered or not.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};

use super::fault::{Effect, FAULTS, Fault, Often};
use super::{Arguments, Part};
use crate::account::Account;
use crate::examine::{Care, Standing};
use crate::process::{Running, child_words};
use crate::random::Random;
use crate::workload::Workload;

/// Commits of a run.
const COMMITS: u64 = 30;

/// The last call number ever tried: more would mean that a run never ends.
const MOST: u64 = 5000;

const CARE: Care = Care { power_cut: false, read_only_first: true };

/// What a child does while its calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// Creates a file, commits, closes.
    Fresh,
    /// Opens a file whose writer was killed, commits, closes.
    Recovery,
    /// As the first, with the faults in the store's own thread.
    Background,
}

impl Scene {
    const ALL: [Self; 3] = [Self::Fresh, Self::Recovery, Self::Background];
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "new file",
            Self::Recovery => "recovery",
            Self::Background => "background",
        })
    }
}

/// A file whose writer was killed.
struct Unclean {
    _folder: tempfile::TempDir,
    file: PathBuf,
    standing: Standing,
}

/// What a kind of fault in a scene came to.
struct Row {
    scene: Scene,
    fault: Fault,
    runs: u64,
    hit: u64,
    acknowledged: u64,
}

struct Campaign<'a> {
    arguments: &'a Arguments,
    seed: u64,
    unclean: Unclean,
}

/// Runs every kind of fault at every call, or at every `stride`-th.
pub(super) fn run(arguments: &Arguments, seed: u64, part: &mut Part<'_>) -> Result<()> {
    let unclean = Unclean::make(seed)?;
    let campaign = Campaign { arguments, seed, unclean };
    let mut kinds: Vec<(Scene, Fault)> = Vec::new();
    for scene in Scene::ALL {
        kinds.extend(FAULTS.into_iter().filter(|fault| scene.can_have(fault)).map(|fault| (scene, fault)));
    }
    let (queue, rows) = (Mutex::new(kinds.into_iter()), Mutex::new(Vec::new()));
    let shared = Mutex::new(part);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                while let Some((scene, fault)) = next() {
                    let row = campaign.kind(scene, fault, &shared);
                    rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
                }
            });
        }
    });
    let part = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    report(rows.into_inner().unwrap_or_else(PoisonError::into_inner), part);
    Ok(())
}

fn report(mut rows: Vec<Row>, part: &mut Part<'_>) {
    let place = |row: &Row| {
        let scene = Scene::ALL.iter().position(|scene| *scene == row.scene);
        (scene, FAULTS.iter().position(|fault| *fault == row.fault))
    };
    rows.sort_by_key(place);
    for Row { scene, fault, runs, hit, acknowledged } in &rows {
        if *hit > 0 {
            println!(
                "{scene}, {fault}: {hit} injections in {runs} runs, {acknowledged} commits acknowledged"
            );
        }
        if *scene == Scene::Fresh {
            // In the others some calls may not occur at all.
            let fired = if *hit > 0 { Ok(()) } else { Err(anyhow::anyhow!("it never happened")) };
            part.record(&format!("{scene}, {fault}"), fired);
        }
    }
    let total: u64 = rows.iter().map(|row| row.hit).sum();
    println!("calls: {total} injections");
}

impl Scene {
    /// A new file is the only one whose directory must be synced, and the background thread has no such
    /// call; it dies with the process, which the first scene has at every call.
    fn can_have(self, fault: &Fault) -> bool {
        self == Self::Fresh
            || fault.call != "fsync" && (self == Self::Recovery || fault.effect != Effect::Kill)
    }
}

fn workload(seed: u64) -> Workload {
    let drawn = Workload::drawn(seed);
    Workload { threads: 1, queued: false, page: 4096, journal: 8, chunk: 2, growth: 4, ..drawn }
}

impl Unclean {
    /// Kills children until one leaves records to replay.
    fn make(seed: u64) -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let file = folder.path().join("unclean.by");
        let kill = Fault { call: "pwrite64", effect: Effect::Kill, often: Often::Once, no_reserving: false };
        for at in 25..200 {
            let _ = std::fs::remove_file(&file);
            let mut standing = Standing::new(&workload(seed));
            let words = child_words(&standing, &file, COMMITS * 4)?;
            let trace = folder.path().join("trace");
            let mut account = Account::new(&standing.commits());
            Running::start(&strace(&file, &trace, &kill, at, words))?.finish(&mut account)?;
            let copy = folder.path().join("copy.by");
            std::fs::copy(&file, &copy).context("cannot copy the file")?;
            let found = standing.examine(&copy, &account, CARE)?;
            if found.records >= 3 {
                return Ok(Self { _folder: folder, file, standing: standing.unexamined() });
            }
        }
        bail!("no child left records to replay")
    }
}

/// The command line that runs a child with a fault in its calls.
fn strace(file: &Path, trace: &Path, fault: &Fault, at: u64, child: Vec<String>) -> Vec<String> {
    let mut words: Vec<String> = ["strace", "-f", "-qq"].map(str::to_owned).into();
    if fault.effect != Effect::Kill {
        // Quicker, but strace 6.1 delivers no signal with it.
        words.push("--seccomp-bpf".to_owned());
    }
    words.extend(["-o".to_owned(), trace.display().to_string()]);
    words.push(format!("--trace=write,fallocate,{}", fault.call));
    if fault.call == "pread64" {
        // The loader of programs reads by the same call.
        words.push(format!("--trace-path={}", file.display()));
    }
    words.extend(fault.options(at));
    words.extend(child);
    words
}

impl Campaign<'_> {
    /// A kind of fault at one call after the other.
    fn kind(&self, scene: Scene, fault: Fault, part: &Mutex<&mut Part<'_>>) -> Row {
        let mut row = Row { scene, fault, runs: 0, hit: 0, acknowledged: 0 };
        // Of what is rare nothing is left out.
        let rare = matches!(fault.call, "fallocate" | "ftruncate" | "fsync");
        let stride = if rare { 1 } else { self.arguments.stride.max(1) };
        // The first call at least; then those of this seed.
        let mut at = 1;
        loop {
            let result = self.one(scene, &fault, at);
            let what = format!("{scene}, {fault} at call {at}");
            let outcome = part.lock().unwrap_or_else(PoisonError::into_inner).record(&what, result);
            row.runs += 1;
            let Some((hit, acknowledged)) = outcome else { return row };
            row.acknowledged += acknowledged;
            if !hit || at >= MOST {
                return row;
            }
            row.hit += 1;
            at = if at == 1 && stride > 1 {
                2 + Random::of(&[self.seed, row.runs]).below(stride)
            } else {
                at + stride
            };
        }
    }

    /// One run: whether the fault happened, and the commits acknowledged.
    fn one(&self, scene: Scene, fault: &Fault, at: u64) -> Result<(bool, u64)> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let result = self.judged(scene, fault, at, folder.path());
        result.map_err(|error| {
            let kept = folder.keep();
            error.context(format!("the file is in {}", kept.display()))
        })
    }

    fn judged(&self, scene: Scene, fault: &Fault, at: u64, folder: &Path) -> Result<(bool, u64)> {
        let (file, trace) = (folder.join("store.by"), folder.join("trace"));
        let mut standing = Standing::new(&workload(self.seed));
        if scene == Scene::Recovery {
            standing = self.unclean.standing.clone();
            std::fs::copy(&self.unclean.file, &file).context("cannot copy the file")?;
        }
        let mut account = Account::new(&standing.commits());
        let mut words = child_words(&standing, &file, COMMITS)?;
        if fault.call == "pread64" {
            words.push("--reads-may-fail".to_owned());
        }
        let ended = if scene == Scene::Background {
            words.push("--wait".to_owned());
            self.in_background(words, fault, at, &trace, &mut account)?
        } else {
            Running::start(&strace(&file, &trace, fault, at, words))?.finish(&mut account)?
        };
        let traced = std::fs::read_to_string(&trace).context("strace left no trace")?;
        let happened = fault.happened(&traced) > 0;
        let said = || format!("the child said {:?}", ended.errors.trim());
        if happened {
            fault.judge(&account, COMMITS).with_context(said)?;
            fault.no_promise_after(&traced).with_context(said)?;
        } else {
            let fine = ended.status.success() && account.acks == COMMITS && account.refusals.is_empty();
            ensure!(fine, "without a fault: {}, {} commits; {}", ended.status, account.acks, said());
        }
        let killed = ended.status.signal().is_some();
        ensure!(killed == (happened && fault.effect == Effect::Kill), "{}; {}", ended.status, said());
        standing.examine(&file, &account, CARE).with_context(said)?;
        Ok((happened, account.acks))
    }

    /// Runs a child and has strace look at the store's own thread only.
    fn in_background(
        &self,
        words: Vec<String>,
        fault: &Fault,
        at: u64,
        trace: &Path,
        account: &mut Account,
    ) -> Result<crate::process::Ended> {
        let mut child = Running::start(&words)?;
        while account.flusher.is_none() {
            let line = child.line()?.context("the child ended before it committed")?;
            account.take(line);
        }
        let thread = account.flusher.unwrap_or_default();
        let mut words: Vec<String> = ["strace", "-o"].map(str::to_owned).into();
        words.extend([trace.display().to_string(), format!("--trace=fallocate,{}", fault.call)]);
        words.extend(fault.options(at));
        words.extend(["-p".to_owned(), thread.to_string()]);
        let tracer = Running::attach(&words)?;
        child.go()?;
        let ended = child.finish(account)?;
        tracer.finish(&mut Account::new(&[]))?;
        Ok(ended)
    }
}
