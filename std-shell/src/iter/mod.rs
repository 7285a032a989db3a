//! Walking blocks in name order, from either end.
//!
//! 1. Each end walks the tree leaf by leaf and, beside it, the changes that are not part of the tree yet; of a
//!    name in both the change counts.
//! 2. A step costs no allocation: an item refers to the leaf, or to the few changes copied at once, that it was
//!    met in.
//! 3. The ends do not cross: each compares what it meets with what the other met last.

mod path;
#[cfg(test)]
mod property;
mod run;
mod span;
mod walk;

pub use run::Item;
pub(crate) use span::Span;

use crate::error::{Error, Result};
use crate::inner::Inner;
use crate::view::View;
use run::{Blocks, Moment};
use std::cmp::Ordering;
use std::sync::Arc;
use walk::{Changes, Stored};

/// How many changes ahead the processor is told to fetch one.
const AHEAD: usize = 4;

/// One end of an iterator.
#[derive(Debug)]
struct End {
    stored: Stored,
    changes: Changes,
    /// Where the next change belongs in the leaf at hand, and whether that has its name, once that was looked up.
    place: Option<(usize, bool)>,
    /// What was handed out or passed over last.
    last: Option<Item>,
    /// Blocks of that one's run which come next, with nothing in between.
    ahead: usize,
    /// The address behind the bytes that the processor was told to fetch last.
    fetched: usize,
}

impl End {
    fn new(moment: &Moment) -> Self {
        Self {
            stored: Stored::default(),
            changes: Changes::of(moment),
            place: None,
            last: None,
            ahead: 0,
            fetched: 0,
        }
    }

    /// How the next stored block and the next change follow each other on the way; None if there is neither. Where a
    /// change belongs in a leaf is looked up once.
    fn order(&mut self, forward: bool) -> Option<Ordering> {
        match (self.stored.peek(forward), self.changes.peek()) {
            (None, None) => None,
            (Some(_), None) => Some(Ordering::Less),
            (None, Some(_)) => Some(Ordering::Greater),
            (Some((leaf, index)), Some((run, change))) => {
                let (at, same) = *self.place.get_or_insert_with(|| leaf.search(run.name(change)));
                Some(if same && index == at {
                    Ordering::Equal
                } else {
                    directed(if index < at { Ordering::Less } else { Ordering::Greater }, forward)
                })
            }
        }
    }

    /// Goes to the nearer of the next stored and the next changed block, of which the change hides the stored one;
    /// false if there is none on this side of `other`.
    fn step(
        &mut self,
        moment: &Arc<Moment>,
        span: &Span,
        forward: bool,
        other: Option<&Item>,
    ) -> Result<bool> {
        self.ahead = 0;
        if self.stored.reach(moment, span, forward)? {
            self.place = None;
        }
        self.changes.reach(moment, span, forward);
        let Some(order) = self.order(forward) else { return Ok(false) };
        let (stored, change) = (self.stored.peek(forward), self.changes.peek());
        let near = if order.is_lt() { stored } else { change };
        let Some((run, index)) = near else { return Ok(false) };
        if other.is_some_and(|other| directed(run.name(index).cmp(other.name()), forward).is_ge()) {
            return Ok(false);
        }
        let again = match &mut self.last {
            Some(last) if Arc::ptr_eq(&last.run, run) => {
                last.index = index;
                true
            }
            last => {
                *last = Some(Item { run: Arc::clone(run), index });
                false
            }
        };
        // How far it goes like this is looked up once, of changes when there are two in a row. Where nothing else is in
        // the way it goes to the run's end.
        if order.is_ne() && other.is_none() {
            let ahead = if order.is_lt() {
                self.stored.ahead(self.place, forward)
            } else if again || stored.is_none() {
                self.changes.ahead(stored.map(|(leaf, at)| leaf.name(at)), forward)
            } else {
                1
            };
            self.ahead = ahead.saturating_sub(1);
        }
        if order.is_le() {
            self.stored.pass(forward);
        }
        if order.is_ge() {
            self.changes.pass();
            self.place = None;
        }
        Ok(true)
    }

    /// Whether what it went to last stands for nothing but a deletion.
    #[inline]
    fn is_deleted(&self) -> bool {
        self.last.as_ref().is_some_and(|item| item.run.is_deleted(item.index))
    }

    /// Goes on to the next block of its run as long as nothing has to be compared; false if that is not the case.
    #[inline]
    fn quick(&mut self, forward: bool) -> bool {
        let Some(ahead) = self.ahead.checked_sub(1) else { return false };
        let Some(last) = &mut self.last else { return false };
        self.ahead = ahead;
        match last.run.blocks {
            Blocks::Leaf(_) => {
                let next = |index: usize| if forward { index + 1 } else { index.wrapping_sub(1) };
                last.index = next(last.index);
                self.stored.pass(forward);
                if ahead > 0 && last.run.is_shown() {
                    let coming = next(last.index);
                    self.fetched = last.run.fetch(coming, next(coming), self.fetched);
                }
            }
            Blocks::Pending(_) => {
                last.index += 1;
                self.changes.pass();
                last.run.fetch_change(last.index + AHEAD);
            }
        }
        true
    }
}

/// An order as it is seen on the way.
const fn directed(order: Ordering, forward: bool) -> Ordering {
    if forward { order } else { order.reverse() }
}

/// The blocks of a span as of one moment. After an error it stays ended.
#[derive(Debug)]
pub struct Iter {
    moment: Arc<Moment>,
    span: Span,
    front: End,
    back: End,
    ended: bool,
    /// What the first step answers instead of a block.
    refused: Option<Error>,
}

impl Iter {
    pub(crate) fn new(inner: Arc<Inner>, view: View, span: Span) -> Self {
        let moment = Arc::new(Moment { inner, view });
        let (front, back) = (End::new(&moment), End::new(&moment));
        Self { moment, span, front, back, ended: false, refused: None }
    }

    /// Ends with the error, if there is one, before it begins.
    pub(crate) fn or_refused(mut self, allowed: Result<()>) -> Self {
        self.refused = allowed.err();
        self
    }

    /// As `next`, but the item is lent until the next step: the fastest way to walk.
    #[inline]
    pub fn advance(&mut self) -> Option<Result<&Item>> {
        if self.back.last.is_none() && self.front.quick(true) && !self.front.is_deleted() {
            return self.front.last.as_ref().map(Ok);
        }
        self.guarded(true)
    }

    /// As `next_back`, but the item is lent until the next step.
    #[inline]
    pub fn advance_back(&mut self) -> Option<Result<&Item>> {
        if self.front.last.is_none() && self.back.quick(false) && !self.back.is_deleted() {
            return self.back.last.as_ref().map(Ok);
        }
        self.guarded(false)
    }

    fn step(&mut self, forward: bool) -> Result<bool> {
        let (end, other) =
            if forward { (&mut self.front, &self.back) } else { (&mut self.back, &self.front) };
        loop {
            let quick = other.last.is_none() && end.quick(forward);
            if !quick && !end.step(&self.moment, &self.span, forward, other.last.as_ref())? {
                return Ok(false);
            }
            if !end.is_deleted() {
                return Ok(true);
            }
        }
    }

    /// A step of any kind.
    #[inline(never)]
    fn guarded(&mut self, forward: bool) -> Option<Result<&Item>> {
        if self.ended {
            return None;
        }
        let stepped = if self.refused.is_none() { self.step(forward) } else { Ok(false) };
        self.ended = !matches!(stepped, Ok(true));
        if self.ended {
            // No end goes on by itself.
            (self.front.ahead, self.back.ahead) = (0, 0);
        }
        match stepped {
            Ok(true) => if forward { &self.front } else { &self.back }.last.as_ref().map(Ok),
            Ok(false) => self.refused.take().map(Err),
            Err(error) => Some(Err(error)),
        }
    }
}

impl Iterator for Iter {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.advance()?.cloned())
    }
}

impl DoubleEndedIterator for Iter {
    fn next_back(&mut self) -> Option<Self::Item> {
        Some(self.advance_back()?.cloned())
    }
}

impl std::iter::FusedIterator for Iter {}
