//! The rounds: every engine at every workload, interleaved.
//!
//! Invariants
//! 1. Within a round all engines do a workload before any does the next one, in an order that
//!    changes from round to round.
//! 2. All engines start a round with the same records and do the same updates.
//! 3. While one engine is measured the others have nothing left to do: each settles after its own
//!    turn.
//! 4. Every workload is followed by a comparison with the model, outside the clock.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result};

use super::Plan;
use super::count::{Cost, measure};
use super::engines::{ALL, Engine, KEPT, Kind, Workload, blockyard_file};
use super::place::Place;
use super::progress::Progress;
use super::rows::{Model, Row};
use super::stats::Series;
use super::verify;

/// The seed of the records and the updates.
const SEED: u64 = 0x0b10_cca2_d000;

/// The figures of one engine at one workload.
pub(crate) struct Measured {
    /// Which engine.
    pub(crate) engine: &'static str,
    /// Which workload.
    pub(crate) workload: Workload,
    /// What it cost.
    pub(crate) series: Series,
    /// What the engine put off and did after the clock stopped (folding its journal into its home).
    pub(crate) settling: Series,
    /// The first difference from the model, if there was one.
    pub(crate) problem: Option<String>,
}

/// What the rounds gave.
pub(crate) struct Outcome {
    /// How many there were.
    pub(crate) rounds: u32,
    /// All figures, by workload, then by engine.
    pub(crate) results: Vec<Measured>,
    /// The Blockyard file of the last round, closed.
    pub(crate) file: PathBuf,
    /// What that file must hold.
    pub(crate) model: Model,
}

/// The steps of the progress bar.
pub(crate) fn steps(plan: Plan) -> u64 {
    let turns = |kind: &Kind| Workload::ALL.into_iter().filter(|workload| kind.runs(*workload)).count();
    let turns: usize = ALL.iter().map(turns).sum();
    u64::from(plan.most()) * turns as u64 + 1
}

/// Runs all rounds.
pub(crate) fn run(plan: Plan, place: &Place, progress: &Progress) -> Result<Outcome> {
    let records = Model::generate(SEED, plan.records);
    let mut results = empty_results();
    let (start, mut round, mut last) = (Instant::now(), 0, None);
    while plan.goes_on(round, start.elapsed()) {
        clear(round, place)?;
        let mut runners = start_all(round, &records, place)?;
        for workload in Workload::ALL {
            let updates = updates_for(round, workload, &records, plan);
            for runner in &mut runners {
                runner.turn(workload, &updates, &mut results, progress).with_context(|| runner.kind.name)?;
            }
        }
        for runner in runners {
            let kept = (runner.kind.name == KEPT).then(|| (blockyard_file(&runner.directory), runner.model));
            runner.engine.close().context(runner.kind.name)?;
            last = kept.or(last);
        }
        round += 1;
    }
    let (file, model) = last.context("no round was run")?;
    Ok(Outcome { rounds: round, results, file, model })
}

/// Removes what earlier rounds have left. An engine of many files is cleared every tenth round
/// only: ext4 makes new files slowly for some minutes after thousands were deleted, which would be
/// measured.
fn clear(round: u32, place: &Place) -> Result<()> {
    for kind in &ALL {
        let rounds = match (kind.many_files, round % 10) {
            (false, _) => round.saturating_sub(1)..round,
            (true, 0) => round.saturating_sub(10)..round,
            (true, _) => 0..0,
        };
        rounds.into_iter().try_for_each(|old| place.clear(old, kind.name))?;
    }
    Ok(())
}

/// A line for each engine and each of its workloads.
fn empty_results() -> Vec<Measured> {
    let by_workload = Workload::ALL.into_iter().flat_map(|workload| {
        let engines = ALL.iter().filter(move |kind| kind.workloads.contains(&workload));
        engines.map(move |kind| (kind.name, workload))
    });
    by_workload
        .map(|(engine, workload)| Measured {
            engine,
            workload,
            series: Series::default(),
            settling: Series::default(),
            problem: None,
        })
        .collect()
}

/// The order of a round: rotated, and every other round backwards, so that nobody always follows
/// the same neighbour.
fn order(round: u32, engines: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..engines).collect();
    order.rotate_left(round as usize % engines);
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

fn start_all(round: u32, records: &Model, place: &Place) -> Result<Vec<Runner>> {
    let start = |index: usize| {
        let kind = &ALL[index];
        let directory = place.engine(round, kind.name)?;
        let engine = (kind.start)(&directory).context(kind.name)?;
        Ok(Runner { kind, directory, engine, model: records.clone() })
    };
    order(round, ALL.len()).into_iter().map(start).collect()
}

fn updates_for(round: u32, workload: Workload, records: &Model, plan: Plan) -> Vec<Rc<Row>> {
    match workload {
        Workload::Load | Workload::Select => Vec::new(),
        update => records.invent_updates(SEED ^ (u64::from(round) << 8) ^ (update as u64 + 1), plan.updates),
    }
}

/// One engine in one round.
struct Runner {
    kind: &'static Kind,
    directory: PathBuf,
    engine: Box<dyn Engine>,
    model: Model,
}

impl Runner {
    /// One engine's turn at one workload; nothing if it does not take part.
    fn turn(
        &mut self,
        workload: Workload,
        updates: &[Rc<Row>],
        results: &mut [Measured],
        progress: &Progress,
    ) -> Result<()> {
        if !self.kind.runs(workload) {
            return Ok(());
        }
        progress.say(format!("{} · {}", workload.name(), self.kind.name));
        let runs = if workload == Workload::Select { Plan::SELECTS } else { 1 };
        for _ in 0..runs {
            let (problem, cost) = self.work(workload, updates)?;
            let problem = problem.or(verify::compare(self.engine.as_mut(), &self.model)?);
            let (settled, settling) = measure(|| self.engine.settle());
            settled?;
            self.engine.prepare()?;
            let shown = |line: &&mut Measured| {
                line.engine == self.kind.name && self.kind.is_figure_of(workload, line.workload)
            };
            for line in results.iter_mut().filter(shown) {
                line.series.push(cost);
                line.settling.push(settling);
                line.problem = line.problem.take().or_else(|| problem.clone());
            }
        }
        progress.step();
        Ok(())
    }

    /// Runs the workload under the clock. Gives what was wrong with the answer, and the cost.
    fn work(&mut self, workload: Workload, updates: &[Rc<Row>]) -> Result<(Option<String>, Cost)> {
        let (engine, model) = (&mut self.engine, &mut self.model);
        let before = engine.own_syncs()?;
        let (problem, mut cost) = match workload {
            Workload::Load => {
                let (loaded, cost) = measure(|| engine.load(model.rows()));
                loaded?;
                (None, cost)
            }
            Workload::Select => {
                let (found, cost) = measure(|| engine.select(Plan::AGE));
                let (found, wanted) = (found?, model.select(Plan::AGE));
                ((found != wanted).then(|| format!("a select that found {found:?} and not {wanted:?}")), cost)
            }
            update => {
                let (updated, cost) = measure(|| engine.update(update, updates));
                updated?;
                model.apply(updates);
                (None, cost)
            }
        };
        if let (Some(before), Some(after)) = (before, engine.own_syncs()?) {
            // A store that was opened again meanwhile counts from 0.
            cost.syncs = cost.syncs.max(after.checked_sub(before));
        }
        Ok((problem, cost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_changes_and_nobody_is_left_out() {
        assert_eq!(order(0, 4), [0, 1, 2, 3]);
        assert_eq!(order(1, 4), [0, 3, 2, 1]);
        assert_eq!(order(2, 4), [2, 3, 0, 1]);
        for round in 0..20 {
            let mut sorted = order(round, ALL.len());
            sorted.sort_unstable();
            assert_eq!(sorted, (0..ALL.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_engine_and_workload_has_one_line() {
        let lines = empty_results();
        assert_eq!(lines.len(), ALL.iter().map(|kind| kind.workloads.len()).sum::<usize>());
        assert_eq!(lines.first().map(|line| line.workload), Some(Workload::Load));
    }

    #[test]
    fn the_updates_differ_by_round_and_workload_and_come_back_the_same() {
        let plan = Plan { rounds: Some(1), records: 100, updates: 20 };
        let records = Model::generate(SEED, plan.records);
        let of = |round, workload| updates_for(round, workload, &records, plan);
        assert_eq!(of(0, Workload::UpdateBatch), of(0, Workload::UpdateBatch));
        assert_ne!(of(0, Workload::UpdateBatch), of(0, Workload::UpdateSingle));
        assert_ne!(of(0, Workload::UpdateBatch), of(1, Workload::UpdateBatch));
        assert!(of(0, Workload::Select).is_empty());
    }
}
