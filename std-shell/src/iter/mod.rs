//! Walking blocks in name order, from either end.
//!
//! 1. Each end walks the tree leaf by leaf and, beside it, the changes that are not part of the tree yet; of a
//!    name in both the change counts.
//! 2. A step costs no allocation: an item refers to the leaf, or to the few changes copied at once, that it was
//!    met in.
//! 3. The ends do not cross: each compares what it meets with what the other met last.

mod run;
mod span;
mod walk;

pub use run::Item;
pub(crate) use span::Span;

use crate::error::{Error, Result};
use crate::inner::Inner;
use crate::view::View;
use run::Moment;
use std::cmp::Ordering;
use std::sync::Arc;
use walk::{Changes, Stored};

/// One end of an iterator.
#[derive(Debug)]
struct End {
    stored: Stored,
    changes: Changes,
    /// What was handed out or passed over last.
    last: Option<Item>,
}

impl End {
    fn new(moment: &Moment) -> Self {
        Self { stored: Stored::default(), changes: Changes::of(moment), last: None }
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
        let stored = self.stored.peek(moment, span, forward)?;
        let change = self.changes.peek(moment, span, forward);
        let order = match (stored, change) {
            (None, None) => return Ok(false),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((leaf, at)), Some((run, index))) => directed(leaf.name(at).cmp(run.name(index)), forward),
        };
        let Some((run, index)) = (if order.is_lt() { stored } else { change }) else { return Ok(false) };
        if other.is_some_and(|other| directed(run.name(index).cmp(other.name()), forward).is_ge()) {
            return Ok(false);
        }
        match &mut self.last {
            Some(last) if Arc::ptr_eq(&last.run, run) => last.index = index,
            last => *last = Some(Item { run: Arc::clone(run), index }),
        }
        if order.is_le() {
            self.stored.pass(forward);
        }
        if order.is_ge() {
            self.changes.pass();
        }
        Ok(true)
    }
}

impl End {
    /// Goes on within the run that it stands in, where nothing has to be compared; false if that is not the case.
    fn quick(&mut self, forward: bool) -> bool {
        let Some(last) = &mut self.last else { return false };
        let next = if self.changes.is_done() {
            self.stored.next_in(&last.run, forward)
        } else if self.stored.is_done() {
            self.changes.next_in(&last.run)
        } else {
            None
        };
        last.index = next.unwrap_or(last.index);
        next.is_some()
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
    pub fn advance(&mut self) -> Option<Result<&Item>> {
        self.guarded(true)
    }

    /// As `next_back`, but the item is lent until the next step.
    pub fn advance_back(&mut self) -> Option<Result<&Item>> {
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
            if end.last.as_ref().is_some_and(|item| !item.run.is_deleted(item.index)) {
                return Ok(true);
            }
        }
    }

    fn guarded(&mut self, forward: bool) -> Option<Result<&Item>> {
        if self.ended {
            return None;
        }
        let stepped = if self.refused.is_none() { self.step(forward) } else { Ok(false) };
        self.ended = !matches!(stepped, Ok(true));
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
        Some(self.guarded(true)?.cloned())
    }
}

impl DoubleEndedIterator for Iter {
    fn next_back(&mut self) -> Option<Self::Item> {
        Some(self.guarded(false)?.cloned())
    }
}

impl std::iter::FusedIterator for Iter {}
