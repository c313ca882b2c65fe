//! # Servers
//!
//! A server is named by an event, and sends what it has to say to all clients or to one. There
//! are three ways to run it, with one engine behind them:
//!
//! - sock_server_start(): on a thread of the library's own; hooks run there.
//! - sock_server_run(): on the calling thread, until it is stopped; hooks run there.
//! - sock_server_open(), sock_server_next() and sock_server_fd(): no thread and no hooks; the
//!   program asks for events when its own event loop says that there are some.
//!
//! While the server runs in one of these ways, starting it in any way fails with DOTSOCK_E_STATE;
//! only sock_server_run() may be called again, after it was cancelled or interrupted.

use std::ffi::{CString, c_char, c_int};
use std::sync::Arc;

use super::arguments::{self, Out, required, text};
use super::event::sock_event;
use super::guard::{self, c_text};
use super::hooks::Slots;
use super::kept::KeptTexts;
use super::options::{options_or_configured, sock_options};
use crate::server::ServerStats;
use crate::{Error, Result, Server, Status, deferred};

/// A server.
pub struct sock_server {
    /// Shared with the calls in which hooks run, since a hook may free the handle.
    server: Arc<Server>,
    event_name: CString,
    addresses: KeptTexts,
    slots: Slots,
}

impl sock_server {
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    pub(super) fn slots(&self) -> &Slots {
        &self.slots
    }
}

/// The server of a call.
///
/// # Safety
/// `server` is NULL or points to a live server that is not freed during `'a`.
pub(super) unsafe fn usable<'a>(server: *const sock_server) -> Result<&'a sock_server> {
    // SAFETY: the caller's promise.
    let handle = unsafe { required(server, "server") }?;
    if handle.server.is_forked() {
        return Err(Error::new(
            Status::Forked,
            "This server was made before a fork: use it in the parent, or make a new one here",
        ));
    }
    Ok(handle)
}

/// The server of a getter, for which one from before a fork is as good as none.
///
/// # Safety
/// As for [`usable`].
unsafe fn readable<'a>(server: *const sock_server) -> Option<&'a sock_server> {
    // SAFETY: the caller's promise.
    unsafe { server.as_ref() }.filter(|handle| !handle.server.is_forked())
}

/// A server for `event_name` (see sock_validate_event_name()), over DOTSOCK_UNIX or DOTSOCK_TCP.
/// It opens nothing yet. `options` are copied; NULL means the configured ones.
///
/// Free it with sock_server_free(). NULL on failure:
/// DOTSOCK_E_INVALID: the transport, the name, `port_range_start` over `port_range_end`, or (with
/// NULL options) the configuration;
/// DOTSOCK_E_IO: a relative `socket_dir` or `token_file` cannot be made absolute, the system has no
/// page of memory to give, or (with NULL options) a settings file cannot be read, as for
/// sock_options_new().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_new(
    transport: c_int,
    event_name: *const c_char,
    options: *const sock_options,
) -> *mut sock_server {
    guard::pointer(|| {
        let transport = arguments::transport(transport)?;
        // SAFETY: the header asks for a NUL-terminated string and live options or NULL.
        let (event_name, options) =
            unsafe { (text(event_name, "event_name")?, options_or_configured(options)?) };
        let server = Server::new(transport, event_name, &options)?;
        Ok(Box::into_raw(Box::new(sock_server {
            server: Arc::new(server),
            event_name: c_text(event_name),
            addresses: KeptTexts::default(),
            slots: Slots::default(),
        })))
    })
}

/// Starts the server on a thread of the library's own, which blocks all signals, and returns once
/// it is listening. Hooks run on that thread. (With the option `blocking_mode` it does what
/// sock_server_run() does.)
///
/// DOTSOCK_E_STATE: it is running already; DOTSOCK_E_IN_USE: a live Unix server has this event, or
/// no port in the range is free; DOTSOCK_E_PERMISSION: `socket_dir` is not to be trusted or may not
/// be written, the system denies the port, or (over TCP) `token_file` may not be read, may be read
/// by others, or belongs to another user; DOTSOCK_E_INVALID: the path of the socket is too long, or
/// (over TCP) `token` and `token_file` are both set, `token_file` is empty, longer than 4095 bytes
/// or not a regular file, or there is a token and `default_timeout` is 0; DOTSOCK_E_IO: any other
/// system error, see sock_last_os_error(), such as a `token_file` that does not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_start(server: *mut sock_server) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for a live server; a clone because a hook may free the handle.
        let server = unsafe { usable(server) }?.server.clone();
        server.start()
    })
}

/// Runs the server on the calling thread, until sock_server_stop(), sock_server_cancel() or a
/// signal handler. Hooks run on this thread.
///
/// DOTSOCK_OK: it was stopped. DOTSOCK_E_CANCELLED, DOTSOCK_E_INTERRUPTED: it is still listening
/// and its clients are kept; call it again to go on, or stop it. A stop by another thread in
/// between is not lost: the call that follows returns DOTSOCK_OK at once and starts nothing.
/// Other errors: as for sock_server_start().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_run(server: *mut sock_server) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for a live server; a clone because a hook may free the handle.
        let server = unsafe { usable(server) }?.server.clone();
        server.run()
    })
}

/// Starts to listen, without a thread: the program drives the server with sock_server_next().
/// Hooks are not called. Events that were left when it was last stopped come first.
///
/// Errors as for sock_server_start().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_open(server: *mut sock_server) -> c_int {
    // SAFETY: the header asks for a live server.
    guard::call(|| unsafe { usable(server) }?.server.open())
}

/// Drives an opened server, and writes its next event to `out`: free that with sock_event_free().
/// `timeout_ms`: 0 polls, -1 waits without end. A client's events come as connected, messages,
/// disconnected.
///
/// DOTSOCK_E_TIMEOUT: nothing in time. DOTSOCK_E_NOT_RUNNING: it was never opened, or it was
/// stopped and all events that were left have been returned, including the disconnect of every
/// client. DOTSOCK_E_STATE: it runs in another way. DOTSOCK_E_CANCELLED: sock_server_cancel().
/// DOTSOCK_E_INTERRUPTED: a signal handler ran.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_next(
    server: *mut sock_server,
    timeout_ms: c_int,
    out: *mut *mut sock_event,
) -> c_int {
    guard::call(|| {
        let timeout = arguments::timeout(timeout_ms)?;
        // SAFETY: the header asks for a live server, and for where the event goes.
        let (handle, out) = unsafe { (usable(server)?, Out::required(out, "out")?) };
        out.set(Box::into_raw(Box::new(sock_event::new(handle.server.take_next(timeout)?))));
        Ok(())
    })
}

/// A descriptor for poll, epoll, libuv, GLib or asyncio: readable (level-triggered) for as long as
/// sock_server_next() with timeout 0 has something to do. The same from the first
/// sock_server_open() to sock_server_free(), across stops and starts; -1 before, and for NULL.
///
/// It belongs to the server: wait on it, never read or close it; `dup` it for code that closes
/// what it is given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_fd(server: *const sock_server) -> c_int {
    // SAFETY: the header asks for a live server or NULL.
    guard::get(-1, || unsafe { readable(server) }?.server.fd())
}

/// Stops the server, in this order: sends answer DOTSOCK_E_NOT_RUNNING, blocked calls end,
/// listening ends and the socket or discovery file goes, what is queued is delivered (for at most
/// the option `linger`), clients are closed, their disconnect hooks run. When it returns all of
/// that is done and no hook runs any more.
///
/// Harmless when it is not running. In a hook it returns at once: sends answer
/// DOTSOCK_E_NOT_RUNNING from then on, and the rest follows once the hook has returned. In a log
/// function all of it follows once the call that logged is over. The server can be started again,
/// and its backlog is still there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_stop(server: *mut sock_server) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for a live server; a clone because a hook may free the handle.
        let server = unsafe { usable(server) }?.server.clone();
        if deferred::in_logger() {
            deferred::push(move || {
                let _ = server.stop();
            });
            return Ok(());
        }
        server.stop()
    })
}

/// Ends the wait of sock_server_run() or sock_server_next(): the one in progress or, if there is
/// none, the next one with a timeout other than 0 returns DOTSOCK_E_CANCELLED. It does so once,
/// however often this was called before. It also ends every send that waits for room.
///
/// May be called from a signal handler: it takes no lock, allocates nothing, and keeps `errno` and
/// the last error as they are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_cancel(server: *mut sock_server) -> c_int {
    // SAFETY: the header asks for a live server or NULL.
    guard::from_signal(|| match unsafe { server.as_ref() } {
        Some(handle) => handle.server.cancel(),
        None => Err(Error::invalid("`server` is NULL")),
    })
}

/// 1 while the server is running, 0 otherwise (and for NULL).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_is_running(server: *const sock_server) -> c_int {
    // SAFETY: the header asks for a live server or NULL.
    guard::get(0, || Some(unsafe { readable(server) }?.server.is_running().into()))
}

/// The name of the server's event; valid until the server is freed. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_event_name(server: *const sock_server) -> *const c_char {
    // SAFETY: the header asks for a live server or NULL.
    guard::get(std::ptr::null(), || Some(unsafe { readable(server) }?.event_name.as_ptr()))
}

/// Where the server listens: the path of its socket, or "host:port", numeric ("" while a TCP
/// server is not listening). Valid until the server is freed, also when it changes. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_address(server: *const sock_server) -> *const c_char {
    guard::get(std::ptr::null(), || {
        // SAFETY: the header asks for a live server or NULL.
        let handle = unsafe { readable(server) }?;
        Some(handle.addresses.lend(&handle.server.address()))
    })
}

/// The port that a TCP server listens on; 0 for Unix, while not listening, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_port(server: *const sock_server) -> c_int {
    // SAFETY: the header asks for a live server or NULL.
    guard::get(0, || Some(unsafe { readable(server) }?.server.port().into()))
}

/// Disconnects a client, and returns at once: its id is unknown from now on, and none of its
/// messages is delivered any more, not even one that has already arrived. One exception: another
/// thread may already be in a hook with a message of this client, or in a sock_server_next() that
/// is about to return one; that one is still delivered. What is queued for the client is sent (for
/// at most the option `linger`), then it is closed and its disconnect hook or event follows.
///
/// DOTSOCK_E_NO_CLIENT: nobody has this id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_disconnect_client(
    server: *mut sock_server,
    client_id: *const c_char,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for a live server and a NUL-terminated string.
        let (handle, client_id) = unsafe { (usable(server)?, text(client_id, "client_id")?) };
        handle.server.disconnect_client(client_id)
    })
}

/// How many messages are in the backlog, which holds what was broadcast while no client was
/// connected. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_queue_size(server: *const sock_server) -> usize {
    // SAFETY: the header asks for a live server or NULL.
    guard::get(0, || Some(unsafe { readable(server) }?.server.queue_size()))
}

/// Empties the backlog, whether the server is running or not. These messages do not count as
/// dropped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_clear_queue(server: *mut sock_server) -> c_int {
    // SAFETY: the header asks for a live server.
    guard::call(|| unsafe { usable(server) }?.server.clear_queue())
}

/// Writes one counter to `out`; they count from sock_server_new() on.
///
/// - "clients": connected now
/// - "connections": accepted; "rejected": refused because of `max_connections`, or without the
///   token
/// - "messages_sent", "bytes_sent": what the kernel took, per recipient, with lengths and notices
/// - "messages_received", "bytes_received"
/// - "messages_dropped": what the kernel never took, per recipient, because a queue or the backlog
///   was full, a client left, or `linger` was over
/// - "malformed": frames that were malformed, too large, cut off or timed out
/// - "denied": well-formed frames refused because of `allow_client_send`
/// - "queued": in the backlog now
///
/// DOTSOCK_E_INVALID: no counter has this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_stat(
    server: *const sock_server,
    name: *const c_char,
    out: *mut u64,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for a live server, a string, and for where the value goes.
        let (handle, name, out) =
            unsafe { (usable(server)?, text(name, "name")?, Out::required(out, "out")?) };
        let value = handle.server.stats().get(name);
        out.set(value.ok_or_else(|| arguments::unknown_counter(name, &ServerStats::NAMES))?);
        Ok(())
    })
}

/// Stops the server, runs the `drop`s of its hooks, and frees it. NULL is allowed.
///
/// No other thread may use it any more. In one of its hooks it takes effect once the hook has
/// returned: the other clients' disconnect hooks still run, so release a hook's `ctx` in its
/// `drop`. In a log function it takes effect once the call that logged is over. In a forked child
/// it runs the `drop`s and affects neither peers nor files.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_free(server: *mut sock_server) {
    if !server.is_null() {
        // SAFETY: it came from `sock_server_new` and, as the header asks, is freed once and not
        // used any more.
        guard::free(move || unsafe { free(server) });
    }
}

/// # Safety
/// `pointer` came from `sock_server_new`, and the program uses it no more.
unsafe fn free(pointer: *mut sock_server) {
    // SAFETY: the handle is alive until `Freed` ends it.
    let server = unsafe { &*pointer }.server.clone();
    let handle = Freed(pointer);
    if server.is_forked() {
        handle.abandon();
        return;
    }
    let in_hook = server.in_hook();
    let _ = server.stop();
    if in_hook {
        server.after_stop(Box::new(move || handle.end()));
    } else {
        handle.end();
    }
}

/// A handle that the program has let go of, while hooks may still get to see its pointer. No Box
/// yet, since that would claim to be the only one that points there.
struct Freed(*mut sock_server);

// SAFETY: everything in the handle may be used and dropped by any thread; the program's contexts
// are, as the header says, released on any thread.
unsafe impl Send for Freed {}

impl Freed {
    /// Ends the handle when the server has stopped and no hook runs any more.
    fn end(self) {
        // SAFETY: whoever made `Freed` owns the handle, and `self` is used up here.
        let handle = unsafe { Box::from_raw(self.0) };
        // Takes the hooks out, so that their contexts are released here and now, whoever else
        // still holds the server.
        drop(handle.server.set_hooks(std::mem::take));
        drop(handle);
    }

    /// Ends the handle in a forked child.
    fn abandon(self) {
        // SAFETY: whoever made `Freed` owns the handle, and `self` is used up here. No other
        // thread of the parent is there to use it.
        let handle = unsafe { Box::from_raw(self.0) };
        handle.slots.finish();
        handle.server.abandon();
        drop(handle);
    }
}
