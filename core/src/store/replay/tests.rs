//! What a journal record says of a value, true and forged.

use super::*;
use crate::batch::Batch;
use crate::device::VecDevice;
use crate::overlay::{MapOverlay, Value};
use crate::store::{CreateOptions, Durability, Memory, OpenOptions};
use std::vec;
use std::vec::Vec;

fn head(kind: u8, length: u64, digest: [u8; 32]) -> OpHeader {
    let mut head = OpHeader::read(&[0; OpHeader::SIZE]).expect("a head");
    (head.kind, head.digest) = (kind, digest);
    head.length.set(length);
    head
}

#[test]
fn a_value_is_where_its_record_and_the_file_have_room_for_it() {
    let memory = Memory { levels: 4, map_pages: 8, staging: 4 << 10 };
    let create =
        CreateOptions { page_size: 512, journal_length: 64 << 10, chunk_size: 8 << 10, file_id: [7; 16] };
    let (device, buffer) = (VecDevice::new(512, 1 << 20), vec![0; memory.bytes(512)]);
    let mut store = Store::create(device, MapOverlay::default(), buffer, &create, &OpenOptions::new(memory))
        .expect("a store");
    let mut batch = Batch::new(store.geometry(), Vec::new(), Vec::new());
    batch.put(b"name", &[5; 700], 0).expect("room");
    store.commit(&mut [batch], Durability::Durable).expect("a commit");
    let entry = store.pending_entry(b"name").expect("it is pending");
    let Value::Carried { at, page } = entry.value else { panic!("{:?}", entry.value) };
    let carried = head(op_kind::CARRIED, 700, entry.digest.0);
    let mut sound = |head: &OpHeader, page: u64, end: u64| {
        store.values_sound(head, at, page, (at, end), true).expect("it can be read")
    };
    assert!(sound(&carried, page.0, at + 700));
    assert!(!sound(&carried, page.0, at + 699), "its record ends before it");
    assert!(!sound(&carried, 1 << 40, at + 700), "the file ends before its page");
    assert!(!sound(&head(op_kind::CARRIED, 700, [1; 32]), page.0, at + 700), "other bytes");
    assert!(!sound(&head(op_kind::CHUNKS, 0, [0; 32]), page.0, at + 700), "a list of no chunks");
}
