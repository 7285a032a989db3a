//! One engine with one number of records.
//!
//! In this order, so that each finds the files as an engine in use would have them: load, close, open; read
//! at random and all in order; commit one by one and in batches; be killed and opened; many random updates; compare.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{Openings, Point, killed, median};
use crate::arguments::ScaleStep;
use crate::count;
use crate::data::{Random, key};
use crate::engines::{Kind, Opening, Span, chosen, disk_use};
use crate::model::Met;
use crate::plan::{Amounts, Extent};
use crate::results::quantile;
use crate::turn::{Clock, Slot, Turn, as_batch};

const OPENS: usize = 5;
const READS: u64 = 20_000;
const COMMITS: u64 = 200;
const BATCHES: u64 = 20;
const A_BATCH: u64 = 500;
const KILLS: u32 = 5;

/// The engine of a name.
pub(super) fn kind(name: &str) -> Result<Kind> {
    chosen(&[name.to_owned()])?.first().copied().context("no such engine")
}

/// Runs it and prints the point.
pub(crate) fn run(step: &ScaleStep) -> Result<()> {
    let kind = kind(&step.engine)?;
    let opening =
        Opening { folder: step.folder.clone(), length: step.length, room: step.records, cache: step.cache };
    let amounts = Extent::Full.amounts(step.length, step.records);
    let mut slot = Slot::open(kind, opening)?;
    let load = load(&mut slot, step.records)?;
    let (_, loaded_disk) = disk_use(&slot.opening.folder)?;
    let mut clean = open_clean(&mut slot)?;
    let before = count::live();
    let (read, read_p99) = read(&slot)?;
    let held = slot.model.heap_bytes();
    // What is live now and was not the engine's: the model.
    let live_heap = kind.rust_heap.then(|| count::live().max(before).saturating_sub(held));
    let resident = resident(slot.model.resident_bytes());
    let scan = scan(&slot)?;
    let (single, batch) = commits(&mut slot, &amounts)?;
    let mut killed = killed::open_killed(&mut slot, step, KILLS)?;
    let update = updates(&mut slot, &amounts, step.updates)?;
    count::quiet();
    let (final_length, final_disk) = disk_use(&slot.opening.folder)?;
    let resident_final = self::resident(slot.model.resident_bytes());
    slot.model.check(slot.engine()?).context("after all updates")?;
    slot.close()?;
    let point = Point {
        engine: step.engine.clone(),
        records: step.records,
        payload: step.records * step.length as u64,
        load,
        loaded_disk,
        open_clean: median(&mut clean.seconds),
        open_killed: median(&mut killed.seconds),
        open_killed_most: quantile(&killed.seconds, 1.0),
        open_clean_syncs: clean.syncs,
        open_killed_syncs: killed.syncs,
        read,
        read_p99,
        scan,
        single,
        batch,
        update,
        final_length,
        final_disk,
        live_heap,
        resident,
        resident_final,
    };
    println!("{}", serde_json::to_string(&point)?);
    Ok(())
}

/// Loads in order, closes and opens; seconds a record until the close is done.
fn load(slot: &mut Slot, records: u64) -> Result<f64> {
    let order: Vec<u64> = (0..records).collect();
    let start = Instant::now();
    slot.load(&order)?;
    slot.close()?;
    let seconds = start.elapsed().as_secs_f64();
    slot.open_again()?;
    Ok(seconds / records as f64)
}

fn open_clean(slot: &mut Slot) -> Result<Openings> {
    let mut openings = Openings::default();
    for _ in 0..OPENS {
        slot.close()?;
        count::quiet();
        openings.open(slot)?;
    }
    Ok(openings)
}

/// The median and the worst in a hundred of reads of any record.
fn read(slot: &Slot) -> Result<(f64, f64)> {
    let (mut random, mut buffer) = (Random::new(1), vec![0; slot.opening.length]);
    let numbers = slot.model.numbers();
    let mut seconds = Vec::with_capacity(READS as usize);
    let mut session = slot.engine()?.session()?;
    session.read(&mut |reader| {
        for _ in 0..READS {
            let index = random.below(numbers);
            let name = key(index);
            let start = Instant::now();
            let found = reader.get_into(&name, &mut buffer)?;
            seconds.push(start.elapsed().as_secs_f64());
            let value = found.and_then(|length| buffer.get(..length)).context("a record is gone")?;
            slot.model.contents(index).context("the model has no such record")?.check(value)?;
        }
        Ok(())
    })?;
    seconds.sort_by(f64::total_cmp);
    Ok((quantile(&seconds, 0.5), quantile(&seconds, 0.99)))
}

/// Seconds a record of a scan over all records.
fn scan(slot: &Slot) -> Result<f64> {
    let (mut met, mut seconds) = (Met::default(), 0.0);
    let mut session = slot.engine()?.session()?;
    session.read(&mut |reader| {
        let start = Instant::now();
        reader.scan(Span::Forward, &mut |_, value| {
            met.add(value);
            true
        })?;
        seconds = start.elapsed().as_secs_f64();
        Ok(())
    })?;
    let records = slot.model.numbers();
    // Sums are not kept in the model: its memory would count as much as an engine's.
    let contents = (0..records).filter_map(|index| slot.model.contents(index));
    let sum = contents.fold(0u64, |sum, contents| sum.wrapping_add(contents.sum()));
    ensure!(met == Met { records, sum }, "a scan met other records than were written");
    Ok(seconds / records as f64)
}

fn commits(slot: &mut Slot, amounts: &Amounts) -> Result<(f64, f64)> {
    let mut turn = Turn { slot, amounts, random: Random::new(2), clock: Clock::default() };
    for _ in 0..COMMITS {
        let updates = turn.updates(1);
        let mut session = turn.slot.engine()?.session()?;
        turn.clock.time(0, 1, || session.put(&updates[0].key, &updates[0].value))?;
    }
    for _ in 0..BATCHES {
        let updates = turn.updates(A_BATCH);
        let mut session = turn.slot.engine()?.session()?;
        turn.clock.time(1, 1, || session.batch(&as_batch(&updates), true))?;
        drop(session);
        turn.check(&updates)?;
    }
    let mut samples = turn.clock.into_samples().into_iter().map(|sample| sample.values);
    let mut next = || samples.next().unwrap_or_default();
    Ok((median(&mut next()), median(&mut next())))
}

/// Seconds an update.
fn updates(slot: &mut Slot, amounts: &Amounts, count: u64) -> Result<f64> {
    let mut turn = Turn { slot, amounts, random: Random::new(3), clock: Clock::default() };
    let mut seconds = 0.0;
    for _ in 0..count.div_ceil(A_BATCH) {
        let updates = turn.updates(A_BATCH);
        let changes = as_batch(&updates);
        let mut session = turn.slot.engine()?.session()?;
        let start = Instant::now();
        session.batch(&changes, true)?;
        seconds += start.elapsed().as_secs_f64();
    }
    Ok(seconds / (count.div_ceil(A_BATCH) * A_BATCH) as f64)
}

/// Bytes of this process that are no file's, less the model's.
fn resident(model: u64) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some((kibibytes << 10).saturating_sub(model))
}
