//! Writing log records to a descriptor that the program gave.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use super::uncancelled;

/// Whether the descriptor is open.
pub(crate) fn check_open(fd: RawFd) -> io::Result<()> {
    // SAFETY: F_GETFD takes no pointer, and any number is allowed.
    super::check(unsafe { libc::fcntl(fd, libc::F_GETFD) }).map(drop)
}

/// Writes with a single `write`, ignores errors, and raises no SIGPIPE when the reader of a pipe
/// is gone: there is no MSG_NOSIGNAL for what may be a file.
pub(crate) fn write_once(fd: RawFd, bytes: &[u8]) {
    uncancelled(|| write_without_sigpipe(fd, bytes));
}

fn write_without_sigpipe(fd: RawFd, bytes: &[u8]) {
    let mut pipe = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let mut pending = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigemptyset initialises `pipe`, and the others read it and write `pending` and
    // `before`, all valid for the calls; `bytes` is readable for its length. The mask of this
    // thread alone is changed, and put back.
    unsafe {
        libc::sigemptyset(pipe.as_mut_ptr());
        libc::sigaddset(pipe.as_mut_ptr(), libc::SIGPIPE);
        libc::sigpending(pending.as_mut_ptr());
        let was_pending = libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1;
        if libc::pthread_sigmask(libc::SIG_BLOCK, pipe.as_ptr(), before.as_mut_ptr()) != 0 {
            return;
        }
        let written = libc::write(fd, bytes.as_ptr().cast(), bytes.len());
        // What this write has raised is taken back; what was there before stays.
        if written < 0
            && io::Error::last_os_error().raw_os_error() == Some(libc::EPIPE)
            && !was_pending
        {
            let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            libc::sigtimedwait(pipe.as_ptr(), std::ptr::null_mut(), &at_once);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_reader_that_is_gone_raises_no_sigpipe() {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        // SAFETY: SIG_DFL is a valid disposition; without it Rust's own "ignore" would prove
        // nothing. It is put back below.
        let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        write_once(writer.as_raw_fd(), b"text");
        // SAFETY: `before` came from `signal`.
        unsafe { libc::signal(libc::SIGPIPE, before) };
    }

    #[test]
    fn a_closed_descriptor_is_known() {
        assert!(check_open(0).is_ok());
        assert_eq!(check_open(-7).map_err(|error| error.raw_os_error()), Err(Some(libc::EBADF)));
    }
}
