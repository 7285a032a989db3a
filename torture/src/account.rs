//! What a child told: how far each thread came, and what it was promised.
//!
//! 1. A thread's commits are announced in order, one number after the other.
//! 2. Sequence numbers follow a thread's order, and none is given twice.

use std::collections::BTreeMap;

use crate::report::{Kind, Line};

/// How far one thread came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last commit announced.
    pub(crate) tried: u64,
    /// The last commit answered.
    pub(crate) acked: u64,
    /// The last commit answered durable.
    pub(crate) durable: u64,
}

/// What a child told, all in all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) threads: Vec<Progress>,
    /// Thread and commit of each sequence number.
    pub(crate) sequences: BTreeMap<u64, (usize, u64)>,
    /// Everything up to this sequence was answered durable.
    durable_sequence: u64,
    pub(crate) acks: u64,
    pub(crate) opening: bool,
    pub(crate) opened: bool,
    /// Journal records that opening replayed.
    pub(crate) records: u64,
    /// The number of the store's own thread.
    pub(crate) flusher: Option<u64>,
    pub(crate) unopened: Option<Kind>,
    pub(crate) closed: Option<Kind>,
    pub(crate) refusals: Vec<Kind>,
    /// What must not have happened.
    pub(crate) wrong: Vec<String>,
}

impl Account {
    /// Begins where the threads stand.
    pub(crate) fn new(from: &[u64]) -> Self {
        let start = |&at: &u64| Progress { tried: at, acked: at, durable: at };
        Self { threads: from.iter().map(start).collect(), ..Self::default() }
    }

    /// Takes a line into account.
    pub(crate) fn take(&mut self, line: Line) {
        match line {
            Line::Opening => self.opening = true,
            Line::Opened { records } => (self.opened, self.records) = (true, records),
            Line::Flusher { thread } => self.flusher = Some(thread),
            Line::Unopened { kind } => self.unopened = Some(kind),
            Line::Closed { kind } => self.closed = Some(kind),
            Line::Wrong { what } => self.wrong.push(what),
            Line::Refused { kind, .. } => self.refusals.push(kind),
            Line::Synced { sequence } => self.durable_sequence = self.durable_sequence.max(sequence),
            Line::Try { thread, ordinal } => self.tried(thread, ordinal),
            Line::Ack { thread, ordinal, sequence, durable } => {
                self.acked(thread, ordinal, sequence, durable);
            }
        }
    }

    fn tried(&mut self, thread: u64, ordinal: u64) {
        let Some(progress) = self.threads.get_mut(thread as usize) else {
            return self.wrong.push(format!("there is no thread {thread}"));
        };
        if ordinal != progress.tried && ordinal != progress.tried + 1 {
            self.wrong.push(format!("thread {thread} went from {} to {ordinal}", progress.tried));
        }
        progress.tried = ordinal;
    }

    fn acked(&mut self, thread: u64, ordinal: u64, sequence: u64, durable: bool) {
        let Some(progress) = self.threads.get_mut(thread as usize) else {
            return self.wrong.push(format!("there is no thread {thread}"));
        };
        self.acks += 1;
        progress.acked = progress.acked.max(ordinal);
        if durable {
            progress.durable = progress.durable.max(ordinal);
        }
        if sequence == 0 {
            return;
        }
        let before = self.sequences.insert(sequence, (thread as usize, ordinal));
        if let Some((other, at)) = before {
            self.wrong.push(format!("sequence {sequence} belongs to {thread}/{ordinal} and {other}/{at}"));
        }
        if durable {
            self.durable_sequence = self.durable_sequence.max(sequence);
        }
    }

    /// The last commit of each thread that must be there: after a crash of the process every answered
    /// one, after a power cut every one that was answered durable or that came before such.
    pub(crate) fn floors(&self, power_cut: bool) -> Vec<u64> {
        if !power_cut {
            return self.threads.iter().map(|progress| progress.acked).collect();
        }
        let mut floors: Vec<u64> = self.threads.iter().map(|progress| progress.durable).collect();
        for &(thread, ordinal) in self.sequences.range(..=self.durable_sequence).map(|(_, commit)| commit) {
            floors[thread] = floors[thread].max(ordinal);
        }
        floors
    }

    /// The last commit of each thread that can be there.
    pub(crate) fn ceilings(&self) -> Vec<u64> {
        self.threads.iter().map(|progress| progress.tried).collect()
    }

    /// What is wrong with the order of sequence numbers, within a thread and, given the last commits that
    /// a file holds, between threads: what is there must be everything up to some number.
    pub(crate) fn disorder(&self, found: &[u64]) -> Option<String> {
        let mut last = vec![0; self.threads.len()];
        let mut lost: Option<(u64, usize, u64)> = None;
        for (&sequence, &(thread, ordinal)) in &self.sequences {
            if ordinal <= last[thread] {
                return Some(format!(
                    "thread {thread}: commit {ordinal} has sequence {sequence}, which is late"
                ));
            }
            last[thread] = ordinal;
            let there = found.get(thread).is_some_and(|&at| ordinal <= at);
            match lost {
                Some((at, other, missing)) if there => {
                    return Some(format!(
                        "sequence {sequence} ({thread}/{ordinal}) is there, {at} ({other}/{missing}) is lost"
                    ));
                }
                None if !there => lost = Some((sequence, thread, ordinal)),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(thread: u64, ordinal: u64, sequence: u64, durable: bool) -> Line {
        Line::Ack { thread, ordinal, sequence, durable }
    }

    #[test]
    fn a_durable_answer_covers_what_came_before_it_in_any_thread() {
        let mut account = Account::new(&[0, 0]);
        account.take(ack(0, 1, 1, false));
        account.take(ack(1, 1, 2, true));
        account.take(ack(0, 2, 3, false));
        assert_eq!(account.floors(true), [1, 1]);
        assert_eq!(account.floors(false), [2, 1]);
        account.take(Line::Synced { sequence: 3 });
        assert_eq!(account.floors(true), [2, 1]);
        assert!(account.wrong.is_empty());
    }

    #[test]
    fn a_gap_between_threads_and_a_number_given_twice_are_seen() {
        let mut account = Account::new(&[0, 0]);
        account.take(ack(0, 1, 1, false));
        account.take(ack(1, 1, 2, false));
        assert_eq!(account.disorder(&[1, 1]), None);
        assert_eq!(account.disorder(&[1, 0]), None);
        assert!(account.disorder(&[0, 1]).is_some());
        account.take(ack(1, 2, 2, false));
        assert_eq!(account.wrong.len(), 1);
    }
}
