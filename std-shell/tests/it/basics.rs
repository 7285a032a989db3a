//! Every operation once, then again after a reopen.

use crate::support::{Place, assert_clean, block_on, bytes};
use blockyard::{Durability, Error, OpenError, OpenOptions, PutOptions, Store};

#[test]
fn values_of_every_size_come_back_before_and_after_a_reopen() {
    let place = Place::new();
    let store = place.create();
    let sizes =
        [0, 1, 255, 1024, 1025, 4095, 4096, 4097, 65_536, 65_537, 300_000, 1 << 20, (1 << 20) + 1, 5_000_001];
    for (index, &size) in sizes.iter().enumerate() {
        store.put(format!("block/{size:08}"), bytes(index as u64, size)).expect("put");
    }
    let check = |store: &Store| {
        for (index, &size) in sizes.iter().enumerate() {
            let name = format!("block/{size:08}");
            let expected = bytes(index as u64, size);
            assert_eq!(store.get(&name).expect("get").as_deref(), Some(&expected[..]), "{name}");
            let found = store.get_ref(&name).expect("get_ref").expect("there");
            assert_eq!(&found[..], &expected[..]);
            let mut buffer = vec![0; size];
            assert_eq!(store.get_into(&name, &mut buffer).expect("get_into"), Some(size));
            assert_eq!(buffer, expected);
            assert_eq!(store.metadata(&name).expect("metadata").expect("there").length, size as u64);
        }
    };
    check(&store);
    store.checkpoint().expect("checkpoint");
    check(&store);
    assert_clean(&store);
    store.close().expect("close");
    let store = place.open();
    check(&store);
    assert_eq!(store.stats().expect("stats").blocks, sizes.len() as u64);
    assert_clean(&store);
}

#[test]
fn batches_renames_deletes_and_iteration_agree() {
    let place = Place::new();
    let store = place.create();
    let mut batch = store.batch();
    for index in 0..1000 {
        batch.put(format!("a/{index:04}"), bytes(index, 100 + index as usize)).expect("fits");
    }
    store.commit(batch).expect("commit");
    assert!(store.delete("a/0500").expect("delete"));
    assert!(!store.delete("a/0500").expect("delete"));
    store.rename("a/0001", "b/0001").expect("rename");
    assert!(matches!(store.rename("nothing", "else"), Err(Error::NotFound)));
    for step in 0..2 {
        let names: Vec<_> = store.prefix("a/").map(|item| item.expect("item").name().to_vec()).collect();
        assert_eq!(names.len(), 998, "step {step}");
        assert!(names.is_sorted());
        let mut backwards: Vec<_> =
            store.prefix("a/").rev().map(|item| item.expect("item").name().to_vec()).collect();
        backwards.reverse();
        assert_eq!(names, backwards);
        assert_eq!(store.range("a/0010".."a/0020").count(), 10);
        assert_eq!(store.range("a/0010"..="a/0020").rev().count(), 11);
        assert_eq!(store.iter().count(), 999);
        assert_eq!(store.get("b/0001").expect("get").as_deref(), Some(&bytes(1, 101)[..]));
        store.checkpoint().expect("checkpoint");
    }
    assert_clean(&store);
}

#[test]
fn an_iterator_meets_itself_in_the_middle() {
    let place = Place::new();
    let store = place.create();
    for index in 0..100 {
        store
            .put_with(
                format!("{index:03}"),
                "x",
                PutOptions { tag: index, durability: Some(Durability::Buffered) },
            )
            .expect("put");
        if index == 50 {
            store.checkpoint().expect("checkpoint");
        }
    }
    let mut iter = store.iter();
    let mut seen = Vec::new();
    while let Some(front) = iter.next() {
        seen.push(front.expect("item").metadata().tag);
        if let Some(back) = iter.next_back() {
            seen.push(back.expect("item").metadata().tag);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
}

#[test]
fn a_snapshot_keeps_its_moment_through_overwrites_and_checkpoints() {
    let place = Place::new();
    let store = place.create();
    for index in 0..50_u64 {
        store.put(format!("{index}"), bytes(index, 5000)).expect("put");
    }
    let snapshot = store.snapshot().expect("snapshot");
    for round in 1..6_u64 {
        let mut batch = store.batch();
        for index in 0..50_u64 {
            batch.put(format!("{index}"), bytes(1000 * round + index, 9000)).expect("fits");
        }
        batch.put(format!("new {round}"), "x").expect("fits");
        store.commit(batch).expect("commit");
        store.checkpoint().expect("checkpoint");
    }
    for index in 0..50_u64 {
        let found = snapshot.get(format!("{index}")).expect("get");
        assert_eq!(found.as_deref(), Some(&bytes(index, 5000)[..]), "{index}");
    }
    assert_eq!(snapshot.iter().count(), 50);
    assert_eq!(store.iter().count(), 55);
    drop(snapshot);
    assert_clean(&store);
}

#[test]
fn transactions_see_themselves_and_conflict_with_others() {
    let place = Place::new();
    let store = place.create();
    store.put("x", "1").expect("put");
    let mut first = store.transaction().expect("transaction");
    let mut second = store.transaction().expect("transaction");
    assert_eq!(first.get("x").expect("get").as_deref(), Some(&b"1"[..]));
    first.put("x", "2").expect("put");
    assert_eq!(first.get("x").expect("get").as_deref(), Some(&b"2"[..]));
    second.put("x", "3").expect("put");
    first.commit().expect("commit");
    assert!(matches!(second.commit(), Err(Error::Conflict)));
    let mut third = store.transaction().expect("transaction");
    assert!(third.delete("x").expect("delete"));
    third.rollback();
    assert_eq!(store.get("x").expect("get").as_deref(), Some(&b"2"[..]));
}

#[test]
fn one_sync_a_durable_commit_and_none_on_a_read() {
    let place = Place::new();
    let store = OpenOptions::new().create(true).open(&place.path).expect("store");
    store.put("warm", "up").expect("put");
    let before = store.stats().expect("stats").syncs;
    for index in 0..100 {
        store.put(format!("{index}"), bytes(index, 300)).expect("put");
    }
    let after = store.stats().expect("stats").syncs;
    assert_eq!(after - before, 100);
    for index in 0..100 {
        store.get(format!("{index}")).expect("get");
    }
    assert_eq!(store.stats().expect("stats").syncs, after);
}

#[test]
fn buffered_updates_end_in_a_handful_of_syncs() {
    let place = Place::new();
    let options = OpenOptions::new().create(true).flush_interval(std::time::Duration::from_secs(3600));
    let store = options.open(&place.path).expect("store");
    let before = store.stats().expect("stats").syncs;
    for index in 0..500 {
        let options = PutOptions { durability: Some(Durability::Buffered), ..PutOptions::default() };
        store.put_with(format!("{index}"), bytes(index, 200), options).expect("put");
    }
    store.sync().expect("sync");
    let syncs = store.stats().expect("stats").syncs - before;
    // At most one each hundred operations in the background, one at the end, and one for growth.
    assert!((1..=7).contains(&syncs), "{syncs} syncs");
}

#[test]
fn many_threads_share_syncs_and_lose_nothing() {
    let place = Place::new();
    let store = place.create();
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let store = store.clone();
            scope.spawn(move || {
                for index in 0..50 {
                    store.put(format!("{thread}/{index}"), bytes(thread * 100 + index, 2000)).expect("put");
                }
            });
        }
    });
    assert_eq!(store.iter().count(), 400);
    assert_clean(&store);
    store.close().expect("close");
    assert_eq!(place.open().iter().count(), 400);
}

#[test]
fn tickets_are_waited_on_awaited_and_dropped() {
    let place = Place::new();
    let store = place.create();
    let batch = |name: &str| {
        let mut batch = store.batch();
        batch.put(name, "value").expect("fits");
        batch
    };
    let first = store.submit(batch("waited"), Durability::Durable).expect("submit");
    let second = store.submit(batch("awaited"), Durability::Durable).expect("submit");
    drop(store.submit(batch("dropped"), Durability::Durable).expect("submit"));
    first.wait().expect("commit");
    block_on(second).expect("commit");
    store.flush().expect("flush");
    for name in ["waited", "awaited", "dropped"] {
        assert!(store.exists(name).expect("exists"), "{name}");
    }
}

#[test]
fn a_second_opener_is_told_and_readers_share() {
    let place = Place::new();
    let store = place.create();
    store.put("a", "1").expect("put");
    assert!(matches!(Store::open(&place.path), Err(OpenError::Locked(_))));
    store.close().expect("close");
    let read_only = OpenOptions::new().read_only(true);
    let first = read_only.open(&place.path).expect("reader");
    let second = read_only.open(&place.path).expect("reader");
    assert!(matches!(Store::open(&place.path), Err(OpenError::Locked(_))));
    assert_eq!(first.get("a").expect("get"), second.get("a").expect("get"));
    assert!(matches!(first.put("b", "2"), Err(Error::ReadOnly)));
}

#[test]
fn use_after_close_and_bad_names_have_their_own_errors() {
    let place = Place::new();
    let store = place.create();
    assert!(matches!(store.put("", "x"), Err(Error::NameEmpty)));
    assert!(matches!(store.put([b'n'; 513], "x"), Err(Error::NameTooLong { length: 513, max: 512 })));
    store.put([b'n'; 512], "x").expect("the longest name");
    let other = store.clone();
    store.close().expect("close");
    assert!(matches!(other.get("x"), Err(Error::Closed)));
    assert!(matches!(other.put("x", "y"), Err(Error::Closed)));
    assert!(matches!(Store::open("/nonexistent/file.by"), Err(OpenError::NotFound(_))));
}
