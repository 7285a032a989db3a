//! Tables by themselves.

use super::*;
use blockyard_core::overlay::Value;
use blockyard_core::{Digest, Sequence};

/// As of a block of eight bytes in a journal record.
pub(super) fn entry(sequence: u64) -> Entry {
    Entry {
        sequence: Sequence(sequence),
        tag: 0,
        length: 0,
        digest: Digest::default(),
        body_digest: Digest::default(),
        value: Value::Inline { at: 0 },
        base_moved: false,
        inherited: false,
    }
}

/// A journal record whose operations claim commit 0, which no engine writes, kept a walk on one name
/// for ever: the open of a hostile file never ended.
#[test]
fn a_walk_goes_on_whatever_sequences_a_file_claims() {
    let table = Memtable::default();
    for (name, sequence) in [("a", 0), ("b", 0), ("b", 7), ("c", u64::MAX)] {
        table.insert(name.as_bytes(), &entry(sequence), &[], None);
    }
    let mut names = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    while let Some(slot) = table.next(after.as_deref(), false, u64::MAX) {
        names.push(slot.name().to_vec());
        assert!(names.len() <= 3, "{names:?}");
        after = Some(slot.name().to_vec());
    }
    assert_eq!(names, [b"a", b"b", b"c"]);
    let mut below = Vec::new();
    table.copy_previous(None, 6, Portion { wanted: &|_| true, most: 9 }, &mut below);
    assert_eq!(below.iter().map(Change::name).collect::<Vec<_>>(), [b"b", b"a"]);
}

#[test]
fn what_is_copied_is_what_a_plain_map_has() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..300 {
        let table = Memtable::default();
        let mut written = Vec::new();
        for sequence in 1..random.u64(2..400) {
            let name = b'a' + random.u8(0..20);
            table.insert(&[name], &entry(sequence), &sequence.to_le_bytes(), None);
            written.push((name, sequence));
        }
        let (sequence, most) = (random.u64(0..400), random.usize(1..30));
        let (low, high) = (b'a' + random.u8(0..20), b'a' + random.u8(0..20));
        let visible = written.iter().filter(|(_, written)| *written <= sequence).copied();
        let newest: std::collections::BTreeMap<u8, u64> = visible.collect();
        let assert_copied = |copied: &[Change], more: bool, expected: Vec<(u8, u64)>| {
            let copied: Vec<(u8, u64)> = copied
                .iter()
                .map(|slot| {
                    (
                        slot.name()[0],
                        u64::from_le_bytes(slot.here().expect("in memory").1.try_into().expect("a number")),
                    )
                })
                .collect();
            assert_eq!((&copied[..], more), (&expected[..expected.len().min(most)], expected.len() > most));
        };
        for inclusive in [false, true] {
            let mut copied = Vec::new();
            let wanted = |name: &[u8]| name <= &[high];
            let more = table.copy_next(
                Some(&[low]),
                inclusive,
                sequence,
                Portion { wanted: &wanted, most },
                &mut copied,
            );
            let above = |name: u8| name > low || inclusive && name == low;
            let expected = newest.iter().filter(|(name, _)| above(**name) && **name <= high);
            assert_copied(&copied, more, expected.map(|(name, written)| (*name, *written)).collect());
        }
        let mut copied = Vec::new();
        let wanted = |name: &[u8]| name >= &[low];
        let more =
            table.copy_previous(Some(&[high]), sequence, Portion { wanted: &wanted, most }, &mut copied);
        let expected = newest.iter().rev().filter(|(name, _)| **name < high && **name >= low);
        assert_copied(&copied, more, expected.map(|(name, written)| (*name, *written)).collect());
    }
}

/// The leaves of a table that took one huge batch stayed in memory for ever.
#[test]
fn a_huge_table_leaves_little_memory_behind() {
    let table = Memtable::default();
    for index in 0..(SPARE * PIECE * 2) as u32 {
        table.insert(&index.to_be_bytes(), &entry(1), &[], None);
    }
    table.put_in_order();
    let spare = table.into_spare(&Pool::default());
    let inner = &spare.0;
    assert!(inner.order.spare() <= SPARE && inner.versions.spare.len() <= SPARE);
    assert!(inner.newest.capacity() <= 2 * SPARE * PIECE);
    let again = Memtable::reusing(spare);
    again.insert(b"name", &entry(2), &[], None);
    assert_eq!(again.len(), 1);
}
