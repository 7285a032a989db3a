//! What the properties found, as small as it shrank.

use blockyard_core::Durability::Buffered;
use blockyard_core::ReadError;
use blockyard_sim::fixture::{Heap, Shape, TestStore, put};

/// A name in the registry that did not fit into the caller's buffer was an error even when another one, pending
/// and short enough, comes first: a caller with a buffer for the names at hand was refused the next of them. Now
/// only the name that is the answer has to fit.
#[test]
fn a_name_that_is_not_the_next_need_not_fit() {
    let mut store: TestStore<Heap> = Shape::SMALL.new_store(Shape::SMALL.device(1 << 12));
    put(&mut store, b"long name", b"folded in", Buffered).expect("there is room");
    store.checkpoint().expect("there is room");
    put(&mut store, b"a", b"pending", Buffered).expect("there is room");
    let mut name = [0; 4];
    assert_eq!(store.next_name(None, &mut name), Ok(Some(1)));
    assert_eq!(name[0], b'a');
    let refused = store.next_name(Some(b"a"), &mut name);
    assert_eq!(refused, Err(ReadError::BufferTooSmall { needed: 9 }));
}
