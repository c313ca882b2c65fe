//! Length-prefixed frames: cutting them out of a stream of bytes.

use crate::Result;

/// Bytes of the length in front of every body.
pub(crate) const HEADER: usize = 4;

/// What stands at the head of the bytes that have arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A whole frame: the length of its body.
    Frame(usize),
    /// Not whole yet.
    Incomplete,
    /// A body longer than allowed: the connection is of no use any more.
    TooLarge(usize),
}

/// Bytes of one connection on their way from the socket to whole frames.
///
/// Memory grows with the bytes that arrived, never with a length that was announced.
#[derive(Debug, Default)]
pub(crate) struct FrameBuffer {
    _bytes: Vec<u8>,
}

impl FrameBuffer {
    /// Room to read into: at least one byte, `size` where memory is there already, and up to
    /// what the frame that has begun still lacks (growing with what has arrived).
    pub fn room(&mut self, _size: usize) -> Result<&mut [u8]> {
        todo!()
    }

    /// `count` bytes were read into the room.
    pub fn filled(&mut self, _count: usize) {
        todo!()
    }

    /// What stands at the head.
    pub fn cut(&self, _max_body: usize) -> Cut {
        todo!()
    }

    /// Takes the frame at the head, with its header, out of the buffer, without copying.
    pub fn next(&mut self, _body: usize) -> &[u8] {
        todo!()
    }

    /// The frame at the head, with its header, as memory of its own: the buffer itself where it
    /// holds just that one large frame, else a copy. (Allocated fallibly.)
    pub fn take(&mut self, _body: usize) -> Result<Vec<u8>> {
        todo!()
    }

    /// How many bytes have arrived and were not taken.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Gives memory back that an idle connection need not keep: the whole of it when the buffer
    /// is empty, else all but what holds the frame that has begun. Returns the freed allocation
    /// for the next connection that reads.
    pub fn release(&mut self) -> Vec<u8> {
        todo!()
    }

    /// Gives an empty buffer memory to read into, as [`FrameBuffer::release`] returned it.
    pub fn lend(&mut self, _spare: Vec<u8>) {
        todo!()
    }
}
