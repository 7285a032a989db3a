//! Reading the state of one moment.

use crate::error::Result;
use crate::get::Reads;
use crate::inner::Inner;
use crate::iter::{Iter, Span};
use crate::read::{BlockRef, Metadata};
use crate::stream::BlockReader;
use crate::view::View;
use blockyard_core::Sequence;
use std::ops::RangeBounds;
use std::sync::Arc;

/// The state of a store at one moment. Its reads are those of [`Store`](crate::Store).
#[derive(Clone, Debug)]
pub struct Snapshot {
    inner: Arc<Inner>,
    view: View,
}

impl Snapshot {
    pub(crate) const fn new(inner: Arc<Inner>, view: View) -> Self {
        Self { inner, view }
    }

    fn reads(&self) -> Reads<'_> {
        Reads::of(&self.inner, &self.view)
    }

    /// The last commit that the snapshot sees.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        Sequence(self.view.sequence)
    }

    /// Reads a block.
    ///
    /// # Errors
    /// As [`Store::get`](crate::Store::get).
    pub fn get(&self, name: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        self.reads().get(name.as_ref())
    }

    /// Reads a block into `buf` and returns its length.
    ///
    /// # Errors
    /// As [`Store::get_into`](crate::Store::get_into).
    pub fn get_into(&self, name: impl AsRef<[u8]>, buf: &mut [u8]) -> Result<Option<usize>> {
        self.reads().get_into(name.as_ref(), buf)
    }

    /// Reads a block without copying it.
    ///
    /// # Errors
    /// As [`Store::get_ref`](crate::Store::get_ref).
    pub fn get_ref(&self, name: impl AsRef<[u8]>) -> Result<Option<BlockRef>> {
        self.reads().get_ref(name.as_ref())
    }

    /// Shows a block's bytes to `look` where they are, neither copied nor shared: the fastest way to read a
    /// small block that is in the cache, which keeps the bytes meanwhile.
    ///
    /// # Errors
    /// As [`get_ref`](Self::get_ref).
    pub fn get_with<R>(&self, name: impl AsRef<[u8]>, look: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        self.reads().get_with(name.as_ref(), look)
    }

    /// Whether a block existed.
    ///
    /// # Errors
    /// As [`Store::exists`](crate::Store::exists).
    pub fn exists(&self, name: impl AsRef<[u8]>) -> Result<bool> {
        self.reads().exists(name.as_ref())
    }

    /// What was known of a block.
    ///
    /// # Errors
    /// As [`Store::metadata`](crate::Store::metadata).
    pub fn metadata(&self, name: impl AsRef<[u8]>) -> Result<Option<Metadata>> {
        self.inner.metadata(&self.view, name.as_ref())
    }

    /// A reader of a block.
    ///
    /// # Errors
    /// As [`Store::reader`](crate::Store::reader).
    pub fn reader(&self, name: impl AsRef<[u8]>) -> Result<Option<BlockReader>> {
        BlockReader::open(Arc::clone(&self.inner), self.view.clone(), name.as_ref())
    }

    /// All blocks by name; also from the end.
    #[must_use]
    pub fn iter(&self) -> Iter {
        self.span(Span::all())
    }

    /// The blocks whose names begin with `prefix`.
    #[must_use]
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Iter {
        self.span(Span::prefix(prefix.as_ref()))
    }

    /// The blocks whose names lie in `range`.
    #[must_use]
    pub fn range<N: AsRef<[u8]>>(&self, range: impl RangeBounds<N>) -> Iter {
        self.span(Span::range(&range))
    }

    fn span(&self, span: Span) -> Iter {
        Iter::new(Arc::clone(&self.inner), self.view.clone(), span)
    }
}
