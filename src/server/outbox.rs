//! What waits for one client: bounded, in order, and honest about what it dropped.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::segment::{Gather, Rest, Segment, Span};
use crate::sys::{self, Unsent};

/// How a write to the socket ended.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Nothing is left.
    Done,
    /// The socket has no more room.
    Blocked,
    /// There is no memory to write with, though the socket may have room: try again by the clock.
    Starved,
    /// The peer takes nothing any more.
    Broken(io::Error),
}

impl Progress {
    /// How it ended with a write that took nothing.
    pub fn after(unsent: Unsent) -> Progress {
        match unsent {
            Unsent::NoRoom => Progress::Blocked,
            Unsent::NoMemory => Progress::Starved,
            Unsent::Broken(error) => Progress::Broken(error),
        }
    }
}

/// What the kernel took of the frames of one client.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub frames: u64,
    pub bytes: u64,
}

#[derive(Debug)]
enum Item {
    Frames(Span),
    /// That many frames were dropped here; the client is told when their turn comes. The frame
    /// that tells it is made then, and made anew if more are dropped before it has begun.
    Missed(u64, Option<Span>),
}

impl Item {
    fn span(&mut self) -> Option<&mut Span> {
        match self {
            Item::Frames(span) | Item::Missed(_, Some(span)) => Some(span),
            Item::Missed(_, None) => None,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// The frame that was partly written.
    rest: Option<Rest>,
    queue: VecDeque<Item>,
    /// Bytes of `rest` and of the frames in `queue`.
    bytes: usize,
    /// Dropped frames whose gap there was no memory to note.
    untold: u64,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.rest.is_none() && self.queue.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a frame may join under a bound of `limit` bytes. One that is larger than all of it
    /// goes when nothing else waits.
    pub fn has_room(&self, frame: usize, limit: usize) -> bool {
        self.bytes == 0 || self.bytes + frame <= limit
    }

    /// Makes sure that frames can be pushed, and gaps noted at the head and beside them; `false`
    /// without memory.
    pub fn reserve(&mut self) -> bool {
        self.queue.try_reserve(3).is_ok()
    }

    /// Queues frames; there is room for them.
    pub fn push(&mut self, span: Span) {
        if span.frames() > 0 {
            self.miss(0);
            self.bytes += span.bytes().len();
            self.queue.push_back(Item::Frames(span));
        }
    }

    /// Queues frames of which the kernel took the first `written` bytes already.
    pub fn push_rest(&mut self, segment: &Arc<Segment>, written: usize) -> Sent {
        let mut span = Span::whole(segment);
        let (frames, rest) = span.advance(written);
        if let Some(rest) = rest {
            self.keep_rest(rest);
        }
        self.push(span);
        Sent { frames: frames as u64, bytes: written as u64 }
    }

    /// Puts the rest of a frame in front of everything else.
    pub fn keep_rest(&mut self, rest: Rest) {
        self.bytes += rest.bytes().len();
        self.rest = Some(rest);
    }

    /// Drops the oldest frames that have not begun until `frames` bytes fit under `limit`, and
    /// returns how many that were. The gap is where they stood, at the head of the queue.
    pub fn drop_oldest(&mut self, frames: usize, limit: usize) -> u64 {
        let (mut dropped, mut announced) = (0, 0);
        while self.bytes + frames > limit {
            match self.queue.front_mut() {
                Some(Item::Frames(span)) => {
                    self.bytes -= span.drop_first();
                    dropped += 1;
                    if span.frames() == 0 {
                        self.queue.pop_front();
                    }
                }
                Some(Item::Missed(count, notice)) => {
                    announced += *count;
                    self.bytes -= notice.as_ref().map_or(0, |notice| notice.bytes().len());
                    self.queue.pop_front();
                }
                None => break,
            }
        }
        self.miss_at_head(dropped + announced);
        dropped
    }

    fn miss_at_head(&mut self, frames: u64) {
        if frames > 0 {
            self.queue.push_front(Item::Missed(frames, None));
        }
    }

    /// Notes that frames which would come next were dropped instead. Without memory for that they
    /// are told of before the frames that come next.
    pub fn miss(&mut self, frames: u64) {
        self.untold += frames;
        if self.untold == 0 {
            return;
        }
        if let Some(Item::Missed(count, notice)) = self.queue.back_mut() {
            *count += std::mem::take(&mut self.untold);
            self.bytes -= notice.take().map_or(0, |notice| notice.bytes().len());
        } else if self.queue.try_reserve(1).is_ok() {
            self.queue.push_back(Item::Missed(std::mem::take(&mut self.untold), None));
        }
    }

    /// Drops everything and returns how many frames that were, one partly written included.
    pub fn clear(&mut self) -> u64 {
        let frames = |item: &Item| if let Item::Frames(span) = item { span.frames() } else { 0 };
        let dropped = self.queue.iter().map(frames).sum::<usize>() + self.rest.iter().count();
        *self = Outbox::default();
        dropped as u64
    }

    /// Writes the rest of the frame that was begun, and nothing else.
    pub fn write_rest(&mut self, socket: BorrowedFd, sent: &mut Sent) -> Progress {
        while let Some(rest) = &self.rest {
            match sys::send(socket, &[IoSlice::new(rest.bytes())]) {
                Ok(written) => self.advance(written, sent),
                Err(unsent) => return Progress::after(unsent),
            }
        }
        Progress::Done
    }

    /// Writes what the socket has room for. `notice` makes the frame that tells of a gap.
    pub fn write(
        &mut self,
        socket: BorrowedFd,
        sent: &mut Sent,
        mut notice: impl FnMut(u64) -> Option<Segment>,
    ) -> Progress {
        while !self.is_empty() {
            if let Some(Item::Missed(count, told @ None)) = self.queue.front_mut() {
                let Some(frame) = notice(*count) else { return Progress::Starved };
                self.bytes += frame.bytes().len();
                *told = Some(Span::whole(&Arc::new(frame)));
            }
            let mut gather = Gather::new();
            if let Some(rest) = &self.rest {
                gather.add(rest.bytes());
            }
            for item in &self.queue {
                match item {
                    Item::Frames(span) | Item::Missed(_, Some(span))
                        if gather.add(span.bytes()) => {}
                    _ => break,
                }
            }
            match sys::send(socket, gather.slices()) {
                Ok(written) => self.advance(written, sent),
                Err(unsent) => return Progress::after(unsent),
            }
        }
        Progress::Done
    }

    fn advance(&mut self, mut written: usize, sent: &mut Sent) {
        sent.bytes += written as u64;
        self.bytes -= written;
        if let Some(rest) = &mut self.rest {
            let length = rest.bytes().len();
            if written < length {
                return rest.advance(written);
            }
            written -= length;
            self.rest = None;
            sent.frames += 1;
        }
        while written > 0 {
            let Some(span) = self.queue.front_mut().and_then(Item::span) else { return };
            let length = span.bytes().len();
            let (frames, rest) = span.advance(written.min(length));
            sent.frames += frames as u64;
            written -= written.min(length);
            if span.frames() == 0 {
                self.queue.pop_front();
            }
            self.rest = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_gap_that_grows_before_it_was_told_is_told_once() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut filled = 0;
        while let Ok(written) = ours.write(&[0; 4096]) {
            filled += written;
        }
        let mut outbox = Outbox::default();
        let write = |outbox: &mut Outbox| {
            let notice = |count: u64| Segment::of_parts(&[&[0, 0, 0, 1], &[count as u8]]).ok();
            outbox.write(ours.as_fd(), &mut Sent::default(), notice)
        };
        outbox.miss(1);
        assert!(matches!(write(&mut outbox), Progress::Blocked));
        outbox.miss(2);
        theirs.read_exact(&mut vec![0; filled]).unwrap();
        assert!(matches!(write(&mut outbox), Progress::Done));
        assert_eq!(outbox.bytes(), 0);
        drop(ours);
        let mut told = Vec::new();
        theirs.read_to_end(&mut told).unwrap();
        assert_eq!(told, [0, 0, 0, 1, 3]);
    }
}
