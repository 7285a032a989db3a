//! The engine under test: the queue of `blockyard_core` and a leader that writes to the medium.

use crate::engine::{Answer, Background, Engine, Failure, Item};
use crate::medium::{Io, Medium, Place, Trouble};
use blockyard_core::Durability;
use blockyard_core::queue::{Fault, Group, GroupQueue, Limits, Slot, SubmitError, Ticket, WaitError, Work};
use blockyard_core::sync::Mutex;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

/// How many items fit into the queue.
pub const CAPACITY: usize = 2;

type Slots = [Slot<Item, Place, Io>; CAPACITY];
type Led<'q> = Group<'q, Item, Place, Io, Slots>;

/// How the leader does its work: as it should, or breaking one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leader {
    /// As the shell's does.
    Sound,
    /// As the shell's does, letting in who came since the group began.
    Gathers,
    /// As the shell's does, asleep until so many are queued.
    Awaits(usize),
    /// Syncs before it writes.
    SyncsFirst,
    /// Syncs if its own commit asked for it, whatever the others did.
    SyncsForItself,
    /// Tells a failed sync to its group alone, and lets the next one begin.
    KeepsErrors,
}

/// How the engine is put around the queue: as it should be, or forgetting one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// As it should be.
    Sound,
    /// Each caller publishes the sequence that it was answered.
    CallersPublish,
    /// Shutting down does not wait for what was accepted.
    ShutsWithoutDraining,
    /// Looks for an answer first and leaves its waker afterwards, in a place of its own.
    WakerAside,
    /// The flusher looks once and is gone.
    FlusherLooksOnce,
}

/// The queue, its leader and the medium.
pub struct Queued {
    queue: GroupQueue<Item, Place, Io, Slots>,
    medium: Medium,
    leader: Leader,
    shell: Shell,
    /// A caller that finds the queue full leads.
    leads_for_room: bool,
    aside: Mutex<Option<Waker>>,
}

impl Queued {
    /// An engine as it should be.
    #[must_use]
    pub fn new(trouble: Trouble) -> Self {
        Self {
            queue: GroupQueue::new([const { Slot::new() }; CAPACITY], Limits::default()),
            medium: Medium::new(trouble),
            leader: Leader::Sound,
            shell: Shell::Sound,
            leads_for_room: true,
            aside: Mutex::new(None),
        }
    }

    /// With another leader.
    #[must_use]
    pub fn led_by(self, leader: Leader) -> Self {
        Self { leader, ..self }
    }

    /// With another shell.
    #[must_use]
    pub fn within(self, shell: Shell) -> Self {
        Self { shell, ..self }
    }

    /// With one item pending at most, and callers that leave it to the flusher to make room.
    #[must_use]
    pub fn of_one(self) -> Self {
        let limits = Limits { pending: 1, ..Limits::default() };
        Self {
            queue: GroupQueue::new([const { Slot::new() }; CAPACITY], limits),
            leads_for_room: false,
            ..self
        }
    }

    /// Leads one group; `own` is what the leading caller asked for.
    fn lead(&self, group: &mut Led<'_>, own: Durability) {
        if self.leader == Leader::Gathers {
            group.gather();
        }
        if let Leader::Awaits(company) = self.leader {
            // No model knows of time.
            group.gather_for(company, Duration::MAX);
        }
        let mut writing = self.medium.begin();
        let durability = match self.leader {
            Leader::SyncsForItself => own,
            _ => group.durability(),
        };
        if self.leader == Leader::SyncsFirst
            && let Err(error) = writing.sync()
        {
            return group.poison(error);
        }
        let mut taken = Vec::new();
        while let Some((member, item)) = group.take() {
            match writing.write(item) {
                Ok(place) if self.leader == Leader::KeepsErrors => taken.push((member, place)),
                Ok(place) => group.complete(member, Ok(place)),
                Err(error) => return group.poison(error),
            }
        }
        if durability == Durability::Durable && self.leader != Leader::SyncsFirst {
            match writing.sync() {
                Err(error) if self.leader != Leader::KeepsErrors => return group.poison(error),
                synced => {
                    for (member, place) in taken {
                        group.complete(member, synced.map(|()| place));
                    }
                }
            }
        }
        if self.shell != Shell::CallersPublish {
            self.medium.publish(writing.last());
        }
    }

    fn lead_pending(&self) -> bool {
        let led = self.queue.lead_pending(|group| self.lead(group, Durability::Buffered));
        if led && self.shell == Shell::WakerAside {
            let waker = self.aside.lock().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        led
    }
}

impl Engine for Queued {
    type Ticket = (Ticket, Durability);

    fn medium(&self) -> &Medium {
        &self.medium
    }

    fn submit(&self, item: Item, durability: Durability) -> Result<Self::Ticket, Failure> {
        let ticket = if self.leads_for_room {
            self.queue.submit_or_lead(item, durability, |group| self.lead(group, durability))
        } else {
            self.queue.submit(item, durability)
        };
        match ticket {
            Ok(ticket) => Ok((ticket, durability)),
            Err(SubmitError::Closed(_)) => Err(Failure::Closed),
            Err(SubmitError::Poisoned(_, fault)) => Err(failure(fault)),
        }
    }

    fn wait(&self, (ticket, durability): Self::Ticket) -> Answer {
        let answer = self.queue.wait(ticket, |group| self.lead(group, durability)).map_err(refusal);
        if let (Shell::CallersPublish, Ok(place)) = (self.shell, answer) {
            self.medium.publish(place.sequence);
        }
        answer
    }

    fn abandon(&self, (ticket, _): Self::Ticket) {
        self.queue.abandon(&ticket);
    }

    fn shut_down(&self) {
        self.queue.close();
        if self.shell != Shell::ShutsWithoutDraining {
            self.queue.drain(|group| self.lead(group, Durability::Buffered));
        }
    }
}

impl Background for Queued {
    fn poll(&self, (ticket, _): &Self::Ticket, context: &Context<'_>) -> Poll<Answer> {
        if self.shell != Shell::WakerAside {
            return self.queue.poll(ticket, context).map_err(refusal);
        }
        if let Some(answer) = self.queue.try_take(ticket) {
            return Poll::Ready(answer.map_err(refusal));
        }
        *self.aside.lock() = Some(context.waker().clone());
        Poll::Pending
    }

    fn serve(&self) {
        if self.shell == Shell::FlusherLooksOnce {
            self.lead_pending();
            return;
        }
        while self.queue.wait_for_work() == Work::Pending {
            self.lead_pending();
        }
    }

    fn close(&self) {
        self.queue.close();
    }
}

fn refusal(error: WaitError<Io>) -> Failure {
    match error {
        WaitError::Item(error) => Failure::Device(error),
        WaitError::Poisoned(fault) => failure(fault),
    }
}

fn failure(fault: Fault<Io>) -> Failure {
    match fault {
        Fault::Fatal(error) => Failure::Device(error),
        Fault::LeaderPanicked | Fault::Unreported => Failure::Broken,
    }
}
