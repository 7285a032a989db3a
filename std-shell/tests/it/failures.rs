//! Bad input and bad devices: each has its own error, and nothing is lost.

use crate::support::{Place, assert_clean, bytes};
use blockyard::{Error, OpenError, OpenOptions, Store, Structure};
use std::fs;
use std::os::unix::fs::FileExt as _;

fn filled(place: &Place) {
    let store = place.create();
    for index in 0..40 {
        store.put(format!("block {index:02}"), bytes(index, 20_000)).expect("put");
    }
    store.close().expect("close");
}

/// Byte offset of the last copy of a block's bytes in the file: its home if it has one, else its place
/// in the journal.
fn find(image: &[u8], wanted: &[u8]) -> usize {
    image.windows(64).rposition(|window| window == &wanted[..64]).expect("the block's bytes are in the file")
}

#[test]
fn what_is_not_a_blockyard_file_is_told_and_left_alone() {
    let place = Place::new();
    for content in [&b""[..], b"short", &bytes(1, 100_000)] {
        fs::write(&place.path, content).expect("write");
        assert!(matches!(Store::open(&place.path), Err(OpenError::NotBlockyard(_))));
        assert_eq!(fs::read(&place.path).expect("read"), content);
    }
    assert!(matches!(Store::create(&place.path), Err(OpenError::AlreadyExists(_))));
    let options = OpenOptions::new().create(true);
    assert!(
        matches!(options.open(&place.path), Err(OpenError::NotBlockyard(_))),
        "create does not overwrite"
    );
}

#[test]
fn another_version_and_a_cut_file_are_told_apart() {
    let place = Place::new();
    filled(&place);
    let image = fs::read(&place.path).expect("read");
    let mut other = image.clone();
    for slot in 0..4 {
        other[slot * 4096 + 8] = 9;
    }
    fs::write(&place.path, &other).expect("write");
    assert!(matches!(Store::open(&place.path), Err(OpenError::Version { found: 9 })));
    fs::write(&place.path, &image[..image.len() - 4096]).expect("write");
    assert!(matches!(Store::open(&place.path), Err(OpenError::Truncated { .. })));
    fs::write(&place.path, &image).expect("write");
    assert_clean(&place.open());
}

#[test]
fn impossible_geometry_is_refused_and_leaves_no_file() {
    let place = Place::new();
    let wrong = [
        OpenOptions::new().page_size(1000),
        OpenOptions::new().page_size(256),
        OpenOptions::new().journal_size(5000),
        OpenOptions::new().chunk_size(5000),
    ];
    for options in wrong {
        assert!(matches!(options.create_new(true).open(&place.path), Err(OpenError::Geometry(_))));
        assert!(!place.path.exists());
    }
    for page_size in [512, 1024, 16_384, 65_536] {
        let store = OpenOptions::new().create(true).page_size(page_size).open(&place.path).expect("store");
        store.put("a", bytes(1, 200_000)).expect("put");
        assert_eq!(store.get("a").expect("get"), Some(bytes(1, 200_000)));
        assert_clean(&store);
        store.close().expect("close");
        fs::remove_file(&place.path).expect("remove");
    }
}

#[test]
fn a_damaged_block_is_named_with_its_place_and_the_rest_stays_readable() {
    let place = Place::new();
    filled(&place);
    let image = fs::read(&place.path).expect("read");
    let at = find(&image, &bytes(7, 20_000)) + 12_345;
    let file = fs::OpenOptions::new().write(true).open(&place.path).expect("open");
    file.write_all_at(&[image[at] ^ 1], at as u64).expect("write");
    let store = place.open();
    for index in 0..40 {
        let found = store.get(format!("block {index:02}"));
        if index == 7 {
            let Err(Error::Corrupted { name: Some(name), damage }) = found else { panic!("no damage seen") };
            assert_eq!(name, b"block 07");
            assert_eq!(damage.what, Structure::Block);
            assert!((damage.offset..damage.offset + 20_480).contains(&(at as u64)));
        } else {
            assert_eq!(found.expect("get"), Some(bytes(index, 20_000)));
        }
    }
    let report = store.verify(|_| {}).expect("verify");
    assert_eq!(report.problem_count, 1);
    assert_eq!(report.problems[0].name.as_deref(), Some(&b"block 07"[..]));
    // Writing the block anew heals it; nothing else was touched.
    store.put("block 07", bytes(7, 20_000)).expect("put");
    assert_clean(&store);
}

#[test]
fn values_and_batches_over_the_limits_are_refused_whole() {
    let place = Place::new();
    let store = place.create();
    let mut batch = store.batch();
    batch.put("small", "x").expect("fits");
    let refused = batch.put("large", vec![0; (1 << 20) + 1]);
    assert!(matches!(refused, Err(Error::ValueTooLarge { .. })));
    store.commit(batch).expect("commit");
    assert_eq!(store.iter().count(), 1);
    let mut small = [0; 0];
    assert!(matches!(store.get_into("small", &mut small), Err(Error::BufferTooSmall { needed: 1 })));
}

/// A batch that a store of larger pages had made was recorded with values that no registry of small pages takes: the
/// file did not open any more.
#[test]
fn a_batch_of_a_store_of_other_sizes_is_refused() {
    let (place, other) = (Place::new(), Place::new());
    let store = OpenOptions::new().create(true).page_size(512).open(&place.path).expect("store");
    let large = other.create();
    let filled = || {
        let mut batch = large.batch();
        batch.put("name", bytes(1, 1000)).expect("fits");
        batch
    };
    assert!(matches!(store.commit(filled()), Err(Error::BatchUnfit)));
    assert!(matches!(store.submit(filled(), blockyard::Durability::Durable), Err(Error::BatchUnfit)));
    store.put("name", bytes(2, 1000)).expect("put");
    store.close().expect("close");
    let store = place.open();
    assert_eq!(store.get("name").expect("get"), Some(bytes(2, 1000)));
    assert_clean(&store);
}

#[test]
fn a_batch_larger_than_the_journal_is_committed_by_a_checkpoint() {
    let place = Place::new();
    let store = OpenOptions::new().create(true).journal_size(64 << 10).open(&place.path).expect("store");
    store.put("before", "x").expect("put");
    let mut batch = store.batch();
    for index in 0..2000 {
        batch.put(format!("{index:05}"), bytes(index, 500)).expect("fits");
    }
    store.commit(batch).expect("commit");
    assert_eq!(store.iter().count(), 2001);
    drop(store);
    let store = place.open();
    assert_eq!(store.iter().count(), 2001);
    assert_clean(&store);
}

/// A full disk, as far as one can be had without privileges: the process's limit on file sizes. The
/// child is this very test, told by a variable.
#[test]
fn a_full_disk_refuses_commits_and_loses_nothing() {
    const CHILD: &str = "BLOCKYARD_TEST_FULL";
    if let Ok(path) = std::env::var(CHILD) {
        return fill_until_full(&path);
    }
    let place = Place::new();
    let this = std::env::current_exe().expect("this binary");
    // 24 MiB, in the shell's blocks of 1 KiB; without the signal a write just fails.
    let script = "trap '' XFSZ; ulimit -f 24576; exec \"$0\" --exact failures::a_full_disk_refuses_commits_and_loses_nothing";
    let status = std::process::Command::new("bash")
        .args(["-c", script])
        .arg(this)
        .env(CHILD, &place.path)
        .stdout(std::process::Stdio::null())
        .status()
        .expect("bash runs");
    assert!(status.success(), "the child failed: {status}");
    let store = place.open();
    assert_clean(&store);
    for item in store.iter() {
        let item = item.expect("item");
        let seed = std::str::from_utf8(item.name()).expect("UTF-8").parse().expect("a number");
        assert_eq!(&item.value().expect("value")[..], &bytes(seed, 100_000)[..]);
    }
    assert!(store.iter().count() > 20);
}

fn fill_until_full(path: &str) {
    let store = OpenOptions::new().create(true).journal_size(1 << 20).open(path).expect("store");
    let mut written = 0;
    let refused = loop {
        match store.put(format!("{written}"), bytes(written, 100_000)) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1000, "the limit is far below");
    };
    assert!(matches!(refused, Error::Full), "{refused:?}");
    // Reads go on, deletes make room, and what is deleted can be written again.
    assert_eq!(store.iter().count() as u64, written);
    for seed in 0..10 {
        assert!(store.delete(format!("{seed}")).expect("a delete on a full disk"));
    }
    store.checkpoint().expect("checkpoint");
    for seed in 0..5 {
        store.put(format!("{seed}"), bytes(seed, 100_000)).expect("room again");
    }
    assert_clean(&store);
    store.close().expect("close");
}

#[test]
fn a_damaged_journal_is_refused_and_salvage_shows_what_is_before() {
    let place = Place::new();
    let store = place.create();
    for index in 0..20_u64 {
        store.put(format!("{index:02}"), bytes(index, 3000)).expect("put");
    }
    // A copy of the file as a power cut would leave it: the journal is not folded in.
    let mut image = fs::read(&place.path).expect("read");
    drop(store);
    let at = find(&image, &bytes(10, 3000));
    image[at + 100] ^= 1;
    fs::write(&place.path, &image).expect("write");
    let refused = Store::open(&place.path);
    let Err(OpenError::Corrupted(damage)) = refused else { panic!("{refused:?}") };
    assert_eq!(damage.what, Structure::Journal);
    let options = OpenOptions::new().read_only(true);
    assert!(matches!(options.open(&place.path), Err(OpenError::Corrupted(_))));
    let store = options.salvage(true).open(&place.path).expect("salvage");
    assert_eq!(store.iter().count(), 10);
    assert!(store.recovery().damage.is_some());
    assert_eq!(store.get("09").expect("get"), Some(bytes(9, 3000)));
}
