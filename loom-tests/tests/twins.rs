//! Broken twins: each must fail the scenario whose property it breaks, with the message that says so.
#![cfg(any(loom, shuttle))]

use loom_tests::explore::{Model, fails};
use loom_tests::medium::Trouble;
use loom_tests::pinned::{self, Slip};
use loom_tests::queued::{Leader, Queued, Shell};
use loom_tests::scenario;
use loom_tests::sketch::{Flaw, Sketch};

/// What loom and shuttle say when all threads sleep.
const ASLEEP: &str = "deadlock";
const UNCOVERED: &str = "acknowledged without a sync that covers it";

fn sound() -> Queued {
    Queued::new(Trouble::None)
}

fn sketch(flaw: Flaw) -> Sketch {
    Sketch::new(Trouble::None, flaw)
}

fn twin(name: &'static str, threads: usize) -> Model {
    Model { name, threads, preemptions: 3, floor: 1 }
}

/// Test functions, one for each twin: name, threads, message, scenario.
macro_rules! twins {
    ($($test:ident, $name:literal, $threads:literal, $messages:expr, $scenario:expr;)*) => {$(
        #[test]
        fn $test() {
            fails(twin($name, $threads), stringify!($test), &$messages, $scenario);
        }
    )*};
}

twins! {
    syncs_first, "1 leader syncs, then writes", 2, [UNCOVERED],
        |n| scenario::acknowledged_is_covered(sound().led_by(Leader::SyncsFirst), n);
    returns_early, "2 early return, flag left set", 2, [ASLEEP],
        |n| scenario::everyone_returns(Sketch::new(Trouble::Write, Flaw::ReturnsEarly), n);
    sleeps_late, "2 asleep after the notification", 2, [ASLEEP],
        |n| scenario::everyone_returns(sketch(Flaw::SleepsLate), n);
    followers_told_ok, "3 follower told Ok", 2, ["told Ok although the device failed"],
        |n| scenario::error_reaches_all(Sketch::new(Trouble::Write, Flaw::FollowersToldOk), n);
    keeps_errors, "3 error kept from later callers", 2, ["the medium was written to after it failed"],
        |n| scenario::error_reaches_all(Queued::new(Trouble::Sync).led_by(Leader::KeepsErrors), n);
    two_leaders, "4 two leaders", 2, ["two flushes overlap"],
        |n| scenario::one_flush_at_a_time(sketch(Flaw::TwoLeaders), n);
    callers_publish, "4 callers publish", 2, ["the durable sequence fell"],
        |n| scenario::one_flush_at_a_time(sound().within(Shell::CallersPublish), n);
    nobody_counts, "5 nobody counts readers", 2, ["ausality violation", "handed out while a reader saw it"],
        |n| pinned::freed_is_not_reused_while_seen(Slip::NobodyCounts, n);
    counts_late, "5 reader counted late", 2, ["ausality violation", "handed out while a reader saw it"],
        |n| pinned::freed_is_not_reused_while_seen(Slip::CountsLate, n);
    sequence_last, "5 sequence after layers", 2, ["a reader missed a commit"],
        |n| pinned::freed_is_not_reused_while_seen(Slip::SequenceLast, n);
    retires_early, "5 retired during a checkpoint", 2, ["ausality violation", "handed out while a reader saw it"],
        |n| pinned::freed_is_not_reused_while_seen(Slip::RetiresEarly, n);
    shuts_without_draining, "6 shutdown without draining", 2, ["accepted and not written", "written after the shutdown"],
        |n| scenario::shutdown_leaves_nobody(sound().within(Shell::ShutsWithoutDraining), n, false);
    answers_all, "7 late writer answered with the group", 2, ["joined a flush that had begun"],
        |n| scenario::late_writer_joins_the_next(sketch(Flaw::AnswersAll), n);
    no_guard, "8 flag left set by a panic", 2, [ASLEEP],
        |n| scenario::panic_poisons(Sketch::new(Trouble::Panic, Flaw::NoGuard), n);
    syncs_for_itself, "9 leader syncs for itself", 2, ["was acknowledged and not reached"],
        |n| scenario::strictest_wins(sound().led_by(Leader::SyncsForItself), n);
    leader_decides, "9 leader decides", 2, ["was acknowledged and not reached"],
        |n| scenario::strictest_wins(sketch(Flaw::LeaderDecides), n);
    cancelled_leads, "10 cancelled leader", 2, [ASLEEP],
        |n| scenario::abandoned_strands_nobody(sketch(Flaw::CancelledLeads), n);
    waker_aside, "11 waker left after looking", 2, [ASLEEP],
        |n| scenario::polled_is_woken(sound().within(Shell::WakerAside), n);
    flusher_looks_once, "11 flusher looks once", 2, [ASLEEP],
        |n| scenario::polled_is_woken(sound().within(Shell::FlusherLooksOnce), n);
    nobody_makes_room, "12 nobody makes room", 2, [ASLEEP],
        |n| scenario::room_is_told(sound().of_one().within(Shell::FlusherLooksOnce), n);
    keeps_room, "12 room is not told", 4, [ASLEEP],
        |n| scenario::everyone_returns(sketch(Flaw::KeepsRoom), n);
}

/// Shuttle's atomics know no orderings.
#[cfg(loom)]
#[test]
fn lets_go_relaxed() {
    let twin = twin("5 reader lets go without release", 2);
    fails(twin, "lets_go_relaxed", &["ausality violation"], |n| {
        pinned::freed_is_not_reused_while_seen(Slip::LetsGoRelaxed, n);
    });
}
