//! Files so large that the free map has levels, with as little memory as allowed.

use crate::support::*;
use blockyard_core::Durability::Buffered;
use blockyard_core::store::Memory;

/// The tree of this test has names in random order, its free map two levels above the bits.
#[test]
fn a_free_map_of_several_levels() {
    for map_pages in [6, 40] {
        let mut shape = Shape::SMALL;
        (shape.growth, shape.journal_pages, shape.chunk_pages) = (3000, 256, 1024);
        shape.memory = Memory { levels: 8, map_pages, staging: 64 << 10 };
        let mut store: TestStore<Heap> = shape.new_store(shape.device(1 << 20));
        let mut model = Model::new();
        let mut rng = fastrand::Rng::with_seed(map_pages as u64);
        let name = |number: u64| (number * 7919 % 10_007).to_string().into_bytes();
        for round in 0..130_u64 {
            let (big, small) = (name(round), name(1000 + round));
            let value = bytes(round, rng.usize(150_000..300_000));
            stream(&mut store, &big, 1, &value, Buffered).unwrap();
            model.insert(big, (1, value));
            let value = bytes(round, rng.usize(..2000));
            put(&mut store, &small, &value, Buffered).unwrap();
            model.insert(small.clone(), (small.len() as u64, value));
            if round % 9 == 5 {
                let gone = name(rng.u64(..round));
                delete(&mut store, &gone, Buffered).unwrap();
                model.remove(&gone);
            }
            if round % 40 == 39 {
                assert_same(&contents(&mut store), &model, "on the way");
            }
        }
        store.checkpoint().unwrap();
        assert!(store.superblock().map_level.get() == 2, "{} pages", store.pages());
        assert_sound(&mut store, &model, "filled");
        let (mut store, _) = shape.open::<Heap, _>(store.into_device()).unwrap();
        assert_sound(&mut store, &model, "opened again");
        // What is freed in all groups can be used again without growing.
        for name in model.keys() {
            delete(&mut store, name, Buffered).unwrap();
        }
        store.checkpoint().unwrap();
        assert_sound(&mut store, &Model::new(), "emptied");
        let pages = store.pages();
        let mut model = Model::new();
        for round in 0..100_u64 {
            let value = bytes(round, 200_000);
            stream(&mut store, &name(round), 1, &value, Buffered).unwrap();
            model.insert(name(round), (1, value));
        }
        store.checkpoint().unwrap();
        assert_sound(&mut store, &model, "filled again");
        assert_eq!(store.pages(), pages, "the file need not grow");
    }
}
