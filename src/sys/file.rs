//! Locks and modes of files.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::check;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockKind {
    Shared,
    Exclusive,
}

/// Takes an advisory `flock` without waiting; `false` when somebody else holds it.
pub(crate) fn try_lock(fd: BorrowedFd, kind: LockKind) -> io::Result<bool> {
    let operation = match kind {
        LockKind::Shared => libc::LOCK_SH,
        LockKind::Exclusive => libc::LOCK_EX,
    };
    // SAFETY: the descriptor is borrowed and so open; no pointer is passed.
    match check(unsafe { libc::flock(fd.as_raw_fd(), operation | libc::LOCK_NB) }) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EWOULDBLOCK) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sets the mode of what `fd` has open, whatever the umask says. On a Unix socket that is not
/// bound yet, it is the mode that its file will be made with.
pub(crate) fn set_mode(fd: BorrowedFd, mode: u32) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed and so open; no pointer is passed.
    check(unsafe { libc::fchmod(fd.as_raw_fd(), mode) })?;
    Ok(())
}

/// Sets the mode of what `path` names; a symbolic link is an error.
pub(crate) fn set_mode_at(path: &Path, mode: u32) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` ends in a NUL and lives through the call.
    check(unsafe {
        libc::fchmodat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_SYMLINK_NOFOLLOW)
    })?;
    Ok(())
}

pub(crate) fn effective_uid() -> u32 {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}
