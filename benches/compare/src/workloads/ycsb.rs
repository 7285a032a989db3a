//! The mixes of YCSB (Cooper et al., "Benchmarking cloud serving systems with YCSB", 2010), one thread, every
//! write durable, each operation in a transaction of its own.

use anyhow::{Context, Result, ensure};

use super::{RAW, Series, Unit, Workload};
use crate::data::{Contents, Random, Zipf, key};
use crate::engines::{Kind, Session, Span};
use crate::turn::{Turn, Update};

/// The mix of this letter.
pub(super) struct Ycsb<const MIX: char>;

/// One operation, with what it must find.
enum Step {
    Read(u64, Option<Contents>),
    Put(Update),
    Modify(Update, Option<Contents>),
    Scan(u64, u64),
}

/// Shares of a hundred: reads, updates, inserts, scans, read-modify-writes.
struct Shares {
    read: u64,
    update: u64,
    insert: u64,
    scan: u64,
}

const fn shares(mix: char) -> Shares {
    match mix {
        'A' => Shares { read: 50, update: 50, insert: 0, scan: 0 },
        'B' => Shares { read: 95, update: 5, insert: 0, scan: 0 },
        'C' => Shares { read: 100, update: 0, insert: 0, scan: 0 },
        'D' => Shares { read: 95, update: 0, insert: 5, scan: 0 },
        'E' => Shares { read: 0, update: 0, insert: 5, scan: 95 },
        _ => Shares { read: 50, update: 0, insert: 0, scan: 0 },
    }
}

/// The operations of a turn; the model is ahead by then.
fn prepare(turn: &mut Turn<'_>, mix: char, zipf: &Zipf) -> Vec<Step> {
    let shares = shares(mix);
    let loaded = turn.slot.model.numbers();
    let draw = |random: &mut Random, numbers: u64| match mix {
        // The newest are the most popular.
        'D' => numbers - 1 - zipf.rank(random).min(numbers - 1),
        _ => zipf.scattered(random).min(loaded - 1),
    };
    (0..turn.amounts.ycsb)
        .map(|_| {
            let numbers = turn.slot.model.numbers();
            let index = draw(&mut turn.random, numbers);
            let contents = turn.slot.model.contents(index);
            let lot = turn.random.below(100);
            if lot < shares.read {
                Step::Read(index, contents)
            } else if lot < shares.read + shares.update {
                Step::Put(turn.update(index))
            } else if lot < shares.read + shares.update + shares.insert {
                Step::Put(turn.update(numbers))
            } else if lot < shares.read + shares.update + shares.insert + shares.scan {
                let wanted = 1 + turn.random.below(100);
                Step::Scan(index, wanted.min(numbers - index))
            } else {
                Step::Modify(turn.update(index), contents)
            }
        })
        .collect()
}

fn read(session: &mut dyn Session, index: u64, contents: Option<Contents>, buffer: &mut [u8]) -> Result<()> {
    session.read(&mut |reader| {
        let length = reader.get_into(&key(index), buffer)?.context("a record is gone")?;
        let right = contents.is_some_and(|contents| contents.glance(&buffer[..length]));
        ensure!(right, "record {index} is not what was written");
        Ok(())
    })
}

fn step(session: &mut dyn Session, step: &Step, buffer: &mut [u8]) -> Result<()> {
    match step {
        Step::Read(index, contents) => read(session, *index, *contents, buffer),
        Step::Put(update) => session.put(&update.key, &update.value),
        Step::Modify(update, contents) => {
            read(session, update.index, *contents, buffer)?;
            session.put(&update.key, &update.value)
        }
        Step::Scan(index, wanted) => {
            let mut met = 0;
            session.read(&mut |reader| {
                reader.scan(Span::From(&key(*index)), &mut |_, value| {
                    std::hint::black_box(crate::data::sum(value));
                    met += 1;
                    met < *wanted
                })
            })?;
            ensure!(met == *wanted, "a scan met {met} records of {wanted}");
            Ok(())
        }
    }
}

impl<const MIX: char> Workload for Ycsb<MIX> {
    fn name(&self) -> &'static str {
        match MIX {
            'A' => "ycsb-a",
            'B' => "ycsb-b",
            'C' => "ycsb-c",
            'D' => "ycsb-d",
            'E' => "ycsb-e",
            _ => "ycsb-f",
        }
    }

    fn series(&self) -> &'static [Series] {
        match MIX {
            'A' => const { &[Series::new("YCSB A: half reads, half updates", Unit::Rate, RAW)] },
            'B' => const { &[Series::new("YCSB B: 95 % reads, 5 % updates", Unit::Rate, RAW)] },
            'C' => const { &[Series::new("YCSB C: reads only", Unit::Rate, RAW)] },
            'D' => const { &[Series::new("YCSB D: 95 % reads of the newest, 5 % inserts", Unit::Rate, RAW)] },
            'E' => const { &[Series::new("YCSB E: 95 % short scans, 5 % inserts", Unit::Rate, RAW)] },
            _ => const { &[Series::new("YCSB F: half reads, half read-modify-writes", Unit::Rate, RAW)] },
        }
    }

    fn applies(&self, kind: &Kind) -> bool {
        kind.name != "raw-two-syncs"
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        let loaded = turn.slot.model.numbers();
        let steps = prepare(turn, MIX, &Zipf::new(loaded));
        let mut buffer = vec![0; turn.slot.opening.length];
        let mut session = turn.slot.engine()?.session()?;
        turn.clock.time(0, steps.len() as u64, || {
            steps.iter().try_for_each(|it| step(&mut *session, it, &mut buffer))
        })?;
        drop(session);
        let written = steps.iter().filter_map(|step| match step {
            Step::Put(update) | Step::Modify(update, _) => Some(update.index),
            Step::Read(..) | Step::Scan(..) => None,
        });
        let written: Vec<u64> = written.collect();
        turn.slot.model.check_some(turn.slot.engine()?, &written)?;
        super::deletes::take_back(turn, loaded)
    }
}
