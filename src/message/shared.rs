//! What the clones of a message share, and its memory: where the last clone of a message goes, its
//! memory stays with the thread for the next message that it makes. A program that takes a message,
//! looks at it and lets it go costs the allocator nothing.

use std::cell::Cell;
use std::ops::Deref;

use triomphe::{Arc, UniqueArc};

use super::Inner;
use crate::texts::Texts;
use crate::wire::envelope::Fields;
use crate::{Error, Result};

/// The most bytes for a frame that a thread keeps memory for.
const MOST_SPARE: usize = 4096;

thread_local! {
    static SPARE: Cell<Option<UniqueArc<Inner>>> = const { Cell::new(None) };
}

/// A counted reference to what the clones of a message share.
#[derive(Debug, Clone)]
pub(crate) struct Shared(
    /// `None` only while it is dropped.
    Option<Arc<Inner>>,
);

impl Shared {
    /// Takes over a frame that was found to be well-formed; fails only for want of memory, and then
    /// before the frame is taken from where it is.
    #[inline]
    pub fn new(frame: impl FnOnce() -> Result<Vec<u8>>, fields: Fields) -> Result<Shared> {
        let mut inner = new(fields)?;
        inner.frame = frame()?;
        Ok(Shared(Some(inner.shareable())))
    }

    /// Copies a frame that was found to be well-formed; fails only for want of memory.
    #[inline(always)]
    pub fn copy(frame: &[u8], fields: Fields) -> Result<Shared> {
        let mut inner = match take_spare(frame.len()) {
            Some(mut spare) => {
                spare.fields = fields;
                spare
            }
            None => new(fields)?,
        };
        inner.frame.clear();
        if inner.frame.capacity() < frame.len() {
            grow(&mut inner.frame, frame.len())?;
        }
        inner.frame.extend_from_slice(frame);
        Ok(Shared(Some(inner.shareable())))
    }

    /// The pointer that stands for this reference, for the C API.
    pub fn into_raw(mut self) -> *const Inner {
        self.0.take().map_or(std::ptr::null(), Arc::into_raw)
    }

    /// The same pointer, while the reference stays here.
    pub fn as_ptr(&self) -> *const Inner {
        // Not by way of a reference to what is shared, which stands for that alone: the pointer may
        // become a reference of its own, with the count that lies in front.
        self.0.as_ref().map_or(std::ptr::null(), Arc::as_ptr)
    }

    /// The reference that a pointer of [`Shared::into_raw`] stands for.
    pub fn from_arc(inner: Arc<Inner>) -> Shared {
        Shared(Some(inner))
    }
}

#[inline(never)]
fn grow(frame: &mut Vec<u8>, size: usize) -> Result<()> {
    frame.try_reserve_exact(size).map_err(|_| Error::no_memory(size))
}

#[inline(never)]
fn new(fields: Fields) -> Result<UniqueArc<Inner>> {
    UniqueArc::try_new(Inner { frame: Vec::new(), fields, texts: Texts::default() })
        .map_err(|_| Error::no_memory(size_of::<Inner>()))
}

/// The memory of a message that is gone, if there is some and it is not far larger than needed: the
/// new message may be one that the program keeps.
#[inline(always)]
fn take_spare(size: usize) -> Option<UniqueArc<Inner>> {
    // A thread that is ending has lost its thread-locals.
    let spare = SPARE.try_with(Cell::take).ok().flatten()?;
    (spare.frame.capacity() <= 4 * size).then_some(spare)
}

impl Deref for Shared {
    type Target = Inner;

    #[inline(always)]
    fn deref(&self) -> &Inner {
        match &self.0 {
            Some(inner) => inner,
            None => unreachable!("a message was used while it was dropped"),
        }
    }
}

impl Drop for Shared {
    #[inline(always)]
    fn drop(&mut self) {
        let Some(inner) = self.0.take() else { return };
        if let Ok(mut inner) = Arc::try_unique(inner)
            && inner.frame.capacity() <= MOST_SPARE
        {
            inner.texts = Texts::default();
            let _ = SPARE.try_with(|spare| spare.replace(Some(inner)));
        }
    }
}
