//! A checkpoint's way through a frozen table.

use super::order::{Order, Spot};
use super::version::{Version, head};
use super::{Inner, Memtable, Versions};
use crate::fetch::fetch;
use blockyard_core::overlay::Entry;
use std::cell::Cell;

/// Versions of a name that are passed over before the place behind all of them is looked for.
const FEW: usize = 8;

/// How many versions ahead the processor is told to fetch one, and, once that is there, its name and its body.
const VERSION_AHEAD: usize = 16;
const BYTES_AHEAD: usize = 8;

/// Where in the order of a table a checkpoint found its last change. It goes through a table in order, which does not
/// change meanwhile: what it asks for next lies here or right behind. Whether it does is looked at each time.
#[derive(Debug, Default)]
pub(crate) struct Cursor(Cell<Option<Spot>>);

impl Cursor {
    /// The place behind all versions of `name`, if that is where the cursor is, or close to it.
    fn behind(&self, name: &[u8], order: &Order, versions: &Versions) -> Option<Spot> {
        let head = head(name);
        let is_of = |number| versions.get(number).is_of(head, name, &versions.memory);
        let mut spot = self.0.get().filter(|spot| order.at(*spot).is_some_and(is_of))?;
        for _ in 0..FEW {
            spot = order.after(spot);
            if !order.at(spot).is_some_and(is_of) {
                return Some(spot);
            }
        }
        None
    }

    /// Goes to the beginning.
    pub(crate) fn reset(&mut self) {
        self.0.set(None);
    }
}

impl Memtable {
    /// Calls `look` with the least name above `after` and its newest entry.
    pub(crate) fn next_at<R>(
        &self,
        cursor: &Cursor,
        after: Option<&[u8]>,
        look: impl FnOnce(&[u8], Entry) -> R,
    ) -> Option<R> {
        if self.is_empty() {
            return None;
        }
        let inner = self.in_order();
        let Inner { versions, order, .. } = &*inner;
        let spot = match after {
            Some(after) => {
                let close = cursor.behind(after, order, versions);
                close.unwrap_or_else(|| order.behind(after, versions))
            }
            None => Spot::FIRST,
        };
        let version = versions.get(order.at(spot)?);
        cursor.0.set(Some(spot));
        if let Some(coming) = order.ahead(spot, VERSION_AHEAD) {
            fetch(versions.get(coming));
        }
        if let Some(coming) = order.ahead(spot, BYTES_AHEAD) {
            versions.get(coming).fetch(&versions.memory);
        }
        Some(look(version.name(&versions.memory), version.entry()))
    }

    /// As [`with_body`](Self::with_body), where the cursor is as a rule.
    pub(crate) fn with_body_at(
        &self,
        cursor: &Cursor,
        name: &[u8],
        sequence: u64,
        look: impl FnOnce(&[u8]),
    ) -> bool {
        if let Some(spot) = cursor.0.get() {
            let inner = self.inner.read();
            let versions = &inner.versions;
            let version = inner.order.at(spot).map(|number| versions.get(number));
            let is_it = |version: &&Version| {
                version.sequence == sequence && version.is_of(head(name), name, &versions.memory)
            };
            if let Some(version) = version.filter(is_it) {
                look(version.body(&versions.memory));
                return true;
            }
        }
        self.with_body(name, sequence, look)
    }
}
