//! Bytes on their way to the server that its socket had no room for, or that a cork collects.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;

use crate::sys::{self, Unsent};
use crate::wire::frame::HEADER;
use crate::{Error, Result};

/// Up to how many bytes a cork collects.
pub(super) const CORK_SIZE: usize = 64 * 1024;

/// A frame to send: in one piece, or its head and a large payload that nobody copies.
#[derive(Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub head: &'a [u8],
    pub payload: &'a [u8],
}

impl Outgoing<'_> {
    pub fn len(&self) -> usize {
        self.head.len() + self.payload.len()
    }

    /// Writes what there is room for, without waiting.
    #[inline(always)]
    pub fn write(&self, socket: BorrowedFd) -> std::result::Result<usize, Unsent> {
        if self.payload.is_empty() {
            return sys::send(socket, &[IoSlice::new(self.head)]);
        }
        sys::send(socket, &[IoSlice::new(self.head), IoSlice::new(self.payload)])
    }
}

/// What a write came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub bytes: usize,
    /// Messages of which the first byte left.
    pub messages: u64,
}

/// The rest of a frame that has begun, whole frames behind it, or both.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How many of them have left.
    sent: usize,
    /// Where the first frame starts of which nothing has left.
    unbegun: usize,
    /// The last write found no room.
    stuck: bool,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that have not left.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Whether a frame is on its way of which a part has left.
    pub fn has_begun(&self) -> bool {
        self.unbegun > self.sent
    }

    /// Whether the last write found no room, so that another one is not worth a call before the
    /// socket was waited for.
    pub fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// Adds a whole frame.
    pub fn push(&mut self, frame: &Outgoing) -> Result<()> {
        self.append(frame.head, frame.payload)
    }

    /// Adds what is left of a frame whose first `sent` bytes have left; the outbox was empty.
    pub fn push_rest(&mut self, frame: &Outgoing, sent: usize) -> Result<()> {
        let head = &frame.head[sent.min(frame.head.len())..];
        let payload = &frame.payload[sent.saturating_sub(frame.head.len())..];
        self.append(head, payload)?;
        self.unbegun = self.bytes.len();
        Ok(())
    }

    fn append(&mut self, head: &[u8], payload: &[u8]) -> Result<()> {
        let size = head.len() + payload.len();
        // A server that reads slowly may never let it become empty.
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.unbegun -= self.sent;
            self.sent = 0;
        }
        self.bytes.try_reserve(size).map_err(|_| Error::no_memory(size))?;
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(payload);
        Ok(())
    }

    /// Writes what there is room for, without waiting.
    pub fn write(&mut self, socket: BorrowedFd) -> std::result::Result<Written, Unsent> {
        let result = sys::send(socket, &[IoSlice::new(&self.bytes[self.sent..])]);
        self.stuck = result.is_err();
        let bytes = result?;
        Ok(Written { bytes, messages: self.advance(bytes) })
    }

    /// `count` bytes have left; returns how many messages began with them.
    fn advance(&mut self, count: usize) -> u64 {
        self.sent += count;
        let mut messages = 0;
        while self.unbegun < self.sent {
            self.unbegun += HEADER + body_len(&self.bytes[self.unbegun..]);
            messages += 1;
        }
        if self.sent == self.bytes.len() {
            self.clear();
        }
        messages
    }

    /// The connection is lost: the rest of a frame is of no use to the next one, whole frames are.
    pub fn forget_begun(&mut self) {
        self.bytes.drain(..self.unbegun);
        self.sent = 0;
        self.unbegun = 0;
        self.stuck = false;
    }

    fn clear(&mut self) {
        self.bytes.clear();
        // What one large message needed is not kept for ever. Shrinking could lack memory.
        if self.bytes.capacity() > CORK_SIZE {
            self.bytes = Vec::new();
        }
        self.sent = 0;
        self.unbegun = 0;
        self.stuck = false;
    }
}

/// The length of the body of the frame that starts here. We made the frame: it is whole.
fn body_len(frame: &[u8]) -> usize {
    frame.first_chunk::<HEADER>().map_or(0, |header| u32::from_be_bytes(*header) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: usize) -> Vec<u8> {
        let mut frame = (body as u32).to_be_bytes().to_vec();
        frame.resize(HEADER + body, b'x');
        frame
    }

    fn outbox(bodies: &[usize]) -> Outbox {
        let mut outbox = Outbox::default();
        for &body in bodies {
            outbox.push(&Outgoing { head: &frame(body), payload: &[] }).unwrap();
        }
        outbox
    }

    #[test]
    fn messages_count_from_their_first_byte() {
        let mut outbox = outbox(&[10, 20, 30]);
        assert_eq!(outbox.advance(13), 1);
        assert!(outbox.has_begun());
        assert_eq!(outbox.advance(1), 0);
        assert!(!outbox.has_begun());
        assert_eq!(outbox.advance(24 + 1), 2);
        assert_eq!(outbox.advance(33), 0);
        assert!(outbox.is_empty());
    }

    #[test]
    fn what_has_left_takes_no_memory_although_there_is_always_more() {
        let mut outbox = outbox(&[100]);
        for _ in 0..1000 {
            outbox.push(&Outgoing { head: &frame(96), payload: &[] }).unwrap();
            assert_eq!(outbox.advance(100), 1);
            assert!(outbox.has_begun() && outbox.bytes.len() <= 400);
        }
        outbox.advance(104);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_new_connection_gets_whole_frames_only() {
        let mut outbox = outbox(&[10, 20]);
        outbox.advance(5);
        outbox.forget_begun();
        assert_eq!(outbox.bytes, frame(20));
        outbox.forget_begun();
        assert_eq!(outbox.len(), 24);
    }

    #[test]
    fn the_rest_of_a_frame_begins_anywhere() {
        let whole = frame(40);
        let (head, payload) = whole.split_at(9);
        for sent in 1..whole.len() {
            let mut outbox = Outbox::default();
            outbox.push_rest(&Outgoing { head, payload }, sent).unwrap();
            assert_eq!(outbox.bytes, whole[sent..]);
            assert!(outbox.has_begun());
            outbox.push(&Outgoing { head: &whole, payload: &[] }).unwrap();
            outbox.forget_begun();
            assert_eq!(outbox.bytes, whole);
        }
    }
}
