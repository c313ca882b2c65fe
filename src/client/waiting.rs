//! Waiting without the lock, and letting go of it.

use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::MutexGuard;

use super::driving::forked;
use super::state::{Link, State};
use super::waking::{Bed, Wake};
use crate::sys::{self, Interest, Monotonic, Process, Readiness, StreamSocket, WaitFor};
use crate::{Error, Message, Result, Status};

/// What a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Messages,
    /// Room to send, or a connection to send on; with the call's place in the line.
    Room(u64),
    Connection,
}

/// The lock. Before others get it, they are told what has changed, the descriptor for event loops
/// too; once it is released, what is to be logged is logged.
pub(super) struct Guard<'a> {
    state: MutexGuard<'a, State>,
    wake: &'a Wake,
    /// What [`Client::has_next`](super::Client::has_next) answers.
    has_next: &'a AtomicBool,
    process: Process,
    /// Something may have changed since it was settled.
    touched: bool,
}

impl<'a> Guard<'a> {
    pub fn new(
        state: MutexGuard<'a, State>,
        wake: &'a Wake,
        has_next: &'a AtomicBool,
        process: Process,
    ) -> Guard<'a> {
        Guard { state, wake, has_next, process, touched: false }
    }

    #[inline(always)]
    fn settle(&mut self) {
        let state = &mut *self.state;
        if state.changed || state.has_news_for_receivers() {
            state.sleepers.tell(self.wake);
            state.last_look = Monotonic::EARLIEST;
        }
        state.changed = false;
        state.arrived = false;
        self.has_next.store(state.has_arrived(), Ordering::Relaxed);
        state.update_watch();
        self.touched = false;
    }

    /// The next message, if it is one like most and no `cancel` is pending. Where others follow it,
    /// nothing has changed for anybody, and nothing is to be settled.
    #[inline(always)]
    pub fn next_plain(&mut self) -> Option<Message> {
        if self.state.sleepers.is_cancel_pending(self.wake) {
            return None;
        }
        let (message, others_follow) = self.state.next_plain()?;
        self.touched |= !others_follow;
        Some(message)
    }

    /// Runs something that may take its time, without the lock.
    pub fn unlocked<R>(&mut self, run: impl FnOnce() -> R) -> R {
        self.settle();
        self.release(run)
    }

    #[inline(always)]
    fn release<R>(&mut self, run: impl FnOnce() -> R) -> R {
        let notes = std::mem::take(&mut self.state.notes);
        MutexGuard::unlocked(&mut self.state, || {
            notes.emit();
            run()
        })
    }

    /// Sleeps until there may be something to do for this purpose, or until `deadline`.
    #[inline(always)]
    pub fn wait(&mut self, purpose: Purpose, deadline: Option<Monotonic>) -> Result<Readiness> {
        let event = self.wake.event()?;
        // One that was called before the event was there to be signalled.
        if self.sleepers.is_cancel_pending(self.wake) {
            return Ok(Readiness::Ready);
        }
        if !self.notes.is_empty() {
            return self.log_before_waiting();
        }
        let plan = self.plan(purpose)?;
        let until = match (plan.until, deadline) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.settle();
        let bed = self.lie_down(purpose == Purpose::Messages, until);
        let result = self.release(|| plan.poll(event.as_fd(), until));
        let wake = self.wake;
        self.sleepers.get_up(bed, wake);
        result.map_err(|error| Error::os(Status::Io, "Waiting for the server failed", &error))
    }
}

impl Guard<'_> {
    /// Whoever is in a log function is not asleep, and must not be counted so: it hears of nothing,
    /// and those who sleep beside it would be woken for it all the time.
    #[cold]
    fn log_before_waiting(&mut self) -> Result<Readiness> {
        self.unlocked(|| ());
        if self.process.is_current() {
            // Whatever has arrived meanwhile is to be found, though the time may be up.
            return Ok(Readiness::Ready);
        }
        // It has forked: what there is belongs to the parent.
        Err(forked())
    }
}

impl Deref for Guard<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.touched = true;
        &mut self.state
    }
}

impl Drop for Guard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.touched {
            return;
        }
        if self.state.notes.is_empty() {
            self.settle();
        } else {
            self.unlocked(|| ());
        }
    }
}

/// A socket that stays open while somebody sleeps on it, whatever others do with it.
enum Socket {
    Connected(Arc<StreamSocket>),
    Pending(StreamSocket),
}

/// What to sleep on.
struct Plan {
    socket: Option<Socket>,
    read: bool,
    write: bool,
    until: Option<Monotonic>,
    /// How long to look again and again before it sleeps, where it is only to be read.
    spin: Duration,
}

impl State {
    #[inline(always)]
    fn lie_down(&mut self, receives: bool, until: Option<Monotonic>) -> Bed {
        if receives {
            let look = until.unwrap_or(Monotonic::NEVER);
            let others = self.sleepers.has_receivers();
            self.last_look = if others { self.last_look.max(look) } else { look };
        }
        self.sleepers.lie_down(receives)
    }

    #[inline(always)]
    fn plan(&self, purpose: Purpose) -> Result<Plan> {
        Ok(match &self.link {
            Link::Up(connection) => {
                let socket = Some(Socket::Connected(connection.socket.clone()));
                match purpose {
                    Purpose::Room(turn) => {
                        let is_next = self.line.is_turn_of(Some(turn));
                        Plan {
                            socket,
                            read: self.has_room_to_read(),
                            write: is_next && self.starved.is_none(),
                            // Whether a message comes in time is for a receiver to judge.
                            until: self.starved.filter(|_| is_next),
                            spin: Duration::ZERO,
                        }
                    }
                    _ => Plan {
                        socket,
                        read: true,
                        write: !self.outbox.is_empty() && self.starved.is_none(),
                        until: self.due(),
                        spin: self.settings.spin,
                    },
                }
            }
            Link::Connecting(attempt) => {
                let socket = match attempt.connected() {
                    Some(socket) => Some(Socket::Connected(socket.clone())),
                    None => attempt.socket().map(duplicate).transpose()?,
                };
                let Interest { read, write } = attempt.interest();
                Plan { socket, read, write, until: self.due(), spin: Duration::ZERO }
            }
            Link::Down => Plan {
                socket: None,
                read: false,
                write: false,
                until: self.due(),
                spin: Duration::ZERO,
            },
        })
    }
}

fn duplicate(socket: BorrowedFd) -> Result<Socket> {
    socket
        .try_clone_to_owned()
        .map(|socket| Socket::Pending(socket.into()))
        .map_err(|error| Error::os(Status::Io, "No descriptor to wait with could be made", &error))
}

impl Plan {
    #[inline(always)]
    fn poll(&self, event: BorrowedFd, until: Option<Monotonic>) -> std::io::Result<Readiness> {
        let timeout = until.map(Monotonic::remaining);
        let event = (event, WaitFor::Read);
        let socket = match &self.socket {
            Some(Socket::Connected(socket)) => socket.as_fd(),
            Some(Socket::Pending(socket)) => socket.as_fd(),
            None => return sys::poll(&[event], timeout),
        };
        let (read, write) = ((socket, WaitFor::Read), (socket, WaitFor::Write));
        match (self.read, self.write) {
            (true, false) if !self.spin.is_zero() => {
                sys::poll_spinning(&[read, event], timeout, self.spin)
            }
            (true, false) => sys::poll(&[read, event], timeout),
            (true, true) => sys::poll(&[read, write, event], timeout),
            (false, true) => sys::poll(&[write, event], timeout),
            (false, false) => sys::poll(&[event], timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Transport};

    /// Receivers of a message that comes in many pieces are woken by each of them; those that know
    /// when it has to be complete must not be told again, or they wake each other all the time.
    #[test]
    fn a_sleeping_receiver_is_told_only_of_what_is_due_before_it_looks() {
        let settings = Arc::new(Options::new().unwrap().settings().unwrap());
        let mut state = State::new(Transport::Unix, "e".into(), settings);
        let moment = Monotonic::from_nanos;
        // A connection that is to be made again stands for anything that is due.
        state.told = true;
        state.backoff.restart(moment(10));
        state.arrived = true;
        let mut news_for = |beds: &[Option<u64>]| {
            state.last_look = Monotonic::EARLIEST;
            let beds: Vec<Bed> =
                beds.iter().map(|until| state.lie_down(true, until.map(moment))).collect();
            let news = state.has_news_for_receivers();
            for bed in beds {
                state.sleepers.get_up(bed, &Wake::default());
            }
            news
        };
        assert!(!news_for(&[]));
        assert!(!news_for(&[Some(10)]));
        assert!(!news_for(&[Some(5), Some(10)]));
        assert!(news_for(&[Some(11)]));
        assert!(news_for(&[None]));
        assert!(news_for(&[None, Some(10)]));
        assert!(news_for(&[Some(10), None]));
    }
}
