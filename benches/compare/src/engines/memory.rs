//! A map in memory: what reading and writing cost when nothing is kept.

use std::collections::{BTreeMap, Bound};

use anyhow::Result;
use parking_lot::RwLock;

use super::{Change, Engine, Kind, Opening, Reader, Reading, Role, Session, Settings, Span, Visit};
use crate::data::Key;

pub(super) const KIND: Kind = Kind {
    name: "map",
    package: None,
    role: Role::Floor,
    zero_copy: true,
    on_disk: false,
    rust_heap: true,
    settings: Settings {
        durable: "never: a BTreeMap in memory behind a lock",
        relaxed: "the same",
        reads: "under the lock, held for all reads of one turn",
        other: "",
    },
    open,
};

type Records = BTreeMap<Key, Box<[u8]>>;

#[derive(Default)]
struct Memory(RwLock<Records>);

fn open(_: &Opening) -> Result<Box<dyn Engine>> {
    Ok(Box::<Memory>::default())
}

impl Engine for Memory {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(self))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn apply(records: &mut Records, change: &Change<'_>) -> Result<()> {
    match *change {
        Change::Put(key, value) => {
            let key: Key = key.try_into()?;
            match records.get_mut(&key) {
                Some(old) if old.len() == value.len() => old.copy_from_slice(value),
                _ => drop(records.insert(key, value.into())),
            }
        }
        Change::Delete(key) => drop(records.remove(key)),
    }
    Ok(())
}

impl Session for &Memory {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        apply(&mut self.0.write(), &Change::Put(key, value))
    }

    fn put_relaxed(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.put(key, value)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn batch(&mut self, changes: &[Change<'_>], _: bool) -> Result<()> {
        let mut records = self.0.write();
        changes.iter().try_for_each(|change| apply(&mut records, change))
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        apply(&mut self.0.write(), &Change::Delete(key))
    }

    fn read(&mut self, work: Reading<'_>) -> Result<()> {
        work(&mut &*self.0.read())
    }
}

impl Reader for &Records {
    fn get_into(&mut self, key: &[u8], buffer: &mut [u8]) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        buffer[..value.len()].copy_from_slice(value);
        Ok(Some(value.len()))
    }

    fn show(&mut self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        Ok(self.get(key).map(|value| see(value)).is_some())
    }

    fn scan(&mut self, span: Span<'_>, visit: Visit<'_>) -> Result<()> {
        let from = match span {
            Span::Prefix(from) | Span::From(from) => Bound::Included(from),
            Span::Forward | Span::Backward => Bound::Unbounded,
        };
        let mut walk = self.range::<[u8], _>((from, Bound::Unbounded));
        let backward = matches!(span, Span::Backward);
        while let Some((key, value)) = if backward { walk.next_back() } else { walk.next() } {
            if matches!(span, Span::Prefix(prefix) if !key.starts_with(prefix)) || !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}
