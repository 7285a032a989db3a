//! A device that is full: commits are refused whole, everything stays readable, and deleting makes room again.

use crate::job::LONGEST;
use crate::lives::{layout, options};
use crate::look::Count;
use crate::{BYTES, PAGE, Pending, SmallBatch, SmallStore};
use blockyard_core::device::MemoryDevice;
use blockyard_core::{Durability, WriteError};
use std::{format, vec};

#[test]
fn a_full_device_refuses_commits_and_takes_them_again_after_deletions() {
    // Superblocks, journal, and some 60 pages.
    let mut device = MemoryDevice::new(vec![0; 56 << 10], PAGE as u32);
    let (mut pending, mut buffer) = (Pending::new(), vec![0; BYTES]);
    let store = SmallStore::create(&mut device, &mut pending, &mut buffer[..], &layout(), &options());
    let mut store = store.expect("there is room for an empty store");
    let mut batch = SmallBatch::new(store.geometry(), heapless::Vec::new(), heapless::Vec::new());
    let mut commit = |store: &mut SmallStore<'_, _>, name: &str, value: Option<&[u8]>| {
        batch.clear();
        let added = match value {
            Some(value) => batch.put(name.as_bytes(), value, 0),
            None => batch.delete(name.as_bytes()),
        };
        added.expect("the batch is large enough");
        store.commit(core::slice::from_mut(&mut batch), Durability::Durable)
    };
    for round in 0..3_u8 {
        let value = [round; LONGEST];
        let mut stored = 0;
        let refused = loop {
            match commit(&mut store, &format!("record/{stored:04}"), Some(&value)) {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(refused, WriteError::Full);
        assert!(stored >= 8, "only {stored} blocks in round {round}");
        for number in 0..=stored {
            let mut found = [9; LONGEST];
            let length =
                store.get(format!("record/{number:04}").as_bytes(), &mut found).expect("it is readable");
            let expected = (number < stored).then_some(LONGEST);
            assert!(
                length == expected && (expected.is_none() || found == value),
                "block {number} of {stored}"
            );
        }
        for number in 0..stored {
            commit(&mut store, &format!("record/{number:04}"), None).expect("deletions are taken");
        }
        store.checkpoint().expect("deletions fold in");
        let report = store.verify(&mut Count::default()).expect("it is readable");
        assert_eq!((report.problems, report.blocks), (0, 0));
    }
}
