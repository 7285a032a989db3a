//! The predecessor's five fixes, switched on one after another, and each alone left off.
//!
//! Not criterion's: the drivers take turns, in another order every round, so that all meet the same moods of
//! the disk, and what is asked of the device and the heap is counted in the same rounds.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use blockyard_benches::driver::{Driver, Fixes};
use blockyard_benches::figures::{self, Cost, Ladder, Step};
use blockyard_benches::heap::{self, Counting};
use blockyard_benches::rows::{LENGTH, RECORDS, Row, UPDATES, rows, updates};
use blockyard_benches::{folder, sized};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Timed rounds.
const ROUNDS: u64 = 9;
/// Bytes of a new record: the file has to grow for it.
const NEW_LENGTH: usize = 4096;

/// The milliseconds that the predecessor measured before its fixes, and those it hoped for after each. It
/// named none for the last one, which is about memory.
const HOPED: [Option<f64>; 6] = [Some(506.0), Some(150.0), Some(80.0), Some(50.0), Some(30.0), None];

/// A driver and what it came to.
struct Runner {
    driver: Driver,
    step: Step,
    written: Vec<Row>,
}

impl Runner {
    fn new(folder: &Path, title: String, fixes: Fixes, hoped: Option<f64>) -> Result<Self> {
        let driver = Driver::start(&folder.join(title.replace(' ', "-")), fixes)?;
        let written = rows(0..sized(RECORDS, 100), LENGTH);
        driver.load(&written)?;
        let step = Step { title, fixes, hoped, update: Cost::default(), insert: Cost::default() };
        Ok(Self { driver, step, written })
    }

    /// Writes rows; what it cost goes to `into` from the second round on.
    fn write(&mut self, rows: Vec<Row>, round: u64, into: fn(&mut Step) -> &mut Cost) -> Result<()> {
        let before = self.driver.counts();
        let start = Instant::now();
        let (done, heap) = heap::measure(|| self.driver.write(&rows));
        let ms = start.elapsed().as_secs_f64() * 1e3;
        done?;
        let counts = self.driver.counts().since(before);
        if round > 0 {
            into(&mut self.step).add(ms, counts, heap);
        }
        self.driver.settle()?;
        self.written.extend(rows);
        Ok(())
    }

    fn turn(&mut self, round: u64) -> Result<()> {
        let count = sized(UPDATES, 10);
        let records = sized(RECORDS, 100);
        self.write(updates(round + 1, records, count, LENGTH), round, |step| &mut step.update)?;
        let first = records + round * count;
        self.write(rows(first..first + count, NEW_LENGTH), round, |step| &mut step.insert)
    }
}

fn line(step: &Step) -> String {
    let (least, most) = step.update.times.range();
    let hoped = step.hoped.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
    format!(
        "{:34} {:>8.2} ms ({least:.2} to {most:.2}), hoped {hoped:>4}; {:>6.1} syncs, {:>7.0} KiB, heap {:>6.0} calls {:>7.0} KiB; \
         inserts {:>8.2} ms, {:>4.1} growths",
        step.title,
        step.update.times.median(),
        step.update.count(|counts| counts.syncs),
        step.update.count(|counts| counts.bytes) / 1024.0,
        step.update.heap(|heap| heap.calls),
        step.update.heap(|heap| heap.bytes) / 1024.0,
        step.insert.times.median(),
        step.insert.count(|counts| counts.growths),
    )
}

fn run() -> Result<()> {
    let folder = folder();
    let mut runners = Vec::new();
    for (count, hoped) in HOPED.into_iter().enumerate() {
        let title = match count.checked_sub(1) {
            None => "as the predecessor".to_owned(),
            Some(last) => format!("and {}", Fixes::NAMES[last]),
        };
        runners.push(Runner::new(folder.path(), title, Fixes::first(count), hoped)?);
    }
    let ladder = runners.len();
    for (index, name) in Fixes::NAMES.into_iter().enumerate().take(4) {
        // Without the last one it is the fifth step of the ladder.
        runners.push(Runner::new(folder.path(), format!("all but {name}"), Fixes::without(index), None)?);
    }
    // Round 0 warms up.
    for round in 0..=sized(ROUNDS, 1) {
        let count = runners.len();
        for turn in 0..count {
            let runner = &mut runners[(turn + round as usize) % count];
            runner.turn(round).with_context(|| runner.step.title.clone())?;
        }
    }
    for runner in &runners {
        runner.driver.check(&runner.written).with_context(|| runner.step.title.clone())?;
    }
    let mut steps: Vec<Step> = runners.into_iter().map(|runner| runner.step).collect();
    steps.iter().for_each(|step| println!("{}", line(step)));
    let without = steps.split_off(ladder);
    figures::keep("fixes", &Ladder { steps, without })
}

fn main() {
    // There is nothing to choose from: it is one table.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    run().expect("the five fixes");
}
