//! Whom a commit group waits for, and whether awake or asleep: decided by what became of the groups before it.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

/// After one that had to wait for its processor so many groups are gathered asleep, at least and at most.
const ASLEEP: RangeInclusive<u64> = 16..=1024;

/// One group in so many waits as long for whoever else comes.
const LOOK_ROUND: u64 = 32;

/// What is remembered of earlier groups. Only one leader at a time asks and tells.
#[derive(Debug)]
pub(crate) struct Company {
    /// Commits that the next group is likely to have, at least 1.
    expected: AtomicU64,
    /// Groups so far.
    groups: AtomicU64,
    /// Groups that are still to be gathered asleep, and how many were the last time that it came to this.
    asleep: AtomicU64,
    believed: AtomicU64,
}

impl Company {
    pub(crate) fn new() -> Self {
        let [groups, asleep, believed] = [0; 3].map(AtomicU64::new);
        Self { expected: AtomicU64::new(1), groups, asleep, believed }
    }

    /// How many commits a group waits for, which begins: those that the last one had, and now and then all who come, for
    /// those that are late by turns would never be expected. 1 if the last one was alone.
    pub(crate) fn wanted(&self) -> usize {
        let groups = self.groups.fetch_add(1, Ordering::Relaxed);
        let expected = self.expected();
        if expected > 1 && groups.is_multiple_of(LOOK_ROUND) { usize::MAX } else { expected }
    }

    /// So many came. One that was late is waited for the next time, too: what is expected goes down by an eighth, or by one.
    pub(crate) fn came(&self, have: usize) {
        let expected = self.expected();
        let less = expected.saturating_sub((expected / 8).max(1));
        self.expected.store(have.max(less) as u64, Ordering::Relaxed);
    }

    /// Groups that were begun.
    pub(crate) fn groups(&self) -> u64 {
        self.groups.load(Ordering::Relaxed)
    }

    /// Whether the group at hand is gathered asleep: its leader's processor is wanted by others.
    pub(crate) fn sleeps(&self) -> bool {
        let left = self.asleep.load(Ordering::Relaxed);
        self.asleep.store(left.saturating_sub(1), Ordering::Relaxed);
        left > 0
    }

    /// A group was gathered awake, and its leader had (`crowded`) or had not to wait for its processor much longer than for the
    /// company. The more often it had, the longer that is believed.
    pub(crate) fn gathered_awake(&self, crowded: bool) {
        let believed = self.believed.load(Ordering::Relaxed);
        let now = if crowded { (4 * believed).clamp(*ASLEEP.start(), *ASLEEP.end()) } else { believed / 2 };
        self.believed.store(now, Ordering::Relaxed);
        if crowded {
            self.asleep.store(now, Ordering::Relaxed);
        }
    }

    fn expected(&self) -> usize {
        self.expected.load(Ordering::Relaxed) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gathers a group as a leader does; whether it was asleep.
    fn group(company: &Company, crowded: bool) -> bool {
        let asleep = company.sleeps();
        if !asleep {
            company.gathered_awake(crowded);
        }
        asleep
    }

    /// Groups that are gathered asleep before the next one awake, which is as crowded as `crowded` says.
    fn asleep_before(company: &Company, crowded: bool) -> usize {
        (0..).take_while(|_| group(company, crowded)).count()
    }

    /// How many commits a group waited for, to which so many came.
    fn next(company: &Company, have: usize) -> usize {
        let wanted = company.wanted();
        company.came(have);
        wanted
    }

    #[test]
    fn groups_sleep_the_longer_the_more_often_the_processor_is_wanted_by_others() {
        let company = Company::new();
        assert_eq!([(); 3].map(|()| asleep_before(&company, false)), [0; 3]);
        assert_eq!(asleep_before(&company, true), 0, "nothing is known before the first one");
        assert_eq!([(); 6].map(|()| asleep_before(&company, true)), [16, 64, 256, 1024, 1024, 1024]);
    }

    #[test]
    fn that_processors_are_free_again_is_found_and_what_was_is_forgotten_by_halves() {
        let company = Company::new();
        asleep_before(&company, true);
        let long = [true, true, true, false].map(|crowded| asleep_before(&company, crowded));
        assert_eq!(long, [16, 64, 256, 1024]);
        assert_eq!([(); 4].map(|()| asleep_before(&company, false)), [0; 4], "awake from then on");
        // 1,024 halved by the one that ended the sleep and four more.
        assert_eq!(asleep_before(&company, true), 0);
        assert_eq!(asleep_before(&company, false), 4 * (1024 >> 5));
        (0..20).for_each(|_| assert_eq!(asleep_before(&company, false), 0));
        assert_eq!([true, true].map(|crowded| asleep_before(&company, crowded)), [0, 16], "as at first");
    }

    #[test]
    fn who_is_late_is_waited_for_and_who_stays_away_is_forgotten() {
        let company = Company::new();
        assert_eq!(
            [1, 8, 6, 8, 1].map(|have| next(&company, have)),
            [1, 1, 8, 7, 8],
            "the first one is alone, however many come"
        );
        let alone: Vec<usize> = (0..8).map(|_| next(&company, 1)).collect();
        assert_eq!(alone, [7, 6, 5, 4, 3, 2, 1, 1]);
        assert_eq!([40, 1, 1].map(|have| next(&company, have)), [1, 40, 35], "of many an eighth at a time");
    }

    #[test]
    fn one_group_in_32_waits_for_all_who_come_but_nobody_who_is_alone_does() {
        let company = Company::new();
        assert!((0..64).all(|_| next(&company, 1) == 1));
        let all: Vec<usize> = (64..129).filter(|_| next(&company, 2) == usize::MAX).collect();
        assert_eq!(all, [96, 128], "the 65th still believed that it was alone");
    }
}
