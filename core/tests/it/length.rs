//! How long a file gets: by what is in it, not by what a checkpoint might take at worst.

use crate::support::*;
use blockyard_core::Durability::Buffered;
use blockyard_core::store::Memory;

const SHAPE: Shape = Shape {
    page_size: 512,
    journal_pages: 64,
    chunk_pages: 16,
    memory: Memory { levels: 10, map_pages: 16, staging: 16 << 10 },
    growth: 2560,
    groups_ahead: 1,
    carry_max: 4 << 10,
};

const RECORDS: u64 = 20_000;

/// Puts records of 48 bytes, 40 in a commit; returns pages of the file to a hundred in use at the end.
fn length_after(store: &mut TestStore<Heap>, numbers: impl Iterator<Item = u64>) -> u64 {
    let mut numbers = numbers.peekable();
    while numbers.peek().is_some() {
        let mut many = batch(store.geometry());
        for number in numbers.by_ref().take(40) {
            many.put(format!("record/{number:09}").as_bytes(), &[number as u8; 48], number).unwrap();
        }
        store.commit(&mut [many], Buffered).unwrap();
    }
    store.checkpoint().unwrap();
    store.pages() * 100 / store.superblock().used_pages.get()
}

#[test]
fn a_file_of_small_records_is_not_much_longer_than_they_take() {
    let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(1 << 20));
    let loaded = length_after(&mut store, 0..RECORDS);
    let updated = length_after(&mut store, (0..RECORDS).map(|number| number * 7919 % RECORDS));
    println!("{loaded} and {updated} pages to a hundred in use");
    assert!(loaded < 155, "{loaded} after loading them in order");
    assert!(updated < 155, "{updated} after updates all over the file");
}

/// Each change was counted as a record more, even where it was the tenth of its name: a store of a few records that change
/// all the time had a file many times as long as they are and its journal.
#[test]
fn a_file_of_a_few_records_that_change_often_is_no_longer_than_twice_its_journal() {
    let shape = Shape { journal_pages: 4096, ..SHAPE };
    let mut store: TestStore<Heap> = shape.new_store(shape.device(1 << 20));
    length_after(&mut store, (0..40_000).map(|number| number * 7919 % 1000));
    let (pages, used) = (store.pages(), store.superblock().used_pages.get());
    println!("{pages} pages, {used} in use");
    assert!(used < 400 && pages < 2 * shape.journal_pages, "{pages} pages, {used} in use");
}
