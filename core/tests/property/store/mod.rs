//! The whole API of a store beside a plain map, over sizes and devices of every kind.
//!
//! 1. Every answer is the map's, whichever way one asks, and every refusal was to be expected.
//! 2. What the durable superblock leads to is what the store held after some commit, and is never overwritten.
//! 3. No page is lost, and none has two owners, at any time.
//! 4. A crash of the process loses nothing, and opening with other memory changes nothing.

mod device;
mod opening;
mod plan;
mod reads;
mod walk;
mod world;
mod writes;

use crate::budget::check;
use blockyard_core::store::Progress;
use plan::{Plan, Transition};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use world::{TALLY, World, with};
use writes::Streamed;

struct StoreIsAMap;

impl StateMachineTest for StoreIsAMap {
    type SystemUnderTest = World;
    type Reference = Plan;

    fn init_test(plan: &Plan) -> World {
        World::new(plan.setup)
    }

    fn apply(mut world: World, _: &Plan, transition: Transition) -> World {
        TALLY.hit("transitions");
        world.apply(transition);
        world.settle();
        world
    }

    fn teardown(mut world: World, _: Plan) {
        world.stage_end(None, false);
        world.contents();
        world.checkpoint();
        world.assert_folded();
        let working = world.working;
        world.reopen(working);
        world.delete_all(false);
        world.checkpoint();
        world.assert_folded();
    }
}

impl World {
    fn apply(&mut self, transition: Transition) {
        match transition {
            Transition::Commit { group, durable } => self.commit(&group, durable),
            Transition::DeleteAll { one_by_one } => self.delete_all(one_by_one),
            Transition::Rename { from, to, durable } => self.rename(from, to, durable),
            Transition::Stream { name, chunks, less, buffer, piece, finish, durable } => {
                self.stream(&Streamed { name, chunks, less, buffer, piece, finish, durable });
            }
            Transition::StageBegin => self.stage_begin(),
            Transition::StageWrite { length, seed } => self.stage_write(length, seed),
            Transition::StageEnd { name, durable } => self.stage_end(name, durable),
            Transition::Look { name, piece, from } => self.look(name, piece, from),
            Transition::Contents => self.contents(),
            Transition::NextName { after, cut } => self.next_name(after, cut),
            Transition::WalkTree => self.walk_tree(),
            Transition::Checkpoint => self.checkpoint(),
            Transition::CheckpointSteps(steps) => self.checkpoint_steps(steps),
            Transition::Seal => self.seal(),
            Transition::Sync => self.sync(),
            Transition::Verify => self.verify(),
            Transition::Refused { name } => self.refused(name),
            Transition::Reopen => self.reopen(self.working),
            Transition::ReopenReadOnly { salvage, kind } => self.read_only(salvage, kind),
            Transition::ReopenWith(working) => self.reopen_with(working),
        }
    }

    fn checkpoint(&mut self) {
        let pending = with!(self.engine(), store => store.pending());
        let checkpoints = with!(self.engine(), store => store.counters().checkpoints);
        with!(self.engine(), store => store.checkpoint()).expect("a checkpoint is always possible");
        let after = with!(self.engine(), store => store.counters().checkpoints);
        assert_eq!(after > checkpoints, pending > 0, "a checkpoint only if there is something to fold in");
        with!(self.engine(), store => {
            // A seal may have come between the steps.
            assert!(store.pending() == 0 && store.journal_used() <= 2 * store.geometry().unit() as u64);
            assert_eq!(store.checkpoint_step(), Ok(Progress::Idle));
            assert!(!store.wants_checkpoint());
        });
        if pending > 0 {
            assert_eq!(with!(self.engine(), store => store.root().sequence.0), self.sequence);
            TALLY.hit("checkpoint");
        }
        self.settle();
        if self.staged.is_none() {
            self.wasted = 0;
        }
    }

    fn checkpoint_steps(&mut self, steps: u8) {
        for _ in 0..steps {
            let before = with!(self.engine(), store => (store.counters().checkpoints, store.pending()));
            let progress = with!(self.engine(), store => store.checkpoint_step()).expect("always possible");
            let after =
                with!(self.engine(), store => (store.counters().checkpoints, store.wants_checkpoint()));
            assert_eq!(after.0 - before.0, u64::from(progress == Progress::Done));
            assert_eq!(progress == Progress::Idle, before.1 == 0);
            assert!(progress != Progress::Working || after.1, "a checkpoint under way wants to go on");
            TALLY.hit(match progress {
                Progress::Idle => "step: nothing to do",
                Progress::Working => "step: a leaf",
                Progress::Done => "step: the last",
            });
            self.settle();
        }
    }

    fn seal(&mut self) {
        let before = with!(self.engine(), store => (store.counters(), store.journal_used()));
        with!(self.engine(), store => store.seal()).expect("always possible");
        let after = with!(self.engine(), store => (store.counters(), store.journal_used()));
        assert_eq!(after.0.syncs, before.0.syncs, "a seal is not synced");
        TALLY.hit(if after.1 > before.1 { "sealed" } else { "nothing to seal" });
        with!(self.engine(), store => store.seal()).expect("always possible");
        assert_eq!(with!(self.engine(), store => store.journal_used()), after.1, "once is enough");
    }

    fn sync(&mut self) {
        let before = with!(self.engine(), store => (store.counters().syncs, store.durable_sequence()));
        let result = with!(self.engine(), store => store.sync());
        let (syncs, sequence) = with!(self.engine(), store => (store.counters().syncs, store.sequence()));
        assert_eq!((result, sequence.0), (Ok(sequence), self.sequence));
        assert_eq!(
            syncs - before.0,
            u64::from(before.1 < sequence),
            "a sync only if it makes something durable"
        );
        TALLY.hit(if syncs > before.0 { "synced" } else { "nothing to sync" });
    }

    /// Right after a checkpoint: the registry holds everything.
    fn assert_folded(&mut self) {
        self.contents();
        self.verify();
        self.walk_tree();
    }
}

#[test]
fn a_store_is_a_map() {
    let kinds = [
        "durable commit",
        "buffered commit",
        "group of batches",
        "single batch",
        "commit with a checkpoint or growth",
        "commit that the journal cannot take",
        "emptied",
        "rename",
        "rename of chunks",
        "rename onto another",
        "rename onto itself",
        "stream of one piece",
        "stream of chunks",
        "stream given up",
        "chunk staged",
        "staged chunks committed",
        "staged extent committed",
        "staged chunks given up",
        "look at nothing",
        "look at chunks",
        "look at an extent",
        "look at an inline block",
        "look at a carried block",
        "next name",
        "registry walked",
        "pages guarded",
        "checkpoint",
        "step: nothing to do",
        "step: a leaf",
        "step: the last",
        "sealed",
        "nothing to seal",
        "synced",
        "nothing to sync",
        "verified",
        "opened with a journal",
        "opened with nothing to do",
        "opened with other memory",
        "overlay exchanged",
        "opened for reading",
        "refused for its arguments",
        "refused: value too large",
        "refused: rename of nothing",
        "refused: not a chunk",
        "refused: full",
        "refused: too large for overlay or journal",
        "refused: name too long for the overlay",
        "refused: tree too high",
        "refused: larger units",
        "refused: too little memory",
    ];
    let machine = <Plan as ReferenceStateMachine>::sequential_strategy(1..120);
    let regressions = "tests/property/regressions/store.txt";
    check(("a store", regressions), 160, &machine, (&TALLY, &kinds), |(plan, transitions, seen)| {
        StoreIsAMap::test_sequential(proptest::test_runner::Config::default(), plan, transitions, seen);
    });
}
