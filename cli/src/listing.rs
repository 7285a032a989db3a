//! Walking blocks in the order of their names, past damage.

use blockyard::{Item, Result, Store};

/// The blocks of a prefix in either order. Where a page of the registry is damaged the walk gives
/// the error and goes on behind the damage; only what lies between the first damage and the last is
/// not met.
pub(crate) struct Listing<'a> {
    store: &'a Store,
    prefix: &'a [u8],
    reverse: bool,
    blocks: Box<dyn Iterator<Item = Result<Item>>>,
    last: Option<Vec<u8>>,
    resumed: bool,
}

impl<'a> Listing<'a> {
    /// The blocks whose names start with `prefix`.
    pub(crate) fn new(store: &'a Store, prefix: &'a [u8], reverse: bool) -> Self {
        let blocks = walk(store, prefix, reverse);
        Self { store, prefix, reverse, blocks, last: None, resumed: false }
    }

    /// The blocks behind the damage, which a walk from the other end finds.
    fn behind(&self) -> Box<dyn Iterator<Item = Result<Item>>> {
        let unmet = |item: &Item| match &self.last {
            Some(last) if self.reverse => item.name() < last.as_slice(),
            Some(last) => item.name() > last.as_slice(),
            None => true,
        };
        let others = walk(self.store, self.prefix, !self.reverse).map_while(Result::ok).take_while(unmet);
        let Some(edge) = others.last().map(|item| item.name().to_vec()) else {
            return Box::new(std::iter::empty());
        };
        let prefix = self.prefix.to_vec();
        let within =
            move |item: &Result<Item>| item.as_ref().map_or(true, |item| item.name().starts_with(&prefix));
        if self.reverse {
            Box::new(self.store.range(..=edge).rev().take_while(within))
        } else {
            Box::new(self.store.range(edge..).take_while(within))
        }
    }
}

impl Iterator for Listing<'_> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.blocks.next()?;
        match &next {
            Ok(item) => {
                let last = self.last.get_or_insert_default();
                last.clear();
                last.extend_from_slice(item.name());
            }
            Err(_) if !self.resumed => {
                self.resumed = true;
                self.blocks = self.behind();
            }
            Err(_) => {}
        }
        Some(next)
    }
}

fn walk(store: &Store, prefix: &[u8], reverse: bool) -> Box<dyn Iterator<Item = Result<Item>>> {
    let blocks = store.prefix(prefix);
    if reverse { Box::new(blocks.rev()) } else { Box::new(blocks) }
}
