//! Faults made on purpose, one by name: `overflow`, `after-free` and `leak` for the address sanitizer, `race` for
//! the thread sanitizer; `sound` shares memory the way that is allowed, about which neither may say anything.
//!
//! The optimiser must neither see the fault nor remove it, so every address goes through [`black_box`].

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;

fn main() -> ExitCode {
    let fault = std::env::args().nth(1).unwrap_or_default();
    match fault.as_str() {
        "overflow" => overflow(),
        "after-free" => after_free(),
        "leak" => leak(),
        "race" => race(),
        "sound" => sound(),
        _ => {
            eprintln!("usage: canary overflow|after-free|leak|race|sound");
            return ExitCode::from(2);
        }
    }
    println!("{fault}: came to its end");
    ExitCode::SUCCESS
}

/// Reads a byte behind an allocation.
fn overflow() {
    let bytes = black_box(vec![7_u8; 64]);
    let behind = black_box(bytes.as_ptr().wrapping_add(bytes.len()));
    // SAFETY: none, on purpose: the byte is not ours.
    black_box(unsafe { behind.read() });
}

/// Reads a byte of an allocation that was given back.
fn after_free() {
    let bytes = black_box(vec![7_u8; 64]);
    let first = black_box(bytes.as_ptr());
    drop(bytes);
    // SAFETY: none, on purpose: the byte is not ours any more.
    black_box(unsafe { first.read() });
}

/// Forgets an allocation, and the only pointer to it with the thread's stack.
fn leak() {
    let forgetting = thread::spawn(|| std::mem::forget(black_box(vec![7_u8; 4096])));
    forgetting.join().expect("the thread only forgets");
}

/// A number that threads share without asking.
struct Unguarded(UnsafeCell<u64>);

// SAFETY: none, on purpose: nothing orders the accesses.
unsafe impl Sync for Unguarded {}

/// Two threads add to a number, one after the other, and nothing orders the second after the first.
///
/// They take turns by relaxed flags, so that each run has the same two accesses, made while both threads live: the
/// sanitizer forgets a thread that has ended, and may then have nothing to report.
fn race() {
    let (number, turn) = (Unguarded(UnsafeCell::new(0)), AtomicU8::new(0));
    let (number, turn) = (black_box(&number), black_box(&turn));
    let wait_for = |it| {
        while turn.load(Ordering::Relaxed) != it {
            thread::yield_now();
        }
    };
    // SAFETY: none, on purpose: this is the race.
    let add = || unsafe { *black_box(number.0.get()) += 1 };
    thread::scope(|scope| {
        scope.spawn(|| {
            add();
            turn.store(1, Ordering::Relaxed);
            wait_for(2);
        });
        scope.spawn(|| {
            wait_for(1);
            add();
            turn.store(2, Ordering::Relaxed);
        });
    });
    // SAFETY: both threads have ended.
    black_box(unsafe { *number.0.get() });
}

/// A lock, a condition variable, a channel and a join: a standard library that the sanitizer cannot see
/// into would make it report races here.
fn sound() {
    let shared = Arc::new((Mutex::new(vec![0_u64; 8]), Condvar::new()));
    let (sender, receiver) = mpsc::channel();
    let worker = {
        let (shared, sender) = (Arc::clone(&shared), sender);
        thread::spawn(move || {
            for turn in 1..=100 {
                shared.0.lock().expect("no thread panics").fill(turn);
                shared.1.notify_all();
                sender.send(Box::new(turn)).expect("the receiver waits");
            }
        })
    };
    let mut seen = shared.0.lock().expect("no thread panics");
    while seen[0] < 100 {
        seen = shared.1.wait(seen).expect("no thread panics");
    }
    drop(seen);
    worker.join().expect("the worker ends");
    assert_eq!(receiver.iter().map(|turn| *turn).sum::<u64>(), 5050);
}
