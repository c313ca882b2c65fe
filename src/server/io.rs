//! The descriptors of a server, and what its threads say to each other through them.

use std::io;
use std::os::fd::AsFd;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::sys::{Epoll, EventFd, Interest, TimerFd};

/// What other threads ask of the engine.
pub(crate) enum Command {
    /// This client was told to leave: deliver what is queued for it, then close.
    Dismiss(u64),
    /// This client was too slow: close it at once.
    Expel(u64),
}

/// Tokens of the engine's epoll that are no client's.
pub(crate) mod token {
    pub const LISTENER: u64 = 0;
    pub const WAKE: u64 = 1;
    pub const DEADLINE: u64 = 2;
    pub const TAIL: u64 = 3;
    pub const CANCEL: u64 = 4;
    pub const READY: u64 = 5;
    /// A client's token is its number, and these begin here.
    pub const FIRST_CLIENT: u64 = 16;
}

/// Made when the server first listens, and kept for as long as its handle.
pub(crate) struct Io {
    pub epoll: Epoll,
    /// Readable while a command waits.
    pub wake: EventFd,
    /// Goes off at the engine's next deadline.
    pub deadline: TimerFd,
    /// Goes off when the tail of a burst is due.
    pub tail: TimerFd,
    /// Readable while a cancel is pending. It is in the set only with `start` and `run`: with `open`
    /// it would make the descriptor that users watch readable.
    pub cancel: EventFd,
    /// Readable while an event is ready that no descriptor tells of.
    pub ready: EventFd,
    pub commands: Sender<Command>,
    pub inbox: Receiver<Command>,
}

impl Io {
    pub fn new() -> io::Result<Io> {
        let (commands, inbox) = unbounded();
        let io = Io {
            epoll: Epoll::new()?,
            wake: EventFd::new()?,
            deadline: TimerFd::new()?,
            tail: TimerFd::new()?,
            cancel: EventFd::new()?,
            ready: EventFd::new()?,
            commands,
            inbox,
        };
        io.epoll.add(io.wake.as_fd(), Interest::READ, token::WAKE)?;
        io.epoll.add(io.deadline.as_fd(), Interest::READ, token::DEADLINE)?;
        io.epoll.add(io.tail.as_fd(), Interest::READ, token::TAIL)?;
        io.epoll.add(io.ready.as_fd(), Interest::READ, token::READY)?;
        Ok(io)
    }

    pub fn ask(&self, command: Command) {
        // The receiver lives as long as the sender: both are ours.
        let _ = self.commands.send(command);
        self.wake.signal();
    }
}
