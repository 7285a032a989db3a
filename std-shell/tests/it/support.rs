//! What the tests share.

use blockyard::{OpenOptions, Store};
use std::path::PathBuf;

/// A directory that is removed at the end, and a path in it.
pub(crate) struct Place {
    _directory: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("test.by");
        Self { _directory: directory, path }
    }

    pub(crate) fn create(&self) -> Store {
        OpenOptions::new().create_new(true).journal_size(1 << 20).open(&self.path).expect("a new store")
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(&self.path).expect("the store opens")
    }
}

/// Bytes that no compression or accident makes equal.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// Verifies the whole file and says what is wrong with it.
pub(crate) fn assert_clean(store: &Store) {
    let report = store.verify(|_| {}).expect("verification runs");
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.leaked_pages, 0, "{report:?}");
}
