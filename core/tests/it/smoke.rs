//! The thinnest path through everything.

use crate::support::*;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::overlay::Overlay;
use blockyard_core::store::BlockLocation;

/// Values of every kind: inline, carried in the journal, placed in a run, chunks.
fn fill<O: Overlay>(store: &mut TestStore<O>) -> Model {
    let mut model = Model::new();
    let inline = store.geometry().max_inline();
    let page = store.geometry().page_size();
    let chunk = store.geometry().chunk_size() as usize;
    let sizes = [0, 1, inline, inline + 1, page - 1, page, page + 1, chunk - 1, chunk];
    for (index, size) in sizes.into_iter().enumerate() {
        let name = format!("put {index:02}").into_bytes();
        let value = bytes(index as u64, size);
        let durability = if index % 2 == 0 { Durable } else { Buffered };
        put(store, &name, &value, durability).unwrap();
        model.insert(name.clone(), (name.len() as u64, value));
    }
    let mut many = batch(store.geometry());
    for index in 0..20 {
        let name = format!("many {index:02}").into_bytes();
        let value = bytes(100 + index, inline + 50);
        many.put(&name, &value, index).unwrap();
        model.insert(name, (index, value));
    }
    store.commit(&mut [many], Durable).unwrap();
    for (index, size) in [0, 5, inline, chunk, chunk + 1, 5 * chunk + 3].into_iter().enumerate() {
        let name = format!("stream {index:02}").into_bytes();
        let value = bytes(200 + index as u64, size);
        stream(store, &name, 7, &value, Durable).unwrap();
        model.insert(name, (7, value));
    }
    model
}

fn life<O: Overlay + Default>(shape: &Shape) {
    let mut store: TestStore<O> = shape.new_store(shape.device(1 << 16));
    let mut model = fill(&mut store);
    assert_same(&contents(&mut store), &model, "before a checkpoint");
    for (name, (_, value)) in &model {
        assert_eq!(read_stream(&mut store, name, 333).as_ref(), Some(value), "streamed, pending");
    }

    store.checkpoint().unwrap();
    assert_same(&contents(&mut store), &model, "after a checkpoint");
    assert_sound(&mut store, &model, "after a checkpoint");
    for (name, (_, value)) in &model {
        assert_eq!(read_stream(&mut store, name, 333).as_ref(), Some(value), "streamed, folded");
    }

    for name in [&b"put 02"[..], b"put 08", b"many 03", b"stream 05", b"no such block"] {
        delete(&mut store, name, Buffered).unwrap();
        model.remove(name);
        assert!(!store.exists(name).unwrap());
    }
    assert_same(&contents(&mut store), &model, "after deletes");

    let device = store.into_device();
    let (mut store, recovery) = shape.open::<O, _>(device).unwrap();
    assert_eq!(recovery.to, store.sequence());
    assert_same(&contents(&mut store), &model, "after a reopen with a journal");
    assert_sound(&mut store, &model, "after a reopen with a journal");

    store.checkpoint().unwrap();
    let device = store.into_device();
    let (mut store, recovery) = shape.open::<O, _>(device).unwrap();
    assert_eq!(recovery.records, 0);
    assert_same(&contents(&mut store), &model, "after a clean reopen");

    model.extend(fill(&mut store));
    store.checkpoint().unwrap();
    assert_same(&contents(&mut store), &model, "everything overwritten");
    assert_sound(&mut store, &model, "everything overwritten");

    for name in names(&mut store) {
        delete(&mut store, &name, Buffered).unwrap();
    }
    store.checkpoint().unwrap();
    let report = assert_sound(&mut store, &Model::new(), "everything deleted");
    assert_eq!((report.used_pages, store.root().height), (0, 0));
}

#[test]
fn life_with_bodies_on_the_heap() {
    life::<Heap>(&Shape::SMALL);
    life::<Heap>(&Shape::LARGE);
}

#[test]
fn life_with_bodies_in_the_journal() {
    life::<Fixed>(&Shape::SMALL);
    life::<Fixed>(&Shape::LARGE);
}

fn renames<O: Overlay + Default>(shape: &Shape, folded: bool) {
    let mut store: TestStore<O> = shape.new_store(shape.device(1 << 16));
    let mut model = fill(&mut store);
    if folded {
        store.checkpoint().unwrap();
    }
    for name in model.keys().cloned().collect::<Vec<_>>() {
        // Some go in front of what is there and some behind it.
        let to = [if name.len() % 2 == 0 { b"a " } else { b"z " }, name.as_slice()].concat();
        let mut scratch = batch(store.geometry());
        store.rename(&name, &to, &mut scratch, Buffered).unwrap();
        let block = model.remove(&name).unwrap();
        model.insert(to, block);
    }
    assert_same(&contents(&mut store), &model, "renamed, pending");
    store.checkpoint().unwrap();
    assert_same(&contents(&mut store), &model, "renamed, folded");
    assert_sound(&mut store, &model, "renamed, folded");
}

#[test]
fn renamed_blocks_keep_their_bytes() {
    for folded in [false, true] {
        for shape in [Shape::SMALL, Shape::LARGE] {
            renames::<Heap>(&shape, folded);
            renames::<Fixed>(&shape, folded);
        }
    }
}

#[test]
fn values_go_where_their_size_says() {
    let shape = Shape::LARGE;
    let mut store: TestStore<Heap> = shape.new_store(shape.device(1 << 12));
    fill(&mut store);
    store.checkpoint().unwrap();
    let mut location = |name: &[u8]| store.info(name).unwrap().unwrap().location;
    assert_eq!(location(b"put 02"), BlockLocation::Memory);
    assert!(matches!(location(b"put 03"), BlockLocation::Extent { .. }));
    assert_eq!(location(b"stream 05"), BlockLocation::Chunks { chunk_size: 64 << 10, count: 6 });
}
