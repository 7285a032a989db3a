//! The memory that the names and bodies of a table lie in.

use super::pieces::{Piece, Pieces};
use crate::buffer::Pool;
use crate::fetch::fetch;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Bytes of a body that are fetched ahead at most: behind them the processor goes on by itself.
const FETCHED: usize = 512;

/// The pieces of a batch that versions may lie in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lent {
    names: Piece,
    /// If the bodies do not lie behind their names.
    bodies: Option<Piece>,
}

/// Where a version's name and its body lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) piece: Piece,
    pub(super) name_at: u32,
    pub(super) name_length: u32,
    pub(super) body_length: u32,
    /// The piece that the body lies in, if not behind the name; and where.
    pub(super) apart: Option<Piece>,
    pub(super) apart_at: u32,
}

impl Place {
    pub(super) const fn name(&self) -> Range<usize> {
        range(self.name_at, self.name_length)
    }

    pub(super) fn name_in<'m>(&self, memory: &'m Pieces) -> &'m [u8] {
        &memory.piece(self.piece)[self.name()]
    }

    /// Has the processor fetch the body, or the beginning of it, with the name if it lies behind that.
    pub(super) fn fetch(&self, memory: &Pieces) {
        let (piece, body) = self.body();
        let start = if self.apart.is_some() { body.start } else { self.name_at as usize };
        fetch(&memory.piece(piece)[start..body.end.min(start + FETCHED)]);
    }

    pub(super) const fn body(&self) -> (Piece, Range<usize>) {
        match self.apart {
            Some(piece) => (piece, range(self.apart_at, self.body_length)),
            None => (self.piece, range(self.name_at + self.name_length, self.body_length)),
        }
    }
}

const fn range(at: u32, length: u32) -> Range<usize> {
    at as usize..at as usize + length as usize
}

/// Where `part` lies in a piece.
fn place_in(bytes: &Arc<[u8]>, part: &[u8]) -> Option<u32> {
    let at = (part.as_ptr() as usize).checked_sub(bytes.as_ptr() as usize)?;
    (at + part.len() <= bytes.len()).then_some(u32::try_from(at).ok()?)
}

/// The pieces, and how many there are. Readers may hold the pieces by themselves.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pieces: Arc<Pieces>,
    lent: usize,
    own: usize,
    /// Where its own pieces come from.
    pool: Arc<Pool>,
}

impl Deref for Memory {
    type Target = Pieces;

    fn deref(&self) -> &Pieces {
        &self.pieces
    }
}

impl Memory {
    /// The pieces, for whoever reads them without the table's lock.
    pub(super) fn share(&self) -> Arc<Pieces> {
        Arc::clone(&self.pieces)
    }

    /// Takes a batch's memory in.
    pub(super) fn borrow(&mut self, names: &Arc<[u8]>, bodies: Option<&Arc<[u8]>>) -> Lent {
        let mut push = |piece: &Arc<[u8]>| {
            self.pieces.lent.set(self.lent, Arc::clone(piece));
            self.lent += 1;
            Piece::at(self.lent - 1, true)
        };
        Lent { names: push(names), bodies: bodies.map(push) }
    }

    /// The place of a name and a body that lie in lent memory; None if they do not.
    pub(super) fn find(&self, lent: Lent, name: &[u8], body: &[u8]) -> Option<Place> {
        let names = self.piece(lent.names);
        let (name_at, name_length) = (place_in(names, name)?, name.len() as u32);
        let body_length = u32::try_from(body.len()).ok()?;
        let follows = body.is_empty() || place_in(names, body) == name_at.checked_add(name_length);
        let (apart, apart_at) = if follows {
            (None, 0)
        } else {
            let piece = lent.bodies?;
            (Some(piece), place_in(self.piece(piece), body)?)
        };
        Some(Place { piece: lent.names, name_at, name_length, body_length, apart, apart_at })
    }

    /// Copies a name and a body, into memory of an earlier table's if there is some.
    pub(super) fn copy(&mut self, name: &[u8], body: &[u8]) -> Place {
        let mut piece = self.pool.single.take(name.len() + body.len());
        let (name_in, rest) = Arc::make_mut(&mut piece).split_at_mut(name.len());
        name_in.copy_from_slice(name);
        rest[..body.len()].copy_from_slice(body);
        self.pieces.own.set(self.own, piece);
        let piece = Piece::at(self.own, false);
        self.own += 1;
        let (name_length, body_length) = (name.len() as u32, body.len() as u32);
        Place { piece, name_at: 0, name_length, body_length, apart: None, apart_at: 0 }
    }

    /// Takes its own pieces from `pool` from now on.
    pub(super) fn draw_from(&mut self, pool: &Arc<Pool>) {
        self.pool = Arc::clone(pool);
    }

    /// Gives all pieces to `pool`.
    pub(super) fn clear(&mut self, pool: &Pool) {
        match Arc::get_mut(&mut self.pieces) {
            Some(pieces) => {
                pieces.own.clear(|piece| pool.single.give(piece));
                pieces.lent.clear(|piece| pool.give(piece));
            }
            // The last item of a walk lets go of them.
            None => self.pieces = Arc::default(),
        }
        (self.lent, self.own) = (0, 0);
    }
}
