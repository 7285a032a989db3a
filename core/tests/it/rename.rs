//! Renames move names, never bytes: whose pages are whose must come out right in every order.

use crate::support::*;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::overlay::Overlay;

/// A store with one block of two pages under `name`.
fn with_block<O: Overlay + Default>(name: &[u8], folded: bool) -> (TestStore<O>, Vec<u8>) {
    let shape = Shape::SMALL;
    let mut store: TestStore<O> = shape.new_store(shape.device(1 << 14));
    let value = bytes(1, 1000);
    put(&mut store, name, &value, Durable).unwrap();
    if folded {
        store.checkpoint().unwrap();
    }
    (store, value)
}

fn rename<O: Overlay>(store: &mut TestStore<O>, from: &[u8], to: &[u8]) {
    let mut scratch = batch(store.geometry());
    store.rename(from, to, &mut scratch, Buffered).unwrap();
}

fn finish<O: Overlay + Default>(mut store: TestStore<O>, expected: &[(&[u8], &[u8])]) {
    let model: Model = expected
        .iter()
        .map(|(name, value)| (name.to_vec(), (store.info(name).unwrap().unwrap().tag, value.to_vec())))
        .collect();
    assert_same(&contents(&mut store), &model, "pending");
    store.checkpoint().unwrap();
    assert_same(&contents(&mut store), &model, "folded");
    assert_sound(&mut store, &model, "folded");
}

/// A rename of a block that still lay in the journal gave it pages by a checkpoint and then deleted
/// the old name together with those pages: the free map called them free while the new name used
/// them. Now the pages change hands.
#[test]
fn a_carried_block_keeps_its_new_pages() {
    for to in [&b"a"[..], b"z"] {
        let (mut store, value) = with_block::<Heap>(b"m", false);
        rename(&mut store, b"m", to);
        finish(store, &[(to, &value)]);
        let (mut store, value) = with_block::<Fixed>(b"m", false);
        rename(&mut store, b"m", to);
        finish(store, &[(to, &value)]);
    }
}

/// A block was renamed and its new name deleted or overwritten before the next checkpoint: nobody
/// freed the pages, which leaked for ever. Now a checkpoint comes first.
#[test]
fn pages_of_a_renamed_block_are_freed_when_it_goes() {
    for to in [&b"a"[..], b"z"] {
        let (mut store, _) = with_block::<Heap>(b"m", true);
        rename(&mut store, b"m", to);
        delete(&mut store, to, Buffered).unwrap();
        finish(store, &[]);

        let (mut store, _) = with_block::<Heap>(b"m", true);
        rename(&mut store, b"m", to);
        put(&mut store, to, b"new", Buffered).unwrap();
        finish(store, &[(to, b"new")]);

        // The rename's own target may be such a block.
        let (mut store, value) = with_block::<Fixed>(b"m", true);
        let other = bytes(2, 700);
        put(&mut store, b"o", &other, Buffered).unwrap();
        store.checkpoint().unwrap();
        rename(&mut store, b"m", to);
        rename(&mut store, b"o", to);
        put(&mut store, b"m", &value, Buffered).unwrap();
        finish(store, &[(b"m", &value), (to, &other)]);
    }
}

#[test]
fn two_blocks_change_places() {
    for folded in [false, true] {
        let (mut store, first) = with_block::<Heap>(b"one", folded);
        let second = bytes(3, 5000);
        stream(&mut store, b"two", 0, &second, Durable).unwrap();
        if folded {
            store.checkpoint().unwrap();
        }
        rename(&mut store, b"one", b"swap");
        rename(&mut store, b"two", b"one");
        rename(&mut store, b"swap", b"two");
        finish(store, &[(b"one", &second), (b"two", &first)]);
    }
}

/// The name is being folded in while it is renamed.
#[test]
fn a_rename_between_the_steps_of_a_checkpoint() {
    for to in [&b"a"[..], b"z"] {
        for and_delete in [false, true] {
            let (mut store, value) = with_block::<Heap>(b"m", false);
            store.checkpoint_step().unwrap();
            rename(&mut store, b"m", to);
            if and_delete {
                delete(&mut store, to, Buffered).unwrap();
                finish(store, &[]);
            } else {
                finish(store, &[(to, &value)]);
            }
        }
    }
}

#[test]
fn renaming_to_itself_or_from_nothing() {
    let (mut store, value) = with_block::<Heap>(b"m", true);
    rename(&mut store, b"m", b"m");
    let mut scratch = batch(store.geometry());
    let nothing = store.rename(b"no", b"m", &mut scratch, Buffered);
    assert_eq!(nothing, Err(blockyard_core::WriteError::NotFound));
    finish(store, &[(b"m", &value)]);
}
