//! The memory that the names and bodies of a table lie in.

use crate::buffer::Pool;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

/// The most bytes of a scratch buffer that are kept.
const SPARE_SCRATCH: usize = 1 << 20;

/// The most places for pieces that are kept.
const SPARE_PIECES: usize = 512;

/// Which piece of memory: one of a batch that lent it, or one of a version alone. In 32 bits, of which none are left for
/// "no piece", so that an optional one takes no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece(NonZeroU32);

impl Piece {
    /// Of the last piece of a list that is not empty. A table holds far fewer than 2^31: each has a change of its own, for
    /// which the journal has a header.
    const fn last(list: &[Arc<[u8]>], lent: bool) -> Self {
        Self(NonZeroU32::MIN.saturating_add((list.len() as u32 - 1) << 1 | lent as u32))
    }
}

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

/// The pieces.
#[derive(Debug, Default)]
pub(super) struct Memory {
    lent: Vec<Arc<[u8]>>,
    own: Vec<Arc<[u8]>>,
    scratch: Vec<u8>,
}

impl Memory {
    pub(super) fn piece(&self, piece: Piece) -> &Arc<[u8]> {
        let number = piece.0.get() - 1;
        let list = if number % 2 == 1 { &self.lent } else { &self.own };
        &list[number as usize / 2]
    }

    /// Takes a batch's memory in.
    pub(super) fn borrow(&mut self, names: &Arc<[u8]>, bodies: Option<&Arc<[u8]>>) -> Lent {
        let mut push = |piece: &Arc<[u8]>| {
            self.lent.push(Arc::clone(piece));
            Piece::last(&self.lent, true)
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

    /// Copies a name and a body; they are put together in a buffer that is used again.
    pub(super) fn copy(&mut self, name: &[u8], body: &[u8]) -> Place {
        self.scratch.clear();
        self.scratch.extend_from_slice(name);
        self.scratch.extend_from_slice(body);
        self.own.push(Arc::from(self.scratch.as_slice()));
        let piece = Piece::last(&self.own, false);
        let (name_length, body_length) = (name.len() as u32, body.len() as u32);
        Place { piece, name_at: 0, name_length, body_length, apart: None, apart_at: 0 }
    }

    /// Lets go of all pieces, of which `pool` gets those of batches.
    pub(super) fn clear(&mut self, pool: &Pool) {
        self.own.clear();
        self.own.shrink_to(SPARE_PIECES);
        self.scratch.clear();
        self.scratch.shrink_to(SPARE_SCRATCH);
        self.lent.drain(..).for_each(|piece| pool.give(piece));
        self.lent.shrink_to(SPARE_PIECES);
    }
}
