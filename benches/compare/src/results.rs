//! What was measured, put into figures: medians with their spread, and ratios taken within a round.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::count::{Calls, Heap};
use crate::engines::{Kind, Role};
use crate::plan::Size;
use crate::turn::Sample;
use crate::workloads::Unit;

/// A figure with the lowest and the highest that a round had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// The median of the rounds.
    pub(crate) median: f64,
    /// The least of them.
    pub(crate) low: f64,
    /// The most of them.
    pub(crate) high: f64,
}

impl Spread {
    /// Of the values of the rounds; None without any.
    fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&low, &high) = (sorted.first()?, sorted.last()?);
        Some(Self { median: quantile(&sorted, 0.5), low, high })
    }
}

/// The value below which a share of the sorted values lies.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let above = sorted[(below + 1).min(last)];
    sorted[below] + (above - sorted[below]) * part
}

/// One engine in one series. Times are seconds for an operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// The workload's name.
    pub(crate) workload: String,
    /// Which of the workload's series.
    pub(crate) series: usize,
    /// What it is, for people.
    pub(crate) title: String,
    /// How it is shown.
    pub(crate) unit: Unit,
    /// The engine.
    pub(crate) engine: String,
    /// What the engine is here.
    pub(crate) role: Role,
    /// The median of everything measured.
    pub(crate) p50: f64,
    /// One in a hundred took longer.
    pub(crate) p99: f64,
    /// The least.
    pub(crate) minimum: f64,
    /// The rounds' medians.
    pub(crate) rounds: Spread,
    /// How many were measured.
    pub(crate) samples: usize,
    /// Against the floor in the same round.
    pub(crate) to_floor: Option<Spread>,
    /// Against the best peer in the same round.
    pub(crate) to_best_peer: Option<Spread>,
    /// The floor.
    pub(crate) floor: String,
    /// The best peer.
    pub(crate) best_peer: Option<String>,
    /// Syncs for an operation.
    pub(crate) syncs: f64,
    /// Bytes written for an operation.
    pub(crate) bytes: f64,
    /// Calls of the `write` family for an operation.
    pub(crate) writes: f64,
    /// Bytes asked of the heap for an operation; None if the engine's heap is not Rust's.
    pub(crate) heap_bytes: Option<f64>,
    /// Calls of the heap for an operation.
    pub(crate) heap_calls: Option<f64>,
    /// The most that was in use at once above what was before, in bytes.
    pub(crate) heap_peak: Option<u64>,
}

/// What an engine takes up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Footprint {
    /// The engine.
    pub(crate) engine: String,
    /// What it is here.
    pub(crate) role: Role,
    /// Bytes of heap in use after the load, cache included; None if its heap is not Rust's.
    pub(crate) live_heap: Option<u64>,
    /// Length of its files after the load.
    pub(crate) loaded_length: u64,
    /// Disk blocks of its files after the load, in bytes.
    pub(crate) loaded_disk: u64,
    /// The same after all workloads.
    pub(crate) final_length: u64,
    /// The same after all workloads.
    pub(crate) final_disk: u64,
    /// Bytes that the kernel wrote during the load and that our count missed; None if it does not say.
    pub(crate) uncounted: Option<u64>,
}

/// One size's figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SizeResults {
    /// For file names.
    pub(crate) name: String,
    /// For people.
    pub(crate) title: String,
    /// Bytes of a value.
    pub(crate) length: usize,
    /// Records.
    pub(crate) records: u64,
    /// What engines take up.
    pub(crate) footprints: Vec<Footprint>,
    /// What was measured.
    pub(crate) figures: Vec<Figure>,
}

impl SizeResults {
    /// The figure of an engine in a workload's series.
    pub(crate) fn figure(&self, workload: &str, series: usize, engine: &str) -> Option<&Figure> {
        let is = |it: &&Figure| it.workload == workload && it.series == series && it.engine == engine;
        self.figures.iter().find(is)
    }
}

/// What one engine came to in one series.
#[derive(Debug, Default)]
struct Gathered {
    /// All values of each timed round.
    rounds: BTreeMap<u32, Vec<f64>>,
    operations: u64,
    calls: Calls,
    heap: Option<(Heap, u64)>,
}

impl Gathered {
    fn medians(&self) -> BTreeMap<u32, f64> {
        let median = |(&round, values): (&u32, &Vec<f64>)| {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            (round, quantile(&sorted, 0.5))
        };
        self.rounds.iter().map(median).collect()
    }
}

/// Collects samples by workload, series and engine.
#[derive(Debug, Default)]
pub(crate) struct Collection(BTreeMap<(usize, usize, usize), Gathered>);

/// What a round is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing of it counts.
    WarmUp,
    /// Times and calls count.
    Timed,
    /// Heap traffic counts, which costs time.
    Counted,
    /// Both count: nobody believes the times.
    Smoke,
}

impl Collection {
    /// Adds what a turn came to.
    pub(crate) fn add(
        &mut self,
        (workload, engine): (usize, usize),
        round: u32,
        phase: Phase,
        samples: Vec<Sample>,
    ) {
        for (series, sample) in samples.into_iter().enumerate() {
            let gathered = self.0.entry((workload, series, engine)).or_default();
            if matches!(phase, Phase::Timed | Phase::Smoke) {
                gathered.rounds.entry(round).or_default().extend(sample.values);
                gathered.operations += sample.operations;
                gathered.calls = gathered.calls.plus(sample.calls);
            }
            if let (Phase::Counted | Phase::Smoke, Some(heap)) = (phase, sample.heap) {
                let (known, operations) = gathered.heap.unwrap_or_default();
                gathered.heap = Some((known.plus(heap), operations + sample.operations));
            }
        }
    }

    /// The figures, in the order of workloads, series and engines.
    pub(crate) fn figures(&self, size: &Size) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (&(workload, series, engine), gathered) in &self.0 {
            if gathered.rounds.is_empty() {
                continue;
            }
            figures.push(self.figure(size, (workload, series, engine), gathered));
        }
        figures
    }

    /// The engine among `wanted` with the lowest median of rounds.
    fn best(
        &self,
        size: &Size,
        workload: usize,
        series: usize,
        wanted: impl Fn(&Kind) -> bool,
    ) -> Option<usize> {
        let median = |engine: &usize| {
            let gathered = self.0.get(&(workload, series, *engine))?;
            Spread::of(&gathered.medians().into_values().collect::<Vec<_>>()).map(|spread| spread.median)
        };
        let engines = (0..size.kinds.len()).filter(|&engine| wanted(&size.kinds[engine]));
        let known = engines.filter_map(|engine| median(&engine).map(|median| (engine, median)));
        known.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(engine, _)| engine)
    }

    /// An engine's medians against another's, round by round.
    fn ratio(&self, gathered: &Gathered, workload: usize, series: usize, other: usize) -> Option<Spread> {
        let others = self.0.get(&(workload, series, other))?.medians();
        let ratio = |(round, median): (u32, f64)| others.get(&round).map(|other| median / other);
        Spread::of(&gathered.medians().into_iter().filter_map(ratio).collect::<Vec<_>>())
    }

    fn figure(
        &self,
        size: &Size,
        (workload, series, engine): (usize, usize, usize),
        of: &Gathered,
    ) -> Figure {
        let kind = &size.kinds[engine];
        let shown = &size.workloads[workload].series()[series];
        let mut all: Vec<f64> = of.rounds.values().flatten().copied().collect();
        all.sort_by(f64::total_cmp);
        let operations = of.operations.max(1) as f64;
        // A peer is compared with the best of the others.
        let peer =
            self.best(size, workload, series, |other| other.role == Role::Peer && other.name != kind.name);
        let floor = self.best(size, workload, series, |other| other.name == shown.floor);
        let heap = of.heap.filter(|_| kind.rust_heap);
        let heap_of =
            |what: fn(&Heap) -> u64| heap.map(|(heap, count)| what(&heap) as f64 / count.max(1) as f64);
        Figure {
            workload: size.workloads[workload].name().to_owned(),
            series,
            title: shown.title.to_owned(),
            unit: shown.unit,
            engine: kind.name.to_owned(),
            role: kind.role,
            p50: quantile(&all, 0.5),
            p99: quantile(&all, 0.99),
            minimum: all.first().copied().unwrap_or(f64::NAN),
            rounds: Spread::of(&of.medians().into_values().collect::<Vec<_>>()).unwrap_or_default(),
            samples: all.len(),
            to_floor: floor.and_then(|floor| self.ratio(of, workload, series, floor)),
            to_best_peer: peer.and_then(|peer| self.ratio(of, workload, series, peer)),
            floor: shown.floor.to_owned(),
            best_peer: peer.map(|peer| size.kinds[peer].name.to_owned()),
            syncs: of.calls.syncs as f64 / operations,
            bytes: of.calls.bytes as f64 / operations,
            writes: of.calls.writes as f64 / operations,
            heap_bytes: heap_of(|heap| heap.bytes),
            heap_calls: heap_of(|heap| heap.calls),
            heap_peak: heap.map(|(heap, _)| heap.peak),
        }
    }
}

/// The machine, as far as it explains the figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) processor: String,
    /// How many of its threads there are.
    pub(crate) threads: usize,
    /// The operating system.
    pub(crate) kernel: String,
    /// The file system of the files.
    pub(crate) file_system: String,
    /// Whether another load was on the machine: its average over the last minute when it began.
    pub(crate) load: f64,
}

/// An engine's settings as they are printed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// The engine.
    pub(crate) engine: String,
    /// The version compiled in.
    pub(crate) version: Option<String>,
    /// What makes a change durable.
    pub(crate) durable: String,
    /// What is relaxed, and the sync behind it.
    pub(crate) relaxed: String,
    /// How it is read.
    pub(crate) reads: String,
    /// Anything else.
    pub(crate) other: String,
}

/// Everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    /// Which plan it was.
    pub(crate) plan: String,
    /// Where it ran.
    pub(crate) machine: Machine,
    /// How long it took, in seconds.
    pub(crate) seconds: f64,
    /// Bytes of cache of each engine.
    pub(crate) cache: usize,
    /// The engines' settings.
    pub(crate) settings: Vec<Setting>,
    /// The figures.
    pub(crate) sizes: Vec<SizeResults>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Choice, Extent, Plan};

    fn sample(values: &[f64], syncs: u64) -> Vec<Sample> {
        let calls = Calls { syncs, ..Calls::default() };
        vec![Sample { values: values.to_vec(), operations: values.len() as u64, calls, heap: None }]
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        let sorted = [1.0, 2.0, 3.0, 4.0];
        assert_eq!((quantile(&sorted, 0.0), quantile(&sorted, 0.5), quantile(&sorted, 1.0)), (1.0, 2.5, 4.0));
        assert!(quantile(&[], 0.5).is_nan() && Spread::of(&[]).is_none());
    }

    /// Ratios are of medians within a round: a mood of the disk that lasts a round hits both.
    #[test]
    fn ratios_are_taken_round_by_round_and_warm_up_is_forgotten() {
        let engines = ["blockyard", "redb", "lmdb", "raw"].map(str::to_owned);
        let workloads = ["single".to_owned()];
        let choice = Choice { engines: &engines, workloads: &workloads, sizes: &[], rounds: Some(2) };
        let size = Plan::new(Extent::Quick, &choice).expect("a plan").sizes.remove(0);
        let of = |name: &str| size.kinds.iter().position(|kind| kind.name == name).expect("it is there");
        let mut collection = Collection::default();
        for (name, rounds) in [
            ("blockyard", [[1.0, 1.0], [10.0, 10.0]]),
            ("redb", [[2.0, 4.0], [30.0, 30.0]]),
            ("lmdb", [[9.0, 9.0], [90.0, 90.0]]),
            ("raw", [[2.0, 2.0], [20.0, 20.0]]),
        ] {
            collection.add((0, of(name)), 0, Phase::WarmUp, sample(&[1000.0], 100));
            for (round, values) in (1..).zip(rounds) {
                collection.add((0, of(name)), round, Phase::Timed, sample(&values, 2));
            }
        }
        let figures = collection.figures(&size);
        let ours = figures.iter().find(|figure| figure.engine == "blockyard").expect("a figure");
        assert_eq!(ours.best_peer.as_deref(), Some("redb"));
        assert_eq!(ours.to_floor, Some(Spread { median: 0.5, low: 0.5, high: 0.5 }));
        assert_eq!(ours.to_best_peer.map(|ratio| (ratio.low, ratio.high)), Some((1.0 / 3.0, 1.0 / 3.0)));
        assert_eq!((ours.p50, ours.minimum, ours.samples, ours.syncs), (5.5, 1.0, 4, 1.0));
        let redb = figures.iter().find(|figure| figure.engine == "redb").expect("a figure");
        assert_eq!(redb.best_peer.as_deref(), Some("lmdb"));
    }
}
