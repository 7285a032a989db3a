//! The corpus and the inputs that once failed, without a fuzzer and without sanitizers.
//!
//! An input of `regressions` is named after the bug that it found.

use blockyard_fuzz::hostile::REACHED;
use blockyard_fuzz::{crash, image, operations, page, record};
use std::path::Path;
use std::sync::atomic::Ordering;

/// Runs every input of a target, told apart by its name in a failure.
fn replay(target: &str, run: fn(&[u8])) -> usize {
    let mut inputs = 0;
    for kind in ["corpus", "regressions"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target);
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a folder that can be read").path();
            let bytes = std::fs::read(&path).expect("an input that can be read");
            if std::panic::catch_unwind(|| run(&bytes)).is_err() {
                panic!("{} fails", path.display());
            }
            inputs += 1;
        }
    }
    assert!(inputs >= 10, "{target}: only {inputs} inputs");
    inputs
}

#[test]
fn operations_are_those_of_a_map() {
    replay("operations", operations::run);
}

#[test]
fn crashes_lose_nothing() {
    replay("crash", crash::run);
}

/// Hostile inputs end in errors. That is also true of a harness whose images never open: so the corpus
/// must hold some that are found sound.
#[test]
fn hostile_bytes_end_in_errors_and_some_are_sound() {
    let inputs = replay("image", image::run) + replay("record", record::run);
    let pages = replay("page", page::run);
    let (consistent, emptied) =
        (REACHED.consistent.load(Ordering::Relaxed), REACHED.emptied.load(Ordering::Relaxed));
    println!("{inputs} images and journals, {pages} registries: {consistent} sound, {emptied} emptied");
    assert!(consistent >= 20 && emptied >= 5, "{consistent} sound, {emptied} emptied");
}
