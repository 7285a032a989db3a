//! What the property found, as small as it shrank.

use super::{Event, Start, run};
use alloc::vec;

fn commit(pages: u16) -> Event {
    Event::Commit { sizes: vec![(pages, 0)], floor: 0, give_back: 0, refused: false }
}

/// A file of one group and a cursor two thirds through it: a run that is too long for the rest goes to the start.
const ONE_GROUP: Start = Start { page_size: 512, windows: 6, groups: 1, by: 0, cursor: 44_680 };

/// After a checkpoint with a commit behind it the limits of staged writes, though there were none, stayed those
/// of the round before. When the file then grew, allocation skipped all that the new round was still to come to
/// and counted it as free: the pages that a checkpoint needs were thought to be there. Now the limits go along.
#[test]
fn limits_without_staged_writes_are_those_of_the_round() {
    run((ONE_GROUP, vec![commit(1223), Event::FoldBegin, commit(1), Event::FoldFinish, Event::Grow(1)]));
}

/// When a file grew under a checkpoint, free pages that the round before had passed over, too few in a run, were
/// skipped and counted as free in the round that the checkpoint began. Now each round counts what it loses.
#[test]
fn growth_under_a_checkpoint_is_counted_for_the_next_round() {
    run((ONE_GROUP, vec![commit(1223), Event::FoldBegin, commit(1), Event::Grow(1), Event::FoldFinish]));
}

/// The same when the round that the checkpoint began had already wrapped: its limit lies elsewhere.
#[test]
fn growth_is_counted_for_each_round_up_to_its_own_limit() {
    let start = Start { page_size: 512, windows: 6, groups: 9, by: 0, cursor: 54_395 };
    let events = vec![commit(1961), Event::FoldBegin, commit(1900), Event::Grow(1), Event::FoldFinish];
    run((start, events));
}

/// A file that ended between the map slots of its last group grew by the rest of them, and they were counted as
/// free pages.
#[test]
fn map_slots_are_not_free_when_a_file_grows_into_them() {
    let start = Start { page_size: 512, windows: 6, groups: 1, by: 1, cursor: 40_011 };
    run((start, vec![commit(1600), commit(2300), commit(1), Event::Grow(1)]));
}

/// Nodes that a checkpoint had placed before a staged write began were taken off the pages passed since, of
/// which they were none: the checkpoint after that counted so many pages too many as free.
#[test]
fn nodes_placed_before_a_staged_write_are_not_counted_as_its_own() {
    let start = Start { page_size: 512, windows: 6, groups: 1, by: 0, cursor: 0 };
    let staged = [Event::FoldPlace(9), Event::StageBegin, Event::StageWrite(9), Event::FoldFinish];
    let next = [Event::FoldBegin, Event::FoldFinish];
    run((start, [Event::FoldBegin, commit(1)].into_iter().chain(staged).chain(next).collect()));
}
