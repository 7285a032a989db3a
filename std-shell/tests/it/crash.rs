//! Power cuts while threads run: what is left is the state after some commit, not before the last one
//! that anybody was answered durable.

use crate::device::Simulated;
use crate::history::{assert_state, play};
use crate::model::Timeline;
use crate::program::{Shape, programs, shape};
use crate::support::{assert_clean, watched};
use crate::tally::{Tally, check};
use blockyard::{MemoryDevice, OpenOptions, Store};
use blockyard_sim::device::SimDevice;
use blockyard_sim::fault::{Event, Fired};
use blockyard_sim::moment::Moment;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A new store, as durable bytes.
pub(crate) fn image(options: &OpenOptions) -> Vec<u8> {
    let memory = MemoryDevice::new();
    options.open_device(memory.clone()).expect("store").close().expect("close");
    memory.to_vec()
}

/// What a power cut may leave of a history.
struct Judge<'a> {
    timeline: &'a Timeline,
    shape: Shape,
    fired: &'a Arc<Fired>,
    tally: &'a Tally,
}

impl Judge<'_> {
    /// Opens states that a power cut at one moment may have left, and cuts the power again meanwhile.
    fn judge(&self, moment: &Moment, rng: &mut fastrand::Rng) {
        for _ in 0..2 {
            let state = moment.state(rng, self.fired);
            let sim = SimDevice::counting(state, u64::MAX, rng.u64(..), Arc::clone(self.fired));
            sim.acknowledge(moment.acknowledged);
            let cuts = (0..3).map(|_| rng.u64(..40)).collect();
            let device = Arc::new(Simulated::new(sim, cuts));
            let opened = self.shape.options().open_device(Arc::clone(&device));
            let store = opened.expect("a store opens after a power cut");
            let sequence = self.recovered(&store, moment.acknowledged);
            // What recovery has found is durable.
            device.sim.acknowledge(sequence);
            device.keep_moment();
            for moment in device.moments() {
                self.tally.hit("states after a second cut");
                let memory = MemoryDevice::from(moment.state(rng, self.fired).to_vec());
                let again = self.shape.options().open_device(memory).expect("and after a second one");
                self.recovered(&again, moment.acknowledged);
            }
            self.goes_on(&store, sequence, || device.sim.image().to_vec());
            self.count(&store, sequence, moment.acknowledged);
        }
    }

    /// The last commit that is left; not before the last one that was promised.
    fn recovered(&self, store: &Store, acknowledged: u64) -> u64 {
        let snapshot = store.snapshot().expect("snapshot");
        let (sequence, last) = (snapshot.sequence().0, self.timeline.last);
        assert!(sequence >= acknowledged, "commit {acknowledged} was durable, {sequence} is the last left");
        assert!(sequence <= last, "commit {sequence} was never made, {last} is the last");
        assert_state(self.timeline, &snapshot);
        sequence
    }

    /// The file is sound, and what is committed next is there if the process is killed.
    fn goes_on(&self, store: &Store, sequence: u64, image: impl FnOnce() -> Vec<u8>) {
        assert_clean(store);
        store.put("after", "the cut").expect("work goes on");
        let again = self.shape.options().open_device(MemoryDevice::from(image())).expect("store");
        assert_eq!(again.get("after").expect("get").as_deref(), Some(&b"the cut"[..]));
        assert_eq!(again.snapshot().expect("snapshot").sequence().0, sequence + 1);
    }

    fn count(&self, store: &Store, sequence: u64, acknowledged: u64) {
        self.tally.hit("states");
        let events = [
            ("more than was promised", sequence > acknowledged),
            ("commits lost", sequence < self.timeline.last),
            ("records replayed", store.recovery().records > 0),
            ("torn tails", store.recovery().torn_tail),
        ];
        events.iter().filter(|(_, met)| *met).for_each(|(event, _)| self.tally.hit(event));
    }
}

#[test]
fn a_power_cut_while_threads_run_leaves_a_prefix_with_all_that_was_promised() {
    let (tally, fired) = (Arc::new(Tally::default()), Arc::new(Fired::default()));
    let (counted, wrong) = (Arc::clone(&tally), Arc::clone(&fired));
    watched(move |alive| {
        let cases = (
            shape(),
            programs(2..=8),
            prop::collection::btree_set(0..300_u64, 5),
            any::<u64>(),
            any::<bool>(),
        );
        check(10, &cases, |(shape, programs, cuts, seed, all_durable): (_, _, BTreeSet<u64>, _, _)| {
            alive.tell();
            let sim = SimDevice::new(image(&shape.options()), u64::MAX, seed);
            let device = Arc::new(Simulated::new(sim, cuts));
            let store = shape.options().open_device(Arc::clone(&device)).expect("store");
            let (timeline, _) = play(&store, shape, &programs, Some(&device), all_durable, &counted);
            device.keep_moment();
            drop(store);
            device.keep_moment();
            let judge = Judge { timeline: &timeline, shape, fired: &wrong, tally: &counted };
            let mut rng = fastrand::Rng::with_seed(seed);
            for moment in device.moments() {
                counted.hit("moments");
                judge.judge(&moment, &mut rng);
            }
        });
    });
    let events = [
        "moments",
        "states",
        "states after a second cut",
        "more than was promised",
        "commits lost",
        "records replayed",
        "torn tails",
    ];
    tally.demand("power cuts", &events);
    use Event::{GrowthLost, TornByte, TornPage, TornUnit, WriteLost, WriteOvertook};
    for event in [WriteLost, WriteOvertook, TornByte, TornUnit, TornPage, GrowthLost] {
        assert!(fired.times(event) > 0, "{} never came about", event.name());
    }
}
