//! A driver that works as the engine that Blockyard replaces did, and takes over its five fixes one by one.
//!
//! Every setting is one of the library's own options or a call that a program could make; nothing sleeps and
//! nothing is computed for show. What each stands for:
//!
//! | setting | as it was | as the fix has it |
//! |---|---|---|
//! | registry batched | a checkpoint after every update: registry pages, free map and superblock, two syncs | the journal; a checkpoint when it is half full |
//! | no read-back | the device reads every write again, into fresh memory, and compares | it does not |
//! | flush batched | one sync an update | buffered commits: a sync in the background after 100 operations or 100 ms, and one at the end |
//! | growth in steps | the file grows by as little as the engine can: 32 pages beyond what it needs and keeps in reserve | the library's default steps |
//! | pooled buffers | a batch in fresh memory for every update | buffers of earlier batches |
//!
//! Without the first fix an update is durable by its checkpoint, and no sync of its own is added.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use blockyard::{Durability, FileDevice, OpenOptions, PutOptions, Store};

use crate::rows::{Row, Selection};
use crate::watched::{Counts, Watch, Watched};

/// Which of the five fixes are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fixes {
    /// The registry is folded in by checkpoints, not at every update.
    pub registry_batched: bool,
    /// What was written is not read again.
    pub no_read_back: bool,
    /// A sync for many updates.
    pub flush_batched: bool,
    /// The file grows by the library's default steps.
    pub growth_in_steps: bool,
    /// Buffers are used again.
    pub pooled_buffers: bool,
}

impl Fixes {
    /// The fixes' names, in the order in which the predecessor planned them.
    pub const NAMES: [&str; 5] =
        ["registry batched", "no read-back", "flush batched", "growth in steps", "pooled buffers"];

    /// The first `count` fixes on.
    #[must_use]
    pub const fn first(count: usize) -> Self {
        Self {
            registry_batched: count > 0,
            no_read_back: count > 1,
            flush_batched: count > 2,
            growth_in_steps: count > 3,
            pooled_buffers: count > 4,
        }
    }

    /// All fixes on but the one at `index`.
    #[must_use]
    pub const fn without(index: usize) -> Self {
        Self {
            registry_batched: index != 0,
            no_read_back: index != 1,
            flush_batched: index != 2,
            growth_in_steps: index != 3,
            pooled_buffers: index != 4,
        }
    }

    /// The library's options for them.
    #[must_use]
    pub fn options(self) -> OpenOptions {
        let options = OpenOptions::new().create_new(true).pooled_buffers(self.pooled_buffers);
        // Its checkpoint makes an update durable: the background thread must not sync it before, on a day when that takes long.
        let options = if self.registry_batched { options } else { options.flush_interval(Duration::MAX) };
        if self.growth_in_steps { options } else { options.growth_step(0) }
    }
}

/// A store that is driven as the fixes say.
#[derive(Debug)]
pub struct Driver {
    store: Store,
    fixes: Fixes,
    watch: Watch,
}

impl Driver {
    /// A new store in the file at `path`.
    ///
    /// # Errors
    /// Whatever keeps it from being made.
    pub fn start(path: &Path, fixes: Fixes) -> Result<Self> {
        let file = std::fs::File::options().read(true).write(true).create_new(true).open(path);
        let file = file.with_context(|| format!("cannot make {}", path.display()))?;
        let watch = Watch::default();
        let device = Watched::new(FileDevice::new(file, 4096), watch.clone(), !fixes.no_read_back);
        let store = fixes.options().open_device(device)?;
        Ok(Self { store, fixes, watch })
    }

    /// Stores all rows in one durable batch and folds them in. The same for all: it is not measured.
    ///
    /// # Errors
    /// The store's.
    pub fn load(&self, rows: &[Row]) -> Result<()> {
        let mut batch = self.store.batch();
        for row in rows {
            batch.put(&row.name, &row.bytes)?;
        }
        self.store.commit(batch)?;
        self.settle()
    }

    /// Stores each row by a commit of its own, as the fixes say; all are durable when it returns.
    ///
    /// # Errors
    /// The store's.
    pub fn write(&self, rows: &[Row]) -> Result<()> {
        let fixes = self.fixes;
        let each = fixes.registry_batched && !fixes.flush_batched;
        let durability = if each { Durability::Durable } else { Durability::Buffered };
        let options = PutOptions { durability: Some(durability), ..PutOptions::default() };
        for row in rows {
            self.store.put_with(&row.name, &row.bytes, options)?;
            if !fixes.registry_batched {
                self.store.checkpoint()?;
            }
        }
        self.store.sync()?;
        Ok(())
    }

    /// Folds in what is pending, so that nothing of it is left to what is measured next.
    ///
    /// # Errors
    /// The store's.
    pub fn settle(&self) -> Result<()> {
        Ok(self.store.checkpoint()?)
    }

    /// What was asked of the device so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.watch.counts()
    }

    /// Compares every record with what was written last, and every byte of the file with its digest.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check<'r>(&self, rows: impl IntoIterator<Item = &'r Row>) -> Result<()> {
        let mut expected: Vec<&Row> = rows.into_iter().collect();
        // Of several versions the last one counts.
        expected.reverse();
        expected.sort_by(|a, b| a.name.cmp(&b.name));
        expected.dedup_by(|next, kept| next.name == kept.name);
        let mut found = 0;
        for (item, row) in self.store.iter().zip(&expected) {
            let item = item?;
            ensure!(item.name() == row.name.as_bytes(), "{} is missing", row.name);
            ensure!(*item.value()? == *row.bytes, "{} reads otherwise than it was written", row.name);
            found += 1;
        }
        ensure!(found == expected.len(), "{found} blocks where {} were written", expected.len());
        ensure!(self.store.stats()?.blocks == found as u64, "there are more blocks than were written");
        let report = self.store.verify(|_| {})?;
        ensure!(report.is_clean(), "damage: {report:?}");
        Ok(())
    }

    /// Reads every record.
    ///
    /// # Errors
    /// The store's.
    pub fn select(&self) -> Result<Selection> {
        let mut found = Selection::default();
        for item in self.store.iter() {
            found.visit(&item?.value()?);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{LENGTH, rows, updates};

    fn counts_of(fixes: Fixes) -> Counts {
        let folder = crate::folder();
        let driver = Driver::start(&folder.path().join("store.by"), fixes).expect("a store");
        let loaded = rows(0..200, LENGTH);
        driver.load(&loaded).expect("loaded");
        let before = driver.counts();
        let changed = updates(1, 200, 20, LENGTH);
        driver.write(&changed).expect("written");
        let counts = driver.counts().since(before);
        let all: Vec<Row> = loaded.into_iter().chain(changed).collect();
        driver.check(&all).expect("every byte is there");
        assert!(driver.check(&all[..200]).is_err(), "the old versions are not what is there");
        counts
    }

    /// What each setting is there for shows in what is asked of the device.
    #[test]
    fn every_fix_does_what_it_says() {
        let [old, registry, trusting, buffered] = [0, 1, 2, 3].map(|count| counts_of(Fixes::first(count)));
        assert_eq!(old.syncs, 2 * 20, "two syncs a checkpoint: {old:?}");
        assert!(old.read_back == old.bytes && old.bytes > 2 * registry.bytes, "{old:?} {registry:?}");
        assert_eq!((registry.syncs, trusting.syncs), (20, 20), "a sync an update");
        assert!(registry.read_back == registry.bytes && trusting.read_back == 0);
        assert!(buffered.syncs < 20, "{buffered:?}");
        let without = Fixes::without(4);
        assert_eq!(without, Fixes::first(4));
        assert_eq!(Fixes::first(5), Fixes { pooled_buffers: true, ..without });
    }

    /// With steps a file that is not small any more grows less often. Without them too it grows by what the
    /// engine keeps in reserve for a checkpoint, so the difference is not large.
    #[test]
    fn small_growth_is_frequent_growth() {
        let folder = crate::folder();
        let growths = |fixes: Fixes, name: &str| {
            let driver = Driver::start(&folder.path().join(name), fixes).expect("a store");
            driver.load(&rows(0..4000, 4096)).expect("loaded");
            let before = driver.counts();
            driver.write(&rows(4000..8000, 4096)).expect("written");
            driver.counts().since(before).growths
        };
        let (little, steps) = (growths(Fixes::without(3), "little"), growths(Fixes::first(5), "steps"));
        assert!(little > steps && steps > 0, "{little} and {steps}");
    }
}
