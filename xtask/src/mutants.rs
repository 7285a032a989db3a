//! `cargo xtask mutants`: small changes of the engine's code, each of which a test has to notice.
//!
//! cargo-mutants makes them (`<` becomes `<=`, a function returns at once) in what commits, recovers,
//! keeps the journal and leads the queue. A mutant that all tests pass with is a survivor: code that no
//! test is about. `bugs/mutants.md` explains those that do no harm ([`explained`]); any other fails the
//! step.
//!
//! All of a suite are in one build, and a number in the environment brings one to life ([`weave`](crate::weave)): a build
//! for each took twenty seconds. A mutant meets quick tests first, and only if it survives those the others
//! of its [`suite`]; the first test that fails ends it. A shard takes every n-th mutant.

mod bench;
mod explained;
mod mutant;
mod suite;

use std::fmt;

use anyhow::{Context, Result, anyhow, ensure};
use xshell::Shell;

use crate::scratch::Scratch;
use crate::tally::Tally;
use crate::tool::Tool;
use bench::Bench;
use explained::Explained;
use mutant::Mutant;
use suite::{Fate, SUITES, Suite};

/// What makes the mutants.
const TOOL: Tool = Tool { name: "cargo-mutants", version: "27.1.0" };

/// How many shards a run of all steps would take one of.
const SMALL: usize = 160;

/// Which mutants.
#[derive(clap::Args, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Every n-th mutant, from number k on: `k/n`
    #[arg(long, value_parser = parse_shard)]
    shard: Option<Shard>,
    /// One of the suites, `queue` or `store`, alone
    #[arg(long, value_parser = ["queue", "store"])]
    suite: Option<String>,
    /// Those alone whose place or change contains this, or another that is given
    #[arg(long)]
    only: Vec<String>,
}

impl Arguments {
    /// A small shard.
    #[expect(dead_code, reason = "once every survivor is explained")]
    pub(crate) const fn budgeted() -> Self {
        Self { shard: Some(Shard { k: 0, n: SMALL }), suite: None, only: Vec::new() }
    }
}

/// Every `n`-th mutant from number `k` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shard {
    k: usize,
    n: usize,
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    let (k, n) = text.split_once('/').ok_or("a shard is written k/n")?;
    let number = |text: &str| text.parse::<usize>().map_err(|error| format!("{text}: {error}"));
    let (k, n) = (number(k)?, number(n)?);
    if k < n { Ok(Shard { k, n }) } else { Err(format!("shards of {n} are 0/{n} to {}/{n}", n.max(1) - 1)) }
}

/// Makes the mutants asked for and runs the tests with each.
pub(crate) fn run(shell: &Shell, arguments: &Arguments) -> Result<()> {
    let program = TOOL.program(shell)?;
    let scratch = Scratch::new(shell, "mutants")?;
    let text = shell.read_file("bugs/mutants.md").context("the survivors are explained there")?;
    let mut explained = explained::parse(&text)?;
    let shard = arguments.shard;
    let mut tally = Tally::default();
    let (mut number, mut counts) = (0, Counts::default());
    let suite_is_chosen = |suite: &&Suite| arguments.suite.as_ref().is_none_or(|name| *name == suite.name);
    for suite in SUITES.iter().filter(suite_is_chosen) {
        let bench = Bench { suite, shell, scratch: &scratch, program: &program };
        let all = bench.list()?;
        ensure!(!all.is_empty(), "{} has no mutants: were files renamed?", suite.name);
        counts.all += all.len();
        let mut chosen = Vec::new();
        for mutant in all {
            if explain(&mut explained, &mutant, &scratch)? {
                counts.explained += 1;
                continue;
            }
            let in_shard = shard.is_none_or(|Shard { k, n }| number % n == k);
            let named = arguments.only.is_empty()
                || arguments.only.iter().any(|only| mutant.name.contains(only.as_str()));
            number += 1;
            if in_shard && named {
                chosen.push(mutant);
            }
        }
        if !chosen.is_empty() {
            record(&chosen, &bench.run(&chosen)?, &mut counts, &mut tally);
        }
    }
    for stale in explained.iter().filter(|it| it.uses == 0 && arguments.suite.is_none()) {
        tally.record(&stale.to_string(), Err(anyhow!("bugs/mutants.md explains it and there is no such")));
    }
    println!("{counts}");
    tally.finish()
}

/// Whether this mutant's survival is explained.
fn explain(explained: &mut [Explained], mutant: &Mutant, scratch: &Scratch<'_>) -> Result<bool> {
    let source = std::fs::read_to_string(scratch.tree.join(&mutant.file))?;
    let found = explained.iter_mut().find(|it| it.explains(mutant, mutant.code(&source)));
    Ok(found.is_some_and(|explained| {
        explained.uses += 1;
        true
    }))
}

/// What became of all mutants.
#[derive(Debug, Default)]
struct Counts {
    all: usize,
    explained: usize,
    caught: usize,
    timed_out: usize,
    unviable: usize,
    survived: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { all, explained, caught, timed_out, unviable, survived } = self;
        let tried = caught + timed_out + unviable + survived;
        writeln!(f, "{all} mutants, {explained} survivors of earlier runs explained, {tried} tried:")?;
        write!(
            f,
            "{caught} caught, {timed_out} made a test hang, {unviable} do not compile, {survived} survived"
        )
    }
}

fn record(mutants: &[Mutant], fates: &[Fate], counts: &mut Counts, tally: &mut Tally) {
    for (mutant, fate) in mutants.iter().zip(fates) {
        let result = match fate {
            Fate::Caught => {
                counts.caught += 1;
                Ok(())
            }
            Fate::TimedOut => {
                counts.timed_out += 1;
                Ok(())
            }
            Fate::Unviable => {
                counts.unviable += 1;
                continue;
            }
            Fate::Survived => {
                counts.survived += 1;
                Err(anyhow!("it survives: write the test that fails, or explain it in bugs/mutants.md"))
            }
        };
        tally.record(&mutant.name, result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_part_of_the_whole() {
        assert_eq!(parse_shard("3/8"), Ok(Shard { k: 3, n: 8 }));
        for wrong in ["8/8", "3", "a/8", "0/0"] {
            assert!(parse_shard(wrong).is_err(), "{wrong}");
        }
    }
}
