//! How much memory the futures take.

use crate::slow::{Done, Slow};
use async_tests::finish;
use blockyard_core::Durability::Durable;
use blockyard_core::asynchronous::Store;
use blockyard_core::asynchronous::store::Verification;
use blockyard_sim::fixture::{Findings, Fixed, Shape, batch};

#[test]
fn futures_stay_small() {
    let shape = Shape::SMALL;
    let device = Slow::new(shape.device(1 << 12), Done::Nothing);
    let (create, options) = (shape.create(), shape.options());
    let made = Store::create(device.clone(), Fixed::default(), shape.buffer(), &create, &options);
    let mut store = finish(made).unwrap();
    let mut changes = [batch(store.geometry())];
    let mut findings = Findings::default();
    let mut place = None;
    let commit = size_of_val(&store.commit(&mut changes, Durable));
    let step = size_of_val(&store.checkpoint_step());
    let sync = size_of_val(&store.sync());
    let get = size_of_val(&store.get(b"name", &mut [0; 9]));
    let verify = size_of_val(&store.verify(&mut findings));
    let mut verification = Verification::new([0; 64]);
    let part = size_of_val(&store.verify_step(&mut verification, &mut findings));
    let open = Store::open_at(&mut place, device, Fixed::default(), shape.buffer(), &options);
    // Besides what is handed to it: the overlay.
    let open = size_of_val(&open) - size_of::<Fixed>();
    println!(
        "commit {commit}, checkpoint_step {step}, sync {sync}, get {get}, verify {verify}, verify_step {part}, \
         open_at {open}"
    );
    let limits = [(commit, 6 << 10), (step, 5 << 10), (sync, 512), (get, 3 << 10), (verify, 8 << 10)];
    for (size, limit) in limits.into_iter().chain([(part, 5 << 10), (open, 72 << 10)]) {
        assert!(size <= limit, "a future of {size} bytes, more than {limit}");
    }
}
