//! Frames on their way out: collected back to back, then shared by everybody who has yet to
//! write them.

use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

use crate::{Error, Message, Result};

/// Frames that are being collected.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub bytes: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<u32>,
}

impl Batch {
    /// Makes room for one more frame, so that writing it cannot fail.
    pub fn reserve(&mut self, frame: usize) -> Result<()> {
        let enough = self.bytes.try_reserve(frame).is_ok() && self.ends.try_reserve(1).is_ok();
        if enough { Ok(()) } else { Err(Error::no_memory(frame)) }
    }

    /// Everything up to here belongs to frames that are complete now.
    pub fn end_frame(&mut self) {
        self.ends.push(self.bytes.len() as u32);
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn frames(&self) -> usize {
        self.ends.len()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// The frames as a segment. A small batch leaves its large allocation behind for the next.
    pub fn seal(&mut self) -> Segment {
        let mut sealed = Batch::default();
        if self.bytes.len() * 2 < self.bytes.capacity() && sealed.copy(self).is_ok() {
            self.clear();
        } else {
            // Its like is about to be collected again: without room for it, it would grow in steps.
            let _ = sealed.bytes.try_reserve(self.bytes.len());
            std::mem::swap(self, &mut sealed);
        }
        Segment { content: Content::Own(sealed.bytes), ends: sealed.ends }
    }

    fn copy(&mut self, from: &Batch) -> Result<()> {
        self.reserve(from.bytes.len())?;
        self.ends.try_reserve(from.ends.len()).map_err(|_| Error::no_memory(from.ends.len()))?;
        self.bytes.extend_from_slice(&from.bytes);
        self.ends.extend_from_slice(&from.ends);
        Ok(())
    }
}

#[derive(Debug)]
enum Content {
    Own(Vec<u8>),
    Message(Message),
}

/// Frames back to back, never changed any more.
#[derive(Debug)]
pub(crate) struct Segment {
    content: Content,
    ends: Vec<u32>,
}

impl Segment {
    /// The frame of a message, shared with it.
    pub fn of_message(message: &Message) -> Segment {
        let end = message.frame().len() as u32;
        Segment { content: Content::Message(message.clone()), ends: vec![end] }
    }

    /// One frame, put together from its parts.
    pub fn of_parts(parts: &[&[u8]]) -> Result<Segment> {
        let mut batch = Batch::default();
        batch.reserve(parts.iter().map(|part| part.len()).sum())?;
        parts.iter().for_each(|part| batch.bytes.extend_from_slice(part));
        batch.end_frame();
        Ok(batch.seal())
    }

    pub fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Own(bytes) => bytes,
            Content::Message(message) => message.frame(),
        }
    }

    pub fn frames(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of one frame.
    pub fn frame(&self, index: usize) -> &[u8] {
        &self.bytes()[self.range(index..index + 1)]
    }

    fn range(&self, frames: Range<usize>) -> Range<usize> {
        let edge = |frame: usize| if frame == 0 { 0 } else { self.ends[frame - 1] as usize };
        edge(frames.start)..edge(frames.end)
    }

    /// How many whole frames lie before `offset`.
    fn frames_before(&self, offset: usize) -> usize {
        self.ends.partition_point(|end| *end as usize <= offset)
    }
}

/// Some frames of a segment.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    segment: Arc<Segment>,
    first: u32,
    end: u32,
}

impl Span {
    pub fn whole(segment: &Arc<Segment>) -> Span {
        Span { segment: segment.clone(), first: 0, end: segment.frames() as u32 }
    }

    pub fn none(segment: &Arc<Segment>) -> Span {
        Span { segment: segment.clone(), first: 0, end: 0 }
    }

    pub fn frames(&self) -> usize {
        (self.end - self.first) as usize
    }

    pub fn bytes(&self) -> &[u8] {
        &self.segment.bytes()[self.segment.range(self.first as usize..self.end as usize)]
    }

    /// Drops the first frame and returns its length.
    pub fn drop_first(&mut self) -> usize {
        let length = self.segment.frame(self.first as usize).len();
        self.first += 1;
        length
    }

    /// Keeps as many of the first frames as fit in `room` bytes and returns how many were cut off.
    pub fn keep_what_fits(&mut self, room: usize) -> usize {
        let start = self.segment.range(self.first as usize..self.first as usize).start;
        let fitting = self.segment.frames_before(start + room) as u32;
        let before = self.end;
        self.end = before.min(fitting.max(self.first));
        (before - self.end) as usize
    }

    /// Takes the first `written` bytes off: how many frames they complete, and the rest of the
    /// frame that they cut through.
    pub fn advance(&mut self, written: usize) -> (usize, Option<Rest>) {
        let start = self.segment.range(self.first as usize..self.first as usize).start;
        let offset = start + written;
        let complete = self.segment.frames_before(offset) as u32 - self.first;
        self.first += complete;
        let cut = self.segment.range(self.first as usize..self.first as usize).start;
        if offset == cut {
            return (complete as usize, None);
        }
        let end = self.segment.range(self.first as usize..self.first as usize + 1).end;
        self.first += 1;
        let (at, end) = (offset as u32, end as u32);
        (complete as usize, Some(Rest { segment: self.segment.clone(), at, end }))
    }
}

/// What is left of a frame that was partly written: it goes out before anything else. Its offsets are
/// those of `ends`: every client has room for one.
#[derive(Debug)]
pub(crate) struct Rest {
    segment: Arc<Segment>,
    at: u32,
    end: u32,
}

impl Rest {
    /// The rest of a frame, copied from the parts that it consists of.
    pub fn of_parts(parts: &[&[u8]]) -> Result<Rest> {
        let segment = Arc::new(Segment::of_parts(parts)?);
        let end = segment.bytes().len() as u32;
        Ok(Rest { segment, at: 0, end })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.segment.bytes()[self.at as usize..self.end as usize]
    }

    pub fn advance(&mut self, written: usize) {
        self.at += written as u32;
    }
}

/// `IoSlice`s on the stack: what one gathering write takes at most.
pub(crate) struct Gather<'a> {
    slices: [IoSlice<'a>; Gather::MOST],
    filled: usize,
}

impl<'a> Gather<'a> {
    const MOST: usize = 64;

    pub fn new() -> Gather<'a> {
        Gather { slices: [IoSlice::new(&[]); Gather::MOST], filled: 0 }
    }

    /// `false` when no more fits.
    pub fn add(&mut self, bytes: &'a [u8]) -> bool {
        let fits = self.filled < Gather::MOST;
        if fits {
            self.slices[self.filled] = IoSlice::new(bytes);
            self.filled += 1;
        }
        fits
    }

    pub fn slices(&self) -> &[IoSlice<'a>] {
        &self.slices[..self.filled]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(frames: &[&str]) -> Arc<Segment> {
        let mut batch = Batch::default();
        for frame in frames {
            batch.reserve(frame.len()).unwrap();
            batch.bytes.extend_from_slice(frame.as_bytes());
            batch.end_frame();
        }
        Arc::new(batch.seal())
    }

    #[test]
    fn a_write_that_ends_inside_a_frame_leaves_its_rest() {
        let mut span = Span::whole(&segment(&["aaa", "bbbb", "cc"]));
        let (complete, rest) = span.advance(5);
        assert_eq!(complete, 1);
        assert_eq!(rest.unwrap().bytes(), b"bb");
        assert_eq!(span.bytes(), b"cc");
    }

    #[test]
    fn a_write_that_ends_between_frames_leaves_none() {
        let mut span = Span::whole(&segment(&["aaa", "bbbb", "cc"]));
        assert!(matches!(span.advance(7), (2, None)));
        assert_eq!(span.bytes(), b"cc");
        assert!(matches!(span.advance(2), (1, None)));
        assert_eq!(span.frames(), 0);
    }

    #[test]
    fn frames_are_dropped_and_kept_whole() {
        let mut span = Span::whole(&segment(&["aaa", "bbbb", "cc"]));
        assert_eq!(span.drop_first(), 3);
        assert_eq!(span.keep_what_fits(5), 1);
        assert_eq!(span.bytes(), b"bbbb");
        assert_eq!(span.keep_what_fits(3), 1);
        assert_eq!(span.frames(), 0);
    }

    #[test]
    fn sealing_a_small_batch_keeps_its_memory_for_the_next() {
        let mut batch = Batch::default();
        batch.reserve(65536).unwrap();
        batch.bytes.extend_from_slice(b"frame");
        batch.end_frame();
        assert_eq!(batch.seal().bytes(), b"frame");
        assert!(batch.is_empty() && batch.bytes.capacity() >= 65536);
    }
}
