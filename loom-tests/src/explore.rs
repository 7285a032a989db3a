//! Running a scenario in many orders of its threads, and counting them.
//!
//! 1. A scenario that passes has run in at least as many orders as its floor.
//! 2. A twin fails in one of the same orders, with a message that names what it broke.
//!
//! Each run prints one line, which `cargo xtask loom` puts into its table:
//! `model NAME: N interleavings, at least FLOOR` or `twin NAME: caught after N interleavings: MESSAGE`.

#[cfg(loom)]
#[path = "explore/by_loom.rs"]
mod backend;
#[cfg(shuttle)]
#[path = "explore/by_shuttle.rs"]
mod backend;

pub use backend::{Arc, thread};

use blockyard_core::sync::{Condvar, Mutex};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

/// Set in the environment, it asks for more orders than a run of all checks has time for.
pub const THOROUGH: &str = "BLOCKYARD_MODELS_THOROUGH";

/// Set in the environment of a twin's process.
const TWIN: &str = "BLOCKYARD_MODELS_TWIN";

/// What a twin's process says in front of what became of it.
const SAID: &str = "twin's end: ";

/// How a scenario is explored.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// What its line calls it.
    pub name: &'static str,
    /// Threads under loom.
    pub threads: usize,
    /// Pre-emptions under loom, in the form that has little time.
    pub preemptions: usize,
    /// The least number of interleavings under loom. Shuttle draws as many as it was asked for.
    pub floor: usize,
}

/// Runs a scenario that must pass, which is told how many threads it has.
///
/// # Panics
/// If it fails in any order, or ran in too few.
pub fn passes(model: Model, scenario: impl Fn(usize) + Send + Sync + 'static) {
    let name = model.name;
    let (count, ()) = counted(model, scenario, |scenario| backend::explore(model, scenario));
    let floor = backend::floor(model);
    println!("model {name}: {count} interleavings, at least {floor}");
    assert!(count >= floor, "{name}: {count} interleavings are less than {floor}, it models too little");
}

/// Runs a scenario with a broken twin: it must fail, with a message that contains one of `expected`.
///
/// The twin runs in a process of its own, which is this test (`test` is its name) started again: when a
/// model fails, the stacks of its threads are left as they are, and what unwinds may abort.
///
/// # Panics
/// If it passes in every order, or fails with another message.
pub fn fails(model: Model, test: &str, expected: &[&str], scenario: impl Fn(usize) + Send + Sync + 'static) {
    let name = model.name;
    if std::env::var_os(TWIN).is_some() {
        let (count, ()) = counted(model, scenario, |scenario| backend::explore(model, scenario));
        println!("{SAID}{count} interleavings passed");
        return;
    }
    let program = std::env::current_exe().expect("a test knows its own program");
    let child = Command::new(program)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(TWIN, "1")
        .output()
        .expect("a program that runs can be started again");
    let output = String::from_utf8_lossy(&child.stdout);
    let said = output.split_once(SAID).map(|(_, said)| said.lines().next().unwrap_or_default());
    let said = said.unwrap_or("neither passed nor failed");
    assert!(
        expected.iter().any(|part| said.contains(part)),
        "{name} must fail with one of {expected:?}, but: {said}\n{output}{}",
        String::from_utf8_lossy(&child.stderr)
    );
    println!("twin {name}: {said}");
}

/// In a twin's process, tells the first panic that the scenario does not expect, and ends.
fn tell_first_panic(count: std::sync::Arc<AtomicUsize>) {
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or_default();
        if message != crate::medium::DEVICE_PANIC {
            let line = message.lines().next().unwrap_or_default();
            println!("{SAID}caught after {} interleavings: {line}", count.load(Relaxed));
            std::process::exit(0);
        }
    }));
}

/// Counts how often the scenario begins.
fn counted<R>(
    model: Model,
    scenario: impl Fn(usize) + Send + Sync + 'static,
    run: impl FnOnce(Box<dyn Fn() + Send + Sync>) -> R,
) -> (usize, R) {
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let counting = std::sync::Arc::clone(&count);
    let threads = backend::threads(model);
    if std::env::var_os(TWIN).is_some() {
        tell_first_panic(std::sync::Arc::clone(&count));
    }
    let result = run(Box::new(move || {
        counting.fetch_add(1, Relaxed);
        scenario(threads);
    }));
    (count.load(Relaxed), result)
}

/// Runs a task on this thread, which sleeps while the task does.
pub fn block_on<R>(mut poll: impl FnMut(&Context<'_>) -> Poll<R>) -> R {
    let bell = std::sync::Arc::new(Bell { rung: Mutex::new(false), ringing: Condvar::new() });
    let waker = Waker::from(std::sync::Arc::clone(&bell));
    let context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(result) = poll(&context) {
            return result;
        }
        let mut rung = bell.rung.lock();
        while !*rung {
            rung = bell.ringing.wait(rung);
        }
        *rung = false;
    }
}

struct Bell {
    rung: Mutex<bool>,
    ringing: Condvar,
}

impl Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        *self.rung.lock() = true;
        self.ringing.notify_all();
    }
}
