//! Waiting for descriptors.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use super::spin::spin;
use super::{Monotonic, SignalsBlocked, direct};

/// What to wait for on a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitFor {
    Read,
    Write,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    TimedOut,
    /// A signal handler ran. A stop and continue alone does not end `poll`, unlike `epoll_wait`.
    Interrupted,
}

/// How many descriptors can be waited for without memory to list them in.
const FEW: usize = 4;

/// Waits until one of the descriptors, four at most, is ready, or for `timeout` (`None`: without
/// end).
#[inline(always)]
pub(crate) fn poll(
    watched: &[(BorrowedFd, WaitFor)],
    timeout: Option<Duration>,
) -> io::Result<Readiness> {
    let mut few = [libc::pollfd { fd: -1, events: 0, revents: 0 }; FEW];
    for (to, from) in few.iter_mut().zip(watched) {
        *to = entry(from);
    }
    poll_entries(&mut few[..watched.len()], timeout, None)
}

/// Waits until one of any number of sockets has room, one of `others` is ready, or for `timeout`.
/// Fails with `OutOfMemory` where there is none to list them in.
pub(crate) fn poll_for_room<'a>(
    others: &[(BorrowedFd, WaitFor)],
    sockets: impl ExactSizeIterator<Item = BorrowedFd<'a>>,
    timeout: Duration,
) -> io::Result<Readiness> {
    let mut entries = Vec::new();
    entries.try_reserve_exact(others.len() + sockets.len())?;
    entries.extend(others.iter().map(entry));
    entries.extend(sockets.map(|socket| entry(&(socket, WaitFor::Write))));
    poll_entries(&mut entries, Some(timeout), None)
}

/// [`poll`], but it looks again and again for `length` before it sleeps. It returns as early for a
/// signal handler as that does: signals are let in only where the kernel tells of them.
#[inline(never)]
pub(crate) fn poll_spinning(
    watched: &[(BorrowedFd, WaitFor)],
    timeout: Option<Duration>,
    length: Duration,
) -> io::Result<Readiness> {
    let mut few = [libc::pollfd { fd: -1, events: 0, revents: 0 }; FEW];
    let entries = &mut few[..watched.len()];
    for (to, from) in entries.iter_mut().zip(watched) {
        *to = entry(from);
    }
    let blocked = SignalsBlocked::new()?;
    let start = Monotonic::now();
    let found = spin(timeout.map_or(length, |timeout| timeout.min(length)), || {
        let readiness = poll_entries(entries, Some(Duration::ZERO), Some(blocked.before()))?;
        Ok(Some(readiness).filter(|readiness| *readiness != Readiness::TimedOut))
    })?;
    if let Some(readiness) = found {
        return Ok(readiness);
    }
    let spent = Monotonic::now().since(start);
    let left = timeout.map(|timeout| timeout.saturating_sub(spent));
    poll_entries(entries, left, Some(blocked.before()))
}

#[inline(always)]
fn entry((fd, wait): &(BorrowedFd, WaitFor)) -> libc::pollfd {
    libc::pollfd {
        fd: fd.as_raw_fd(),
        events: if *wait == WaitFor::Read { libc::POLLIN } else { libc::POLLOUT },
        revents: 0,
    }
}

#[inline(always)]
fn poll_entries(
    entries: &mut [libc::pollfd],
    timeout: Option<Duration>,
    mask: Option<&libc::sigset_t>,
) -> io::Result<Readiness> {
    let limit = timeout.map(|timeout| {
        // More than the kernel counts in is as good as no end.
        let seconds = timeout.as_secs().min(libc::c_long::MAX as u64);
        [seconds as libc::c_long, timeout.subsec_nanos() as libc::c_long]
    });
    // SAFETY: `entries` is valid for its length.
    match unsafe { direct::ppoll(entries.as_mut_ptr(), entries.len(), limit, mask) } {
        0 => Ok(Readiness::TimedOut),
        1.. => Ok(Readiness::Ready),
        _ => not_waited(),
    }
}

#[cold]
fn not_waited() -> io::Result<Readiness> {
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(Readiness::Interrupted),
        _ => Err(error),
    }
}
