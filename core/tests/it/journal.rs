//! Damage in the journal: what was answered durable is refused with its place, never dropped; what was
//! not is a torn tail.

use crate::support::*;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::device::VecDevice;
use blockyard_core::error::{OpenError, Structure};
use blockyard_core::overlay::Overlay;

const SHAPE: Shape = Shape { carry_max: 1024, ..Shape::SMALL };

/// A journal of durable commits of each kind: the image, where each record begins, where the last one
/// ends, and the state after each.
fn journal(seal: bool) -> (Vec<u8>, Vec<usize>, Vec<Model>) {
    let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(1 << 12));
    put(&mut store, b"folded", b"in", Durable).unwrap();
    store.checkpoint().unwrap();
    let mut model = contents(&mut store);
    let (mut places, mut states) = (Vec::new(), vec![model.clone()]);
    let offset = store.geometry().journal_offset() as usize;
    let mut place = |store: &TestStore<Heap>| {
        let at = store.superblock().journal_position.get() + store.journal_used();
        places.push(offset + at.next_multiple_of(512) as usize);
    };
    for (index, length) in [100, 900, 3000, 20, 700].into_iter().enumerate() {
        place(&store);
        let name = format!("block {index}").into_bytes();
        let value = bytes(index as u64, length.min(2000));
        put(&mut store, &name, &value, Durable).unwrap();
        model.insert(name, (7, value));
        states.push(model.clone());
    }
    place(&store);
    if seal {
        store.seal().unwrap();
    }
    (store.into_device().bytes().to_vec(), places, states)
}

fn open(image: &[u8], salvage: bool) -> Result<(Model, blockyard_core::store::Recovery), Refused> {
    fn opened<O: Overlay + Default>(
        image: &[u8],
        salvage: bool,
    ) -> Result<(Model, blockyard_core::store::Recovery), Refused> {
        let device = VecDevice::from_bytes(image.to_vec(), 512, image.len() as u64);
        let change = |options: &mut blockyard_core::store::OpenOptions| {
            (options.read_only, options.salvage) = (salvage, salvage);
        };
        let (mut store, recovery) = SHAPE.open_with::<O, _>(device, change)?;
        if !salvage {
            store.checkpoint().unwrap();
        }
        Ok((contents(&mut store), recovery))
    }
    let (heap, fixed) = (opened::<Heap>(image, salvage), opened::<Fixed>(image, salvage));
    assert_eq!(heap, fixed, "where bodies are kept makes no difference");
    heap
}

type Refused = OpenError<blockyard_core::device::MemoryError>;

#[test]
fn damage_below_the_watermark_is_refused_and_can_be_salvaged() {
    let (image, places, states) = journal(false);
    // Each byte of all records but the last: the one behind tells that a sync has covered it.
    let (mut refused, mut harmless) = (0, 0);
    for at in places[0]..places[4] {
        let mut image = image.clone();
        image[at] ^= 0x20;
        let record = places.iter().rposition(|&place| place <= at).unwrap();
        match open(&image, false) {
            Err(OpenError::Corrupted(damage)) => {
                assert_eq!(damage.what, Structure::Journal, "byte {at}");
                let place = damage.offset as usize;
                assert_eq!(place.next_multiple_of(512), places[record], "byte {at} of record {record}");
                refused += 1;
            }
            // Padding, or a value in pages of its own: none here.
            Ok((found, _)) => {
                assert_same(&found, &states[5], "harmless");
                assert_eq!(image[at], 0x20, "byte {at} was not padding");
                harmless += 1;
                continue;
            }
            Err(error) => panic!("byte {at}: {error}"),
        }
        if at % 16 == 0 {
            let (found, recovery) = open(&image, true).unwrap();
            assert_same(&found, &states[record], "salvaged");
            assert!(recovery.damage.is_some() && recovery.records == record as u64);
        }
    }
    assert!(refused > 2000 && harmless < 1000, "{refused} refused, {harmless} harmless");
}

#[test]
fn the_last_record_is_a_torn_tail_until_something_says_that_it_was_durable() {
    for seal in [false, true] {
        let (image, places, states) = journal(seal);
        for at in (places[4]..places[4] + 300).step_by(7) {
            let mut image = image.clone();
            image[at] ^= 1;
            match open(&image, false) {
                Ok((found, recovery)) => {
                    assert!(!seal, "byte {at}: a sealed commit was dropped");
                    assert_same(&found, &states[4], "torn");
                    assert_eq!((recovery.records, recovery.damage), (4, None));
                }
                Err(error) => {
                    assert!(seal, "byte {at}: {error}");
                    assert!(
                        matches!(error, OpenError::Corrupted(damage) if damage.what == Structure::Journal)
                    );
                }
            }
        }
    }
}

/// A value in pages of its own that never reached the medium: its record is a torn tail if no sync is
/// known to cover it; if one is, the damage shows when the value is read.
#[test]
fn a_value_that_is_not_there_is_torn_with_its_record() {
    for then_durable in [false, true] {
        let mut store: TestStore<Heap> = SHAPE.new_store(SHAPE.device(1 << 12));
        put(&mut store, b"first", b"1", Durable).unwrap();
        stream(&mut store, b"stream", 0, &bytes(1, 5000), Buffered).unwrap();
        if then_durable {
            store.sync().unwrap();
            put(&mut store, b"last", b"2", Buffered).unwrap();
        }
        let mut image = store.device().bytes().to_vec();
        let needle = &bytes(1, 5000)[2048..2080];
        let at = image.windows(32).position(|window| window == needle).unwrap();
        image[at] ^= 1;
        if then_durable {
            let device = VecDevice::from_bytes(image, 512, 1 << 22);
            let (mut store, _) = SHAPE.open::<Heap, _>(device).unwrap();
            let damaged = store.get(b"stream", &mut [0; 5000]);
            assert!(
                matches!(damaged, Err(blockyard_core::ReadError::Corrupted(damage)) if damage.what == Structure::Block)
            );
            assert_eq!(get(&mut store, b"last").as_deref(), Some(&b"2"[..]));
            let mut findings = Findings::default();
            verify_both_ways(&mut store, &mut findings).unwrap();
            assert_eq!(findings.problems.len(), 1);
            assert_eq!(findings.problems[0].0.as_deref(), Some(&b"stream"[..]));
        } else {
            let (found, recovery) = open(&image, false).unwrap();
            assert_eq!(found.keys().collect::<Vec<_>>(), [b"first"]);
            assert!(recovery.torn_tail);
        }
    }
}
