//! A session: what is pending, and the answers.

use super::line::{Command, MAX_LINE};
use super::pending::Pending;
use crate::failure::why;
use blockyard::{Durability, Error, Sequence, Store};
use std::fmt::Display;
use std::io::{self, Write};

/// One conversation over a store.
pub(super) struct Session<'a, W> {
    store: &'a Store,
    output: W,
    pending: Pending,
    failed: bool,
}

impl<'a, W: Write> Session<'a, W> {
    /// A session that answers to `output`.
    pub(super) fn new(store: &'a Store, output: W) -> Self {
        Self { store, output, pending: Pending::new(store), failed: false }
    }

    /// Number of changes that no commit has taken.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether any answer was an error.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Carries out `command`. Fails only if the answer cannot be given.
    pub(super) fn answer(&mut self, command: Command<'_>) -> io::Result<()> {
        match command {
            Command::Put(name, text) => self.change(name, Some(text)),
            Command::Del(name) => self.change(name, None),
            Command::Get(name) => self.get(name),
            Command::Commit => match self.commit() {
                Ok(sequence) => self.send(&[b"ok ", sequence.to_string().as_bytes()]),
                Err(error) => self.refuse(why(&error)),
            },
        }
    }

    /// Answers with an error, on one line.
    pub(super) fn refuse(&mut self, reason: impl Display) -> io::Result<()> {
        self.failed = true;
        let reason = reason.to_string().replace(['\n', '\r'], " ");
        self.send(&[b"error ", reason.as_bytes()])
    }

    fn change(&mut self, name: &[u8], text: Option<&[u8]>) -> io::Result<()> {
        if self.pending.is_full(name, text) {
            return self.refuse("the batch is full and this change is not in it; commit, then send it again");
        }
        match self.pending.add(name, text) {
            Ok(()) => Ok(()),
            Err(error) => self.refuse(why(&error)),
        }
    }

    fn get(&mut self, name: &[u8]) -> io::Result<()> {
        if let Some(change) = self.pending.get(name) {
            let text = change.map(<[u8]>::to_vec);
            return self.send_block(text.as_deref());
        }
        match self.text(name) {
            Ok(text) => self.send_block(text.as_deref()),
            Err(reason) => self.refuse(reason),
        }
    }

    /// The committed text of `name`, if it is one that fits a line.
    fn text(&self, name: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let Some(metadata) = self.store.metadata(name).map_err(|error| why(&error))? else {
            return Ok(None);
        };
        if metadata.length > MAX_LINE as u64 {
            return Err(format!(
                "the block has {} bytes, too many for a line; use `blockyard get`",
                metadata.length
            ));
        }
        let text = self.store.get(name).map_err(|error| why(&error))?;
        if text.as_ref().is_some_and(|text| text.contains(&b'\n')) {
            return Err("the block has line breaks; use `blockyard get`".to_owned());
        }
        Ok(text)
    }

    /// Commits what is pending; `Ok` means that it, and all before it, is durable.
    fn commit(&mut self) -> Result<Sequence, Error> {
        let batch = self.pending.take(self.store);
        if batch.is_empty() { self.store.sync() } else { self.store.commit_with(batch, Durability::Durable) }
    }

    fn send_block(&mut self, text: Option<&[u8]>) -> io::Result<()> {
        match text {
            Some(text) => self.send(&[b"value ", text]),
            None => self.send(&[b"missing"]),
        }
    }

    /// Sends one line, at once.
    fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut line = parts.concat();
        line.push(b'\n');
        self.output.write_all(&line)?;
        self.output.flush()
    }
}
