//! Every engine keeps what it was given, through all ways of writing and reading, and over a reopen.

use super::*;
use crate::data::{Contents, missing};
use crate::model::{Met, Model};

const LENGTH: usize = 512;
const RECORDS: u64 = 250;

fn value(index: u64, version: u32) -> Vec<u8> {
    let mut bytes = vec![0; LENGTH];
    Contents::new(index, version, LENGTH).fill(&mut bytes);
    bytes
}

fn opening(folder: &Path) -> Opening {
    Opening { folder: folder.to_owned(), length: LENGTH, room: RECORDS + 100, cache: 8 << 20 }
}

fn load(engine: &dyn Engine) {
    let records: Vec<(Key, Vec<u8>)> = (0..RECORDS).map(|index| (key(index), value(index, 1))).collect();
    let changes: Vec<Change<'_>> = records.iter().map(|(key, value)| Change::Put(key, value)).collect();
    let mut session = engine.session().expect("a session");
    session.batch(&changes, true).expect("a batch");
}

/// All ways of writing, noted in the model.
fn write(engine: &dyn Engine, model: &mut Model) {
    let mut session = engine.session().expect("a session");
    session.put(&key(1), &value(1, 2)).expect("put");
    session.put_relaxed(&key(2), &value(2, 3)).expect("put");
    session.put(&key(RECORDS), &value(RECORDS, 4)).expect("put");
    session.sync().expect("synced");
    session.batch(&[Change::Put(&key(3), &value(3, 5)), Change::Delete(&key(4))], true).expect("a batch");
    session.batch(&[Change::Put(&key(5), &value(5, 6))], false).expect("a batch");
    session.delete(&key(6)).expect("deleted");
    session.sync().expect("synced");
    for (index, version) in [(1, 2), (2, 3), (RECORDS, 4), (3, 5), (4, 0), (5, 6), (6, 0)] {
        model.set(index, version);
    }
}

fn read(kind: Kind, engine: &dyn Engine, model: &mut Model) {
    model.check(engine).expect("every record");
    model.check_some(engine, &[0, 1, 2, 3, 4, 5, 6, 7, RECORDS]).expect("each by its name");
    let mut session = engine.session().expect("a session");
    session
        .read(&mut |reader| {
            assert_eq!(reader.get_into(&missing(8), &mut [0; LENGTH])?, None, "{}", kind.name);
            if kind.zero_copy {
                let mut seen = Vec::new();
                assert!(reader.show(&key(1), &mut |bytes| seen = bytes.to_vec())?);
                assert!(seen == value(1, 2) && !reader.show(&missing(1), &mut |_| ())?, "{}", kind.name);
            }
            let mut names = Vec::new();
            reader.scan(Span::Backward, &mut |name, _| {
                names.push(name.to_vec());
                true
            })?;
            assert!(names.len() as u64 == model.records() && names.iter().rev().is_sorted(), "{}", kind.name);
            let mut met = Met::default();
            reader.scan(Span::Prefix(&key(150)[..crate::data::PREFIX]), &mut |_, value| {
                met.add(value);
                true
            })?;
            assert_eq!(met, Met { records: 100, sum: model.sum(100..200) }, "{}", kind.name);
            let mut from = Vec::new();
            reader.scan(Span::From(&key(98)), &mut |name, _| {
                from.push(name.to_vec());
                from.len() < 5
            })?;
            let expected: Vec<Key> = (98..103).map(key).collect();
            assert!(from.iter().map(Vec::as_slice).eq(expected.iter().map(Key::as_slice)), "{}", kind.name);
            Ok(())
        })
        .expect("reads");
}

#[test]
fn every_engine_keeps_what_it_was_given() {
    let _alone = crate::count::ALONE.lock();
    for kind in KINDS.iter().chain([&DIRECTORY]) {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = (kind.open)(&opening(folder.path())).expect(kind.name);
        load(&*engine);
        let mut model = Model::new(RECORDS, LENGTH);
        model.check(&*engine).expect(kind.name);
        write(&*engine, &mut model);
        read(*kind, &*engine, &mut model);
        engine.close().expect(kind.name);
        if kind.on_disk {
            let engine = (kind.open)(&opening(folder.path())).expect(kind.name);
            read(*kind, &*engine, &mut model);
            engine.close().expect(kind.name);
            assert!(
                disk_use(folder.path()).expect("its size").0 >= RECORDS * LENGTH as u64 / 2,
                "{}",
                kind.name
            );
        }
    }
}

#[test]
fn every_engine_takes_a_long_block_and_gives_it_back() {
    let _alone = crate::count::ALONE.lock();
    const LONG: u64 = 3 * PIECE as u64 + 1000;
    let mut source = vec![0; LONG as usize];
    Contents::new(9, 9, LONG as usize).fill(&mut source);
    for kind in KINDS {
        let folder = tempfile::tempdir().expect("a folder");
        let opening = Opening { length: PIECE, room: 8, ..opening(folder.path()) };
        let engine = (kind.open)(&opening).expect(kind.name);
        let mut session = engine.session().expect("a session");
        session.stream_in(0, LONG, &mut source.as_slice()).expect(kind.name);
        let mut back = Vec::new();
        session.stream_out(0, LONG, &mut |piece| back.extend_from_slice(piece)).expect(kind.name);
        assert!(back == source, "{}: {} bytes came back", kind.name, back.len());
        session.unstream(0, LONG).expect(kind.name);
        drop(session);
        engine.close().expect(kind.name);
    }
}

/// A check that passed an engine which loses or changes records would make every figure worthless.
#[test]
fn what_is_not_as_it_was_written_is_told() {
    let _alone = crate::count::ALONE.lock();
    let folder = tempfile::tempdir().expect("a folder");
    let engine = (memory::KIND.open)(&opening(folder.path())).expect("a map");
    load(&*engine);
    let mut wrong = Model::new(RECORDS, LENGTH);
    wrong.set(17, 2);
    assert!(wrong.check(&*engine).is_err() && wrong.check_some(&*engine, &[17]).is_err());
    let mut more = Model::new(RECORDS, LENGTH);
    more.set(RECORDS, 1);
    assert!(more.check(&*engine).is_err() && more.check_some(&*engine, &[RECORDS]).is_err());
    let mut fewer = Model::new(RECORDS, LENGTH);
    fewer.set(17, 0);
    assert!(fewer.check(&*engine).is_err() && fewer.check_some(&*engine, &[17]).is_err());
}

#[test]
fn settings_name_versions_and_unknown_engines_are_refused() {
    assert!(locked_version("blockyard").is_some() && locked_version("no-such-crate").is_none());
    assert!(KINDS.iter().all(|kind| kind.version().is_some() == kind.package.is_some()));
    assert!(chosen(&["nobody".to_owned()]).is_err());
    assert_eq!(chosen(&["redb".to_owned()]).expect("one").len(), 1);
}
