//! Opening after kill -9: a child commits durably and says so; it is killed in the middle, the files are
//! opened, and everything that it said is looked for.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Openings;
use super::step::kind;
use crate::arguments::{ScaleCommit, ScaleStep};
use crate::data::{Contents, key};
use crate::engines::Opening;
use crate::turn::Slot;

/// The record of the child's commit `number`.
const fn index(number: u64, records: u64) -> u64 {
    // A prime step meets the records all over.
    number.wrapping_mul(1_000_003) % records
}

/// The child: commits until it is killed and prints each commit's number once it is durable.
pub(crate) fn commit(commit: &ScaleCommit) -> Result<()> {
    let opening = Opening {
        folder: commit.folder.clone(),
        length: commit.length,
        room: commit.records,
        cache: commit.cache,
    };
    let engine = (kind(&commit.engine)?.open)(&opening)?;
    let mut session = engine.session()?;
    let (mut value, mut output) = (vec![0; commit.length], std::io::stdout().lock());
    for number in 0.. {
        let index = index(number, commit.records);
        Contents::new(index, commit.version + number as u32, commit.length).fill(&mut value);
        session.put(&key(index), &value)?;
        writeln!(output, "{number}")?;
        output.flush()?;
    }
    Ok(())
}

/// Lets a child commit, kills it, opens the engine.
pub(super) fn open_killed(slot: &mut Slot, step: &ScaleStep, kills: u32) -> Result<Openings> {
    let mut openings = Openings::default();
    for kill in 0..kills {
        slot.close()?;
        let version = slot.model.next_version();
        let said = commit_and_kill(step, version, 120 + 37 * kill as usize)?;
        openings.open(slot)?;
        for number in 0..said {
            slot.model.set(index(number, step.records), version + number as u32);
        }
        note_unsaid(slot, step, version, said)?;
        let numbers: Vec<u64> = (0..said + 1).map(|number| index(number, step.records)).collect();
        slot.model.check_some(slot.engine()?, &numbers).context("after kill -9")?;
    }
    Ok(openings)
}

/// How many commits the child said were durable.
fn commit_and_kill(step: &ScaleStep, version: u32, after: usize) -> Result<u64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("scale-commit").args(["--engine", &step.engine, "--records", &step.records.to_string()]);
    command.args(["--length", &step.length.to_string(), "--cache", &step.cache.to_string()]);
    command.args(["--version", &version.to_string()]).arg("--folder").arg(&step.folder);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("a child without output")?;
    let mut said = 0;
    let mut counted = Ok(());
    for line in BufReader::new(output).lines() {
        let expected = said.to_string();
        counted = match line {
            Ok(line) if line == expected => Ok(()),
            // Cut off by the kill: it was not said.
            Ok(line) if said as usize >= after && expected.starts_with(&line) => break,
            other => Err(anyhow::anyhow!("the child said {other:?} where {expected} comes")),
        };
        if counted.is_err() {
            break;
        }
        said += 1;
        if said as usize == after {
            child.kill()?;
        }
    }
    // It may be gone already.
    let _ = child.kill();
    child.wait()?;
    counted?;
    ensure!(said as usize >= after, "the child ended by itself after {said} commits");
    Ok(said)
}

/// The commit that was under way may be there or not.
fn note_unsaid(slot: &mut Slot, step: &ScaleStep, version: u32, said: u64) -> Result<()> {
    let index = index(said, step.records);
    let late = Contents::new(index, version + said as u32, step.length);
    let (mut buffer, mut there) = (vec![0; step.length], false);
    slot.engine()?.session()?.read(&mut |reader| {
        let length = reader.get_into(&key(index), &mut buffer)?.context("a record is gone")?;
        there = late.check(&buffer[..length]).is_ok();
        Ok(())
    })?;
    if there {
        slot.model.set(index, version + said as u32);
    }
    Ok(())
}
