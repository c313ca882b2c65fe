//! Frames on their way to clients, before anybody has to keep them.

use std::io::IoSlice;
use std::sync::Arc;

use super::segment::{Batch, Rest, Segment};
use crate::Result;

/// Frames on their way to many clients, in the cheapest form that still serves.
pub(super) enum Load<'a> {
    Batch(&'a mut Batch),
    /// Head and payload of one frame, and whether what a client has to keep of them was copied once
    /// already: then all of it is worth a copy that everybody else shares.
    Parts(&'a [u8], &'a [u8], bool),
    Sealed(Arc<Segment>),
}

impl Load<'_> {
    #[inline(always)]
    pub fn frames(&self) -> usize {
        match self {
            Load::Batch(batch) => batch.frames(),
            Load::Parts(..) => 1,
            Load::Sealed(segment) => segment.frames(),
        }
    }

    /// What is left of a single frame when its first bytes are written, where that is less than
    /// all of it and would have to be copied.
    pub fn rest(&mut self, written: usize) -> Option<Result<Rest>> {
        let Load::Parts(head, data, copied @ false) = self else { return None };
        *copied = written > 0;
        let head_left = &head[written.min(head.len())..];
        let data_left = &data[written.saturating_sub(head.len())..];
        (written > 0).then(|| Rest::of_parts(&[head_left, data_left]))
    }

    pub fn bytes(&self) -> usize {
        match self {
            Load::Batch(batch) => batch.bytes.len(),
            Load::Parts(head, data, _) => head.len() + data.len(),
            Load::Sealed(segment) => segment.bytes().len(),
        }
    }

    #[inline(always)]
    pub fn with_slices<R>(&self, write: impl FnOnce(&[IoSlice]) -> R) -> R {
        match self {
            Load::Batch(batch) => write(&[IoSlice::new(&batch.bytes)]),
            Load::Parts(head, data, _) => write(&[IoSlice::new(head), IoSlice::new(data)]),
            Load::Sealed(segment) => write(&[IoSlice::new(segment.bytes())]),
        }
    }

    /// The same as a segment that outboxes can share.
    pub fn seal(&mut self) -> Result<Arc<Segment>> {
        let segment = match self {
            Load::Batch(batch) => Arc::new(batch.seal()),
            Load::Parts(head, data, _) => Arc::new(Segment::of_parts(&[head, data])?),
            Load::Sealed(segment) => segment.clone(),
        };
        *self = Load::Sealed(segment.clone());
        Ok(segment)
    }
}
