//! The descriptors of a server, and what its threads say to each other through them.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::sys::{Epoll, EventFd, Interest, TimerFd};

/// What other threads ask of the engine.
pub(crate) enum Command {
    /// This client was told to leave: deliver what is queued for it, then close.
    Dismiss(u64),
    /// This client was too slow: close it at once.
    Expel(u64),
    /// Nothing can be written to this client any more: read what it has said, then close.
    Finish(u64),
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
    commands: Sender<Command>,
    inbox: Receiver<Command>,
    /// Whether there may be commands in the inbox. With each message somebody looks here, and the
    /// inbox itself would say so in thirty instructions.
    has_commands: AtomicBool,
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
            has_commands: AtomicBool::new(false),
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
        self.has_commands.store(true, Ordering::SeqCst);
        self.wake.signal();
    }

    /// Whether somebody has asked for something that [`take_commands`](Self::take_commands) did not
    /// give out yet.
    #[inline(always)]
    pub fn has_commands(&self) -> bool {
        self.has_commands.load(Ordering::SeqCst)
    }

    /// What was asked for until now. With the engine locked.
    pub fn take_commands(&self) -> impl Iterator<Item = Command> {
        // Before the first is taken: who asks from here on says so anew.
        self.has_commands.swap(false, Ordering::SeqCst);
        self.inbox.try_iter()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;
    use crate::{Event, Options, Server, Transport};

    /// Somebody asks between the engine's look and the wake-up that another one had caused.
    #[test]
    fn what_is_asked_just_before_a_wake_up_is_cleared_is_not_slept_through() {
        let directory = tempfile::tempdir().unwrap();
        let mut options = Options::new().unwrap();
        options.set("socket_dir", directory.path().to_str()).unwrap();
        let server = Server::new(Transport::Unix, "event", &options).unwrap();
        server.open().unwrap();
        let _peer = UnixStream::connect(directory.path().join("event.sock")).unwrap();
        let patience = Some(Duration::from_secs(10));
        let Ok(Event::Connected { client_id, .. }) = server.next(patience) else {
            panic!("nobody has come")
        };
        server.disconnect_client(&client_id).unwrap();
        server.shared.io.get().unwrap().has_commands.store(false, Ordering::SeqCst);
        let event = server.next(patience);
        assert!(matches!(event, Ok(Event::Disconnected { .. })), "{event:?}");
    }
}
