//! Point reads: warm and copied, warm without a copy, of names that nobody has, and cold.

use anyhow::{Result, ensure};

use super::{MAP, RAW, Series, Unit, Workload};
use crate::data::{Contents, Key, key, missing};
use crate::engines::{Kind, Reader};
use crate::turn::Turn;

/// A read and what it must find.
type Wanted = (Key, Option<Contents>);

/// Reads measured together: one alone is too short.
const TOGETHER: usize = 500;

/// Records drawn at random among those that fit into the cache twice over.
fn hot(turn: &mut Turn<'_>) -> Vec<Wanted> {
    let fitting = turn.slot.opening.cache as u64 / 2 / turn.slot.opening.length as u64;
    let limit = turn.slot.model.numbers().min(fitting);
    let draw = |_| {
        let index = turn.random.below(limit);
        (key(index), turn.slot.model.contents(index))
    };
    (0..turn.amounts.reads).map(draw).collect()
}

/// Copies each value out and looks at it.
fn copy_all(reader: &mut dyn Reader, wanted: &[Wanted], buffer: &mut [u8]) -> Result<()> {
    for (key, contents) in wanted {
        let found = reader.get_into(key, buffer)?;
        let right = match (found, contents) {
            (Some(length), Some(contents)) => {
                buffer.get(..length).is_some_and(|value| contents.glance(value))
            }
            (None, None) => true,
            _ => false,
        };
        ensure!(right, "{} is not what was written", key.escape_ascii());
    }
    Ok(())
}

/// Looks at each value where it lies.
fn show_all(reader: &mut dyn Reader, wanted: &[Wanted]) -> Result<()> {
    for (key, contents) in wanted {
        let mut right = false;
        reader.show(key, &mut |value| right = contents.is_some_and(|contents| contents.glance(value)))?;
        ensure!(right, "{} is not what was written", key.escape_ascii());
    }
    Ok(())
}

/// Times reads in one read transaction, after the same reads untimed.
fn measure(turn: &mut Turn<'_>, wanted: &[Wanted], copied: bool) -> Result<()> {
    let mut buffer = vec![0; turn.slot.opening.length];
    let mut session = turn.slot.engine()?.session()?;
    let clock = &mut turn.clock;
    session.read(&mut |reader| {
        copy_all(reader, wanted, &mut buffer)?;
        for wanted in wanted.chunks(TOGETHER) {
            clock.time(0, wanted.len() as u64, || match copied {
                true => copy_all(reader, wanted, &mut buffer),
                false => show_all(reader, wanted),
            })?;
        }
        Ok(())
    })
}

/// Values copied into the caller's buffer.
pub(super) struct Warm;

impl Workload for Warm {
    fn name(&self) -> &'static str {
        "read"
    }

    fn series(&self) -> &'static [Series] {
        const { &[Series::new("a point read, warm, copied out", Unit::Time, MAP)] }
    }

    fn applies(&self, kind: &Kind) -> bool {
        kind.name != "raw-two-syncs"
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        let wanted = hot(turn);
        measure(turn, &wanted, true)
    }
}

/// Values seen where the engine has them.
pub(super) struct ZeroCopy;

impl Workload for ZeroCopy {
    fn name(&self) -> &'static str {
        "zero-copy"
    }

    fn series(&self) -> &'static [Series] {
        const { &[Series::new("a point read, warm, without a copy", Unit::Time, MAP)] }
    }

    fn applies(&self, kind: &Kind) -> bool {
        kind.zero_copy
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        let wanted = hot(turn);
        measure(turn, &wanted, false)
    }
}

/// Names that nobody has, between those that are there.
pub(super) struct Missing;

impl Workload for Missing {
    fn name(&self) -> &'static str {
        "missing"
    }

    fn series(&self) -> &'static [Series] {
        const { &[Series::new("a point read of a name that nobody has", Unit::Time, MAP)] }
    }

    /// A file of places has no names to look for.
    fn applies(&self, kind: &Kind) -> bool {
        !kind.name.starts_with("raw")
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        let numbers = turn.slot.model.numbers();
        let draw = |_| (missing(turn.random.below(numbers)), None);
        let wanted: Vec<Wanted> = (0..turn.amounts.reads).map(draw).collect();
        measure(turn, &wanted, true)
    }
}

/// The first reads after opening, with nothing of the files in the operating system's cache.
pub(super) struct Cold;

impl Workload for Cold {
    fn name(&self) -> &'static str {
        "cold"
    }

    fn series(&self) -> &'static [Series] {
        const { &[Series::new("a point read, cold: just opened, nothing cached", Unit::Time, RAW)] }
    }

    fn applies(&self, kind: &Kind) -> bool {
        kind.on_disk && kind.name != "raw-two-syncs"
    }

    fn leaves_cold(&self) -> bool {
        true
    }

    fn run(&self, turn: &mut Turn<'_>) -> Result<()> {
        let mut numbers: Vec<u64> = (0..turn.slot.model.numbers()).collect();
        turn.random.shuffle(&mut numbers);
        numbers.truncate(turn.amounts.cold_reads as usize);
        turn.slot.reopen_cold()?;
        let mut buffer = vec![0; turn.slot.opening.length];
        let mut session = turn.slot.engine()?.session()?;
        let (clock, model) = (&mut turn.clock, &turn.slot.model);
        session.read(&mut |reader| {
            for &index in &numbers {
                let wanted = [(key(index), model.contents(index))];
                clock.time(0, 1, || copy_all(reader, &wanted, &mut buffer))?;
            }
            Ok(())
        })
    }
}
