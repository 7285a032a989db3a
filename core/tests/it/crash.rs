//! Power cuts at every write, sync and growth, in recovery too; operations that fail; caches that lie;
//! media that rot. The campaigns are those of `blockyard-sim`, here with a few seeds each;
//! `cargo xtask sim` goes on for as long as one likes, and repeats one seed.

use crate::support::*;
use blockyard_core::Durability::{Buffered, Durable};
use blockyard_core::error::WriteError;
use blockyard_core::overlay::Overlay;
use blockyard_sim::campaign::{CAMPAIGNS, Counts};
use blockyard_sim::device::SimDevice;
use blockyard_sim::fault::{Fault, Fired};
use blockyard_sim::image::Image;
use blockyard_sim::moment::Moment;
use blockyard_sim::work::Work;
use std::sync::{Arc, Mutex};

/// Runs the first seeds of a campaign, which check so many states at least.
fn campaign(name: &str, seeds: u64, states: u64) {
    let campaign = CAMPAIGNS.into_iter().find(|campaign| campaign.name == name).unwrap();
    let (fired, counts) = (Arc::new(Fired::default()), Mutex::new(Counts::default()));
    for seed in 0..seeds {
        campaign.count(seed, &fired, &counts);
        let counts = counts.lock().unwrap();
        assert!(counts.failed.is_empty(), "{name}: {:?}", counts.failed);
    }
    let counts = counts.into_inner().unwrap();
    println!("{name}: {} states", counts.states);
    assert!(counts.states > states, "{} states are too few", counts.states);
}

#[test]
fn power_cuts_with_bodies_on_the_heap() {
    campaign("cuts", 12, 3000);
}

#[test]
fn power_cuts_with_bodies_in_the_journal() {
    campaign("cuts-fixed", 12, 3000);
}

#[test]
fn failed_operations_and_caches_that_lie() {
    campaign("failures", 80, 1000);
    campaign("failures-fixed", 80, 1000);
}

#[test]
fn lives_of_faults_restarts_and_cuts() {
    campaign("lives", 30, 1000);
    campaign("lives-fixed", 30, 1000);
}

#[test]
fn full_devices_and_checkpoints_lost_near_their_end() {
    campaign("full", 4, 8);
    campaign("full-fixed", 30, 60);
}

#[test]
fn damaged_media_are_told() {
    campaign("media", 400, 1000);
}

/// Without an epoch that every open raises: a record is torn, the one behind it is whole; recovery
/// discards both; the caller commits the same again, byte for byte the same record, and the one behind
/// it, which nobody committed in this life, is back.
#[test]
fn what_recovery_discarded_does_not_come_back() {
    let shape = Shape { carry_max: 0, ..Shape::SMALL };
    let limit = 4096 * 512;
    // Once with an empty journal and once with one that recovery folds in without a page: then nothing
    // but the epoch tells the two records apart.
    for journal in [false, true] {
        let device = SimDevice::new(Vec::new(), limit, 0);
        let mut store: TestStore<Heap, _> = shape.new_store(device.clone());
        if journal {
            put(&mut store, b"gone", b"soon", Buffered).unwrap();
            delete(&mut store, b"gone", Durable).unwrap();
        }
        let before = store.sequence();
        let many = |store: &TestStore<Heap, SimDevice>| {
            let mut batch = batch(store.geometry());
            // 224 bytes of header and twelve times 64 and a name and a value: four units in all, so that
            // the next record has units of its own.
            (0..12_u8).for_each(|name| batch.put(&[b'a' + name], &[name; 87], 1).unwrap());
            batch
        };
        let first = many(&store);
        store.commit(&mut [first], Buffered).unwrap();
        put(&mut store, b"behind", b"it", Buffered).unwrap();
        let state = device.moment().without_first_unit();

        let device = SimDevice::new(state, limit, 0);
        let (mut store, recovery) = shape.open::<Heap, _>(device.clone()).unwrap();
        assert_eq!((recovery.to, contents(&mut store)), (before, Model::new()));
        let again = many(&store);
        let last = store.commit(&mut [again], Durable).unwrap();
        let (mut store, recovery) = shape.open::<Heap, _>(device).unwrap();
        assert_eq!(recovery.to, last, "journal: {journal}");
        assert!(!store.exists(b"behind").unwrap());
    }
}

/// Copies of values of one page, which recovery makes of what no sync is known to cover, took the last free
/// pages, and none was left for the registry: a file that a crash left on a full device could not be opened
/// for writing any more. (Found by the simulator, cuts, seed 101197.) Such values are written again in place.
#[test]
fn a_full_file_opens_after_a_crash() {
    let shape = Shape { carry_max: 0, growth: 0, journal_pages: 400, ..Shape::SMALL };
    let mut had_no_room = 0_u64;
    for pages in [150, 171, 200] {
        let length = (shape.front_pages() + pages) * u64::from(shape.page_size);
        let device = SimDevice::new(vec![0; length as usize], length, 0);
        let mut store: TestStore<Heap, _> = shape.new_store(device.clone());
        for number in 0_u64.. {
            let name = format!("name {number}");
            match put(&mut store, name.as_bytes(), &bytes(number, 500), Buffered) {
                Ok(_) => {}
                Err(WriteError::Full) => break,
                Err(error) => panic!("{error}"),
            }
            // The process ends here. Pages of what is not folded in are free in the map: as many again are not.
            let (model, free) = (contents(&mut store), store.free_space().unwrap());
            if free.pages >= 2 * store.pending() {
                continue;
            }
            had_no_room += 1;
            let opened = shape.open::<Heap, _>(SimDevice::new(device.image(), length, 0));
            let (mut again, _) = opened.unwrap_or_else(|error| panic!("{pages} pages, {number}: {error}"));
            assert_sound(&mut again, &model, "opened on a full device");
        }
    }
    assert!(had_no_room > 10, "there was room for copies: {had_no_room}");
}

/// A test that never fails proves nothing: on a device whose syncs do nothing, it must find loss.
#[test]
fn these_tests_see_a_device_that_never_syncs() {
    let mut lost = 0;
    for seed in 0..10 {
        let mut work: Work<Heap> = Work::new(seed);
        work.device.arm(Some(Fault::SyncsDoNothing));
        work.device.record();
        work.run(30).unwrap();
        let moments = work.device.moments();
        let mut rng = fastrand::Rng::with_seed(seed);
        let unwritten = |moment: &Moment| moment.acknowledged > 0;
        for moment in moments.iter().filter(|moment| unwritten(moment)).take(20) {
            let state = moment.state(&mut rng, &Fired::default());
            lost += u64::from(is_lost(&work, state, moment.acknowledged));
        }
    }
    assert!(lost > 20, "only {lost} of 200 states show the loss");
}

fn is_lost<O: Overlay + Default>(work: &Work<O>, state: Image, acknowledged: u64) -> bool {
    let device = SimDevice::new(state, work.limit, 0);
    match work.shape.open::<O, _>(device) {
        Ok((_, recovery)) => recovery.to.0 < acknowledged,
        Err(_) => true,
    }
}
