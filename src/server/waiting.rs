//! Senders that wait for room, with `slow_client = block`.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use super::common::Common;
use super::delivery::Delivery;
use super::recipient::Recipient;
use super::segment::Segment;
use crate::sys::{self, EventFd, Readiness, StreamSocket, WaitFor};

/// A thread that waits; others make it look again.
pub(crate) struct Waiter(Option<EventFd>);

impl Waiter {
    pub fn wake(&self) {
        if let Some(wake) = &self.0 {
            wake.signal();
        }
    }
}

/// What is left to do for a send after the state lock was released.
pub(crate) enum Unfinished {
    /// Some clients have no room for it.
    Wait(Wait),
    /// It is queued; some sockets are full.
    Pace(Pace),
}

/// Clients whose sockets were full, and for whom the sender waits a moment before it goes on: what
/// it would send next would only pile up, in memory that has gone cold when its turn comes.
#[derive(Default)]
pub(crate) struct Pace(Vec<(u64, Arc<StreamSocket>)>);

/// What a sender waits for a reader that may just be a little slower.
pub(crate) const PACE: Duration = Duration::from_millis(20);

impl Pace {
    /// Where there is no memory to remember it, the engine writes to it instead.
    pub fn add(&mut self, id: u64, client: &mut Recipient) {
        if self.0.try_reserve(1).is_ok() {
            client.set_paced(true);
            self.0.push((id, client.socket.clone()));
        }
    }

    /// Waits, without a lock, for one of the sockets.
    pub fn sleep(&self, timeout: Duration) -> std::io::Result<Readiness> {
        sys::poll_for_room(&[], self.0.iter().map(|(_, socket)| socket.as_fd()), timeout)
    }

    /// Writes what there is room for; `over`, the engine sees to the rest. `false` when nothing is
    /// left to wait for.
    pub fn advance(&mut self, delivery: &mut Delivery, over: bool) -> bool {
        let Delivery { clients, common, .. } = delivery;
        self.0.retain(|(id, socket)| {
            let same = |client: &&mut Recipient| Arc::ptr_eq(&client.socket, socket);
            let Some(client) = clients.get_mut(id).filter(same) else { return false };
            let in_reach = client.write(*id, common);
            // What there was no memory for, the engine tries again by the clock.
            let goes_on = in_reach && client.is_behind() && !client.is_starved() && !over;
            if !goes_on {
                client.set_paced(false);
                client.write(*id, common);
            }
            goes_on
        });
        !self.0.is_empty()
    }
}

/// Without a descriptor to be woken by, or memory to write or to wait with, a waiting thread looks
/// again by the clock.
pub(super) const BLIND: Duration = Duration::from_millis(10);

/// Sleeps until then, or for so long where that is less.
pub(super) fn look_by_the_clock(limit: Duration) {
    sys::uncancelled(|| std::thread::sleep(limit.min(BLIND)));
}

/// One frame that waits for room in the outboxes of some clients. The thread that waits writes to
/// them itself, so that it depends on no loop.
pub(crate) struct Wait {
    frame: Arc<Segment>,
    waiter: Arc<Waiter>,
    lacking: Vec<u64>,
    /// Clients that went away meanwhile.
    gone: u64,
    /// For one of the clients that it is first in line for, there was no memory to write, to queue
    /// or to wait with.
    starved: bool,
}

impl Wait {
    pub fn new(frame: Arc<Segment>) -> Wait {
        let waiter = Arc::new(Waiter(EventFd::new().ok()));
        Wait { frame, waiter, lacking: Vec::new(), gone: 0, starved: false }
    }

    /// Gets in line for one more client; `false` where there is no memory for that.
    pub fn join(&mut self, id: u64, client: &mut Recipient, common: &mut Common) -> bool {
        if client.waiting.try_reserve(1).is_err() || self.lacking.try_reserve(1).is_err() {
            return false;
        }
        client.waiting.push_back(self.waiter.clone());
        client.settle(id, client.is_watched(), common);
        self.lacking.push(id);
        true
    }

    pub fn is_over(&self) -> bool {
        self.lacking.is_empty()
    }

    pub fn gone(&self) -> u64 {
        self.gone
    }

    /// Writes to the clients it is first in line for, and queues the frame where there is room.
    pub fn advance(&mut self, delivery: &mut Delivery) {
        let Delivery { clients, common, .. } = delivery;
        let (frame, waiter, gone) = (&self.frame, &self.waiter, &mut self.gone);
        let starved = &mut self.starved;
        *starved = false;
        self.lacking.retain(|id| {
            let in_reach = |client: &&mut Recipient| !client.is_broken();
            let Some(client) = clients.get_mut(id).filter(in_reach) else {
                *gone += 1;
                return false;
            };
            if !client.waiting.front().is_some_and(|first| Arc::ptr_eq(first, waiter)) {
                return true;
            }
            if !client.write(*id, common) {
                *gone += 1;
                return false;
            }
            if !client.has_room(frame.bytes().len(), common) {
                *starved |= client.is_starved();
                return true;
            }
            if !client.reserve() {
                *starved = true;
                return true;
            }
            client.waiting.pop_front();
            client.queue(*id, frame, common);
            client.write(*id, common);
            client.wake_first();
            false
        });
    }

    /// Leaves every line. What was not queued counts as dropped, if it `counts`.
    pub fn give_up(self, delivery: &mut Delivery, counts: bool) {
        let Delivery { clients, common, .. } = delivery;
        let mut gone = self.gone;
        for id in &self.lacking {
            let Some(client) = clients.get_mut(id) else {
                gone += 1;
                continue;
            };
            client.waiting.retain(|other| !Arc::ptr_eq(other, &self.waiter));
            if client.is_broken() {
                gone += 1;
            } else if counts {
                client.miss(*id, 1, common);
            }
            client.write(*id, common);
            client.wake_first();
        }
        if counts {
            common.dropped += gone;
        }
    }

    /// The sockets whose next room is for this frame, as many as there is memory for.
    pub fn sockets(&mut self, delivery: &Delivery) -> Vec<Arc<StreamSocket>> {
        let first = |client: &&Recipient| {
            !client.is_starved()
                && client.waiting.front().is_some_and(|first| Arc::ptr_eq(first, &self.waiter))
        };
        let clients = self.lacking.iter().filter_map(|id| delivery.clients.get(id));
        let mut sockets = Vec::new();
        for client in clients.filter(first) {
            if sockets.try_reserve(1).is_err() {
                self.starved = true;
                break;
            }
            sockets.push(client.socket.clone());
        }
        sockets
    }

    /// Waits, without a lock, until something may have changed.
    pub fn sleep(
        &self,
        sockets: &[Arc<StreamSocket>],
        cancel: &EventFd,
        timeout: Duration,
    ) -> std::io::Result<Readiness> {
        let cancel = (cancel.as_fd(), WaitFor::Read);
        let wake = self.waiter.0.as_ref().map_or(cancel, |wake| (wake.as_fd(), WaitFor::Read));
        let is_blind = self.starved || self.waiter.0.is_none();
        let timeout = if is_blind { timeout.min(BLIND) } else { timeout };
        let sockets = sockets.iter().map(|socket| socket.as_fd());
        let result = sys::poll_for_room(&[cancel, wake], sockets, timeout);
        if result.is_err() {
            // Not even memory to wait with: it would try again at once, for ever.
            look_by_the_clock(timeout);
        }
        if let Some(wake) = &self.waiter.0 {
            wake.clear();
        }
        result
    }
}
