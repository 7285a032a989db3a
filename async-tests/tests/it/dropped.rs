//! Futures are dropped wherever they wait.

use crate::slow::{Done, Slow};
use crate::work::{Log, Progress, Step, contents_async, reopened, steps, work_async};
use async_tests::{finish, polled};
use blockyard_core::Durability::Durable;
use blockyard_core::asynchronous;
use blockyard_core::device::VecDevice;
use blockyard_core::error::WriteError;
use blockyard_core::overlay::Overlay;
use blockyard_sim::fixture::{Fixed, Heap, Model, Shape, assert_same, batch, bytes};

type Store<O> = asynchronous::Store<Slow, O, Vec<u8>>;

fn opened<O: Overlay + Default>(shape: &Shape, device: Slow) -> Store<O> {
    finish(asynchronous::Store::open(device, O::default(), shape.buffer(), &shape.options())).unwrap().0
}

/// An empty store's image.
fn fresh(shape: &Shape) -> VecDevice {
    shape.new_store::<Fixed, _>(shape.device(1 << 12)).into_device()
}

/// Opens an image with both engines, which have to find the same and leave the same.
fn found_by_both<O: Overlay + Default>(shape: &Shape, image: &VecDevice, what: &str) -> Model {
    let (found, left) = reopened::<O>(shape, image.clone());
    let mut store = opened::<O>(shape, Slow::new(image.clone(), Done::Nothing));
    assert_same(&finish(contents_async(&mut store)), &found, what);
    assert_eq!(store.device().image().bytes(), left.bytes(), "{what}: what both leave");
    found
}

/// Works until the future has been polled so often, and drops it.
fn cut<O: Overlay>(store: &mut Store<O>, shape: &Shape, steps: &[Step], polls: usize) -> (Log, bool) {
    let log = Progress::log();
    let ended = polled(work_async(store, shape, steps, &log), polls).is_some();
    (log, ended)
}

/// Cuts the work at every wait; `look` sees what is left. Returns the number of waits.
fn at_every_wait<O: Overlay + Default>(
    shape: &Shape,
    done: Done,
    mut look: impl FnMut(Store<O>, &Progress, &Step, &str),
) -> usize {
    let (steps, empty) = (steps(shape), fresh(shape));
    for polls in 1.. {
        let mut store = opened::<O>(shape, Slow::new(empty.clone(), done));
        let (log, ended) = cut(&mut store, shape, &steps, polls);
        if ended {
            return polls;
        }
        let log = log.into_inner();
        let step = &steps[log.step];
        let what = format!("{done:?} at wait {polls}, step {}, {step:?}", log.step);
        look(store, &log, step, &what);
    }
    unreachable!("the work ends")
}

fn dropped_work<O: Overlay + Default>(shape: &Shape, done: Done) {
    let waits = at_every_wait::<O>(shape, done, |store, progress, _, what| {
        let found = found_by_both::<O>(shape, &store.device().image(), what);
        assert!(progress.admits(&found), "{what}: of {} commits", progress.states.len());
    });
    assert!(waits > 150, "only {waits} waits");
}

#[test]
fn a_dropped_call_leaves_whole_commits_and_all_that_were_durable() {
    for done in [Done::Nothing, Done::Half, Done::All] {
        dropped_work::<Fixed>(&Shape::SMALL, done);
        dropped_work::<Heap>(&Shape::SMALL, done);
    }
}

#[test]
fn the_same_with_large_pages() {
    dropped_work::<Fixed>(&Shape::LARGE, Done::Half);
    dropped_work::<Heap>(&Shape::LARGE, Done::All);
}

#[test]
fn a_store_whose_change_was_dropped_refuses_changes_and_one_whose_read_was_does_not() {
    let (mut poisoned, mut whole) = (0, 0);
    at_every_wait::<Fixed>(&Shape::SMALL, Done::Half, |mut store, progress, step, what| {
        let mut change = batch(store.geometry());
        change.put(b"another", b"value", 7).unwrap();
        if step.reads() && !store.is_poisoned() {
            whole += 1;
            finish(store.commit(&mut [change], Durable)).unwrap();
            let mut expected = progress.states.last().cloned().unwrap();
            expected.insert(b"another".to_vec(), (7, b"value".to_vec()));
            assert_same(&finish(contents_async(&mut store)), &expected, what);
            finish(store.checkpoint()).unwrap();
            assert_same(
                &found_by_both::<Fixed>(&Shape::SMALL, &store.device().image(), what),
                &expected,
                what,
            );
            return;
        }
        poisoned += 1;
        let renamed_nothing_yet = matches!(step, Step::Rename(..)) && !store.is_poisoned();
        assert!(store.is_poisoned() || renamed_nothing_yet, "{what}");
        assert!(!matches!(step, Step::Read(_)), "{what}: reading never poisons");
        if renamed_nothing_yet {
            return;
        }
        let refused = [
            finish(store.commit(&mut [change], Durable)).map(drop),
            finish(store.sync()).map(drop),
            finish(store.checkpoint_step()).map(drop),
            finish(store.seal()),
        ];
        assert_eq!(refused, [Err(WriteError::Poisoned); 4], "{what}");
        // It still reads.
        let found = finish(contents_async(&mut store));
        assert!(progress.states.contains(&found), "{what}: reads of a poisoned store");
    });
    assert!(poisoned > 100 && whole > 30, "{poisoned} poisoned, {whole} whole");
}

#[test]
fn a_dropped_recovery_can_be_repeated() {
    let shape = Shape::SMALL;
    let mut images = Vec::new();
    let mut count = 0;
    at_every_wait::<Fixed>(&shape, Done::Half, |store, _, _, _| {
        count += 1;
        if count % 23 == 0 {
            images.push(store.device().image());
        }
    });
    for (number, image) in images.iter().enumerate() {
        let expected = reopened::<Fixed>(&shape, image.clone()).0;
        for done in [Done::Nothing, Done::Half, Done::All] {
            for polls in (1..).step_by(3) {
                let device = Slow::new(image.clone(), done);
                let (options, overlay, buffer) = (shape.options(), Fixed::default(), shape.buffer());
                let mut place = None;
                let open =
                    asynchronous::Store::open_at(&mut place, device.clone(), overlay, buffer, &options);
                if polled(open, polls).is_some() {
                    break;
                }
                assert!(place.is_none(), "a store that was not recovered is none");
                let what = format!("image {number}, {done:?} at wait {polls} of opening");
                assert_same(&found_by_both::<Fixed>(&shape, &device.image(), &what), &expected, &what);
            }
        }
    }
    assert!(images.len() > 5);
}

#[test]
fn a_dropped_creation_leaves_nothing_or_a_store() {
    let shape = Shape::SMALL;
    let (create, options) = (shape.create(), shape.options());
    for polls in 1.. {
        // An old store lies there, with a commit.
        let mut old = shape.new_store::<Fixed, _>(shape.device(1 << 12));
        blockyard_sim::fixture::put(&mut old, b"old", &bytes(1, 100), Durable).unwrap();
        let device = Slow::new(old.into_device(), Done::Half);
        let (overlay, buffer) = (Fixed::default(), shape.buffer());
        let mut place = None;
        let made =
            asynchronous::Store::create_at(&mut place, device.clone(), overlay, buffer, &create, &options);
        let ended = polled(made, polls).is_some();
        assert_eq!(place.is_some(), ended, "a store that was not laid out is none");
        drop(place);
        if let Ok((mut store, _)) = shape.open::<Fixed, _>(device.image()) {
            let found = blockyard_sim::fixture::contents(&mut store);
            assert!(found.is_empty() || found.contains_key(&b"old"[..]), "wait {polls}");
        } else {
            assert!(!ended, "what was created opens");
        }
        if ended {
            return;
        }
    }
}
