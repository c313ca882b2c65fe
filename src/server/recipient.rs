//! One client as the sending side sees it: its socket, its outbox, who waits for room in it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use log::Level;

use super::LOG;
use super::burst::FLUSH;
use super::common::Common;
use super::io::Command;
use super::outbox::{Outbox, Progress, Sent};
use super::segment::{Rest, Segment, Span};
use super::waiting::Waiter;
use crate::settings::SlowClient;
use crate::sys::{self, Interest, StreamSocket, Unsent};
use crate::transport::Peer;
use crate::{Error, Result};

pub(crate) struct Recipient {
    pub socket: Arc<StreamSocket>,
    pub peer: Peer,
    pub connected_at_ms: i64,
    pub dropped: u64,
    /// Senders that wait for room, first come, first served.
    pub waiting: VecDeque<Arc<Waiter>>,
    /// Whether the engine still wants to hear what the client says.
    pub reading: bool,
    outbox: Outbox,
    /// Whether it is one of those that messages are sent to.
    listed: bool,
    /// Nothing can be written any more; what the client said is still read. The number is that of
    /// the newest broadcast by then.
    broken: Option<u64>,
    /// Something waits to be written.
    behind: bool,
    /// A sender waits a moment for room in the socket, and writes then.
    paced: bool,
    /// The engine watches the socket for room.
    watched: bool,
    /// There was no memory for the last write.
    starved: bool,
}

/// What became of a frame that was offered to a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Taken,
    /// Dropped for want of room, and counted.
    Refused,
    /// Dropped for want of memory to queue it in, and counted.
    NoMemory,
    /// The client is out of reach.
    Gone,
}

impl Recipient {
    pub fn new(socket: Arc<StreamSocket>, peer: Peer, connected_at_ms: i64) -> Recipient {
        Recipient {
            socket,
            peer,
            connected_at_ms,
            dropped: 0,
            waiting: VecDeque::new(),
            reading: true,
            outbox: Outbox::default(),
            listed: true,
            broken: None,
            behind: false,
            paced: false,
            watched: false,
            starved: false,
        }
    }

    /// A client that is turned away: nobody sends to it.
    pub fn unlisted(socket: Arc<StreamSocket>, peer: Peer) -> Recipient {
        Recipient { listed: false, ..Recipient::new(socket, peer, 0) }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// The newest broadcast that was meant for a client that nothing can be written to any more.
    pub fn in_reach_until(&self) -> Option<u64> {
        self.broken
    }

    pub fn is_behind(&self) -> bool {
        self.behind
    }

    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// Whether waiting for room in its socket is no use: there may be room all the time.
    pub fn is_starved(&self) -> bool {
        self.starved
    }

    /// Whether somebody is about to write what waits: the engine, by its socket or by the clock, or
    /// a sender.
    fn is_looked_after(&self) -> bool {
        self.watched || self.starved || self.paced || !self.waiting.is_empty()
    }

    pub fn queued_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    pub fn has_room(&self, frames: usize, common: &Common) -> bool {
        !self.behind || self.outbox.has_room(frames, common.settings.client_queue_size)
    }

    /// Writes some frames that nothing stands in front of. `None` when the kernel took all of
    /// them, else how many bytes it took.
    #[inline(always)]
    pub fn write_through(
        &mut self,
        id: u64,
        parts: &[IoSlice],
        frames: usize,
        common: &mut Common,
    ) -> std::result::Result<Option<usize>, ()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        match sys::send(self.fd(), parts) {
            Ok(written) if written == length => {
                common.count(Sent { frames: frames as u64, bytes: written as u64 });
                Ok(None)
            }
            Ok(written) => Ok(Some(written)),
            Err(Unsent::Broken(error)) => {
                self.break_off(id, &error, common);
                Err(())
            }
            Err(Unsent::NoRoom | Unsent::NoMemory) => Ok(Some(0)),
        }
    }

    /// Keeps the rest of a frame of which the kernel took the first `written` bytes.
    pub fn keep_rest(&mut self, id: u64, rest: Rest, written: usize, common: &mut Common) {
        common.count(Sent { frames: 0, bytes: written as u64 });
        self.outbox.keep_rest(rest);
        self.settle(id, true, common);
    }

    /// Queues frames of which the kernel took the first `written` bytes; it takes no more for now.
    pub fn queue_rest(
        &mut self,
        id: u64,
        segment: &Arc<Segment>,
        written: usize,
        common: &mut Common,
    ) -> Result<()> {
        if !self.outbox.reserve() {
            return Err(Error::no_memory(segment.bytes().len()));
        }
        common.count(self.outbox.push_rest(segment, written));
        self.settle(id, true, common);
        Ok(())
    }

    /// There is no memory to queue what the kernel did not take: the frames are dropped, and where
    /// one of them was begun the connection is of no use any more.
    pub fn lose(&mut self, id: u64, written: usize, frames: u64, common: &mut Common) {
        if written == 0 {
            self.miss(id, frames, common);
            return self.settle(id, true, common);
        }
        self.count_dropped(frames, common);
        self.give_up(id, common);
        common.ask(Command::Expel(id));
    }

    /// Whether one more segment can be queued, as far as memory goes.
    pub fn reserve(&mut self) -> bool {
        self.outbox.reserve()
    }

    /// Queues frames ahead of what comes later, whatever the bound says.
    pub fn queue(&mut self, id: u64, segment: &Arc<Segment>, common: &mut Common) {
        if !self.outbox.reserve() {
            return self.miss(id, segment.frames() as u64, common);
        }
        self.outbox.push(Span::whole(segment));
        self.settle(id, false, common);
    }

    /// Queues frames behind what waits already, or does what `slow_client` says. What is `corked`
    /// waits until there is enough of it, or the cork is lifted.
    pub fn offer(
        &mut self,
        id: u64,
        segment: &Arc<Segment>,
        corked: bool,
        common: &mut Common,
    ) -> Offer {
        let (length, limit) = (segment.bytes().len(), common.settings.client_queue_size);
        if !self.has_room(length, common) && !self.write(id, common) {
            return Offer::Gone;
        }
        if !self.outbox.reserve() {
            self.miss(id, segment.frames() as u64, common);
            return Offer::NoMemory;
        }
        let mut span = Span::whole(segment);
        let mut offer = Offer::Taken;
        if !self.has_room(length, common) {
            match common.settings.slow_client {
                SlowClient::DropOldest => {
                    let dropped = self.outbox.drop_oldest(length, limit);
                    self.count_dropped(dropped, common);
                }
                SlowClient::Disconnect => {
                    self.expel(id, segment.frames() as u64, common);
                    return Offer::Refused;
                }
                SlowClient::DropNewest | SlowClient::Block => {
                    let room = limit.saturating_sub(self.outbox.bytes());
                    let cut = span.keep_what_fits(room) as u64;
                    self.outbox.push(span.clone());
                    self.miss(id, cut, common);
                    span = Span::none(segment);
                    offer = Offer::Refused;
                }
            }
        }
        self.outbox.push(span);
        self.settle(id, self.watched, common);
        // Where this very call has emptied the outbox to make room, nobody else would write it.
        if !self.is_looked_after() && (!corked || self.outbox.bytes() >= FLUSH) {
            self.write(id, common);
        }
        offer
    }

    /// Counts frames that were not queued, and has the client told where the gap is.
    pub fn miss(&mut self, id: u64, frames: u64, common: &mut Common) {
        self.outbox.miss(frames);
        self.count_dropped(frames, common);
        self.settle(id, self.watched, common);
    }

    /// Writes what the socket has room for: the rest of a begun frame, then the backlog if it is
    /// this client's, then the outbox. `false` when the client is out of reach.
    pub fn write(&mut self, id: u64, common: &mut Common) -> bool {
        if self.is_broken() {
            return false;
        }
        let mut sent = Sent::default();
        let mut progress = Progress::Done;
        if let Some(until) = common.backlog_of(id) {
            progress = self.outbox.write_rest(self.socket.as_fd(), &mut sent);
            if matches!(progress, Progress::Done) {
                let socket = self.socket.as_fd();
                progress = common.backlog.write(until, socket, &mut self.outbox, &mut sent);
            }
            if matches!(progress, Progress::Done) {
                common.release_backlog(id);
            }
        }
        if matches!(progress, Progress::Done) {
            let notice = |count| common.missed_notice(count);
            progress = self.outbox.write(self.socket.as_fd(), &mut sent, notice);
        }
        common.count(sent);
        self.starved = matches!(progress, Progress::Starved);
        match progress {
            Progress::Broken(error) => self.break_off(id, &error, common),
            Progress::Done => self.settle(id, false, common),
            Progress::Blocked => self.settle(id, true, common),
            Progress::Starved => {
                self.settle(id, false, common);
                common.try_again_soon();
            }
        }
        !self.is_broken()
    }

    /// Ends writing to this client: what waits is dropped and counted.
    fn break_off(&mut self, id: u64, error: &io::Error, common: &mut Common) {
        let peer = self.peer;
        common.notes.add(Level::Info, LOG, || format!("Cannot write to {peer} any more: {error}"));
        self.give_up(id, common);
        common.ask(Command::Finish(id));
    }

    /// Drops what waits and takes nothing more.
    pub fn give_up(&mut self, id: u64, common: &mut Common) {
        let dropped = self.outbox.clear();
        self.count_dropped(dropped, common);
        common.release_backlog(id);
        if !self.is_broken() && self.listed {
            common.live -= 1;
        }
        self.broken.get_or_insert(common.broadcasts);
        self.wake_all();
        self.settle(id, false, common);
    }

    /// Ends the connection of a client that is too slow.
    fn expel(&mut self, id: u64, refused: u64, common: &mut Common) {
        let (peer, limit) = (self.peer, common.settings.client_queue_size);
        common.notes.add(Level::Warn, LOG, || {
            format!(
                "{peer} is disconnected: more than client_queue_size = {limit} bytes wait for it"
            )
        });
        self.count_dropped(refused, common);
        self.give_up(id, common);
        common.ask(Command::Expel(id));
    }

    fn count_dropped(&mut self, frames: u64, common: &mut Common) {
        self.dropped += frames;
        common.dropped += frames;
    }

    /// Keeps what is known about this client in step with its outbox: `blocked` says that its
    /// socket has no room.
    pub fn settle(&mut self, id: u64, blocked: bool, common: &mut Common) {
        let waits =
            !self.outbox.is_empty() || !self.waiting.is_empty() || common.backlog_of(id).is_some();
        let behind = !self.is_broken() && waits;
        if behind != self.behind {
            self.behind = behind;
            match (self.listed, behind) {
                (false, _) => {}
                (true, true) => common.behind += 1,
                (true, false) => common.behind -= 1,
            }
        }
        // A sender that waits for room writes by itself; two that do would only wake each other.
        let watched = behind && blocked && self.waiting.is_empty() && !self.paced;
        if watched != self.watched {
            self.watched = watched;
            self.watch(id, common);
        }
    }

    /// Takes the client off the list of those that can be sent to. What is queued stays queued.
    pub fn detach(&mut self, common: &mut Common) {
        self.listed = false;
        self.paced = false;
        common.live -= usize::from(!self.is_broken());
        common.behind -= usize::from(self.behind);
        self.wake_all();
        self.waiting.clear();
    }

    /// Tells epoll what this client is watched for.
    pub fn watch(&self, id: u64, common: &Common) {
        let interest = Interest { read: self.reading, write: self.watched };
        if let Some(io) = &common.io {
            // It fails only for a socket that is not in the set (yet): nothing is watched there.
            let _ = io.epoll.modify(self.fd(), interest, id);
        }
    }

    /// Tells epoll to forget this client.
    pub fn unwatch(&self, common: &Common) {
        if let Some(io) = &common.io {
            // It fails only for a socket that is not in the set (any more).
            let _ = io.epoll.remove(self.fd());
        }
    }

    /// A sender that waits a moment for room in the socket writes by itself; or does so no more.
    pub fn set_paced(&mut self, paced: bool) {
        self.paced = paced;
    }

    /// Has the sender that is first in line look again.
    pub fn wake_first(&self) {
        if let Some(waiter) = self.waiting.front() {
            waiter.wake();
        }
    }

    pub fn wake_all(&self) {
        self.waiting.iter().for_each(|waiter| waiter.wake());
    }
}
