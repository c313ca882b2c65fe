//! The one descriptor that an event loop waits on.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use crate::sys::{Epoll, EventFd, Interest, Monotonic, TimerFd};

/// How often a socket is looked at that cannot be watched.
const BLIND: Duration = Duration::from_millis(10);

/// An epoll around whatever socket there is, and what no socket can say.
#[derive(Debug)]
pub(super) struct Watch {
    epoll: Epoll,
    /// Signalled while there is something to do that no waiting brings about.
    ready: EventFd,
    is_ready: bool,
    /// Goes off when something is due.
    timer: TimerFd,
    armed: Option<Monotonic>,
    /// What the socket is watched for, if there is one.
    socket: Option<Interest>,
}

/// What the descriptor shall be readable for.
pub(super) struct Wanted<'a> {
    pub socket: Option<(BorrowedFd<'a>, Interest)>,
    pub ready: bool,
    pub due: Option<Monotonic>,
}

impl Watch {
    pub fn new() -> io::Result<Watch> {
        let epoll = Epoll::new()?;
        let ready = EventFd::new()?;
        let timer = TimerFd::new()?;
        epoll.add(ready.as_fd(), Interest::READ, 0)?;
        epoll.add(timer.as_fd(), Interest::READ, 0)?;
        Ok(Watch { epoll, ready, is_ready: false, timer, armed: None, socket: None })
    }

    pub fn fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Makes the descriptor say what is wanted; no system call where it says so already.
    pub fn set(&mut self, wanted: Wanted) {
        let due = match self.set_socket(wanted.socket) {
            Ok(()) => wanted.due,
            Err(_) => Some(self.look_again(wanted.due)),
        };
        if wanted.ready != self.is_ready {
            if wanted.ready {
                self.ready.signal()
            } else {
                self.ready.clear()
            }
            self.is_ready = wanted.ready;
        }
        if due != self.armed {
            match due {
                Some(due) => self.timer.arm(due.remaining()),
                None => self.timer.disarm(),
            }
            self.armed = due;
        }
    }

    /// A socket that cannot be watched, for want of memory or over the user's limit, is looked at
    /// by the clock.
    fn look_again(&self, due: Option<Monotonic>) -> Monotonic {
        let now = Monotonic::now();
        let soon = now.after(BLIND);
        let soon = self.armed.filter(|armed| *armed > now).map_or(soon, |armed| armed.min(soon));
        due.map_or(soon, |due| due.min(soon))
    }

    fn set_socket(&mut self, wanted: Option<(BorrowedFd, Interest)>) -> io::Result<()> {
        match (wanted, self.socket) {
            (Some((socket, interest)), None) => self.epoll.add(socket, interest, 0)?,
            (Some((socket, interest)), Some(now)) if interest != now => {
                self.epoll.modify(socket, interest, 0)?;
            }
            _ => return Ok(()),
        }
        self.socket = wanted.map(|(_, interest)| interest);
        Ok(())
    }

    /// Forgets the socket, which is about to be closed. Closing alone would not do: a forked child
    /// may have it open too.
    pub fn forget(&mut self, socket: BorrowedFd) {
        if self.socket.take().is_some() {
            // It is in the set, so this fails for no reason that matters.
            let _ = self.epoll.remove(socket);
        }
    }
}
