//! What an engine must hold: which version of every record, or none.

use anyhow::{Context, Result, bail, ensure};

use crate::data::{Contents, index_of, key, sum};
use crate::engines::{Engine, Span};

/// The versions of an engine's records. Version 0 is a record that is not there.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    length: usize,
    versions: Vec<u32>,
    /// Sums over the values, as far as they were asked for.
    sums: Vec<Option<u64>>,
    newest: u32,
}

impl Model {
    /// `records` records in their first version, each value `length` bytes long.
    pub(crate) fn new(records: u64, length: usize) -> Self {
        Self { length, versions: vec![1; records as usize], sums: Vec::new(), newest: 1 }
    }

    /// No record yet.
    pub(crate) fn empty(length: usize) -> Self {
        Self::new(0, length)
    }

    /// Bytes of a value.
    pub(crate) const fn length(&self) -> usize {
        self.length
    }

    /// Numbers in use, those of deleted records among them.
    pub(crate) fn numbers(&self) -> u64 {
        self.versions.len() as u64
    }

    /// How many records are there.
    pub(crate) fn records(&self) -> u64 {
        self.versions.iter().filter(|&&version| version > 0).count() as u64
    }

    /// Bytes of heap that the model itself takes.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let sums = self.sums.capacity() * size_of::<Option<u64>>();
        (self.versions.capacity() * size_of::<u32>() + sums) as u64
    }

    /// Bytes of it that were ever written to: what is behind them is the heap's, and in no memory yet.
    pub(crate) fn resident_bytes(&self) -> u64 {
        (size_of_val(self.versions.as_slice()) + size_of_val(self.sums.as_slice())) as u64
    }

    /// The value that a record must have; None if it must not be there.
    pub(crate) fn contents(&self, index: u64) -> Option<Contents> {
        let version = self.versions.get(index as usize).copied().filter(|&version| version > 0)?;
        Some(Contents::new(index, version, self.length))
    }

    /// A version that no record has had yet.
    pub(crate) fn next_version(&mut self) -> u32 {
        self.newest += 1;
        self.newest
    }

    /// Notes that `index` was written in `version`; 0 if it was deleted.
    pub(crate) fn set(&mut self, index: u64, version: u32) {
        let index = index as usize;
        if index >= self.versions.len() {
            self.versions.resize(index + 1, 0);
        }
        self.versions[index] = version;
        if let Some(sum) = self.sums.get_mut(index) {
            *sum = None;
        }
        self.newest = self.newest.max(version);
    }

    /// Forgets the numbers from `numbers` on, which must have been deleted.
    pub(crate) fn truncate(&mut self, numbers: u64) {
        self.versions.truncate(numbers as usize);
        self.sums.truncate(numbers as usize);
    }

    /// The sum over the values of the records in a range of numbers.
    pub(crate) fn sum(&mut self, numbers: std::ops::Range<u64>) -> u64 {
        let end = numbers.end.min(self.numbers());
        self.sums.resize(self.versions.len(), None);
        (numbers.start..end).fold(0, |total, index| {
            let Some(contents) = self.contents(index) else { return total };
            let value = self.sums[index as usize].get_or_insert_with(|| contents.sum());
            total.wrapping_add(*value)
        })
    }

    /// Compares every record and every byte of an engine with what it must be.
    pub(crate) fn check(&self, engine: &dyn Engine) -> Result<()> {
        let (mut found, mut wrong) = (0, None);
        let mut session = engine.session()?;
        session.read(&mut |reader| {
            reader.scan(Span::Forward, &mut |name, value| {
                found += 1;
                let checked = index_of(name)
                    .filter(|&index| key(index) == *name)
                    .and_then(|index| self.contents(index))
                    .context("it must not be there")
                    .and_then(|contents| contents.check(value));
                if let Err(error) = checked {
                    wrong = Some(error.context(format!("record {}", name.escape_ascii())));
                }
                wrong.is_none()
            })
        })?;
        match wrong {
            Some(error) => bail!(error),
            None => ensure!(found == self.records(), "{found} records where {} must be", self.records()),
        }
        Ok(())
    }

    /// Compares the records of these numbers, every byte.
    pub(crate) fn check_some(&self, engine: &dyn Engine, numbers: &[u64]) -> Result<()> {
        let mut session = engine.session()?;
        let mut buffer = vec![0; self.length];
        session.read(&mut |reader| {
            for &index in numbers {
                let found = reader.get_into(&key(index), &mut buffer)?;
                match (found, self.contents(index)) {
                    (None, None) => {}
                    (Some(length), Some(contents)) => {
                        let value = buffer.get(..length).context("a length beyond the buffer")?;
                        contents.check(value).with_context(|| format!("record {index}"))?;
                    }
                    (None, Some(_)) => bail!("record {index} is gone"),
                    (Some(_), None) => bail!("record {index} was deleted and is there"),
                }
            }
            Ok(())
        })
    }
}

/// Adds up what a scan meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Met {
    /// Records.
    pub(crate) records: u64,
    /// The sum over their values.
    pub(crate) sum: u64,
}

impl Met {
    /// Adds a record.
    pub(crate) fn add(&mut self, value: &[u8]) {
        self.records += 1;
        self.sum = self.sum.wrapping_add(sum(value));
    }
}
