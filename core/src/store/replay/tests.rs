//! What a journal record says of a value, true and forged.

use super::*;
use crate::batch::Batch;
use crate::device::Io;
use crate::device::VecDevice;
use crate::error::{Damage, OpenError};
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

const MEMORY: Memory = Memory { levels: 4, map_pages: 8, staging: 4 << 10 };

fn new_store() -> Store<VecDevice, MapOverlay, Vec<u8>> {
    let create =
        CreateOptions { page_size: 512, journal_length: 64 << 10, chunk_size: 8 << 10, file_id: [7; 16] };
    let (device, buffer) = (VecDevice::new(512, 1 << 30), vec![0; MEMORY.bytes(512)]);
    Store::create(device, MapOverlay::default(), buffer, &create, &OpenOptions::new(MEMORY)).expect("a store")
}

#[test]
fn a_value_is_where_its_record_and_the_file_have_room_for_it() {
    let mut store = new_store();
    let mut batch = Batch::new(store.geometry(), Vec::new(), Vec::new());
    batch.put(b"name", &[5; 700], 0).expect("room");
    store.commit(&mut [batch], Durability::Durable).expect("a commit");
    let entry = store.pending_entry(b"name").expect("it is pending");
    let Value::Carried { at, page } = entry.value else { panic!("{:?}", entry.value) };
    let carried = head(op_kind::CARRIED, 700, entry.digest.0);
    let mut sound = |head: &OpHeader, page: u64, end: u64| {
        store.values_sound(head, at, page, (at, end), Some(&mut 100)).expect("it can be read")
    };
    assert!(sound(&carried, page.0, at + 700));
    assert!(!sound(&carried, page.0, at + 699), "its record ends before it");
    assert!(!sound(&carried, 1 << 40, at + 700), "the file ends before its page");
    assert!(!sound(&head(op_kind::CARRIED, 700, [1; 32]), page.0, at + 700), "other bytes");
    assert!(!sound(&head(op_kind::CHUNKS, 0, [0; 32]), page.0, at + 700), "a list of no chunks");
}

/// What opening such a journal comes to: one that gives the same pages to `names` names, as if each had taken them over
/// from another one, or not; the damage, and the bytes read and the file's length beside those before.
fn opening(names: u32, moves: bool) -> (Option<Damage>, u64, u64) {
    let mut store = new_store();
    let value = bytes_of_a_value();
    store.begin_staged();
    let staged = store.write_chunk(&value, Digest::of(&value)).expect("room");
    let mut batch: Batch<Vec<u8>, Vec<u8>> = Batch::new(store.geometry(), Vec::new(), Vec::new());
    for number in 0..names {
        if moves {
            batch.move_away(&[1, number as u8]).expect("room");
        }
        batch
            .put_extent(&[2, number as u8], value.len() as u64, 0, staged.digest, staged.page)
            .expect("room");
    }
    store.commit(&mut [batch], Durability::Buffered).expect("a commit");
    let mut device = Io::new(store.into_device());
    let before = device.length().expect("a length");
    let options = OpenOptions { growth: 64, ..OpenOptions::new(MEMORY) };
    let opened = Store::open(&mut device, MapOverlay::default(), vec![0; MEMORY.bytes(512)], &options);
    let damage = match opened {
        Ok(_) => None,
        Err(OpenError::Corrupted(damage)) => Some(damage),
        Err(error) => panic!("{error:?}"),
    };
    (damage, device.asked.shown().bytes_read / before, device.length().expect("a length") / before)
}

fn bytes_of_a_value() -> Vec<u8> {
    (0..8 << 10).map(|at| (at / 7) as u8).collect()
}

/// Opening read, and copied, as many bytes as operations times values: a journal of a megabyte that gives the pages of one
/// value to each of its names took minutes, and made a file of gigabytes. Pages are handed out once.
#[test]
fn a_journal_of_more_values_than_pages_is_damage() {
    for moves in [false, true] {
        assert_eq!(opening(1, moves).0, None);
        let (damage, read, grown) = opening(200, moves);
        let what = if moves { Structure::Block } else { Structure::Journal };
        assert_eq!(damage.map(|damage| damage.what), Some(what));
        assert!(read < 8 && grown < 4, "{read} times what there is was read, {grown} times there is now");
    }
}
