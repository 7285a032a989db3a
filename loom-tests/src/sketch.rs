//! A group-commit queue in the shape in which it is usually written, with the bugs that it is usually
//! written with. Without a flaw it passes the scenarios; it shows that a twin fails for its flaw.

use crate::engine::{Answer, Engine, Failure, Item};
use crate::medium::{Io, Medium, Place, Trouble};
use crate::queued::CAPACITY;
use blockyard_core::Durability;
use blockyard_core::sync::{Condvar, Mutex, MutexGuard};
use std::collections::{BTreeMap, VecDeque};

/// What is wrong with the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// A leader whose device fails returns early: the flag stays set, nobody is notified (OkayWAL's
    /// `synchronize_locked`).
    ReturnsEarly,
    /// The leader's error is the leader's alone: its followers are told Ok (RocksDB #3201).
    FollowersToldOk,
    /// The leader syncs if its own commit asks for it (Turso #9237).
    LeaderDecides,
    /// Leading is for the first in the queue, and who gives up keeps that right (Turso PR 8943).
    CancelledLeads,
    /// Nobody looks whether there is a leader.
    TwoLeaders,
    /// A group that ends answers whoever is queued by then.
    AnswersAll,
    /// The flag is not cleared when the device panics.
    NoGuard,
    /// Who finds no answer lets go of the lock before it goes to sleep.
    SleepsLate,
    /// Nobody tells submitters that there is room.
    KeepsRoom,
}

/// The right to an answer.
#[derive(Debug)]
pub struct Number(u64);

struct State {
    next: u64,
    queue: VecDeque<(u64, Item, Durability)>,
    answers: BTreeMap<u64, Answer>,
    leading: bool,
    closed: bool,
    failed: Option<Failure>,
}

/// The queue with its flaw, and the medium.
pub struct Sketch {
    state: Mutex<State>,
    answered: Condvar,
    room: Condvar,
    medium: Medium,
    flaw: Flaw,
}

impl Sketch {
    /// An open queue.
    #[must_use]
    pub fn new(trouble: Trouble, flaw: Flaw) -> Self {
        let state = State {
            next: 0,
            queue: VecDeque::new(),
            answers: BTreeMap::new(),
            leading: false,
            closed: false,
            failed: None,
        };
        Self {
            state: Mutex::new(state),
            answered: Condvar::new(),
            room: Condvar::new(),
            medium: Medium::new(trouble),
            flaw,
        }
    }

    fn may_lead(&self, state: &State, number: Option<u64>) -> bool {
        let first = state.queue.front().map(|(first, ..)| *first);
        match self.flaw {
            Flaw::CancelledLeads => !state.leading && number.is_none_or(|number| first == Some(number)),
            Flaw::TwoLeaders => first.is_some(),
            _ => !state.leading && first.is_some(),
        }
    }

    /// Writes everything queued. `own` is the leader's own commit, if it has one.
    fn lead(&self, mut state: MutexGuard<'_, State>, own: Option<(u64, Durability)>) {
        state.leading = true;
        let batch: Vec<_> = state.queue.drain(..).collect();
        drop(state);
        let mut ending = Ending { sketch: self, armed: true };
        let strictest = batch.iter().map(|(.., durability)| *durability).max();
        let durability = match (self.flaw, own) {
            (Flaw::LeaderDecides, Some((_, own))) => Some(own),
            _ => strictest,
        };
        ending.armed = self.flaw != Flaw::NoGuard;
        let written = self.write(&batch, durability == Some(Durability::Durable));
        ending.armed = false;
        if written.is_err() && self.flaw == Flaw::ReturnsEarly {
            let mut state = self.state.lock();
            if let (Some((own, _)), Err(error)) = (own, written) {
                state.answers.insert(own, Err(Failure::Device(error)));
            }
            return;
        }
        let mut state = self.state.lock();
        self.answer(&mut state, &batch, own.map(|(number, _)| number), written);
        state.leading = false;
        drop(state);
        self.notify();
    }

    fn write(&self, batch: &[(u64, Item, Durability)], sync: bool) -> Result<Vec<Place>, Io> {
        let mut writing = self.medium.begin();
        let mut places = Vec::new();
        for (_, item, _) in batch {
            places.push(writing.write(*item)?);
        }
        if sync {
            writing.sync()?;
        }
        Ok(places)
    }

    fn answer(
        &self,
        state: &mut State,
        batch: &[(u64, Item, Durability)],
        own: Option<u64>,
        written: Result<Vec<Place>, Io>,
    ) {
        let place = Place { group: 0, sequence: 0 };
        match written {
            Ok(places) => {
                let answers = batch.iter().zip(places).map(|((number, ..), place)| (*number, Ok(place)));
                state.answers.extend(answers);
                if self.flaw == Flaw::AnswersAll {
                    let late: Vec<_> = state.queue.drain(..).collect();
                    state.answers.extend(late.into_iter().map(|(number, ..)| (number, Ok(place))));
                }
            }
            Err(error) => {
                let failure = Failure::Device(error);
                state.failed = Some(failure);
                let told_ok = |number| self.flaw == Flaw::FollowersToldOk && Some(number) != own;
                let answer = |number| if told_ok(number) { Ok(place) } else { Err(failure) };
                state.answers.extend(batch.iter().map(|(number, ..)| (*number, answer(*number))));
                state.fail_queued(failure);
            }
        }
    }

    fn notify(&self) {
        self.answered.notify_all();
        if self.flaw != Flaw::KeepsRoom {
            self.room.notify_all();
        }
    }
}

impl State {
    fn fail_queued(&mut self, failure: Failure) {
        let queued = self.queue.drain(..).map(|(number, ..)| (number, Err(failure)));
        self.answers.extend(queued);
    }
}

/// Clears the flag and tells everybody when a leader panics.
struct Ending<'a> {
    sketch: &'a Sketch,
    armed: bool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if self.armed {
            let mut state = self.sketch.state.lock();
            state.leading = false;
            state.failed = Some(Failure::Broken);
            state.fail_queued(Failure::Broken);
            drop(state);
            self.sketch.notify();
        }
    }
}

impl Engine for Sketch {
    type Ticket = (Number, Durability);

    fn medium(&self) -> &Medium {
        &self.medium
    }

    fn submit(&self, item: Item, durability: Durability) -> Result<Self::Ticket, Failure> {
        let mut state = self.state.lock();
        loop {
            if let Some(failure) = state.failed {
                return Err(failure);
            }
            if state.closed {
                return Err(Failure::Closed);
            }
            if state.queue.len() < CAPACITY {
                let number = state.next;
                state.next += 1;
                state.queue.push_back((number, item, durability));
                return Ok((Number(number), durability));
            }
            state = if self.may_lead(&state, None) {
                self.lead(state, None);
                self.state.lock()
            } else {
                self.room.wait(state)
            };
        }
    }

    fn wait(&self, (Number(number), durability): Self::Ticket) -> Answer {
        let mut state = self.state.lock();
        loop {
            if let Some(answer) = state.answers.remove(&number) {
                return answer;
            }
            if let Some(Failure::Broken) = state.failed {
                return Err(Failure::Broken);
            }
            if self.may_lead(&state, Some(number)) {
                self.lead(state, Some((number, durability)));
                state = self.state.lock();
                continue;
            }
            if self.flaw == Flaw::SleepsLate {
                drop(state);
                state = self.state.lock();
            }
            state = self.answered.wait(state);
        }
    }

    fn abandon(&self, _: Self::Ticket) {}

    fn shut_down(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        self.room.notify_all();
        while state.leading || !state.queue.is_empty() {
            if self.may_lead(&state, None) {
                self.lead(state, None);
                state = self.state.lock();
            } else {
                state = self.answered.wait(state);
            }
        }
    }
}
