//! Small files gathered into batches.

use super::report::Report;
use super::{Refusal, refusal};
use crate::failure::Outcome;
use crate::name;
use blockyard::{Durability, Error, Store};

/// Files in a batch at most.
const MAX_FILES: usize = 512;
/// Bytes of names and contents in a batch, above which it is committed.
const MAX_BYTES: usize = 4 << 20;

/// Files that wait to be committed together.
pub(super) struct Gather<'a> {
    store: &'a Store,
    files: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

impl<'a> Gather<'a> {
    /// Nothing gathered.
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store, files: Vec::new(), bytes: 0 }
    }

    /// Takes a file, and commits what there is when it has become enough.
    pub(super) fn add(&mut self, name: Vec<u8>, contents: Vec<u8>, report: &mut Report<'_>) -> Outcome<()> {
        self.bytes += name.len() + contents.len();
        self.files.push((name, contents));
        if self.files.len() >= MAX_FILES || self.bytes >= MAX_BYTES {
            self.commit(report)?;
        }
        Ok(())
    }

    /// Commits what there is.
    pub(super) fn commit(&mut self, report: &mut Report<'_>) -> Outcome<()> {
        self.bytes = 0;
        let files = std::mem::take(&mut self.files);
        commit_files(self.store, &files, report)
    }
}

/// Commits `files` in one batch; when the store refuses the batch for what is in it, each half on
/// its own, down to the file that is the trouble.
fn commit_files(store: &Store, files: &[(Vec<u8>, Vec<u8>)], report: &mut Report<'_>) -> Outcome<()> {
    let mut batch = store.batch();
    for (name, contents) in files {
        batch.put(name, contents);
    }
    match (store.commit_with(batch, Durability::Buffered), files) {
        (Ok(_), _) => Ok(()),
        (Err(Error::BatchTooLarge | Error::NameEmpty | Error::NameTooLong { .. }), [_, _, ..]) => {
            let (first, second) = files.split_at(files.len() / 2);
            commit_files(store, first, report)?;
            commit_files(store, second, report)
        }
        (Err(error), [(name, contents)]) => match refusal(name, error) {
            Refusal::File(reason) => {
                report.refused(name::shown(name), contents.len() as u64, reason);
                Ok(())
            }
            Refusal::Store(failure) => Err(failure),
        },
        (Err(error), _) => Err(crate::failure::Failure::store("cannot store a batch of files", &error)),
    }
}
