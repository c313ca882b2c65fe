//! The system calls that each message takes, and those that wake a thread for one, made past the C
//! library's functions for them.
//!
//! Those are cancellation points: in a process with several threads each of them switches
//! cancellation on and off, which costs about as much as all that a send does besides, and a thread
//! that is cancelled inside one would be unwound through frames of Rust, which ends the process.
//! Made here, they are neither: `pthread_cancel` takes effect once our call has returned.
//!
//! All of them take what the function of that name takes, and set `errno` as it does.

use std::ffi::{c_int, c_long, c_void};

/// Bytes of the kernel's set of signals, one bit for each: 128 of them on MIPS, 64 elsewhere.
const KERNEL_SIGNALS: usize = if cfg!(any(
    target_arch = "mips",
    target_arch = "mips64",
    target_arch = "mips32r6",
    target_arch = "mips64r6"
)) {
    16
} else {
    8
};

/// # Safety
/// `bytes` may be read for `size` bytes.
#[inline(always)]
pub(super) unsafe fn send(socket: c_int, bytes: *const c_void, size: usize, flags: c_int) -> isize {
    let nobody = std::ptr::null::<c_void>();
    // SAFETY: the caller's promise; the kernel reads nothing else, as no address is given.
    unsafe { libc::syscall(libc::SYS_sendto, socket, bytes, size, flags, nobody, 0_usize) as isize }
}

/// # Safety
/// `bytes` may be written to for `size` bytes.
#[inline(always)]
pub(super) unsafe fn recv(socket: c_int, bytes: *mut c_void, size: usize, flags: c_int) -> isize {
    let nobody = std::ptr::null_mut::<c_void>();
    // SAFETY: the caller's promise; the kernel writes nothing else, as no address is asked for.
    unsafe {
        libc::syscall(libc::SYS_recvfrom, socket, bytes, size, flags, nobody, nobody) as isize
    }
}

/// # Safety
/// `bytes` may be read for `size` bytes.
pub(super) unsafe fn write(fd: c_int, bytes: *const c_void, size: usize) -> isize {
    // SAFETY: the caller's promise.
    unsafe { libc::syscall(libc::SYS_write, fd, bytes, size) as isize }
}

/// # Safety
/// `bytes` may be written to for `size` bytes.
pub(super) unsafe fn read(fd: c_int, bytes: *mut c_void, size: usize) -> isize {
    // SAFETY: the caller's promise.
    unsafe { libc::syscall(libc::SYS_read, fd, bytes, size) as isize }
}

/// # Safety
/// `events` may be written to for `count` elements.
#[inline(always)]
pub(super) unsafe fn epoll_wait(
    epoll: c_int,
    events: *mut libc::epoll_event,
    count: c_int,
    timeout_ms: c_int,
) -> c_int {
    let same_mask = std::ptr::null::<c_void>();
    // The older call of that name does not exist on every architecture.
    // SAFETY: the caller's promise; without a signal mask the kernel reads nothing.
    unsafe {
        libc::syscall(libc::SYS_epoll_pwait, epoll, events, count, timeout_ms, same_mask, 0_usize)
            as c_int
    }
}

/// A time without end where `timeout` is `None`, else seconds and nanoseconds; signals are let in by
/// `mask` meanwhile, where there is one.
///
/// # Safety
/// `entries` may be read and written to for `count` elements.
#[inline(always)]
pub(super) unsafe fn ppoll(
    entries: *mut libc::pollfd,
    count: usize,
    timeout: Option<[c_long; 2]>,
    mask: Option<&libc::sigset_t>,
) -> c_int {
    let mut left = timeout.unwrap_or_default();
    let limit = if timeout.is_some() { left.as_mut_ptr() } else { std::ptr::null_mut() };
    let mask = mask.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the caller's promise; `limit` is null or names two longs, the kernel's timespec,
    // which it may change; `mask` is null or longer than the kernel's own set of signals, which it
    // begins with.
    unsafe { libc::syscall(libc::SYS_ppoll, entries, count, limit, mask, KERNEL_SIGNALS) as c_int }
}
