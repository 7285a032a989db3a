//! The two engines write the same bytes.

use crate::slow::{Done, Slow};
use crate::work::{
    Progress, assert_counted_alike, contents, contents_async, reopened, steps, work, work_async,
};
use async_tests::finish;
use blockyard_core::asynchronous;
use blockyard_core::device::VecDevice;
use blockyard_core::overlay::Overlay;
use blockyard_sim::fixture::{Fixed, Heap, Shape, assert_same};

/// An image that the asynchronous engine leaves when it opens another and closes it again.
fn reopened_async<O: Overlay + Default>(shape: &Shape, image: VecDevice) -> VecDevice {
    let (store, _) = finish(asynchronous::Store::open(
        Slow::new(image, Done::All),
        O::default(),
        shape.buffer(),
        &shape.options(),
    ))
    .unwrap();
    store.device().image()
}

fn compare<O: Overlay + Default>(shape: &Shape) {
    let steps = steps(shape);
    let mut blocking = shape.new_store::<O, _>(shape.device(1 << 12));
    let device = Slow::new(shape.device(1 << 12), Done::Nothing);
    let options = shape.options();
    let create = shape.create();
    let made = asynchronous::Store::create(device.clone(), O::default(), shape.buffer(), &create, &options);
    let mut asynchronous = finish(made).unwrap();
    assert_eq!(blocking.device().bytes(), device.image().bytes(), "created");
    // After each step, so that a difference shows where it comes from.
    let (log, log_async) = (Progress::log(), Progress::log());
    for end in 1..=steps.len() {
        let step = &steps[end - 1..end];
        work(&mut blocking, shape, step, &log);
        finish(work_async(&mut asynchronous, shape, step, &log_async));
        let same = blocking.device().bytes() == device.image().bytes();
        assert!(same, "{shape:?}: the images differ after step {end}, {step:?}");
        assert_counted_alike(blocking.counters(), asynchronous.counters(), O::KEEPS_BODIES);
        assert_eq!(blocking.superblock(), asynchronous.superblock());
    }
    let model = log.borrow().states.last().cloned().unwrap();
    assert_same(&contents(&mut blocking), &model, "blocking");
    assert_same(&finish(contents_async(&mut asynchronous)), &model, "asynchronous");

    // Recovery too: with a journal that is not empty, and with an empty one.
    let (found, recovered) = reopened::<O>(shape, device.image());
    assert_same(&found, &model, "opened again");
    let recovered_async = reopened_async::<O>(shape, device.image());
    assert_eq!(recovered.bytes(), recovered_async.bytes(), "recovered");
    let (_, again) = reopened::<O>(shape, recovered_async.clone());
    assert_eq!(again.bytes(), reopened_async::<O>(shape, recovered_async).bytes(), "opened once more");
}

#[test]
fn both_engines_write_the_same_bytes() {
    for shape in [Shape::SMALL, Shape::LARGE] {
        compare::<Fixed>(&shape);
        compare::<Heap>(&shape);
    }
}
