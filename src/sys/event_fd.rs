//! Descriptors that make a waiting thread look up: an event counter and a timer.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::cancellation::Descriptor;
use super::{check, direct};

/// Readable from `signal` until `clear`.
#[derive(Debug)]
pub(crate) struct EventFd(Descriptor);

impl EventFd {
    pub fn new() -> io::Result<EventFd> {
        // SAFETY: no pointer is passed; a descriptor that is returned is new and owned by nobody.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: `fd` was just made and is open, and nobody else owns it.
        Ok(EventFd(unsafe { OwnedFd::from_raw_fd(fd) }.into()))
    }

    /// Safe in a signal handler: one write, no lock, no thread-local but `errno`, which is kept.
    pub fn signal(&self) {
        let one: u64 = 1;
        // SAFETY: `__errno_location` returns this thread's errno, valid for the whole call; eight
        // bytes of `one` are readable. A full counter (EAGAIN) is readable already.
        unsafe {
            let errno = libc::__errno_location();
            let kept = *errno;
            direct::write(self.0.as_raw_fd(), (&raw const one).cast(), 8);
            *errno = kept;
        }
    }

    pub fn clear(&self) {
        drain(&self.0);
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Readable from the moment it was armed for until `clear` or until it is armed anew.
#[derive(Debug)]
pub(crate) struct TimerFd(OwnedFd);

impl TimerFd {
    pub fn new() -> io::Result<TimerFd> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: no pointer is passed; a descriptor that is returned is new and owned by nobody.
        let fd = check(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
        // SAFETY: `fd` was just made and is open, and nobody else owns it.
        Ok(TimerFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Goes off once, `delay` from now.
    pub fn arm(&self, delay: Duration) {
        // Zero would disarm it.
        self.set(delay.max(Duration::from_nanos(1)));
    }

    pub fn disarm(&self) {
        self.set(Duration::ZERO);
    }

    pub fn clear(&self) {
        drain(&self.0);
    }

    fn set(&self, delay: Duration) {
        let at = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: delay.as_secs() as libc::time_t,
                tv_nsec: delay.subsec_nanos().into(),
            },
        };
        // SAFETY: the descriptor is open, `at` lives through the call, and a null pointer for the
        // old value is allowed.
        unsafe { libc::timerfd_settime(self.0.as_raw_fd(), 0, &at, std::ptr::null_mut()) };
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Reads the counter, which sets it back; that there was none (EAGAIN) is as good.
fn drain(fd: &impl AsRawFd) {
    let mut count: u64 = 0;
    // SAFETY: eight bytes of `count` are writable, and the descriptor is open and non-blocking.
    unsafe { direct::read(fd.as_raw_fd(), (&raw mut count).cast(), 8) };
}
