//! Readers that see old states, and a writer that puts new blocks where old ones were: whether
//! [`Pins`](blockyard_core::overlay::Pins), as the shell asks it, keeps a page from being handed out
//! while a reader can see it.
//!
//! One block is written again and again. Its newest place is in the active layer, or in the root when
//! a checkpoint has folded it in, just as in `std-shell/src/view.rs`, which this follows step by step.
//! [`Shared::view`] is a reader, [`Writer`] is the engine behind its lock.
//!
//! 1. A reader takes the published sequence first and the layers after it, and finds in them what was
//!    committed last up to the sequence.
//! 2. The page that it finds holds that commit as long as the reader holds the layers.

use crate::explore::{Arc, thread};
use blockyard_core::overlay::{Generation, Pins};
use blockyard_core::sync::Mutex;
use blockyard_core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use blockyard_core::{Extent, PageIndex};

/// What the readers or the writer do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slip {
    /// Nothing.
    None,
    /// Nobody looks for holders.
    NobodyCounts,
    /// A reader takes the layers and is counted as their holder afterwards.
    CountsLate,
    /// A reader lets go without release ordering.
    LetsGoRelaxed,
    /// A reader takes the layers first and the published sequence after them.
    SequenceLast,
    /// What is retired during a checkpoint counts as freed by it.
    RetiresEarly,
}

/// A commit and the page where it lies.
type Version = (u32, usize);

/// Commits that are not folded in, oldest first.
type Table = Arc<Mutex<Vec<Version>>>;

fn table() -> Table {
    Arc::new(Mutex::new(Vec::new()))
}

/// The count of those who hold a generation, with the orderings of the standard library's `Arc`.
struct Held {
    count: std::sync::Arc<AtomicUsize>,
    release: Ordering,
}

/// The count, watched by the writer.
struct Watch {
    count: std::sync::Arc<AtomicUsize>,
    blind: bool,
}

struct Layers {
    generation: Held,
    root: Version,
    frozen: Option<Table>,
    active: Table,
}

/// What readers and writer share; the lock stands for the shell's `ArcSwap`.
struct Shared {
    layers: Mutex<Arc<Layers>>,
    published: AtomicU32,
    pages: [Page; 4],
    slip: Slip,
}

struct Writer {
    shared: Arc<Shared>,
    pins: Pins<Watch>,
    root: Version,
    frozen: Option<Table>,
    active: Table,
    newest: Version,
}

/// One page of the file.
struct Page {
    content: AtomicU32,
    #[cfg(loom)]
    access: access::Access,
}

#[cfg(loom)]
mod access {
    //! Reads and writes that loom must find ordered, as those of plain memory.

    use loom::cell::UnsafeCell;

    #[derive(Default)]
    pub(super) struct Access(UnsafeCell<()>);

    // SAFETY: there is not a byte behind the cell. What threads share is loom's record of the accesses,
    // which the model's scheduler keeps while one thread runs at a time.
    unsafe impl Sync for Access {}

    impl Access {
        pub(super) fn read(&self) {
            self.0.with(|_| ());
        }

        pub(super) fn write(&self) {
            self.0.with_mut(|_| ());
        }
    }
}

impl Page {
    fn new(content: u32) -> Self {
        Self {
            content: AtomicU32::new(content),
            #[cfg(loom)]
            access: access::Access::default(),
        }
    }

    fn read(&self) -> u32 {
        #[cfg(loom)]
        self.access.read();
        self.content.load(Ordering::Relaxed)
    }

    fn write(&self, content: u32) {
        #[cfg(loom)]
        self.access.write();
        self.content.store(content, Ordering::Relaxed);
    }
}

impl Held {
    fn first(slip: Slip) -> Self {
        let release = if slip == Slip::LetsGoRelaxed { Ordering::Relaxed } else { Ordering::Release };
        Self { count: std::sync::Arc::new(AtomicUsize::new(1)), release }
    }

    fn hold(&self) -> Self {
        self.count.fetch_add(1, Ordering::Relaxed);
        Self { count: std::sync::Arc::clone(&self.count), release: self.release }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count.fetch_sub(1, self.release);
    }
}

impl Generation for Watch {
    fn holders(&self) -> usize {
        if self.blind { 0 } else { self.count.load(Ordering::Relaxed) }
    }
}

impl Shared {
    fn new(slip: Slip) -> Arc<Self> {
        let layers = Layers { generation: Held::first(slip), root: (1, 0), frozen: None, active: table() };
        Arc::new(Self {
            layers: Mutex::new(Arc::new(layers)),
            published: AtomicU32::new(1),
            pages: [1, 0, 0, 0].map(Page::new),
            slip,
        })
    }

    /// A reader takes a view, finds the block and reads it.
    fn read(&self) {
        let (layers, sequence) = self.view();
        let (found, page) = layers.find(sequence);
        assert_eq!(found, sequence, "a reader missed a commit");
        let content = self.pages[page].read();
        assert_eq!(content, found, "a page was handed out while a reader saw it");
    }

    fn view(&self) -> (Arc<Layers>, u32) {
        let early = self.published.load(Ordering::Acquire);
        let layers = match self.slip {
            Slip::CountsLate => self.uncounted(),
            _ => Arc::clone(&self.layers.lock()),
        };
        let published = match self.slip {
            Slip::SequenceLast => self.published.load(Ordering::Acquire),
            _ => early,
        };
        let sequence = published.max(layers.root.0);
        (layers, sequence)
    }

    /// Copies the layers, and counts itself only then.
    fn uncounted(&self) -> Arc<Layers> {
        let layers = self.layers.lock();
        let Layers { generation, root, frozen, active } = &**layers;
        let (count, release) = (std::sync::Arc::clone(&generation.count), generation.release);
        let (root, frozen, active) = (*root, frozen.clone(), active.clone());
        drop(layers);
        count.fetch_add(1, Ordering::Relaxed);
        Arc::new(Layers { generation: Held { count, release }, root, frozen, active })
    }
}

impl Layers {
    fn find(&self, sequence: u32) -> Version {
        let tables = [Some(&self.active), self.frozen.as_ref()];
        let newest = |table: &Table| table.lock().iter().rev().find(|(at, _)| *at <= sequence).copied();
        tables.into_iter().flatten().find_map(newest).unwrap_or(self.root)
    }
}

impl Writer {
    fn new(shared: &Arc<Shared>) -> Self {
        let (root, active) = {
            let layers = shared.layers.lock();
            (layers.root, layers.active.clone())
        };
        Self { shared: Arc::clone(shared), pins: Pins::default(), root, frozen: None, active, newest: root }
    }

    /// Commits the block to a page, unless a reader may see what lies there.
    fn put(&mut self, sequence: u32, page: usize) -> bool {
        let free = self.pins.find(Extent::new(PageIndex(page as u64), 1)).is_none();
        if free {
            self.shared.pages[page].write(sequence);
            self.pins.retire(Extent::new(PageIndex(self.newest.1 as u64), 1));
            self.active.lock().push((sequence, page));
            self.newest = (sequence, page);
        }
        free
    }

    fn publish(&self, sequence: u32) {
        self.shared.published.fetch_max(sequence, Ordering::Release);
    }

    fn begin_checkpoint(&mut self) {
        self.frozen = Some(std::mem::replace(&mut self.active, table()));
        if self.shared.slip != Slip::RetiresEarly {
            self.pins.begin();
        }
        drop(self.replace(None));
    }

    fn end_checkpoint(&mut self) {
        let folded = self.frozen.take().expect("a checkpoint is under way");
        self.root = folded.lock().last().copied().unwrap_or(self.root);
        if self.shared.slip == Slip::RetiresEarly {
            self.pins.begin();
        }
        let old = self.replace(Some(Held::first(self.shared.slip)));
        let count = std::sync::Arc::clone(&old.generation.count);
        drop(old);
        self.pins.turn(Watch { count, blind: self.shared.slip == Slip::NobodyCounts });
    }

    /// Shows new layers and gives back the old ones.
    fn replace(&self, generation: Option<Held>) -> Arc<Layers> {
        let mut layers = self.shared.layers.lock();
        let new = Layers {
            generation: generation.unwrap_or_else(|| layers.generation.hold()),
            root: self.root,
            frozen: self.frozen.clone(),
            active: self.active.clone(),
        };
        std::mem::replace(&mut *layers, Arc::new(new))
    }
}

/// A freed extent is not reused while a reader can see it: a checkpoint folds the block in, commits
/// before it, during it and after it leave their pages, and the last one takes whichever is free.
pub fn freed_is_not_reused_while_seen(slip: Slip, threads: usize) {
    let shared = Shared::new(slip);
    let readers: Vec<_> = (1..threads)
        .map(|_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.read())
        })
        .collect();
    let mut writer = Writer::new(&shared);
    writer.begin_checkpoint();
    assert!(writer.put(2, 1), "never used");
    writer.publish(2);
    assert!(writer.put(3, 2), "never used");
    writer.end_checkpoint();
    writer.publish(3);
    writer.begin_checkpoint();
    writer.end_checkpoint();
    let reused = writer.put(4, 1) || writer.put(4, 0);
    if reused {
        writer.publish(4);
    }
    for reader in readers {
        reader.join().expect("it passed");
    }
    // With no reader left, everything freed is free.
    assert!(reused || writer.put(4, 1), "a page stays pinned by nobody");
}
