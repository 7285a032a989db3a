//! Reading fresh writes back in the background.
//!
//! Names wait in a bounded queue; when it is full the oldest checks are the ones that count and new
//! ones are left out, never waited for. What is found is counted and reported through `tracing`.

use crate::batch::RawBatch;
use crate::inner::Inner;
use crate::read;
use blockyard_core::format::op_kind;
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
        let (sender, receiver) = sync_channel(1000);
        (Self(sender), receiver)
    }

    /// Offers the blocks of a committed batch for checking.
    pub(crate) fn offer(&self, batch: &RawBatch) {
        for operation in batch.operations() {
            let put = !matches!(operation.head.kind, op_kind::DELETE | op_kind::MOVE);
            if put && self.0.try_send(operation.name.to_vec()).is_err() {
                return;
            }
        }
    }
}

/// Checks names until the store is gone.
pub(crate) fn run(inner: &Weak<Inner>, names: &Receiver<Vec<u8>>) {
    while let Ok(name) = names.recv() {
        let Some(inner) = inner.upgrade() else { return };
        check(&inner, &name);
    }
}

fn check(inner: &Arc<Inner>, name: &[u8]) {
    let Ok(view) = inner.view() else { return };
    let result = read::locate(&inner.source, &view, name).and_then(|located| match located {
        Some(located) => read::check(&inner.source, &view, name, &located),
        None => Ok(()),
    });
    match result {
        Ok(()) => inner.fresh.verified.fetch_add(1, Ordering::Relaxed),
        Err(error) => {
            tracing::error!(name = %name.escape_ascii(), %error, "a fresh write does not read back");
            inner.fresh.failed.fetch_add(1, Ordering::Relaxed)
        }
    };
}
