//! The queue of the engine in every scenario, and the sketch without a flaw: all must pass.
#![cfg(any(loom, shuttle))]

use loom_tests::engine::Engine;
use loom_tests::explore::{Model, passes};
use loom_tests::medium::Trouble;
use loom_tests::pinned::{self, Slip};
use loom_tests::queued::{Leader, Queued};
use loom_tests::scenario;
use loom_tests::sketch::{Flaw, Sketch};

fn sound() -> Queued {
    Queued::new(Trouble::None)
}

fn failing(trouble: Trouble) -> Queued {
    Queued::new(trouble)
}

fn control(trouble: Trouble) -> impl Engine {
    Sketch::new(trouble, Flaw::None)
}

/// Test functions, one for each model: name, threads, pre-emptions, floor, scenario.
macro_rules! models {
    ($($test:ident, $name:literal, $threads:literal, $preemptions:literal, $floor:literal,
       $scenario:expr;)*) => {$(
        #[test]
        fn $test() {
            let model =
                Model { name: $name, threads: $threads, preemptions: $preemptions, floor: $floor };
            passes(model, $scenario);
        }
    )*};
}

models! {
    covered, "1 covered by a later sync", 3, 4, 63_000, |n| scenario::acknowledged_is_covered(sound(), n);
    covered_gathering, "1 covered, gathering", 3, 3, 8_300,
        |n| scenario::acknowledged_is_covered(sound().led_by(Leader::Gathers), n);
    returns, "2 everyone returns", 3, 4, 40_000, |n| scenario::everyone_returns(sound(), n);
    returns_failing, "2 everyone returns, write fails", 3, 4, 14_000,
        |n| scenario::everyone_returns(failing(Trouble::Write), n);
    error_of_a_sync, "3 error reaches all, sync fails", 3, 4, 24_000,
        |n| scenario::error_reaches_all(failing(Trouble::Sync), n);
    error_of_a_write, "3 error reaches all, write fails", 3, 4, 14_000,
        |n| scenario::error_reaches_all(failing(Trouble::Write), n);
    one_flush, "4 no two flushes, two commits each", 2, 4, 2_500, |n| scenario::one_flush_at_a_time(sound(), n);
    pins, "5 no reuse of what is seen, a reader", 2, 3, 710,
        |n| pinned::freed_is_not_reused_while_seen(Slip::None, n);
    pins_of_two, "5 no reuse of what is seen, readers", 3, 2, 3_100,
        |n| pinned::freed_is_not_reused_while_seen(Slip::None, n);
    shutdown, "6 shutdown drains", 3, 4, 1_700, |n| scenario::shutdown_leaves_nobody(sound(), n, false);
    shutdown_failing, "6 shutdown fails", 3, 4, 1_800,
        |n| scenario::shutdown_leaves_nobody(failing(Trouble::Write), n, true);
    late, "7 late writer joins the next", 3, 3, 33_000,
        |n| scenario::late_writer_joins_the_next(sound().led_by(Leader::Gathers), n);
    panics, "8 panic poisons", 3, 3, 2_200, |n| scenario::panic_poisons(failing(Trouble::Panic), n);
    strictest, "9 strictest durability wins", 3, 4, 55_000, |n| scenario::strictest_wins(sound(), n);
    abandoned, "10 abandoned strands nobody", 3, 4, 22_000, |n| scenario::abandoned_strands_nobody(sound(), n);
    polled, "11 polled is woken", 3, 3, 10_000, |n| scenario::polled_is_woken(sound(), n);
    company, "13 company is told", 2, 4, 160,
        |_| scenario::company_is_told(sound().led_by(Leader::Awaits(2)), 2);
    room, "12 room is told", 3, 3, 69_000, |n| scenario::room_is_told(sound().of_one(), n);

    control_covered, "1 control", 3, 4, 34_000, |n| scenario::acknowledged_is_covered(control(Trouble::None), n);
    control_returns, "2 control", 3, 4, 3_100, |n| scenario::everyone_returns(control(Trouble::Write), n);
    control_error, "3 control", 3, 4, 3_100, |n| scenario::error_reaches_all(control(Trouble::Sync), n);
    control_one_flush, "4 control", 2, 4, 2_600, |n| scenario::one_flush_at_a_time(control(Trouble::None), n);
    control_shutdown, "6 control", 3, 4, 680,
        |n| scenario::shutdown_leaves_nobody(control(Trouble::None), n, false);
    control_late, "7 control", 3, 3, 19_000, |n| scenario::late_writer_joins_the_next(control(Trouble::None), n);
    control_panics, "8 control", 3, 4, 1_900, |n| scenario::panic_poisons(control(Trouble::Panic), n);
    control_strictest, "9 control", 3, 4, 29_000, |n| scenario::strictest_wins(control(Trouble::None), n);
    control_abandoned, "10 control", 3, 4, 7_100, |n| scenario::abandoned_strands_nobody(control(Trouble::None), n);
}
