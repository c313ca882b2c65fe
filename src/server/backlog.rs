//! What waits for a client to come: broadcasts that nobody was there to get.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::outbox::{Outbox, Progress, Sent};
use super::segment::{Gather, Segment, Span};
use crate::sys;

/// One broadcast: a segment of one frame, with its place in the order of all broadcasts.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub number: u64,
    pub frame: Arc<Segment>,
}

/// Broadcasts that wait, oldest first, bounded in messages and in bytes.
#[derive(Debug)]
pub(crate) struct Backlog {
    entries: VecDeque<Entry>,
    bytes: usize,
    most: usize,
    most_bytes: usize,
}

impl Backlog {
    pub fn new(most: usize, most_bytes: usize) -> Backlog {
        Backlog { entries: VecDeque::new(), bytes: 0, most, most_bytes }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds the newest broadcast and returns how many, the oldest or itself, were dropped for it.
    pub fn push(&mut self, entry: Entry) -> u64 {
        let length = entry.frame.bytes().len();
        if self.most == 0 || self.entries.try_reserve(1).is_err() {
            return 1;
        }
        let mut dropped = 0;
        while self.entries.len() >= self.most
            || (self.bytes + length > self.most_bytes && !self.entries.is_empty())
        {
            self.pop();
            dropped += 1;
        }
        self.bytes += length;
        self.entries.push_back(entry);
        dropped
    }

    fn pop(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.frame.bytes().len();
        }
    }

    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Whether a broadcast waits that is not newer than `number`.
    pub fn has_until(&self, number: u64) -> bool {
        self.entries.front().is_some_and(|entry| entry.number <= number)
    }

    /// Whether this broadcast waits.
    pub fn has(&self, number: u64) -> bool {
        self.entries.binary_search_by_key(&number, |entry| entry.number).is_ok()
    }

    /// The number of the newest entry.
    pub fn newest(&self) -> Option<u64> {
        self.entries.back().map(|entry| entry.number)
    }

    /// Puts an entry in its place by age; `false` when it is there already.
    pub fn insert(&mut self, entry: Entry) -> bool {
        match self.entries.binary_search_by_key(&entry.number, |entry| entry.number) {
            Ok(_) => false,
            Err(place) => {
                self.bytes += entry.frame.bytes().len();
                self.entries.insert(place, entry);
                true
            }
        }
    }

    /// `false` when it is not there (any more).
    pub fn remove(&mut self, number: u64) -> bool {
        let place = self.entries.binary_search_by_key(&number, |entry| entry.number);
        let removed = place.ok().and_then(|place| self.entries.remove(place));
        removed.inspect(|entry| self.bytes -= entry.frame.bytes().len()).is_some()
    }

    /// Writes entries that are not newer than `until` to a socket, as far as it has room. A frame
    /// that was begun leaves the backlog; its rest goes to the head of `outbox`.
    pub fn write(
        &mut self,
        until: u64,
        socket: BorrowedFd,
        outbox: &mut Outbox,
        sent: &mut Sent,
    ) -> Progress {
        while self.has_until(until) {
            let mut gather = Gather::new();
            for entry in self.entries.iter().take_while(|entry| entry.number <= until) {
                if !gather.add(entry.frame.bytes()) {
                    break;
                }
            }
            let mut written = match sys::send(socket, gather.slices()) {
                Ok(written) => written,
                Err(unsent) => return Progress::after(unsent),
            };
            sent.bytes += written as u64;
            while let Some(entry) = self.entries.front().filter(|_| written > 0) {
                let mut span = Span::whole(&entry.frame);
                let length = span.bytes().len();
                let (frames, rest) = span.advance(written.min(length));
                sent.frames += frames as u64;
                written -= written.min(length);
                self.pop();
                if let Some(rest) = rest {
                    outbox.keep_rest(rest);
                    return Progress::Blocked;
                }
            }
        }
        Progress::Done
    }
}
