//! Stream sockets, Unix and TCP: non-blocking, close-on-exec, and never a SIGPIPE.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{StreamSocket, check, direct};

/// Who is at the other end of a Unix socket, as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub uid: u32,
    pub pid: i32,
}

fn new_socket(family: libc::c_int) -> io::Result<StreamSocket> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointer is passed; a descriptor that is returned is new and owned by nobody.
    let fd = check(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: `fd` was just made and is open, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}

/// The longest path that a Unix socket can have, in bytes.
pub(crate) const MAX_UNIX_PATH: usize = 107;

fn unix_address(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    let bytes = path.as_os_str().as_bytes();
    // SAFETY: a sockaddr_un is plain integers, for which zeros are valid.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    if bytes.is_empty() || bytes.len() > MAX_UNIX_PATH || bytes.contains(&0) {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let size = std::mem::offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + 1;
    Ok((address, size as libc::socklen_t))
}

/// The bytes of a `SocketAddr` as the kernel wants them.
fn tcp_address(address: &SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: a sockaddr_storage is plain integers, for which zeros are valid.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let size = match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: sockaddr_storage is larger than, and aligned for, every socket address.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(raw) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: sockaddr_storage is larger than, and aligned for, every socket address.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(raw) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, size as libc::socklen_t)
}

fn from_storage(storage: &libc::sockaddr_storage) -> io::Result<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that a sockaddr_in was written here; sizes and alignment fit.
            let raw = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
            let ip = std::net::Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
            Ok(SocketAddr::from((ip, u16::from_be(raw.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that a sockaddr_in6 was written here; sizes and alignment fit.
            let raw = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
            Ok(SocketAddr::V6(std::net::SocketAddrV6::new(
                raw.sin6_addr.s6_addr.into(),
                u16::from_be(raw.sin6_port),
                raw.sin6_flowinfo,
                raw.sin6_scope_id,
            )))
        }
        _ => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
    }
}

/// Binds a Unix socket whose file has `mode` from the first moment, and listens. A file that was
/// made is removed when something fails after that.
pub(crate) fn bind_unix(path: &Path, mode: u32) -> io::Result<StreamSocket> {
    let socket = new_socket(libc::AF_UNIX)?;
    let (address, size) = unix_address(path)?;
    super::set_mode(socket.as_fd(), mode)?;
    // SAFETY: `address` is a sockaddr_un of which `size` bytes are initialised; the socket is open.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) })?;
    let ready = restore_mode(path, mode).and_then(|()| listen(&socket));
    if let Err(error) = ready {
        // Best effort: the first error is the one to report.
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    Ok(socket)
}

/// Gives back the bits that the umask took. Nobody can connect before `listen`, so that is in time.
fn restore_mode(path: &Path, mode: u32) -> io::Result<()> {
    let made = std::fs::symlink_metadata(path)?;
    if made.permissions().mode() & 0o777 == mode { Ok(()) } else { super::set_mode_at(path, mode) }
}

/// Binds a TCP socket and listens; port 0 lets the system choose.
pub(crate) fn listen_tcp(address: &SocketAddr) -> io::Result<StreamSocket> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let socket = new_socket(family)?;
    // A port whose last connections are in TIME_WAIT can be had again at once.
    set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    let (storage, size) = tcp_address(address);
    // SAFETY: `storage` holds a socket address of `size` bytes; the socket is open.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const storage).cast(), size) })?;
    listen(&socket)?;
    Ok(socket)
}

fn listen(socket: &StreamSocket) -> io::Result<()> {
    // SAFETY: the socket is open; no pointer is passed.
    check(unsafe { libc::listen(socket.as_raw_fd(), 4096) })?;
    Ok(())
}

fn set_option(
    socket: &StreamSocket,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: `value` is readable for the size that is passed; the socket is open.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// Lets the kernel keep so many bytes that were sent and not read yet, as far as the system allows
/// (`net.core.wmem_max`).
pub(crate) fn set_send_buffer(socket: &StreamSocket, bytes: i32) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, bytes)
}

/// Sends small TCP segments at once instead of waiting for more.
pub(crate) fn set_no_delay(socket: &StreamSocket) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)
}

/// The address that a TCP socket was bound to.
pub(crate) fn local_address(socket: BorrowedFd) -> io::Result<SocketAddr> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut size = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: `storage` is writable for `size` bytes; both live through the call.
    check(unsafe {
        libc::getsockname(socket.as_raw_fd(), storage.as_mut_ptr().cast(), &mut size)
    })?;
    // SAFETY: zeroed before, and partly overwritten by the kernel: initialised either way.
    from_storage(unsafe { storage.assume_init_ref() })
}

/// The address that a TCP socket is connected to.
pub(crate) fn remote_address(socket: BorrowedFd) -> io::Result<SocketAddr> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut size = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: `storage` is writable for `size` bytes; both live through the call.
    check(unsafe {
        libc::getpeername(socket.as_raw_fd(), storage.as_mut_ptr().cast(), &mut size)
    })?;
    // SAFETY: zeroed before, and partly overwritten by the kernel: initialised either way.
    from_storage(unsafe { storage.assume_init_ref() })
}

/// Refuses connections from now on, also where a forked child keeps the socket open.
pub(crate) fn stop_listening(listener: BorrowedFd) {
    // SAFETY: the socket is open; no pointer is passed. That it has stopped already is fine.
    unsafe { libc::shutdown(listener.as_raw_fd(), libc::SHUT_RDWR) };
}

/// The next connection, and for TCP the address it comes from; `None` when none waits.
pub(crate) fn accept(
    listener: BorrowedFd,
) -> io::Result<Option<(StreamSocket, Option<SocketAddr>)>> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut size = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: `storage` is writable for `size` bytes; both live through the call.
    let result = check(unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            storage.as_mut_ptr().cast(),
            &mut size,
            libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
        )
    });
    let fd = match result {
        Ok(fd) => fd,
        Err(error) => {
            return match error.raw_os_error() {
                // Gone again before it was taken, or nobody there: as if none waited.
                Some(libc::EAGAIN | libc::ECONNABORTED | libc::EINTR | libc::EPROTO) => Ok(None),
                _ => Err(error),
            };
        }
    };
    // SAFETY: accept4 returned a new descriptor that nobody owns.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) }.into();
    // SAFETY: zeroed before, and partly overwritten by the kernel: initialised either way.
    Ok(Some((socket, from_storage(unsafe { storage.assume_init_ref() }).ok())))
}

/// Begins to connect. A Unix socket is connected at once, or the server's queue is full (EAGAIN).
pub(crate) fn connect_unix(path: &Path) -> io::Result<StreamSocket> {
    let socket = new_socket(libc::AF_UNIX)?;
    let (address, size) = unix_address(path)?;
    // SAFETY: `address` is a sockaddr_un of which `size` bytes are initialised; the socket is open.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), size) })?;
    Ok(socket)
}

/// Begins to connect; `true` when that is done already, else wait for the socket to be writable
/// and ask [`take_error`].
pub(crate) fn connect_tcp(address: &SocketAddr) -> io::Result<(StreamSocket, bool)> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let socket = new_socket(family)?;
    set_no_delay(&socket)?;
    let (storage, size) = tcp_address(address);
    // SAFETY: `storage` holds a socket address of `size` bytes; the socket is open.
    match check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const storage).cast(), size) }) {
        Ok(_) => Ok((socket, true)),
        Err(error) => match error.raw_os_error() {
            Some(libc::EINPROGRESS | libc::EINTR) => Ok((socket, false)),
            _ => Err(error),
        },
    }
}

fn int_option(socket: BorrowedFd, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` is writable for `size` bytes; both live through the call.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw mut value).cast(),
            &mut size,
        )
    })?;
    Ok(value)
}

/// How a connection attempt ended, once the socket is writable.
pub(crate) fn take_error(socket: BorrowedFd) -> io::Result<()> {
    match int_option(socket, libc::SO_ERROR)? {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Who is at the other end of a connected Unix socket.
pub(crate) fn peer_credentials(socket: BorrowedFd) -> io::Result<Credentials> {
    let mut raw = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `raw` is writable for `size` bytes; both live through the call.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut raw).cast(),
            &mut size,
        )
    })?;
    Ok(Credentials { uid: raw.uid, pid: raw.pid })
}

/// Whether the peer has ended its stream, however much of it is still to be read.
pub(crate) fn peer_has_left(socket: BorrowedFd) -> bool {
    let mut entry = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    loop {
        // SAFETY: `entry` is one valid pollfd; with no time to wait the call returns at once.
        let ready = unsafe { direct::ppoll(&mut entry, 1, Some([0, 0]), None) };
        // A signal that is pending ends it even so.
        if ready >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return ready > 0;
        }
    }
}

/// Closes a descriptor in a forked child, where threads that were asleep on it in the parent left
/// owners behind that will never give it up.
pub(crate) fn close_in_child(socket: std::sync::Arc<StreamSocket>) {
    let fd = socket.as_raw_fd();
    // This owner is left behind too, so that nothing closes the number again.
    std::mem::forget(socket);
    // SAFETY: the descriptor is open, and every owner of it is leaked: this one above, and those
    // of threads that do not exist in this process.
    unsafe { libc::close(fd) };
}

/// Ends what is written; `false` where it is not connected any more.
pub(crate) fn shut_down_writing(socket: BorrowedFd) -> bool {
    // SAFETY: the socket is open; no pointer is passed.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) == 0 }
}

/// Ends both directions, also where a forked child keeps the socket open.
pub(crate) fn shut_down(socket: BorrowedFd) {
    // SAFETY: the socket is open; no pointer is passed. That it is not connected any more is fine.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
}
