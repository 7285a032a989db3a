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

    /// The nearer of the next stored and the next changed block, or the change that hides the stored one.
    fn next(&mut self, moment: &Arc<Moment>, span: &Span, forward: bool) -> Result<Option<Item>> {
        let item = |(run, index): walk::At<'_>| Item { run: Arc::clone(run), index };
        let stored = self.stored.peek(moment, span, forward)?;
        let Some(change) = self.changes.peek(moment, span, forward) else {
            let found = stored.map(item);
            if found.is_some() {
                self.stored.pass(forward);
            }
            return Ok(found);
        };
        let order = stored.map(|(run, index)| run.name(index).cmp(change.0.name(change.1)));
        let nearer = match order.map(|order| if forward { order } else { order.reverse() }) {
            Some(std::cmp::Ordering::Less) => {
                let found = stored.map(item);
                self.stored.pass(forward);
                return Ok(found);
            }
            Some(std::cmp::Ordering::Equal) => {
                let found = item(change);
                self.stored.pass(forward);
                found
            }
            _ => item(change),
        };
        self.changes.pass();
        Ok(Some(nearer))
    }

    /// Notes what was met.
    fn met(&mut self, item: &Item) {
        match &mut self.last {
            Some(last) if Arc::ptr_eq(&last.run, &item.run) => last.index = item.index,
            last => *last = Some(item.clone()),
        }
    }
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

    fn step(&mut self, forward: bool) -> Result<Option<Item>> {
        let (end, other) =
            if forward { (&mut self.front, &self.back) } else { (&mut self.back, &self.front) };
        loop {
            let Some(item) = end.next(&self.moment, &self.span, forward)? else { return Ok(None) };
            let met = other.last.as_ref().is_some_and(|last| match forward {
                true => item.name() >= last.name(),
                false => item.name() <= last.name(),
            });
            if met {
                return Ok(None);
            }
            end.met(&item);
            if !item.run.is_deleted(item.index) {
                return Ok(Some(item));
            }
        }
    }

    fn guarded(&mut self, forward: bool) -> Option<Result<Item>> {
        if self.ended {
            return None;
        }
        if let Some(error) = self.refused.take() {
            self.ended = true;
            return Some(Err(error));
        }
        let result = self.step(forward).transpose();
        self.ended = !matches!(result, Some(Ok(_)));
        result
    }
}

impl Iterator for Iter {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        self.guarded(true)
    }
}

impl DoubleEndedIterator for Iter {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.guarded(false)
    }
}

impl std::iter::FusedIterator for Iter {}
