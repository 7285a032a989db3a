//! Verifying a whole file.

use crate::error::{Error, Result};
use crate::inner::Inner;
use crate::read;
use blockyard_core::store::{Problem as CoreProblem, Verification, VerifySink};
use blockyard_core::{Damage, Extent, Structure};
use std::time::{Duration, Instant};

/// How far verification is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Blocks checked.
    pub blocks: u64,
    /// Blocks in all.
    pub total_blocks: u64,
    /// Bytes of values checked.
    pub bytes: u64,
    /// Bytes of values in all.
    pub total_bytes: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The block concerned, if one is.
    pub name: Option<Vec<u8>>,
    /// What is damaged, and where.
    pub damage: Damage,
    /// What is wrong, for people.
    pub message: String,
}

/// What verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Blocks checked.
    pub blocks: u64,
    /// Bytes of values checked.
    pub bytes: u64,
    /// Pages in use by the registry and the blocks.
    pub pages: u64,
    /// Pages that are marked used and that nothing refers to.
    pub leaked_pages: u64,
    /// What is wrong; at most [`VerifyReport::MOST`] are listed.
    pub problems: Vec<Problem>,
    /// Problems in all.
    pub problem_count: u64,
    /// The store was written to meanwhile: what nobody changed was verified, but a block that was changed may be counted twice or not
    /// at all; and if a checkpoint came to its end, no numbers were compared with those recorded, nor the list of a block of chunks that it
    /// came into the middle of.
    pub partial: bool,
}

impl VerifyReport {
    /// The most problems that a report lists.
    pub const MOST: usize = 10_000;

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.problem_count == 0
    }
}

struct Sink<P> {
    progress: VerifyProgress,
    report: P,
    problems: Vec<Problem>,
    /// One bit a page: in use by something met before.
    seen: Vec<u64>,
    page_size: u64,
    doubled: u64,
}

impl<P: FnMut(VerifyProgress)> Sink<P> {
    /// Nothing is known of who has the pages, of which there are so many.
    fn forget_pages(&mut self, pages: u64) {
        self.seen.clear();
        self.seen.resize(pages.div_ceil(64) as usize, 0);
    }

    fn add(&mut self, name: Option<&[u8]>, damage: Damage, message: String) {
        if self.problems.len() < VerifyReport::MOST {
            self.problems.push(Problem { name: name.map(<[u8]>::to_vec), damage, message });
        }
    }
}

impl<P: FnMut(VerifyProgress)> VerifySink for Sink<P> {
    fn problem(&mut self, name: Option<&[u8]>, problem: CoreProblem) {
        let map = |offset| Damage { what: Structure::FreeMap, offset };
        let (damage, message) = match problem {
            CoreProblem::Damaged(damage) => (damage, damage.to_string()),
            CoreProblem::Unmarked(extent) => {
                let offset = extent.start.0.saturating_mul(self.page_size);
                let message = format!("{} pages at byte {offset} are in use and marked free", extent.pages);
                (map(offset), message)
            }
            CoreProblem::Miscounted { recorded, found } => {
                (map(0), format!("a count of {recorded} is recorded where {found} was found"))
            }
        };
        self.add(name, damage, message);
    }

    fn checked(&mut self, _name: &[u8], first: bool, bytes: u64) {
        self.progress.blocks += u64::from(first);
        self.progress.bytes = self.progress.bytes.saturating_add(bytes);
        (self.report)(self.progress);
    }

    /// Two owners of one page would sooner or later damage each other.
    fn reachable(&mut self, extent: Extent) {
        for page in extent.start.0..extent.end().min(self.seen.len() as u64 * 64) {
            let (word, bit) = ((page / 64) as usize, 1_u64 << (page % 64));
            if self.seen[word] & bit != 0 {
                self.doubled += 1;
                let offset = page.saturating_mul(self.page_size);
                let damage = Damage { what: Structure::Registry, offset };
                self.add(None, damage, format!("the page at byte {offset} has two owners"));
            }
            self.seen[word] |= bit;
        }
    }
}

/// What checking pending blocks counted.
#[derive(Default)]
struct Pending {
    blocks: u64,
    bytes: u64,
    problems: u64,
}

/// Checks the blocks that only the journal knows, where they could not be folded in: in a file that is
/// open for reading only, or that is damaged.
fn verify_pending<P: FnMut(VerifyProgress)>(inner: &Inner, sink: &mut Sink<P>) -> Result<Pending> {
    let view = inner.shared.view();
    let mut counted = Pending::default();
    let mut after: Option<Vec<u8>> = None;
    while let Some(slot) = view.next_pending(after.as_deref(), false) {
        let name = slot.name().to_vec();
        if let Some(located) = read::locate_slot(slot) {
            counted.blocks += 1;
            counted.bytes = counted.bytes.saturating_add(located.length());
            match read::check(&inner.source, &view, &name, &located) {
                Ok(()) => {}
                Err(Error::Corrupted { damage, .. }) => {
                    counted.problems += 1;
                    sink.add(Some(&name), damage, damage.to_string());
                }
                Err(error) => return Err(error),
            }
            blockyard_core::store::VerifySink::checked(sink, &name, true, located.length());
        }
        after = Some(name);
    }
    Ok(counted)
}

/// How long the engine is kept from others at a time.
const SLICE: Duration = Duration::from_millis(2);

/// Verifies everything. The engine is locked for a [`SLICE`] at a time, or for as long as a step takes.
pub(crate) fn run(inner: &Inner, progress: impl FnMut(VerifyProgress)) -> Result<VerifyReport> {
    inner.flush_queue();
    let folds = !inner.read_only && !inner.engine()?.engine.is_poisoned();
    let folded = match if folds { inner.checkpoint() } else { Ok(()) } {
        Ok(()) => folds,
        // What keeps the journal from being folded in is what verification is about to report.
        Err(Error::Corrupted { .. } | Error::Full) => false,
        Err(error) => return Err(error),
    };
    let mut locked = inner.engine()?;
    let engine = &locked.engine;
    let superblock = engine.superblock();
    let mut generation = superblock.generation;
    let progress_start = VerifyProgress {
        total_blocks: superblock.blocks.get(),
        total_bytes: superblock.bytes.get(),
        ..VerifyProgress::default()
    };
    let mut sink = Sink {
        progress: progress_start,
        report: progress,
        problems: Vec::new(),
        seen: Vec::new(),
        page_size: inner.geometry.page_size() as u64,
        doubled: 0,
    };
    sink.forget_pages(engine.pages());
    let mut verification = Verification::new(vec![0; inner.geometry.max_name()]);
    let mut begun = Instant::now();
    while locked.engine.verify_step(&mut verification, &mut sink).map_err(|error| Error::read(error, None))? {
        if begun.elapsed() < SLICE {
            continue;
        }
        inner.let_others(&mut locked)?;
        begun = Instant::now();
        let superblock = locked.engine.superblock();
        if generation != superblock.generation {
            generation = superblock.generation;
            sink.forget_pages(locked.engine.pages());
        }
    }
    let found = *verification.report();
    // What came meanwhile is counted, and verified, besides what it takes the place of.
    let late = folded && locked.engine.pending() > 0;
    drop(locked);
    let pending = verify_pending(inner, &mut sink)?;
    Ok(VerifyReport {
        blocks: found.blocks + pending.blocks,
        bytes: found.bytes + pending.bytes,
        pages: found.used_pages,
        leaked_pages: found.leaked_pages,
        partial: found.partial || late,
        problem_count: found.problems + pending.problems + sink.doubled,
        problems: sink.problems,
    })
}
