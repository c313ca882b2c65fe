//! Bytes to and from stream sockets, without waiting.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use super::{direct, uncancelled};

/// Why a write took nothing.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// The socket has no room, and will tell when it has.
    NoRoom,
    /// The system has no memory to write with: try again after [`STARVED`].
    NoMemory,
    /// The peer takes nothing any more.
    Broken(io::Error),
}

/// How soon a write is tried again that there was no memory for: the socket, which may have room
/// all the time, would tell of that at once and for ever.
pub(crate) const STARVED: Duration = Duration::from_millis(10);

impl From<io::Error> for Unsent {
    #[cold]
    fn from(error: io::Error) -> Unsent {
        match error.raw_os_error() {
            Some(libc::EAGAIN) => Unsent::NoRoom,
            Some(libc::ENOBUFS | libc::ENOMEM) => Unsent::NoMemory,
            _ => Unsent::Broken(error),
        }
    }
}

/// Writes what the socket has room for, without waiting, and returns how much that was.
#[inline(always)]
pub(crate) fn send(socket: BorrowedFd, parts: &[IoSlice]) -> Result<usize, Unsent> {
    loop {
        let result = match parts {
            [one] => {
                // SAFETY: the slice is readable for its length; the socket is open.
                unsafe {
                    direct::send(
                        socket.as_raw_fd(),
                        one.as_ptr().cast(),
                        one.len(),
                        libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
                    )
                }
            }
            parts => send_parts(socket, parts),
        };
        if result >= 0 {
            return Ok(result as usize);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(Unsent::from(error));
        }
    }
}

#[inline(never)]
fn send_parts(socket: BorrowedFd, parts: &[IoSlice]) -> isize {
    // SAFETY: a msghdr is plain integers and pointers, for which zeros are valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // IoSlice has the layout of iovec; sendmsg only reads through the pointer.
    message.msg_iov = parts.as_ptr().cast_mut().cast();
    message.msg_iovlen = parts.len() as _;
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: `message` names `parts`, valid for the call; the socket is open.
    uncancelled(|| unsafe { libc::sendmsg(socket.as_raw_fd(), &message, flags) })
}

/// Appends what is there, without waiting, up to `most` bytes and to what `buffer` has memory for,
/// and returns how much that was; 0 is the end of stream.
///
/// The memory is not cleared first: for a large frame that would cost as much as reading it.
#[inline(always)]
pub(crate) fn receive_to(
    socket: BorrowedFd,
    buffer: &mut Vec<u8>,
    most: usize,
) -> io::Result<usize> {
    let spare = buffer.spare_capacity_mut();
    let size = most.min(spare.len());
    loop {
        // SAFETY: `spare` is writable for its length, of which `size` is at most all; recv only
        // writes to it. The socket is open.
        let result = unsafe {
            direct::recv(socket.as_raw_fd(), spare.as_mut_ptr().cast(), size, libc::MSG_DONTWAIT)
        };
        if result >= 0 {
            let read = result as usize;
            // SAFETY: the kernel has initialized the first `read` bytes of the spare capacity.
            unsafe { buffer.set_len(buffer.len() + read) };
            return Ok(read);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Reads what is there, without waiting, and returns how much that was; 0 is the end of stream.
pub(crate) fn receive(socket: BorrowedFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: `buffer` is writable for its length; the socket is open.
        let result = unsafe {
            direct::recv(
                socket.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_DONTWAIT,
            )
        };
        if result >= 0 {
            return Ok(result as usize);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Bytes that were written to a TCP socket and that the peer's kernel has not got yet.
pub(crate) fn unsent_bytes(socket: BorrowedFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (TIOCOUTQ) writes one int, which `bytes` is; the socket is open.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 { 0 } else { bytes.max(0) as usize }
}
