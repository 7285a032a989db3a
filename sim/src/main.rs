//! `cargo xtask sim`: the campaigns for as long as one likes, on every core.

use anyhow::{Result, bail, ensure};
use blockyard_sim::campaign::{CAMPAIGNS, Campaign, Counts, missing};
use blockyard_sim::fault::{Event, Fired};
use clap::Parser;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Pulls the plug, fails operations and damages media, many thousand times, and checks what is left.
#[derive(Parser)]
struct Arguments {
    /// How long to go on, in seconds
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Run this seed alone
    #[arg(long)]
    seed: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Run so many seeds, however long that takes, and none after one that failed; few of all campaigns do not meet
    /// every kind of trouble, which fails
    #[arg(long, conflicts_with = "seconds")]
    seeds: Option<u64>,
    /// Run this campaign alone
    #[arg(long)]
    campaign: Option<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let campaigns: Vec<Campaign> = CAMPAIGNS
        .into_iter()
        .filter(|campaign| arguments.campaign.as_ref().is_none_or(|name| name == campaign.name))
        .collect();
    ensure!(!campaigns.is_empty(), "no such campaign; there are {}", CAMPAIGNS.map(|it| it.name).join(", "));
    let fired = Arc::new(Fired::default());
    let counts = Mutex::new(Counts::default());
    match arguments.seed {
        Some(seed) => campaigns.iter().for_each(|campaign| campaign.count(seed, &fired, &counts)),
        None => run_for(&arguments, &campaigns, &fired, &counts),
    }
    let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    let whole = arguments.seed.is_none() && arguments.campaign.is_none();
    report(&counts, &fired, whole)
}

/// Seeds upwards, each in every campaign, until time is up or so many seeds have been run.
fn run_for(arguments: &Arguments, campaigns: &[Campaign], fired: &Arc<Fired>, counts: &Mutex<Counts>) {
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let next = AtomicU64::new(arguments.first * campaigns.len() as u64);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let has_failed = || !counts.lock().unwrap_or_else(PoisonError::into_inner).failed.is_empty();
    let goes_on = |seed| match arguments.seeds {
        Some(seeds) => seed < arguments.first + seeds && !has_failed(),
        None => Instant::now() < end,
    };
    let work = || {
        loop {
            let number = next.load(Ordering::Relaxed);
            if !goes_on(number / campaigns.len() as u64) {
                return;
            }
            if next.compare_exchange(number, number + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                let campaign = campaigns[number as usize % campaigns.len()];
                campaign.count(number / campaigns.len() as u64, fired, counts);
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let seeds = next.into_inner() / campaigns.len() as u64 - arguments.first;
    println!("{seeds} seeds from {}, {} campaigns, {threads} threads", arguments.first, campaigns.len());
}

/// Prints the counts; an error if anything failed, or if what a whole run is to show never happened.
fn report(counts: &Counts, fired: &Fired, whole: bool) -> Result<()> {
    let mut failed = counts.failed.len();
    let mut passed = counts.passed;
    for (campaign, seed, error) in &counts.failed {
        println!("{campaign}, seed {seed}: FAILED: {error}");
        println!("  again: cargo xtask sim --campaign {campaign} --seed {seed}");
    }
    for (what, count) in counts.met.list() {
        println!("{count:>12}  {what}");
        if whole {
            check(count > 0, what, &mut passed, &mut failed);
        }
    }
    for event in Event::ALL {
        println!("{:>12}  {}", fired.times(*event), event.name());
    }
    if whole {
        let missing = missing(fired);
        passed += (Event::ALL.len() - missing.len()) as u64;
        missing.iter().for_each(|event| check(false, event, &mut passed, &mut failed));
    }
    println!("{:>12}  states of the device recovered and checked", counts.states);
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("{failed} checks failed");
    }
    Ok(())
}

fn check(holds: bool, what: &str, passed: &mut u64, failed: &mut usize) {
    if holds {
        *passed += 1;
    } else {
        println!("never happened: {what}");
        *failed += 1;
    }
}
