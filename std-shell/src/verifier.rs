//! Reading fresh writes back in the background.
//!
//! Names wait in a bounded queue; when it is full the oldest checks are the ones that count and new
//! ones are left out, never waited for. What is found is counted and reported through `tracing`.

use crate::batch::RawBatch;
use crate::error::{Error, Result};
use crate::inner::Inner;
use crate::read::{self, Located};
use blockyard_core::format::op_kind;
use blockyard_core::overlay::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};

/// Counts of the background verifier.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) verified: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// The queue's writing end.
#[derive(Debug)]
pub(crate) struct Sender(SyncSender<Vec<u8>>);

impl Sender {
    /// The two ends of a queue of 1,000 names.
    pub(crate) fn new() -> (Self, Receiver<Vec<u8>>) {
        let (sender, receiver) = sync_channel(MOST_NAMES);
        (Self(sender), receiver)
    }

    /// Offers blocks for checking.
    pub(crate) fn offer(&self, names: Vec<Vec<u8>>) {
        for name in names {
            if self.0.try_send(name).is_err() {
                return;
            }
        }
    }
}

/// Names in the queue at most.
const MOST_NAMES: usize = 1000;

/// Notes the names that a committed batch puts: they are offered once they can be seen.
pub(crate) fn note(fresh: &mut Vec<Vec<u8>>, batch: &RawBatch) {
    let room = MOST_NAMES.saturating_sub(fresh.len());
    let puts = batch
        .operations()
        .filter(|operation| !matches!(operation.head.kind, op_kind::DELETE | op_kind::MOVE));
    fresh.extend(puts.take(room).map(|operation| operation.name.to_vec()));
}

/// Checks names until the store is gone.
pub(crate) fn run(inner: &Weak<Inner>, names: &Receiver<Vec<u8>>) {
    while let Ok(name) = names.recv() {
        let Some(inner) = inner.upgrade() else { return };
        check(&inner, &name);
    }
}

fn check(inner: &Arc<Inner>, name: &[u8]) {
    match read_back(inner, name) {
        Ok(true) => {
            inner.fresh.verified.fetch_add(1, Ordering::Relaxed);
        }
        Ok(false) | Err(Error::Closed) => {}
        Err(error) => {
            tracing::error!(name = %name.escape_ascii(), %error, "a fresh write does not read back");
            inner.fresh.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Reads a block's bytes from where they are now; false if there is nothing of its own to read: it is
/// gone, or so small that it has become part of the registry.
fn read_back(inner: &Inner, name: &[u8]) -> Result<bool> {
    loop {
        let view = inner.view()?;
        let Some(slot) = view.pending(name) else { break };
        let (Value::Inline { at } | Value::Carried { at, .. }) = slot.entry.value else { break };
        match inner.source.check_journal(at, slot.body()) {
            Ok(()) => return Ok(true),
            // Folded in meanwhile: the journal may have moved on over it.
            Err(_) if inner.view()?.layers.root.sequence >= slot.entry.sequence => {}
            Err(error) => return Err(Error::read(error, Some(name))),
        }
    }
    let view = inner.view()?;
    let Some(located) = read::locate(&inner.source, &view, name)? else { return Ok(false) };
    read::check(&inner.source, &view, name, &located)?;
    Ok(matches!(located, Located::File { .. }))
}
