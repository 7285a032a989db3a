//! Children that commit and report, killed by SIGKILL at random moments: while they commit, while they
//! create the file, while they open it, and while they recover from the last kill.
//!
//! 1. One file lives through many rounds. A round ends with an examination, which leaves the file closed;
//!    before it, openings of the unrecovered file may be killed too.
//! 2. The system's cache outlives a process: everything that was answered must be there, buffered or not.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::account::Account;
use crate::examine::{Care, Standing};
use crate::process::{Running, child_words};
use crate::random::Random;
use crate::report::Line;
use crate::tally::Tally;
use crate::workload::Workload;

/// Rounds of one file.
const LIFE: u64 = 20;

/// The number of SIGKILL.
const SIGKILL: i32 = 9;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Rounds; each has one kill or more
    #[arg(long, default_value_t = 500)]
    pub(crate) rounds: u64,
    /// What the workloads and the moments follow from; drawn if not given
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

/// What the rounds came to.
#[derive(Debug, Default)]
struct Counts {
    kills: u64,
    creating: u64,
    opening: u64,
    recovering: u64,
    acknowledged: u64,
    beyond: u64,
    records: u64,
    torn: u64,
    files: u64,
}

/// A file and what is known to be in it.
struct Life {
    folder: tempfile::TempDir,
    standing: Standing,
    round: u64,
}

impl Life {
    fn new(seed: u64) -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        Ok(Self { folder, standing: Standing::new(&Workload::drawn(seed)), round: 0 })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("store.by")
    }
}

/// Kills children, round after round.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let seed = arguments.seed.unwrap_or_else(crate::drawn_seed);
    println!("seed {seed}, {} rounds", arguments.rounds);
    let mut tally = Tally::default();
    let mut campaign = Campaign { counts: Counts::default(), opening: Duration::from_millis(5) };
    let mut life: Option<Life> = None;
    for round in 0..arguments.rounds {
        let mut random = Random::of(&[seed, round]);
        let mut current = match life.take() {
            Some(life) if life.round < LIFE => life,
            _ => {
                campaign.counts.files += 1;
                Life::new(random.next())?
            }
        };
        let result = campaign.round(&mut current, &mut random);
        let again = || {
            // The moments of the kills cannot be repeated, so the file is what helps.
            format!("cargo xtask kill --seed {seed} --rounds {}", arguments.rounds)
        };
        let passed = tally.record(&format!("round {round}"), result, again).is_some();
        if passed {
            life = Some(current);
        } else {
            let workload = current.standing.workload().arguments().join(" ");
            println!("    the file is in {}; workload {workload}", current.folder.keep().display());
        }
    }
    let Counts { kills, creating, opening, recovering, acknowledged, beyond, records, torn, files } =
        campaign.counts;
    println!(
        "{kills} kills in {files} files: {creating} while creating, {opening} while opening, \
         {recovering} while recovering"
    );
    println!(
        "{acknowledged} commits acknowledged, {beyond} recovered beyond; \
         {records} journal records replayed, {torn} torn ones discarded"
    );
    let enough = ensure_all_fired(arguments.rounds, opening, recovering);
    tally.record("kills of every kind", enough, || format!("cargo xtask kill --seed {seed}"));
    Ok(tally.finish())
}

/// A run of some length that never killed an opening shows less than it says.
fn ensure_all_fired(rounds: u64, opening: u64, recovering: u64) -> Result<()> {
    ensure!(rounds < 60 || opening > 0, "no kill came while a file was opened");
    ensure!(rounds < 60 || recovering > 0, "no kill came while a file was recovered");
    Ok(())
}

struct Campaign {
    counts: Counts,
    /// About how long opening takes: kills are spread over it.
    opening: Duration,
}

impl Campaign {
    fn round(&mut self, life: &mut Life, random: &mut Random) -> Result<()> {
        let file = life.file();
        let fresh = life.round == 0;
        life.round += 1;
        let words = child_words(&life.standing, &file, 1_000_000)?;
        let mut account = Account::new(&life.standing.commits());
        // The first line says that opening begins, the second that it is done.
        let early = random.chance(if fresh { 60 } else { 25 });
        let lines = if early { 1 } else { random.within(2, 300) };
        let delay =
            if early { self.while_opening(random) } else { Duration::from_micros(random.below(3000)) };
        self.strike(&words, lines, delay, &mut account)?;
        if !account.opened && fresh {
            self.counts.creating += 1;
        } else if !account.opened {
            self.counts.opening += 1;
        }
        self.counts.acknowledged += account.acks;
        if random.chance(40) {
            for _ in 0..random.within(1, 3) {
                self.strike_recovery(&life.standing, &file, random)?;
            }
        }
        let care = Care { power_cut: false, read_only_first: random.chance(50) };
        let found = life.standing.examine(&file, &account, care)?;
        self.counts.beyond += found.beyond;
        self.counts.records += found.records;
        self.counts.torn += u64::from(found.torn);
        Ok(())
    }

    /// Kills a child that does nothing but open the file as the last kill left it.
    fn strike_recovery(&mut self, standing: &Standing, file: &Path, random: &mut Random) -> Result<()> {
        let mut words = child_words(standing, file, 0)?;
        words.push("--linger".to_owned());
        let mut account = Account::new(&standing.commits());
        let delay = self.while_opening(random);
        self.strike(&words, 1, delay, &mut account)?;
        ensure!(account.wrong.is_empty(), "the child saw: {}", account.wrong.join("; "));
        if !account.opened {
            self.counts.recovering += 1;
        }
        Ok(())
    }

    /// A moment that is likely to lie within opening.
    fn while_opening(&self, random: &mut Random) -> Duration {
        Duration::from_micros(random.below(self.opening.as_micros() as u64 * 5 / 4 + 100))
    }

    /// Starts a child, and kills it a moment after its first lines.
    fn strike(&mut self, words: &[String], lines: u64, delay: Duration, account: &mut Account) -> Result<()> {
        let mut child = Running::start(words)?;
        let mut opening: Option<Instant> = None;
        for _ in 0..lines {
            let Some(line) = child.line()? else { break };
            match &line {
                Line::Opening => opening = Some(Instant::now()),
                Line::Opened { .. } => {
                    let took = opening.map_or(self.opening, |since| since.elapsed());
                    self.opening = (self.opening * 3 + took) / 4;
                }
                _ => {}
            }
            account.take(line);
        }
        std::thread::sleep(delay);
        child.kill()?;
        let ended = child.finish(account)?;
        ensure!(account.unopened.is_none(), "the child could not open the file: {}", ended.errors.trim());
        ensure!(account.refusals.is_empty(), "the child was refused: {}", ended.errors.trim());
        ensure!(
            ended.status.signal() == Some(SIGKILL),
            "the child ended before it was killed ({}): {}",
            ended.status,
            ended.errors.trim()
        );
        self.counts.kills += 1;
        Ok(())
    }
}
