//! Threads that somebody cancels (`pthread_cancel`) while they are in a call of ours: where the C
//! library looks whether one is, it would unwind frames of Rust, which ends the process. What each
//! message takes avoids those places (see `direct`); what happens rarely holds the cancellation back.

use std::ffi::c_int;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

const PTHREAD_CANCEL_DISABLE: c_int = 1;

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

/// Runs something with this thread's cancellation held back; one that is pending takes effect at the
/// next cancellation point after it.
pub(crate) fn uncancelled<R>(run: impl FnOnce() -> R) -> R {
    struct PutBack(c_int);
    impl Drop for PutBack {
        fn drop(&mut self) {
            set_state(self.0);
        }
    }
    let _put_back = PutBack(set_state(PTHREAD_CANCEL_DISABLE));
    run()
}

/// Returns the state before.
fn set_state(state: c_int) -> c_int {
    let mut before = 0;
    // SAFETY: `before` is writable; the state is one that there is, as this call returned it or as
    // the constant above has it (1 in glibc and in musl).
    unsafe { pthread_setcancelstate(state, &raw mut before) };
    before
}

/// A socket of a connection, or one that listens.
pub(crate) type StreamSocket = Descriptor;

/// A descriptor that is closed without being cancelled: a socket in whatever call finds that the peer
/// has left, an event counter at the end of a send that waited.
#[derive(Debug)]
pub(crate) struct Descriptor(ManuallyDrop<OwnedFd>);

impl From<OwnedFd> for Descriptor {
    fn from(fd: OwnedFd) -> Descriptor {
        Descriptor(ManuallyDrop::new(fd))
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: `drop` runs once, nothing else drops the field, and nothing touches it after this:
        // the descriptor is closed exactly once.
        uncancelled(|| unsafe { ManuallyDrop::drop(&mut self.0) });
    }
}
