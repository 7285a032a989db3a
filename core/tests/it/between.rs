//! What happens between the steps of a checkpoint.

use crate::support::*;
use blockyard_core::Durability::Buffered;
use blockyard_core::overlay::Overlay;
use blockyard_core::store::Progress;

/// Names as long as they may be that differ at their ends; values of each kind: inline, of pages, of chunks.
fn change<O: Overlay>(store: &mut TestStore<O>, model: &mut Model, round: u64) {
    let longest = store.geometry().max_name();
    for number in (0..60_u64).filter(|number| !(number + round).is_multiple_of(3)) {
        let name = format!("{:0>longest$}", number * 7).into_bytes();
        if round > 0 && number.is_multiple_of(5) {
            if model.remove(&name).is_some() {
                delete(store, &name, Buffered).unwrap();
            }
            continue;
        }
        let value = bytes(100 * round + number, [60, 900, 9000][number as usize % 3]);
        let tag = name.len() as u64;
        if value.len() as u64 > u64::from(store.geometry().chunk_size()) {
            stream(store, &name, tag, &value, Buffered).unwrap();
        } else {
            put(store, &name, &value, Buffered).unwrap();
        }
        model.insert(name, (tag, value));
    }
}

fn verification_disturbs_no_checkpoint<O: Overlay + Default>() {
    let mut stores: [TestStore<O>; 2] =
        [(); 2].map(|()| Shape::SMALL.new_store(Shape::SMALL.device(Shape::SMALL.front_pages() + 4000)));
    let mut models = [Model::new(), Model::new()];
    let mut verified = 0;
    for round in 0..4 {
        for (store, model) in stores.iter_mut().zip(&mut models) {
            change(store, model, round);
        }
        loop {
            let [verifies, steps] = &mut stores;
            let progress = steps.checkpoint_step().unwrap();
            assert_eq!(verifies.checkpoint_step().unwrap(), progress);
            assert_eq!(verifies.root(), steps.root(), "round {round}");
            if progress != Progress::Working {
                break;
            }
            let mut findings = Findings::default();
            verify_both_ways(verifies, &mut findings).unwrap();
            assert!(findings.problems.is_empty(), "round {round}: {:?}", findings.problems);
            verified += 1;
        }
    }
    assert!(verified > 20, "{verified} times between two steps");
    for (store, model) in stores.iter_mut().zip(&models) {
        assert_same(&contents(store), model, "at the end");
        assert_sound(store, model, "at the end");
    }
}

/// Verification keeps the name that it has come to in memory of a fold's: where a fold had something there between its
/// steps, it would go on with another name.
#[test]
fn verification_between_steps_disturbs_no_checkpoint() {
    verification_disturbs_no_checkpoint::<Heap>();
    verification_disturbs_no_checkpoint::<Fixed>();
}
