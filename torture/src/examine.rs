//! Opens a file after a crash and compares it with what the workload says.
//!
//! 1. Each thread's blocks are those of its commits 1 to S, byte for byte, with S between what it was
//!    promised and what it announced. No block belongs to nobody.
//! 2. The sequence number of the store is the number of commits found: none was counted twice or is there
//!    without its effect.
//! 3. Verification is clean and no page is leaked; then the store takes a commit, is closed and opened
//!    again, and shows the same.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use blockyard::{OpenError, OpenOptions, Store};

use crate::account::Account;
use crate::workload::{Name, Planner, State, Value, Workload, owner};

/// What the harness knows to be in a file.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    workload: Workload,
    planners: Vec<Planner>,
    /// Commits besides the workload's: those of examinations.
    extra: u64,
    /// Shared by copies: it says nothing of a file.
    known: Arc<Mutex<HashMap<Value, Content>>>,
}

/// What a block's bytes come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    length: u64,
    hash: u64,
}

impl Content {
    fn of(bytes: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        Self { length: bytes.len() as u64, hash: hasher.finish() }
    }
}

/// A store's blocks.
type Dump = BTreeMap<Name, Content>;

/// What an examination found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Commits in the file that were not answered.
    pub(crate) beyond: u64,
    /// Journal records that opening replayed.
    pub(crate) records: u64,
    /// Whether a torn record was discarded.
    pub(crate) torn: bool,
}

/// How thorough an examination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Care {
    /// The power was cut: what was buffered may be gone.
    pub(crate) power_cut: bool,
    /// The file is looked at without writing to it first.
    pub(crate) read_only_first: bool,
}

impl Standing {
    /// Nothing is in the file.
    pub(crate) fn new(workload: &Workload) -> Self {
        let planners = (0..workload.threads).map(|thread| Planner::new(workload, thread)).collect();
        Self { workload: workload.clone(), planners, extra: 0, known: Arc::default() }
    }

    pub(crate) const fn workload(&self) -> &Workload {
        &self.workload
    }

    /// The last commit of each thread.
    pub(crate) fn commits(&self) -> Vec<u64> {
        self.planners.iter().map(Planner::ordinal).collect()
    }

    /// The last commit of each thread, as a child is told it.
    pub(crate) fn argument(&self) -> String {
        let commits: Vec<String> = self.commits().iter().map(u64::to_string).collect();
        format!("--from={}", commits.join(","))
    }

    /// So many commits of each thread are known to be in the file.
    pub(crate) fn advance(&mut self, commits: &[u64]) {
        for (planner, at) in self.planners.iter_mut().zip(commits) {
            planner.advance_to(*at);
        }
    }

    /// The same for a file that was never examined: a copy of the one that was.
    pub(crate) fn unexamined(self) -> Self {
        Self { extra: 0, ..self }
    }

    /// Compares a file with what a child told, and from then on takes it as it was found. What opening and
    /// probing have not touched stays beside the file if something is wrong.
    pub(crate) fn examine(&mut self, path: &Path, account: &Account, care: Care) -> Result<Found> {
        let before = path.with_extension("before");
        if path.exists() {
            std::fs::copy(path, &before).context("cannot copy the file")?;
        }
        let found = self.compare(path, account, care)?;
        // It is not there if the file was not.
        let _ = std::fs::remove_file(before);
        Ok(found)
    }

    fn compare(&mut self, path: &Path, account: &Account, care: Care) -> Result<Found> {
        ensure!(account.wrong.is_empty(), "the child saw: {}", account.wrong.join("; "));
        let (floors, ceilings) = (account.floors(care.power_cut), account.ceilings());
        let looked_at = if care.read_only_first { self.look(path, &floors)? } else { None };
        let store = open(&self.workload.options(), path).context("the file does not open")?;
        let recovery = *store.recovery();
        let dump = self.dump(&store).context("after recovery")?;
        if let Some(before) = looked_at {
            ensure!(
                before == dump,
                "a reader saw something else before recovery: {}",
                differ(&before, &dump)
            );
        }
        let found = self.place(&store, &dump, &floors, &ceilings)?;
        if let Some(disorder) = account.disorder(&found) {
            bail!("{disorder}");
        }
        let beyond = found.iter().zip(account.floors(false)).map(|(at, acked)| at.saturating_sub(acked));
        let beyond = beyond.sum();
        self.advance(&found);
        self.goes_on(store, path, &dump)?;
        Ok(Found { beyond, records: recovery.records, torn: recovery.torn_tail })
    }

    /// What a reader sees before recovery; None if the file was never finished.
    fn look(&mut self, path: &Path, floors: &[u64]) -> Result<Option<Dump>> {
        match open(&self.workload.options().create(false).read_only(true), path) {
            Ok(store) => self.dump(&store).context("before recovery").map(Some),
            Err(OpenError::NotBlockyard(_) | OpenError::NotFound(_))
                if self.extra == 0 && floors.iter().all(|&floor| floor == 0) =>
            {
                Ok(None)
            }
            Err(error) => Err(error).context("the file does not open for reading"),
        }
    }

    /// Every block of a store.
    fn dump(&self, store: &Store) -> Result<Dump> {
        let mut dump = Dump::new();
        for item in store.iter() {
            let item = item.context("listing the blocks")?;
            let name = item.name().escape_ascii().to_string();
            match owner(item.name()) {
                Some(thread) if thread < self.workload.threads => {}
                _ => bail!("the block {name} was invented"),
            }
            let value = item.value().with_context(|| format!("reading {name}"))?;
            ensure!(value.len() as u64 == item.length(), "the length of {name} is not that of its bytes");
            dump.insert(item.name().to_vec(), Content::of(&value));
        }
        Ok(dump)
    }

    /// The last commit of each thread that makes what is in the file.
    fn place(&mut self, store: &Store, dump: &Dump, floors: &[u64], ceilings: &[u64]) -> Result<Vec<u64>> {
        let mut candidates = Vec::new();
        for thread in 0..self.planners.len() {
            let own = |(name, _): &(&Name, &Content)| owner(name) == Some(thread as u64);
            let part: Dump =
                dump.iter().filter(own).map(|(name, content)| (name.clone(), *content)).collect();
            let fits = self.candidates(thread, &part, floors[thread]..=ceilings[thread]);
            candidates.push(fits.with_context(|| format!("thread {thread}"))?);
        }
        let sequence = store.stats().context("statistics")?.sequence.0;
        let wanted = sequence.checked_sub(self.extra);
        let placed = wanted.and_then(|wanted| choose(&candidates, wanted));
        placed.with_context(|| {
            format!("the sequence is {sequence} with {} of ours, the commits are {candidates:?}", self.extra)
        })
    }

    /// The commits of one thread after which its blocks are `part`.
    fn candidates(
        &mut self,
        thread: usize,
        part: &Dump,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Vec<u64>> {
        let mut planner = self.planners[thread].clone();
        planner.advance_to(*range.start());
        let mut fits = Vec::new();
        let mut reasons = Vec::new();
        loop {
            let expected = self.contents(planner.state());
            if &expected == part {
                fits.push(planner.ordinal());
            } else {
                reasons.push(format!("not {}: {}", planner.ordinal(), differ(&expected, part)));
            }
            if planner.ordinal() >= *range.end() {
                break;
            }
            planner.advance();
        }
        if fits.is_empty() {
            // What is nearest is at either end.
            let last = reasons.last().filter(|_| reasons.len() > 1).cloned().unwrap_or_default();
            bail!(
                "no commit of {range:?} made this; {}; {last}",
                reasons.first().cloned().unwrap_or_default()
            );
        }
        Ok(fits)
    }

    fn contents(&self, state: &State) -> Dump {
        let content = |value: &Value| Content::of(&value.bytes());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .iter()
            .map(|(name, value)| (name.clone(), *known.entry(*value).or_insert_with(|| content(value))))
            .collect()
    }

    /// The store is whole, takes a commit, closes, opens again and shows the same.
    fn goes_on(&mut self, store: Store, path: &Path, dump: &Dump) -> Result<()> {
        let report = store.verify(|_| {}).context("verification")?;
        ensure!(report.is_clean(), "verification: {:?}", report.problems);
        ensure!(report.leaked_pages == 0, "{} pages are leaked", report.leaked_pages);
        ensure!(report.blocks == dump.len() as u64, "{} blocks were verified", report.blocks);
        store.put("probe", "alive").context("the first commit after recovery")?;
        let deleted = store.delete("probe").context("the second commit after recovery")?;
        ensure!(deleted, "what was just put is not there");
        self.extra += 2;
        store.close().context("closing after recovery")?;
        let store = open(&self.workload.options().create(false), path).context("opening once more")?;
        let again = self.dump(&store)?;
        ensure!(&again == dump, "opened once more it shows something else: {}", differ(dump, &again));
        store.close().context("closing at the end")
    }
}

/// Opens a file that nobody else has open. A process that another thread of ours is starting has a copy of
/// all that is open, locks too, until it runs its program: a moment.
fn open(options: &OpenOptions, path: &Path) -> Result<Store, OpenError> {
    let start = Instant::now();
    loop {
        match options.open(path) {
            Err(OpenError::Locked(_)) if start.elapsed() < Duration::from_secs(5) => std::thread::yield_now(),
            result => return result,
        }
    }
}

/// One of each thread's candidates, so that together they are `wanted`.
fn choose(candidates: &[Vec<u64>], wanted: u64) -> Option<Vec<u64>> {
    let Some((first, rest)) = candidates.split_first() else { return (wanted == 0).then(Vec::new) };
    first.iter().find_map(|&at| {
        let mut others = choose(rest, wanted.checked_sub(at)?)?;
        others.insert(0, at);
        Some(others)
    })
}

/// Names in which two dumps differ, the first few.
fn differ(expected: &Dump, found: &Dump) -> String {
    let missing = expected.keys().filter(|&name| !found.contains_key(name)).map(|name| (name, "is missing"));
    let surplus = found.keys().filter(|&name| !expected.contains_key(name)).map(|name| (name, "is too much"));
    let changed = expected.iter().filter(|(name, content)| found.get(*name).is_some_and(|it| it != *content));
    let changed = changed.map(|(name, _)| (name, "is another"));
    let all: Vec<String> = missing
        .chain(surplus)
        .chain(changed)
        .map(|(name, what)| format!("{} {what}", name.escape_ascii()))
        .collect();
    let more = if all.len() > 4 { ", …" } else { "" };
    format!("{}{more}", all[..all.len().min(4)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Line;
    use crate::workload::{Change, Operation};

    const CARE: Care = Care { power_cut: false, read_only_first: true };

    /// The most that a batch takes as one value.
    const CHUNK: u64 = 8 * 4096;

    fn workload() -> Workload {
        Workload { threads: 1, queued: false, page: 4096, chunk: 8, journal: 40, ..Workload::drawn(5) }
    }

    /// A file that holds commits 1 to `commits`, each as a batch, less what `spoil` takes out.
    fn written(commits: u64, spoil: impl Fn(u64, &mut Vec<Change>)) -> (tempfile::TempDir, Account) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = workload().options().open(folder.path().join("store.by")).expect("a new store");
        let mut planner = Planner::new(&workload(), 0);
        let mut account = Account::new(&[0]);
        for ordinal in 1..=commits {
            let before = planner.state().clone();
            let mut changes = match planner.advance().operation {
                Operation::Put(name, value) | Operation::Stream(name, value) => {
                    vec![Change::Put(name, value)]
                }
                Operation::Delete(name) => vec![Change::Delete(name)],
                Operation::Rename(from, to) => {
                    vec![Change::Put(to, before[&from]), Change::Delete(from)]
                }
                Operation::Batch(changes) | Operation::Queued(changes) | Operation::Transaction(changes) => {
                    changes
                }
            };
            spoil(ordinal, &mut changes);
            let mut batch = store.batch();
            for change in changes {
                match change {
                    Change::Put(name, value) => batch.put(name, value.bytes()),
                    Change::Delete(name) => batch.delete(name),
                }
                .expect("a batch");
            }
            store.commit(batch).expect("a commit");
            account.take(Line::Try { thread: 0, ordinal });
            account.take(Line::Ack { thread: 0, ordinal, sequence: ordinal, durable: true });
        }
        store.close().expect("close");
        (folder, account)
    }

    /// The number of commits before the first with a value that the test cannot put in a batch.
    fn short() -> u64 {
        let mut planner = Planner::new(&workload(), 0);
        let small = |value: &Value| value.length() <= CHUNK;
        let fits = |planner: &mut Planner| {
            planner.advance();
            planner.state().values().all(small)
        };
        (1..=30).take_while(|_| fits(&mut planner)).count() as u64
    }

    #[test]
    fn a_file_as_it_should_be_passes() {
        let (folder, account) = written(short(), |_, _| {});
        let mut standing = Standing::new(&workload());
        let found = standing.examine(&folder.path().join("store.by"), &account, CARE).expect("all is well");
        assert_eq!(found.beyond, 0);
        assert_eq!(standing.commits(), [short()]);
        assert!(short() > 3, "the test's workload is too short to show anything");
    }

    #[test]
    fn a_lost_commit_is_seen() {
        let (folder, mut account) = written(short(), |_, _| {});
        account.take(Line::Try { thread: 0, ordinal: short() + 1 });
        let mut standing = Standing::new(&workload());
        standing.examine(&folder.path().join("store.by"), &account, CARE).expect("not answered yet");
        account.take(Line::Ack { thread: 0, ordinal: short() + 1, sequence: 99, durable: true });
        let lost = Standing::new(&workload()).examine(&folder.path().join("store.by"), &account, CARE);
        assert!(lost.is_err());
    }

    #[test]
    fn half_a_batch_and_an_invented_block_are_seen() {
        let half = |ordinal, changes: &mut Vec<Change>| {
            if ordinal == short() {
                changes.truncate(changes.len() - 1);
                changes.push(Change::Delete(b"nothing~00".to_vec()));
            }
        };
        let (folder, account) = written(short(), half);
        let seen = Standing::new(&workload()).examine(&folder.path().join("store.by"), &account, CARE);
        assert!(seen.is_err());
        let invented = |ordinal, changes: &mut Vec<Change>| {
            if ordinal == 1 {
                changes.push(Change::Put(b"stranger".to_vec(), Value::new(1, 20)));
            }
        };
        let (folder, account) = written(short(), invented);
        let seen = Standing::new(&workload()).examine(&folder.path().join("store.by"), &account, CARE);
        assert!(format!("{:#}", seen.expect_err("a block too much")).contains("stranger was invented"));
    }

    #[test]
    fn bytes_of_another_value_are_seen() {
        let other = |ordinal, changes: &mut Vec<Change>| {
            if ordinal == short()
                && let Some(Change::Put(_, value)) = changes.last_mut()
            {
                *value = Value::new(7, value.length() as u32);
            } else if ordinal == short() {
                changes.clear();
                changes.push(Change::Put(b"small~00".to_vec(), Value::new(7, 9)));
            }
        };
        let (folder, account) = written(short(), other);
        let seen = Standing::new(&workload()).examine(&folder.path().join("store.by"), &account, CARE);
        assert!(seen.is_err());
    }

    #[test]
    fn commits_are_chosen_so_that_their_sum_is_the_sequence() {
        assert_eq!(choose(&[vec![1, 3], vec![4, 6]], 7), Some(vec![1, 6]));
        assert_eq!(choose(&[vec![1, 3], vec![4, 6]], 8), None);
    }
}
