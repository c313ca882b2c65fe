//! System calls: the only `unsafe` code outside `ffi`.
//!
//! Everything here is a thin, safe form of one system call or of a few that belong together.
//! Descriptors are close-on-exec, sockets are non-blocking, and a write never raises SIGPIPE.

mod cancellation;
mod clock;
mod direct;
mod epoll;
mod event_fd;
mod file;
mod log_descriptor;
mod poll;
mod process;
mod socket;
mod spin;
mod transfer;

pub(crate) use cancellation::{StreamSocket, uncancelled};
pub(crate) use clock::{Monotonic, WallClock};
pub(crate) use epoll::{Epoll, EpollEvent, Interest};
pub(crate) use event_fd::{EventFd, TimerFd};
pub(crate) use file::{LockKind, effective_uid, set_mode, set_mode_at, try_lock};
pub(crate) use log_descriptor::{check_open, write_once};
pub(crate) use poll::{Readiness, WaitFor, poll, poll_for_room, poll_spinning};
pub(crate) use process::{
    Process, SignalsBlocked, ThreadMark, in_secure_mode, spawn_without_signals,
};
pub(crate) use socket::{
    Credentials, MAX_UNIX_PATH, accept, bind_unix, close_in_child, connect_tcp, connect_unix,
    listen_tcp, local_address, peer_credentials, peer_has_left, remote_address, set_no_delay,
    set_send_buffer, shut_down, shut_down_writing, stop_listening, take_error,
};
pub(crate) use transfer::{STARVED, Unsent, receive, receive_to, send, unsent_bytes};

/// Turns the -1 of a system call into the error that `errno` names.
fn check(result: libc::c_int) -> std::io::Result<libc::c_int> {
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}
