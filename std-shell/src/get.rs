//! Point reads: by the table of names where it knows, else through the layers, which it then learns from.

use crate::cache::{Handle, Piece};
use crate::error::{Error, Result};
use crate::inner::Inner;
use crate::names::Known;
use crate::read::{self, BlockRef, Located};
use crate::view::View;

/// Reads of one moment: of a snapshot's, or of now.
#[derive(Clone, Copy)]
pub(crate) struct Reads<'a> {
    inner: &'a Inner,
    view: Option<&'a View>,
}

impl<'a> Reads<'a> {
    /// Reads of the newest state.
    pub(crate) fn now(inner: &'a Inner) -> Result<Self> {
        inner.check_open()?;
        Ok(Self { inner, view: None })
    }

    /// Reads of a snapshot.
    pub(crate) const fn of(inner: &'a Inner, view: &'a View) -> Self {
        Self { inner, view: Some(view) }
    }

    fn known(&self, name: &[u8]) -> Option<Known> {
        let shared = &self.inner.shared;
        let sequence = self.view.map_or_else(|| shared.published(), |view| view.sequence);
        shared.names.find(name, sequence)
    }

    /// What the table of names knows: nothing, that there is no block, or its bytes.
    fn glance(&self, name: &[u8]) -> Option<Option<Piece<'a>>> {
        match self.known(name)? {
            Known::Absent => Some(None),
            Known::Here(handle, range) => self.inner.source.cache.pin_piece(handle, range).map(Some),
        }
    }

    /// Finds a block through the layers, has it read, and notes where the cache has it.
    fn look<R>(
        &self,
        name: &[u8],
        read: impl FnOnce(&View, &Located) -> Result<(R, Handle)>,
    ) -> Result<Option<R>> {
        let newest;
        let view = match self.view {
            Some(view) => view,
            None => {
                newest = self.inner.shared.view();
                &newest
            }
        };
        let located = read::locate(&self.inner.source, view, name)?;
        let Some(located) = located else {
            self.inner.shared.names.learn(name, view.sequence, &Known::Absent);
            return Ok(None);
        };
        let (result, handle) = read(view, &located)?;
        self.learn(name, view, &located, handle);
        Ok(Some(result))
    }

    fn learn(&self, name: &[u8], view: &View, located: &Located, mut handle: Handle) {
        let names = &self.inner.shared.names;
        let range = match located {
            Located::Memory { bytes, .. } => {
                if handle == Handle::NONE && names.would_learn(name, view.sequence) {
                    let range;
                    (handle, range) = self.inner.source.keep_unnamed(bytes, names.outdated_by(name));
                    range
                } else {
                    bytes.range.clone()
                }
            }
            Located::File { info, .. } => 0..info.length as usize,
        };
        names.learn(name, view.sequence, &Known::Here(handle, range));
    }

    pub(crate) fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.glance(name) {
            Some(known) => Ok(known.map(|piece| piece.to_vec())),
            None => self.look(name, |view, located| read::read_vec(&self.inner.source, view, name, located)),
        }
    }

    pub(crate) fn get_into(&self, name: &[u8], buf: &mut [u8]) -> Result<Option<usize>> {
        let fits = |length: u64, buf: &[u8]| {
            let fitting = usize::try_from(length).ok().filter(|&length| length <= buf.len());
            fitting.ok_or(Error::BufferTooSmall { needed: length })
        };
        match self.glance(name) {
            Some(None) => Ok(None),
            Some(Some(bytes)) => {
                let length = fits(bytes.len() as u64, buf)?;
                buf[..length].copy_from_slice(&bytes);
                Ok(Some(length))
            }
            None => self.look(name, |view, located| {
                let length = fits(located.length(), buf)?;
                let into = &mut buf[..length];
                let handle = read::read_into(&self.inner.source, view, name, located, into)?;
                Ok((length, handle))
            }),
        }
    }

    pub(crate) fn get_ref(&self, name: &[u8]) -> Result<Option<BlockRef>> {
        match self.glance(name) {
            Some(known) => Ok(known.as_ref().map(BlockRef::of)),
            None => self.look(name, |view, located| read::read_ref(&self.inner.source, view, name, located)),
        }
    }

    pub(crate) fn get_with<R>(&self, name: &[u8], look: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        match self.glance(name) {
            Some(known) => Ok(known.map(|piece| look(&piece))),
            None => {
                let read =
                    |view: &View, located: &Located| read::read_ref(&self.inner.source, view, name, located);
                Ok(self.look(name, read)?.map(|bytes| look(&bytes)))
            }
        }
    }

    pub(crate) fn exists(&self, name: &[u8]) -> Result<bool> {
        if let Some(known) = self.known(name) {
            return Ok(known != Known::Absent);
        }
        let newest;
        let view = match self.view {
            Some(view) => view,
            None => {
                newest = self.inner.shared.view();
                &newest
            }
        };
        let there = read::exists(&self.inner.source, view, name)?;
        if !there {
            self.inner.shared.names.learn(name, view.sequence, &Known::Absent);
        }
        Ok(there)
    }
}
