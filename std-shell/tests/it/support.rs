//! What the tests share.

use blockyard::{OpenOptions, Store};
use std::future::Future;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::time::Duration;

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

/// The least executor there is: the waker unparks this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// How a test that could hang tells that it goes on.
pub(crate) struct Alive(Sender<()>);

impl Alive {
    pub(crate) fn tell(&self) {
        // Nobody listens any more once it took too long.
        let _ = self.0.send(());
    }
}

/// Runs a test that could hang, and fails it if for far too long nothing is heard of it.
pub(crate) fn watched<R: Send + 'static>(work: impl FnOnce(&Alive) -> R + Send + 'static) -> R {
    let (alive, heard) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || work(&Alive(alive)));
    loop {
        match heard.recv_timeout(Duration::from_secs(300)) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => panic!("it hangs"),
            // It has ended, one way or the other.
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
