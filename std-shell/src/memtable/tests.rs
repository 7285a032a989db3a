//! Tables by themselves.

use super::*;
use blockyard_core::overlay::Value;
use blockyard_core::{Digest, Sequence};
use std::ops::Bound;

/// As of a block of eight bytes in a journal record.
pub(super) fn entry(sequence: u64) -> Entry {
    Entry {
        sequence: Sequence(sequence),
        tag: 0,
        length: 0,
        digest: Digest::default(),
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
    let portion = Portion { forward: false, from: None, until: Bound::Unbounded, most: 9 };
    let (below, more) = table.copy(6, portion);
    assert_eq!((0..below.len()).map(|index| below.name(index)).collect::<Vec<_>>(), [b"b", b"a"]);
    assert!(!more);
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
        let copied = |forward, from: &[u8], inclusive, until: &[u8]| {
            let (from, until) = (Some((from, inclusive)), Bound::Included(until));
            let (copied, more) = table.copy(sequence, Portion { forward, from, until, most });
            let number = |body: &[u8]| u64::from_le_bytes(body.try_into().expect("a number"));
            let shown = |index| (copied.name(index)[0], number(copied.here(index).expect("in memory").1));
            ((0..copied.len()).map(shown).collect::<Vec<_>>(), more)
        };
        let portion = |expected: Vec<(u8, u64)>| {
            let more = expected.len() > most;
            (expected.into_iter().take(most).collect::<Vec<_>>(), more)
        };
        let newest = newest.into_iter().collect::<Vec<_>>();
        for inclusive in [false, true] {
            let above = |name: u8| name > low || inclusive && name == low;
            let up = newest.iter().copied().filter(|(name, _)| above(*name) && *name <= high);
            assert_eq!(copied(true, &[low], inclusive, &[high]), portion(up.collect()));
            let below = |name: u8| name < high || inclusive && name == high;
            let down = newest.iter().rev().copied().filter(|(name, _)| below(*name) && *name >= low);
            assert_eq!(copied(false, &[high], inclusive, &[low]), portion(down.collect()));
        }
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
    let spare = table.into_spare(&Arc::default());
    let inner = &spare.0;
    assert!(inner.order.spare() <= SPARE && inner.versions.spare.len() <= SPARE);
    assert!(inner.newest.capacity() <= 2 * SPARE * PIECE);
    let again = Memtable::reusing(spare, &Arc::default());
    again.insert(b"name", &entry(2), &[], None);
    assert_eq!(again.len(), 1);
}

/// A walk's copies outlive the table, whoever has its memory next.
#[test]
fn what_was_copied_stays_when_the_table_goes() {
    let (pool, portion) =
        (Arc::default(), Portion { forward: true, from: None, until: Bound::Unbounded, most: 9 });
    let (batch, mut spare, mut held) = (Arc::<[u8]>::from(*b"lentbody"), Spare::default(), Vec::new());
    for round in 0..4_u8 {
        let table = Memtable::reusing(spare, &Arc::default());
        let lent = table.borrow(&batch, None);
        table.insert(&batch[..4], &entry(1), &batch[4..], Some(lent));
        table.insert(b"own", &entry(2), &[round], None);
        let (copied, _) = table.copy(2, portion);
        // Every other time nobody holds on to it.
        held.extend((round % 2 == 0).then_some((round, copied)));
        spare = table.into_spare(&pool);
    }
    for (round, copied) in held {
        let shown = |index| (copied.name(index), copied.here(index).expect("in memory").1);
        assert_eq!([shown(0), shown(1)], [(&b"lent"[..], &b"body"[..]), (b"own", &[round])]);
    }
}
