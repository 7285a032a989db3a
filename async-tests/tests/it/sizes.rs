//! How much memory the futures take.

use crate::slow::{Done, Slow};
use async_tests::finish;
use blockyard_core::Durability::Durable;
use blockyard_core::asynchronous::Store;
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
    let mut sizes = Vec::new();
    sizes.push(("commit", size_of_val(&store.commit(&mut changes, Durable))));
    sizes.push(("checkpoint_step", size_of_val(&store.checkpoint_step())));
    sizes.push(("sync", size_of_val(&store.sync())));
    sizes.push(("get", size_of_val(&store.get(b"name", &mut [0; 9]))));
    sizes.push(("next_name", size_of_val(&store.next_name(None, &mut [0; 9]))));
    sizes.push(("verify", size_of_val(&store.verify(&mut findings))));
    let open = Store::open_at(&mut place, device, Fixed::default(), shape.buffer(), &options);
    sizes.push(("open_at", size_of_val(&open)));
    drop(open);
    println!("{sizes:?}; a store {}, its overlay {}", size_of_val(&store), size_of::<Fixed>());
}
