//! A data logger, a settings store and a meter, whose content after any number of commits can be computed.

use crate::{SmallBatch, SmallStore};
use blockyard_core::batch::BatchError;
use blockyard_core::{BlockDevice, Durability, ReadError, WriteError};
use core::fmt;
use heapless::{String, Vec};

/// The longest value of a job.
pub const LONGEST: usize = 320;
/// Records that the logger keeps.
const KEPT: u32 = 20;
/// Names of the settings.
const SETTINGS: u32 = 8;
/// Readings that the meter keeps.
const READINGS: u32 = 10;

/// A name.
pub type Name = String<16>;
/// A value.
pub type Value = Vec<u8, LONGEST>;

/// What the firmware is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Appends a record a commit, drops the oldest, and keeps the number of the newest in the same commit.
    Logger,
    /// Changes one setting, sometimes three at once, and deletes one now and then.
    Settings,
    /// Keeps its last readings, one a commit, and deletes one now and then: it needs no batch.
    Meter,
}

/// All jobs.
pub const JOBS: [Job; 3] = [Job::Logger, Job::Settings, Job::Meter];

/// A store does not hold what it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A name that should not be there, or not be there yet.
    Name,
    /// A name is missing, or has another value.
    Value,
    /// The number of names.
    Count,
}

/// What may come of looking at a store.
pub type Looked<E> = Result<Result<(), Wrong>, ReadError<E>>;

fn name(words: fmt::Arguments<'_>) -> Name {
    let mut name = Name::new();
    // The longest is shorter than the room.
    let _ = fmt::Write::write_fmt(&mut name, words);
    name
}

fn bytes(seed: u32, length: usize) -> Value {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut value = Value::new();
    for _ in 0..length.min(LONGEST) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let _ = value.push((state >> 8) as u8);
    }
    value
}

/// A change of a commit: a name and its new value, if it is not deleted.
pub type Change = (Name, Option<Value>);

impl Job {
    /// The job's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logger => "logger",
            Self::Settings => "settings",
            Self::Meter => "meter",
        }
    }

    /// Commits of a round of the campaign.
    #[must_use]
    pub const fn commits(self) -> u32 {
        match self {
            Self::Logger => 36,
            Self::Settings => 30,
            Self::Meter => 24,
        }
    }

    /// What commit `n`, counted from 1, changes.
    fn changes(self, n: u32) -> Vec<Change, 3> {
        let mut changes = Vec::new();
        let mut add = |change| {
            let _ = changes.push(change);
        };
        match self {
            Self::Logger => {
                add(record(n));
                add((name(format_args!("newest")), Some(bytes(n, 4))));
                if n > KEPT {
                    add((record(n - KEPT).0, None));
                }
            }
            Self::Settings => {
                let several = if n.is_multiple_of(7) { 3 } else { 1 };
                for turn in 0..several {
                    let key = (n * 5 + turn) % SETTINGS;
                    let value = bytes(n + 1000 * turn, (n as usize * 13) % 70);
                    add((setting(key), Some(value).filter(|_| n % 9 != 4)));
                }
            }
            Self::Meter => {
                // Of all lengths: within the registry's record, of a page and less, and more.
                let value = bytes(n, (n as usize * 53) % LONGEST);
                add((reading(n % READINGS), Some(value).filter(|_| n % 9 != 4)));
            }
        }
        changes
    }

    /// Puts the changes of commit `n` into an empty batch.
    ///
    /// # Errors
    /// The batch is too small.
    pub fn fill(self, n: u32, batch: &mut SmallBatch) -> Result<(), BatchError> {
        batch.clear();
        for (name, value) in self.changes(n) {
            match value {
                Some(value) => batch.put(name.as_bytes(), &value, u64::from(n))?,
                None => batch.delete(name.as_bytes())?,
            }
        }
        Ok(())
    }

    /// What commit `n` changes, if it needs no batch.
    #[must_use]
    pub fn one(self, n: u32) -> Option<Change> {
        self.changes(n).pop().filter(|_| self == Self::Meter)
    }

    /// Commits number `n`, durably.
    ///
    /// # Errors
    /// The store's.
    pub fn commit<D: BlockDevice>(
        self,
        store: &mut SmallStore<'_, D>,
        batch: &mut SmallBatch,
        n: u32,
    ) -> Result<(), WriteError<D::Error>> {
        if let Some((name, value)) = self.one(n) {
            let name = name.as_bytes();
            return match value {
                Some(value) => store.put(name, &value, u64::from(n), Durability::Durable),
                None => store.delete(name, Durability::Durable),
            }
            .map(|_| ());
        }
        self.fill(n, batch).map_err(|_| WriteError::BatchTooLarge)?;
        store.commit(core::slice::from_mut(batch), Durability::Durable).map(|_| ())
    }

    /// What a name holds after commit `n`.
    pub(crate) fn value_of(self, name: &str, n: u32) -> Option<Value> {
        // A record of the logger is changed by its own commit and dropped by a later one, a setting by any.
        let far = if self == Self::Logger { KEPT + 1 } else { n };
        (n.saturating_sub(far) + 1..=n)
            .rev()
            .find_map(|m| self.changes(m).into_iter().rev().find(|(changed, _)| changed == name))
            .and_then(|(_, value)| value)
    }

    /// Names that may be there after commit `n`.
    pub(crate) fn names(self, n: u32) -> impl Iterator<Item = Name> {
        let (records, settings) = match self {
            Self::Logger => (n.saturating_sub(KEPT) + 1..n + 1, 0..0),
            Self::Settings => (0..0, 0..SETTINGS),
            Self::Meter => (0..0, 0..0),
        };
        let readings = if self == Self::Meter { 0..READINGS } else { 0..0 };
        let newest = (self == Self::Logger && n > 0).then(|| name(format_args!("newest")));
        records.map(|n| record(n).0).chain(newest).chain(settings.map(setting)).chain(readings.map(reading))
    }

    /// Compares all that a store holds with what it must hold after commit `n`.
    ///
    /// # Errors
    /// A read that fails.
    pub fn check<D: BlockDevice>(self, store: &mut SmallStore<'_, D>, n: u32) -> Looked<D::Error> {
        let mut found = [0; LONGEST];
        let mut expected = 0;
        for name in self.names(n) {
            let value = self.value_of(&name, n);
            expected += u32::from(value.is_some());
            let length = store.get(name.as_bytes(), &mut found)?;
            if length.and_then(|length| found.get(..length)) != value.as_deref() {
                return Ok(Err(Wrong::Value));
            }
        }
        let (mut last, mut next) = (Vec::<u8, 16>::new(), [0; 16]);
        let mut count = 0;
        while let Some(length) = store.next_name(Some(&last[..]).filter(|it| !it.is_empty()), &mut next)? {
            count += 1;
            last = Vec::from_slice(next.get(..length).unwrap_or(&[])).unwrap_or_default();
            let known = self.names(n).any(|name| name.as_bytes() == &last[..]);
            if !known {
                return Ok(Err(Wrong::Name));
            }
        }
        Ok(if count == expected { Ok(()) } else { Err(Wrong::Count) })
    }
}

/// Record `n` of the logger: short ones go into the registry, longer ones have a page of their own.
fn record(n: u32) -> Change {
    (name(format_args!("log/{n:08}")), Some(bytes(n, 12 + (n as usize * 37) % (LONGEST - 12))))
}

fn reading(place: u32) -> Name {
    name(format_args!("meter/{place}"))
}

fn setting(key: u32) -> Name {
    name(format_args!("set/{key}"))
}
