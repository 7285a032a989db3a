//! The table against a plain map: names that are hard to tell apart, versions in any order, some of them in lent memory,
//! look-ups and walks between the inserts, by one thread and by several.

use super::tests::entry;
use super::*;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds as _};
use std::sync::atomic::AtomicU64;

type Model = BTreeMap<(Vec<u8>, Reverse<u64>), Vec<u8>>;
type Seen<'m> = (&'m [u8], u64, &'m [u8]);

/// Around the 16 bytes that are compared first, of few different bytes, zeros among them.
fn name(random: &mut fastrand::Rng) -> Vec<u8> {
    let length = *random.choice(&[1, 2, 3, 15, 16, 17, 18, 33]).expect("some");
    let mut name = vec![random.u8(0..2); length];
    for _ in 0..random.usize(0..3) {
        name[random.usize(0..length)] = *random.choice(&[0, 1, b'a', 255]).expect("some");
    }
    name
}

fn assert_slot(slot: Option<Slot>, expected: Option<&Seen<'_>>) {
    let found = slot.as_ref().map(|slot| (slot.name(), slot.entry.sequence.0, slot.body()));
    assert_eq!(found.as_ref(), expected);
}

/// What was copied: names, and bodies in memory.
fn shown(copied: &Changes) -> Vec<(&[u8], &[u8])> {
    let shown = |index| (copied.name(index), copied.here(index).expect("in memory").1);
    (0..copied.len()).map(shown).collect()
}

fn assert_copied<'m>(
    (copied, more): (Changes, bool),
    expected: impl Iterator<Item = &'m Seen<'m>>,
    most: usize,
) {
    let mut expected: Vec<_> = expected.map(|(name, _, body)| (*name, *body)).collect();
    assert_eq!(more, expected.len() > most);
    expected.truncate(most);
    assert_eq!(shown(&copied), expected);
}

/// Asks for one name, and what lies about it, at one moment.
fn assert_alike(table: &Memtable, model: &Model, random: &mut fastrand::Rng) {
    let sequence = if random.bool() { u64::MAX } else { random.u64(0..300) };
    let (most, from) = (random.usize(1..40), name(random));
    let visible = model.iter().filter(|((_, Reverse(version)), _)| *version <= sequence);
    let mut all: Vec<Seen<'_>> =
        visible.map(|((name, Reverse(version)), body)| (&name[..], *version, &body[..])).collect();
    all.dedup_by_key(|(name, ..)| *name);
    let at = all.iter().find(|(name, ..)| *name == from);
    assert_slot(table.get(&from, sequence), at);
    let mut body = None;
    let has = table.with_body(&from, sequence, |found| body = Some(found.to_vec()));
    let exact = at.filter(|(_, version, _)| *version == sequence).map(|(_, _, body)| *body);
    assert_eq!((has, body.as_deref()), (exact.is_some(), exact));
    let end = name(random);
    for from in [None, Some((&from[..], false)), Some((&from[..], true))] {
        let is_behind = |name: &[u8], forward: bool| {
            from.is_none_or(|(from, inclusive)| {
                name == from && inclusive || if forward { name > from } else { name < from }
            })
        };
        let (after, inclusive) = from.map_or((None, true), |(name, inclusive)| (Some(name), inclusive));
        let next = all.iter().find(|(name, ..)| is_behind(name, true));
        assert_slot(table.next(after, inclusive, sequence), next);
        for until in [Bound::Unbounded, Bound::Included(&end[..]), Bound::Excluded(&end[..])] {
            let portion = |forward| Portion { forward, from, until, most };
            let up = all
                .iter()
                .filter(|(name, ..)| is_behind(name, true) && (Bound::Unbounded, until).contains(name));
            assert_copied(table.copy(sequence, portion(true)), up, most);
            let down = all
                .iter()
                .rev()
                .filter(|(name, ..)| is_behind(name, false) && (until, Bound::Unbounded).contains(name));
            assert_copied(table.copy(sequence, portion(false)), down, most);
        }
    }
}

/// Goes through a table as a checkpoint does, which now and then begins anew or asks for another name.
fn assert_folds_alike(table: &Memtable, model: &Model, random: &mut fastrand::Rng) {
    let mut newest: Vec<Seen<'_>> =
        model.iter().map(|((name, Reverse(version)), body)| (&name[..], *version, &body[..])).collect();
    newest.dedup_by_key(|(name, ..)| *name);
    let cursor = Cursor::default();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let at = newest.partition_point(|(name, ..)| after.as_ref().is_some_and(|after| *name <= &after[..]));
        let found = table.next_at(&cursor, after.as_deref(), |name, entry| (name.to_vec(), entry.sequence.0));
        let expected = newest.get(at).map(|(name, sequence, _)| (name.to_vec(), *sequence));
        assert_eq!(found, expected, "after {after:?}");
        let asked = if random.u8(0..8) == 0 { random.usize(0..newest.len()) } else { at };
        if let Some((name, sequence, body)) = newest.get(asked) {
            let mut bodies = Vec::new();
            let mut ask =
                |sequence| table.with_body_at(&cursor, name, sequence, |found| bodies.push(found.to_vec()));
            assert_eq!((ask(*sequence), ask(sequence.wrapping_add(1))), (true, false));
            assert_eq!(bodies, [*body]);
        }
        after = match random.u8(0..64) {
            0 => None,
            1 => Some(name(random)),
            _ => match found {
                Some((name, _)) => Some(name),
                None => return,
            },
        };
    }
}

#[test]
fn a_table_is_what_a_plain_map_is_whatever_comes_between() {
    let (pool, mut spare, mut held) = (Pool::new(1 << 20), Spare::default(), Vec::new());
    for seed in 0..200 {
        let random = &mut fastrand::Rng::with_seed(seed);
        let (table, mut model) = (Memtable::reusing(spare, &pool), Model::new());
        let names: Vec<_> = (0..random.usize(1..80)).map(|_| name(random)).collect();
        for commit in 1..random.u64(2..300) {
            let mut change =
                || (random.choice(&names).expect("some").clone(), vec![commit as u8; random.usize(0..4)]);
            let changes: Vec<_> = (0..5).map(|_| change()).collect();
            let joined = changes.iter().flat_map(|(name, body)| [&name[..], body]);
            let meta: Arc<[u8]> = joined.collect::<Vec<_>>().concat().into();
            let joined = changes.iter().map(|(_, body)| &body[..]);
            let data: Arc<[u8]> = joined.collect::<Vec<_>>().concat().into();
            let (shared, apart) = (random.bool(), random.bool());
            let lent = shared.then(|| table.borrow(&meta, apart.then_some(&data)));
            let (mut meta, mut data) = (&meta[..], &data[..]);
            for (name, body) in &changes {
                // Every other table has the sequences that a hostile file claims. What it claims twice does not matter.
                let sequence = if seed % 2 == 0 { random.u64(0..300) } else { commit };
                let (at, behind) = meta.split_at(name.len());
                let (first, rest) = data.split_at(body.len());
                let bytes = if apart { first } else { &behind[..body.len()] };
                (meta, data) = (&behind[body.len()..], rest);
                if seed % 2 == 1 || !model.contains_key(&(name.clone(), Reverse(sequence))) {
                    table.insert(at, &entry(sequence), bytes, lent);
                    model.insert((name.clone(), Reverse(sequence)), body.clone());
                }
            }
            match random.u8(0..12) {
                0 => assert_alike(&table, &model, random),
                1 => held.push((table.get(&changes[0].0, u64::MAX).expect("written"), model.clone())),
                _ => {}
            }
        }
        assert_eq!(table.len(), model.len());
        (0..10).for_each(|_| assert_alike(&table, &model, random));
        assert_folds_alike(&table, &model, random);
        spare = table.into_spare(&pool);
        // Readers keep what they took, whoever has the table's memory next.
        for (slot, model) in held.drain(..) {
            let key = (slot.name().to_vec(), Reverse(slot.entry.sequence.0));
            assert_eq!(model.get(&key).map(Vec::as_slice), Some(slot.body()));
        }
    }
}

#[test]
fn threads_see_what_was_published() {
    let (table, published) = (&Memtable::default(), &AtomicU64::new(0));
    let random = &mut fastrand::Rng::with_seed(1);
    // Every other commit changes the same name.
    let commits: &Vec<_> =
        &(0..1000).map(|_| if random.bool() { vec![0; 17] } else { name(random) }).collect();
    let read = move |at: u64| {
        let all: BTreeMap<_, u64> = commits[..at as usize].iter().zip(1..).collect();
        for (name, version) in &all {
            assert_eq!(table.get(name, at).map(|slot| slot.entry.sequence.0), Some(*version), "{name:?}");
        }
        let portion = Portion { forward: true, from: None, until: Bound::Unbounded, most: 1000 };
        let (copied, _) = table.copy(at, portion);
        let copied = shown(&copied).into_iter().map(|(name, body)| (name, body.to_vec()));
        assert!(copied.eq(all.iter().map(|(name, version)| (&name[..], version.to_le_bytes().to_vec()))));
    };
    std::thread::scope(|scope| {
        for part in 1..4 {
            scope.spawn(move || {
                while published.load(atomic::Ordering::Acquire) < 1000 {
                    read(published.load(atomic::Ordering::Acquire) / part);
                }
            });
        }
        for (name, sequence) in commits.iter().zip(1_u64..) {
            table.insert(name, &entry(sequence), &sequence.to_le_bytes(), None);
            published.store(sequence, atomic::Ordering::Release);
            std::thread::yield_now();
        }
    });
}
