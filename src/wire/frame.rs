//! Length-prefixed frames: cutting them out of a stream of bytes.

use crate::{Error, Result};

/// Bytes of the length in front of every body.
pub(crate) const HEADER: usize = 4;

/// From this many bytes on, handing a frame's memory over beats copying the frame.
pub(crate) const LARGE: usize = 16 * 1024;

/// Up to so many bytes are prepared for a frame because the last one needed them. Beyond that, memory
/// grows with what arrives.
const MOST_EXPECTED: usize = 1024 * 1024;

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
    /// What has arrived; from `head` on, it was not taken yet.
    bytes: Vec<u8>,
    head: usize,
    /// The size of the last frame, where that was large: the next one is likely to need as much.
    last_large: usize,
}

impl FrameBuffer {
    /// Has `read` append up to so many bytes, for which there is memory: `size` where the buffer
    /// is empty, and up to what the frame that has begun still lacks (growing with what has
    /// arrived). Returns that number, and what `read` returns.
    #[inline(always)]
    pub fn fill<R>(
        &mut self,
        size: usize,
        read: impl FnOnce(&mut Vec<u8>, usize) -> R,
    ) -> Result<(usize, R)> {
        let most = self.make_room(size)?;
        Ok((most, read(&mut self.bytes, most)))
    }

    #[inline(always)]
    fn make_room(&mut self, size: usize) -> Result<usize> {
        self.move_to_front();
        let usual = size.max(self.last_large.min(MOST_EXPECTED)).max(1);
        if self.bytes.is_empty() && self.bytes.capacity() > usual {
            self.bytes = Vec::new();
        }
        if self.bytes.capacity() == 0 {
            self.grow_to(usual)?;
        }
        let whole = self.announced().map(|body| HEADER.saturating_add(body));
        if self.bytes.len() == self.bytes.capacity() {
            let doubled = self.bytes.len().saturating_mul(2).max(HEADER);
            let least = self.bytes.len() + 1;
            self.grow_to(whole.map_or(doubled, |whole| doubled.min(whole).max(least)))?;
        }
        // Reading no further than the end of a large frame leaves it alone in the buffer, so that
        // `take` can hand the buffer over.
        let end = match whole {
            Some(whole) if whole >= LARGE && whole > self.bytes.len() => {
                whole.min(self.bytes.capacity())
            }
            _ => self.bytes.capacity(),
        };
        Ok(end - self.bytes.len())
    }

    /// What stands at the head.
    #[inline(always)]
    pub fn cut(&self, max_body: usize) -> Cut {
        match self.announced() {
            Some(body) if body > max_body => Cut::TooLarge(body),
            Some(body) if self.len() - HEADER >= body => Cut::Frame(body),
            _ => Cut::Incomplete,
        }
    }

    /// The frame at the head, with its header; `body` is the length that [`FrameBuffer::cut`] found.
    #[inline]
    pub fn frame(&self, body: usize) -> &[u8] {
        &self.bytes[self.head..][..HEADER + body]
    }

    /// Passes that frame: it was taken, or is dropped.
    #[inline]
    pub fn pass(&mut self, body: usize) {
        self.head += HEADER + body;
        self.note_size(HEADER + body);
    }

    /// Takes that frame as memory of its own: the buffer itself where it holds just that one large
    /// frame, else a copy. (Allocated fallibly.)
    pub fn take(&mut self, body: usize) -> Result<Vec<u8>> {
        let whole = HEADER + body;
        let alone = self.head == 0 && self.bytes.len() == whole;
        if whole >= LARGE && alone && whole >= self.bytes.capacity() / 2 {
            self.note_size(whole);
            return Ok(std::mem::take(&mut self.bytes));
        }
        let mut frame = Vec::new();
        frame.try_reserve_exact(whole).map_err(|_| Error::no_memory(whole))?;
        frame.extend_from_slice(self.frame(body));
        self.pass(body);
        Ok(frame)
    }

    /// How many bytes have arrived and were not taken.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.head
    }

    /// Gives memory back that an idle connection need not keep: the whole of it when the buffer
    /// is empty, else all but what holds the frame that has begun. Returns the freed memory for
    /// the next connection that reads.
    #[inline(always)]
    pub fn release(&mut self) -> Vec<u8> {
        let mut kept = Vec::new();
        // What is half full, or was made for a frame like the last one, is in good use, and copying
        // it at every pause would cost too much.
        if self.len() > 0
            && (self.expects_large()
                || self.len() >= self.bytes.capacity() / 2
                || kept.try_reserve_exact(self.len()).is_err())
        {
            return Vec::new();
        }
        kept.extend_from_slice(&self.bytes[self.head..]);
        let mut freed = std::mem::replace(&mut self.bytes, kept);
        freed.clear();
        self.head = 0;
        freed
    }

    /// How much memory it has, used or not.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether the last frame was so large that memory is handed over with each like it, so that the
    /// next one needs memory of its own.
    pub fn expects_large(&self) -> bool {
        self.last_large > 0
    }

    /// Gives the buffer memory to read into, as [`FrameBuffer::release`] returned it. A frame
    /// that has begun moves there, if there is more room than it has.
    #[inline(always)]
    pub fn lend(&mut self, mut spare: Vec<u8>) {
        if spare.capacity() > self.bytes.capacity() {
            spare.clear();
            spare.extend_from_slice(&self.bytes[self.head..]);
            (self.bytes, self.head) = (spare, 0);
        }
    }

    /// The length of the body at the head, once its header is there.
    #[inline(always)]
    fn announced(&self) -> Option<usize> {
        let header = self.bytes[self.head..].first_chunk::<HEADER>()?;
        Some(u32::from_be_bytes(*header) as usize)
    }

    #[inline]
    fn note_size(&mut self, frame: usize) {
        self.last_large = if frame >= LARGE { frame } else { 0 };
    }

    #[inline(always)]
    fn move_to_front(&mut self) {
        if self.head > 0 {
            self.bytes.copy_within(self.head.., 0);
            self.bytes.truncate(self.bytes.len() - self.head);
            self.head = 0;
        }
    }

    #[inline(never)]
    fn grow_to(&mut self, size: usize) -> Result<()> {
        let more = size - self.bytes.len();
        self.bytes.try_reserve_exact(more).map_err(|_| Error::no_memory(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1 << 24;

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut frame = (body.len() as u32).to_be_bytes().to_vec();
        frame.extend_from_slice(body);
        frame
    }

    /// Feeds all of `bytes`, at most `chunk` at a time, and takes every frame that becomes whole.
    fn feed(buffer: &mut FrameBuffer, mut bytes: &[u8], chunk: usize, size: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let read = |to: &mut Vec<u8>, most: usize| {
                let count = most.min(chunk).min(bytes.len());
                to.extend_from_slice(&bytes[..count]);
                count
            };
            let (_, count) = buffer.fill(size, read).unwrap();
            bytes = &bytes[count..];
            while let Cut::Frame(body) = buffer.cut(MAX) {
                frames.push(buffer.take(body).unwrap());
            }
        }
        frames
    }

    #[test]
    fn frames_come_out_whole_however_the_stream_is_split() {
        let sent = [frame(b"one"), frame(b""), frame(&[7; 300]), frame(b"four")];
        let stream = sent.concat();
        for chunk in 1..=stream.len() {
            for size in [1, 5, 64, 65536] {
                let mut buffer = FrameBuffer::default();
                assert_eq!(feed(&mut buffer, &stream, chunk, size), sent);
                assert_eq!(buffer.len(), 0);
            }
        }
    }

    #[test]
    fn frames_larger_than_a_read_come_out_whole() {
        let sent = [frame(&[1; 70_000]), frame(&[2; 20_000]), frame(b"x"), frame(&[3; 1_000_000])];
        for chunk in [1000, 65536, usize::MAX] {
            assert_eq!(feed(&mut FrameBuffer::default(), &sent.concat(), chunk, 65536), sent);
        }
    }

    #[test]
    fn memory_grows_with_what_arrived_not_with_what_was_announced() {
        let mut buffer = FrameBuffer::default();
        feed(&mut buffer, &(1u32 << 24).to_be_bytes(), 4, 64);
        assert_eq!(buffer.cut(MAX), Cut::Incomplete);
        for arrived in 5..10_000 {
            feed(&mut buffer, &[0], 1, 64);
            assert!(buffer.bytes.capacity() <= 2 * arrived.max(64), "{arrived}");
        }
    }

    #[test]
    fn a_length_over_the_limit_is_told_at_once() {
        let mut buffer = FrameBuffer::default();
        feed(&mut buffer, b"GET / HTTP/1.1\r\n\r\n", 100, 65536);
        assert_eq!(buffer.cut(MAX), Cut::TooLarge(0x4745_5420));
        assert_eq!(buffer.cut(0x4745_5420), Cut::Incomplete);
    }

    #[test]
    fn a_large_frame_is_handed_over_and_the_next_one_fits_at_once() {
        let sent = frame(&[5; 80_000]);
        let mut buffer = FrameBuffer::default();
        for _ in 0..3 {
            while buffer.cut(MAX) == Cut::Incomplete {
                let have = buffer.len();
                let read = |to: &mut Vec<u8>, most: usize| {
                    to.extend_from_slice(&sent[have..sent.len().min(have + most)]);
                };
                buffer.fill(65536, read).unwrap();
            }
            let memory = buffer.bytes.as_ptr();
            let taken = buffer.take(80_000).unwrap();
            assert_eq!(taken, sent);
            assert_eq!(taken.as_ptr(), memory);
            assert_eq!(buffer.make_room(65536).unwrap(), sent.len());
        }
    }

    #[test]
    fn memory_is_made_for_a_frame_like_the_last_one_and_no_larger_than_that() {
        let (large, larger) = (frame(&[5; 80_000]), frame(&[6; 3 << 20]));
        let mut buffer = FrameBuffer::default();
        assert_eq!(feed(&mut buffer, &large, usize::MAX, 65536), std::slice::from_ref(&large));
        assert_eq!(buffer.release().capacity(), 0);
        assert_eq!(feed(&mut buffer, &large[..9], usize::MAX, 65536).len(), 0);
        assert_eq!(buffer.release().capacity(), 0);
        assert_eq!(buffer.make_room(65536).unwrap(), large.len() - 9);
        assert_eq!(feed(&mut buffer, &large[9..], usize::MAX, 65536), [large]);

        assert_eq!(feed(&mut buffer, &larger, usize::MAX, 65536), [larger]);
        assert_eq!(buffer.make_room(65536).unwrap(), MOST_EXPECTED);
        assert_eq!(feed(&mut buffer, &frame(b"x"), usize::MAX, 65536), [frame(b"x")]);
        assert!(!buffer.expects_large());
        assert_eq!(buffer.release().capacity(), MOST_EXPECTED);
        assert_eq!(buffer.make_room(65536).unwrap(), 65536);
    }

    #[test]
    fn an_idle_buffer_gives_its_memory_back_and_keeps_what_has_begun() {
        let mut buffer = FrameBuffer::default();
        let sent = frame(&[9; 100]);
        assert_eq!(feed(&mut buffer, &sent, 1000, 65536).len(), 1);
        let spare = buffer.release();
        assert_eq!(spare.capacity(), 65536);
        assert_eq!(buffer.bytes.capacity(), 0);

        feed(&mut buffer, &sent[..50], 1000, 65536);
        assert_eq!(buffer.release().capacity(), 65536);
        assert_eq!((buffer.len(), buffer.bytes.capacity()), (50, 50));
        buffer.lend(spare);
        assert_eq!(buffer.make_room(65536).unwrap(), 65536 - 50);
        assert_eq!(feed(&mut buffer, &sent[50..], 1000, 65536), [sent]);
    }
}
