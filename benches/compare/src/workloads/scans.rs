//! Scans over every record, forwards and backwards, and over the records of one prefix. Every byte is added up.

use anyhow::{Result, ensure};

use super::{MAP, Series, Unit, Workload};
use crate::data::{GROUP, PREFIX, key};
use crate::engines::{Kind, Span};
use crate::model::Met;
use crate::turn::Turn;

/// Times so many scans of all records; an operation is one scan.
fn whole(turn: &mut Turn<'_>, span: Span<'_>) -> Result<()> {
    let numbers = turn.slot.model.numbers();
    let expected = Met { records: turn.slot.model.records(), sum: turn.slot.model.sum(0..numbers) };
    let mut session = turn.slot.engine()?.session()?;
    for _ in 0..turn.amounts.scans {
        let mut met = Met::default();
        turn.clock.time(0, 1, || {
            session.read(&mut |reader| {
                reader.scan(span, &mut |_, value| {
                    met.add(value);
                    true
                })
            })
        })?;
        ensure!(met == expected, "a scan met {met:?} where {expected:?} is there");
    }
    Ok(())
}

fn not_twice(kind: &Kind) -> bool {
    kind.name != "raw-two-syncs"
}

/// In the order of names.
pub(super) struct Forward;

impl Workload for Forward {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn series(&self) -> &'static [Series] {
        const { &[Series::new("a scan of all records", Unit::Time, MAP)] }
    }

    fn applies(&self, kind: &Kind) -> bool {
        not_twice(kind)
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        whole(turn, Span::Forward)
    }
}

/// The last name first.
pub(super) struct Backward;

impl Workload for Backward {
    fn name(&self) -> &'static str {
        "scan-back"
    }

    fn series(&self) -> &'static [Series] {
        const { &[Series::new("a scan of all records, backwards", Unit::Time, MAP)] }
    }

    fn applies(&self, kind: &Kind) -> bool {
        not_twice(kind)
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        whole(turn, Span::Backward)
    }
}

/// The hundred records of one prefix.
pub(super) struct Prefix;

impl Workload for Prefix {
    fn name(&self) -> &'static str {
        "prefix"
    }

    fn series(&self) -> &'static [Series] {
        const { &[Series::new("a scan of the 100 records of a prefix", Unit::Time, MAP)] }
    }

    fn applies(&self, kind: &Kind) -> bool {
        not_twice(kind)
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        let groups = (turn.slot.model.numbers() / GROUP).max(1);
        for _ in 0..turn.amounts.prefixes {
            let first = turn.random.below(groups) * GROUP;
            let end = (first + GROUP).min(turn.slot.model.numbers());
            let expected = turn.slot.model.sum(first..end);
            let name = key(first);
            let mut session = turn.slot.engine()?.session()?;
            let mut met = Met::default();
            turn.clock.time(0, 1, || {
                session.read(&mut |reader| {
                    reader.scan(Span::Prefix(&name[..PREFIX]), &mut |_, value| {
                        met.add(value);
                        true
                    })
                })
            })?;
            ensure!(met == Met { records: end - first, sum: expected }, "a prefix scan met {met:?}");
        }
        Ok(())
    }
}
