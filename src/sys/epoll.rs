//! Level-triggered epoll: an edge-triggered one could not be handed out as a descriptor.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::spin::spin;
use super::{check, direct};

/// What a descriptor is watched for. Hang-ups and errors are always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interest {
    pub read: bool,
    pub write: bool,
}

impl Interest {
    pub const READ: Interest = Interest { read: true, write: false };
    pub const WRITE: Interest = Interest { read: false, write: true };

    fn bits(self) -> u32 {
        let read = if self.read { libc::EPOLLIN | libc::EPOLLRDHUP } else { 0 };
        let write = if self.write { libc::EPOLLOUT } else { 0 };
        (read | write) as u32
    }
}

/// One descriptor's readiness.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct EpollEvent(libc::epoll_event);

impl EpollEvent {
    pub const EMPTY: EpollEvent = EpollEvent(libc::epoll_event { events: 0, u64: 0 });

    pub fn token(&self) -> u64 {
        self.0.u64
    }

    /// There is something to read, an end of stream and an error included.
    pub fn readable(&self) -> bool {
        self.has(libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR)
    }

    pub fn writable(&self) -> bool {
        self.has(libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR)
    }

    fn has(&self, bits: libc::c_int) -> bool {
        self.0.events & bits as u32 != 0
    }
}

/// A set of watched descriptors; itself a descriptor that is readable while one of them is ready.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: no pointer is passed; a descriptor that is returned is new and owned by nobody.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: `fd` was just made and is open, and nobody else owns it.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub fn add(&self, fd: BorrowedFd, interest: Interest, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest, token)
    }

    pub fn modify(&self, fd: BorrowedFd, interest: Interest, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest, token)
    }

    pub fn remove(&self, fd: BorrowedFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, Interest { read: false, write: false }, 0)
    }

    /// Waits for at most `timeout_ms` (-1: without end, 0: not at all) and returns how many of
    /// `events` were filled.
    #[inline]
    pub fn wait(&self, events: &mut [EpollEvent], timeout_ms: i32) -> io::Result<usize> {
        // SAFETY: `events` is valid for `events.len()` elements, and EpollEvent has the layout of
        // `epoll_event` (transparent).
        let n = check(unsafe {
            direct::epoll_wait(
                self.0.as_raw_fd(),
                events.as_mut_ptr().cast(),
                events.len() as libc::c_int,
                timeout_ms,
            )
        })?;
        Ok(n as usize)
    }

    /// Waits without end, but looks again and again for `length` before it sleeps.
    #[inline(never)]
    pub fn wait_spinning(&self, events: &mut [EpollEvent], length: Duration) -> io::Result<usize> {
        let found = spin(length, || Ok(Some(self.wait(events, 0)?).filter(|count| *count > 0)))?;
        found.map_or_else(|| self.wait(events, -1), Ok)
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: BorrowedFd,
        interest: Interest,
        token: u64,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.bits(), u64: token };
        // SAFETY: both descriptors are borrowed and so open; `event` lives through the call.
        check(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), operation, fd.as_raw_fd(), &mut event)
        })?;
        Ok(())
    }
}

impl std::os::fd::AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
