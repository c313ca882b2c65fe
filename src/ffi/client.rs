//! # Clients
//!
//! A client connects when told to: with sock_client_connect(), which makes one attempt, or with
//! sock_client_open(), which does not wait. From then until sock_client_disconnect(), with the
//! option `auto_reconnect` (the default), sock_client_recv() and the sends connect again by
//! themselves.
//!
//! A client has no thread: it reads when sock_client_recv() is called, and sock_client_fd() tells
//! an event loop when that has something to do.
//!
//! Among the messages are some of the library's own, with a `code` in the payload:
//! {"code": "missed", "count": n}, a DOTSOCK_CONTROL, stands where the server dropped n messages
//! because this client was too slow, or where the client itself did, which had `client_queue_size`
//! bytes untaken from earlier connections as one more ended; {"code": "send_denied"}, a
//! DOTSOCK_ERROR with a "message", says that the server accepts no messages. Don't use these codes for others, nor
//! "max_connections", "auth" and "auth_denied", which server and client settle among themselves.

use std::ffi::{CString, c_char, c_int, c_void};

use super::arguments::{self, Out, bytes, required, text};
use super::guard::{self, c_text};
use super::kept::KeptTexts;
use super::message::{self, sock_message};
use super::options::{options_or_configured, sock_options};
use super::payload::{encoded, sock_payload};
use crate::client::ClientStats;
use crate::{Client, Error, Result, Status};

/// A client.
pub struct sock_client {
    client: Client,
    event_name: CString,
    addresses: KeptTexts,
}

/// The client of a call.
///
/// # Safety
/// `client` is NULL or points to a live client that is not freed during `'a`.
unsafe fn usable<'a>(client: *const sock_client) -> Result<&'a sock_client> {
    // SAFETY: the caller's promise.
    let handle = unsafe { required(client, "client") }?;
    if handle.client.is_forked() {
        return Err(Error::new(
            Status::Forked,
            "This client was made before a fork: use it in the parent, or make a new one here",
        ));
    }
    Ok(handle)
}

/// The client of a getter, for which one from before a fork is as good as none.
///
/// # Safety
/// As for [`usable`].
unsafe fn readable<'a>(client: *const sock_client) -> Option<&'a sock_client> {
    // SAFETY: the caller's promise.
    unsafe { client.as_ref() }.filter(|handle| !handle.client.is_forked())
}

/// A client of `event_name` (see sock_validate_event_name()), over DOTSOCK_UNIX or DOTSOCK_TCP.
/// Over TCP it connects to `host` and `port` or, when `port` is unset or 0, to the address that the
/// server published in `socket_dir`. It opens nothing yet. `options` are copied; NULL means the
/// configured ones.
///
/// Free it with sock_client_free(). NULL on failure:
/// DOTSOCK_E_INVALID: the transport, the name, `port_range_start` over `port_range_end`, or (with
/// NULL options) the configuration;
/// DOTSOCK_E_IO: a relative `socket_dir` or `token_file` cannot be made absolute, the system has no
/// page of memory to give, or (with NULL options) a settings file cannot be read, as for
/// sock_options_new().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_new(
    transport: c_int,
    event_name: *const c_char,
    options: *const sock_options,
) -> *mut sock_client {
    guard::pointer(|| {
        let transport = arguments::transport(transport)?;
        // SAFETY: the header asks for a NUL-terminated string and live options or NULL.
        let (event_name, options) =
            unsafe { (text(event_name, "event_name")?, options_or_configured(options)?) };
        Ok(Box::into_raw(Box::new(sock_client {
            client: Client::new(transport, event_name, &options)?,
            event_name: c_text(event_name),
            addresses: KeptTexts::default(),
        })))
    })
}

/// From now on the client connects by itself, without blocking and without an attempt in this
/// call: for a program that must not wait, or that may start before its server. The attempts are
/// made by sock_client_recv() and the sends, and sock_client_fd() tells when one is due.
///
/// DOTSOCK_E_STATE: `auto_reconnect` is off, or `host` is a name that has to be looked up:
/// use sock_client_connect(). DOTSOCK_E_INVALID: the path of the socket is too long. DOTSOCK_E_IO:
/// the process has no descriptor left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_open(client: *mut sock_client) -> c_int {
    // SAFETY: the header asks for a live client.
    guard::call(|| unsafe { usable(client) }?.client.open())
}

/// Makes one attempt to connect, of at most the option `default_timeout` (looking up a host's name
/// may take longer). DOTSOCK_OK when it is connected already. With `auto_reconnect`,
/// sock_client_recv() and the sends go on trying after a failure, unless the name of the host could
/// not be looked up.
///
/// DOTSOCK_E_CLOSED: no server is there (sock_last_os_error(): ENOENT, ECONNREFUSED);
/// DOTSOCK_E_TIMEOUT: no answer in time; DOTSOCK_E_PERMISSION: the server runs as another
/// unprivileged user (see `allow_foreign_server`), a TCP server and this client do not have the
/// same token (see `token_file`), or a file is not to be trusted or not to be read;
/// DOTSOCK_E_INVALID: the path of the socket is too long, or (over TCP) `token` and `token_file`
/// are both set, `token_file` is empty, longer than 4095 bytes or not a regular file, or there is a
/// token and `default_timeout` is 0; DOTSOCK_E_CANCELLED; DOTSOCK_E_INTERRUPTED;
/// DOTSOCK_E_NO_MEMORY: for the whole of `default_timeout` the system had no memory to send the
/// answer of the token handshake; DOTSOCK_E_IO: any other system error, or the name of the host is
/// not known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_connect(client: *mut sock_client) -> c_int {
    // SAFETY: the header asks for a live client.
    guard::call(|| unsafe { usable(client) }?.client.connect())
}

/// Closes the connection, and stops reconnecting. What was sent is delivered first, which takes at
/// most the option `linger`. Messages that had been read already can still be received; then
/// sock_client_recv() returns DOTSOCK_E_CLOSED, in other threads too. Harmless when not connected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_disconnect(client: *mut sock_client) -> c_int {
    // SAFETY: the header asks for a live client.
    guard::call(|| unsafe { usable(client) }?.client.disconnect())
}

/// 1 while the client is connected, 0 otherwise (and for NULL). It looks at the socket without
/// blocking, so that a server that has gone is noticed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_is_connected(client: *const sock_client) -> c_int {
    // SAFETY: the header asks for a live client or NULL.
    guard::get(0, || Some(unsafe { readable(client) }?.client.is_connected().into()))
}

/// Waits for the next message and writes it to `out`: free it with sock_message_free().
/// `timeout_ms`: 0 polls, -1 waits without end.
///
/// DOTSOCK_E_TIMEOUT: nothing in time. DOTSOCK_E_CLOSED: not connected; with `auto_reconnect` only
/// after sock_client_disconnect(), when `reconnect_max_attempts` are used up, or, with the option
/// `report_loss`, once for each lost connection (the next call goes on). DOTSOCK_E_MAX_CONNECTIONS:
/// the server has as many clients as it allows; DOTSOCK_E_PERMISSION: see sock_client_connect(),
/// or the server asks for a token and none is set; DOTSOCK_E_MESSAGE: the server sent something
/// that is not a message. Each of these three is returned once; the next call behaves as after a
/// lost connection. DOTSOCK_E_IO, DOTSOCK_E_INVALID: connecting again fails, and not because no
/// server is there (see sock_client_connect()); once for each lost connection.
/// DOTSOCK_E_CANCELLED: sock_client_cancel(). DOTSOCK_E_INTERRUPTED: a signal handler ran. After
/// these two nothing is lost: call it again to go on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_recv(
    client: *mut sock_client,
    timeout_ms: c_int,
    out: *mut *mut sock_message,
) -> c_int {
    guard::call(|| {
        let timeout = arguments::timeout(timeout_ms)?;
        // SAFETY: the header asks for a live client, and for where the message goes.
        let (handle, out) = unsafe { (usable(client)?, Out::required(out, "out")?) };
        out.set(message::give(handle.client.take_or_wait(timeout)?));
        Ok(())
    })
}

/// 1 when something has been read from the socket and was not taken yet, so that
/// sock_client_recv() need not look at the socket for it; 0 otherwise (and for NULL). It makes no
/// system call and takes no lock. In an event loop, call sock_client_recv() once when
/// sock_client_fd() is readable, and again for as long as this is 1: what comes later makes the
/// descriptor readable again. A hint: with several receiving threads another one may take the
/// message first, and this call then waits or times out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_has_next(client: *const sock_client) -> c_int {
    // SAFETY: the header asks for a live client or NULL.
    guard::get(0, || Some(unsafe { readable(client) }?.client.has_next().into()))
}

/// Sends a message to the server; the message stays the caller's. It waits up to `send_timeout`
/// (`default_timeout` where that is unset) for room, and after a lost connection connects again
/// first.
///
/// DOTSOCK_E_TIMEOUT (also when no server was there in that time), DOTSOCK_E_NO_MEMORY (the system
/// had none to send with in that time), DOTSOCK_E_CANCELLED and DOTSOCK_E_INTERRUPTED mean that
/// nothing of it was written. Once its first byte is written, it counts as sent: the call succeeds
/// whatever ends the wait, and the next call writes the rest. DOTSOCK_E_CLOSED: not connected.
/// DOTSOCK_E_SEND_DENIED: the server does not accept messages. DOTSOCK_E_MESSAGE: it is larger
/// than `max_message_size` or deeper than `max_depth`. DOTSOCK_E_MAX_CONNECTIONS,
/// DOTSOCK_E_PERMISSION, DOTSOCK_E_IO, DOTSOCK_E_INVALID: as for sock_client_recv().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_send(
    client: *mut sock_client,
    message: *const sock_message,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for a live client and a live message.
        let (handle, message) = unsafe { (usable(client)?, message::shared(message)?) };
        handle.client.send(&message)
    })
}

/// Like sock_client_send(), with a new message of the client's event and this payload: one
/// MessagePack map with str keys, of `size` bytes, or (NULL, 0) for the empty one. `type`:
/// DOTSOCK_DATA, DOTSOCK_ERROR or DOTSOCK_CONTROL.
///
/// DOTSOCK_E_MESSAGE also when `data` is anything else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_send_data(
    client: *mut sock_client,
    r#type: c_int,
    data: *const c_void,
    size: usize,
) -> c_int {
    guard::call(|| {
        let message_type = arguments::message_type(r#type)?;
        // SAFETY: the header asks for a live client and `size` bytes.
        let (handle, data) = unsafe { (usable(client)?, bytes(data, size, "data")?) };
        handle.client.send_msgpack(message_type, data)
    })
}

/// Like sock_client_send(), with a new message of the client's event and this payload: one JSON
/// object.
///
/// DOTSOCK_E_MESSAGE also when `json` is anything else; sock_last_error() says where.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_send_json(
    client: *mut sock_client,
    r#type: c_int,
    json: *const c_char,
) -> c_int {
    guard::call(|| {
        let message_type = arguments::message_type(r#type)?;
        // SAFETY: the header asks for a live client and a NUL-terminated string.
        let (handle, json) = unsafe { (usable(client)?, text(json, "json")?) };
        handle.client.send_json(message_type, json)
    })
}

/// Like sock_client_send(), with a new message of the client's event and this payload, which stays
/// the caller's and may be changed and sent again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_send_payload(
    client: *mut sock_client,
    r#type: c_int,
    payload: *const sock_payload,
) -> c_int {
    guard::call(|| {
        let message_type = arguments::message_type(r#type)?;
        // SAFETY: the header asks for a live client and a live payload.
        let (handle, data) = unsafe { (usable(client)?, encoded(payload)?) };
        handle.client.send_msgpack(message_type, &data)
    })
}

/// From now on messages are collected and written together, by sock_client_uncork() or when there
/// are 64 KiB: for bursts. A cork belongs to the client, not to a thread, and does not nest.
/// sock_client_recv() writes what was collected and leaves the cork on; sock_client_disconnect()
/// lifts it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_cork(client: *mut sock_client) -> c_int {
    // SAFETY: the header asks for a live client.
    guard::call(|| unsafe { usable(client) }?.client.cork())
}

/// Lifts the cork and writes what was collected, waiting like sock_client_send(), with its errors.
/// What could not be written stays ahead of later messages, also on a new connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_uncork(client: *mut sock_client) -> c_int {
    // SAFETY: the header asks for a live client.
    guard::call(|| unsafe { usable(client) }?.client.uncork())
}

/// A descriptor for poll, epoll, libuv, GLib or asyncio: readable (level-triggered) for as long as
/// sock_client_recv() with timeout 0 has something to do. The same from the first
/// sock_client_connect() or sock_client_open() to sock_client_free(), across reconnects; -1
/// before, for NULL, and when the process has no descriptor left.
///
/// It belongs to the client: wait on it, never read or close it; `dup` it for code that closes
/// what it is given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_fd(client: *const sock_client) -> c_int {
    // SAFETY: the header asks for a live client or NULL.
    guard::get(-1, || unsafe { readable(client) }?.client.fd())
}

/// How many messages have arrived and were not taken (unrelated to the option `buffer_size`). It
/// looks at the socket first, without blocking. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_buffer_size(client: *const sock_client) -> usize {
    // SAFETY: the header asks for a live client or NULL.
    guard::get(0, || Some(unsafe { readable(client) }?.client.buffer_size()))
}

/// Drops the messages that have arrived and were not taken. It looks at the socket first, without
/// blocking.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_clear_buffer(client: *mut sock_client) -> c_int {
    // SAFETY: the header asks for a live client.
    guard::call(|| unsafe { usable(client) }?.client.clear_buffer())
}

/// Ends the wait of sock_client_recv() or sock_client_connect(): the one in progress or, if there
/// is none, the next one that may wait returns DOTSOCK_E_CANCELLED. It does so once, however often
/// this was called before. It also ends every send that waits, or begins to wait before that.
///
/// May be called from a signal handler: it takes no lock, allocates nothing, and keeps `errno` and
/// the last error as they are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_cancel(client: *mut sock_client) -> c_int {
    // SAFETY: the header asks for a live client or NULL.
    guard::from_signal(|| match unsafe { client.as_ref() } {
        Some(handle) => handle.client.cancel(),
        None => Err(Error::invalid("`client` is NULL")),
    })
}

/// The name of the client's event; valid until the client is freed. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_event_name(client: *const sock_client) -> *const c_char {
    // SAFETY: the header asks for a live client or NULL.
    guard::get(std::ptr::null(), || Some(unsafe { readable(client) }?.event_name.as_ptr()))
}

/// The address of the server: the path of its socket, or "host:port", numeric; "" while not
/// connected. Valid until the client is freed, also when it changes. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_address(client: *const sock_client) -> *const c_char {
    guard::get(std::ptr::null(), || {
        // SAFETY: the header asks for a live client or NULL.
        let handle = unsafe { readable(client) }?;
        Some(handle.addresses.lend(&handle.client.address()))
    })
}

/// The user id of the server's process; -1 for TCP, while not connected, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_server_uid(client: *const sock_client) -> i64 {
    // SAFETY: the header asks for a live client or NULL.
    guard::get(-1, || unsafe { readable(client) }?.client.server_uid().map(i64::from))
}

/// The process id of the server; -1 for TCP, while not connected, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_server_pid(client: *const sock_client) -> i64 {
    // SAFETY: the header asks for a live client or NULL.
    guard::get(-1, || unsafe { readable(client) }?.client.server_pid().map(i64::from))
}

/// Writes one counter to `out`; they count from sock_client_new() on: "messages_sent",
/// "messages_received", "bytes_sent", "bytes_received" (without the token handshake), "malformed"
/// (frames of the server that were not messages), "reconnects".
///
/// DOTSOCK_E_INVALID: no counter has this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_stat(
    client: *const sock_client,
    name: *const c_char,
    out: *mut u64,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for a live client, a string, and for where the value goes.
        let (handle, name, out) =
            unsafe { (usable(client)?, text(name, "name")?, Out::required(out, "out")?) };
        let value = handle.client.stats().get(name);
        out.set(value.ok_or_else(|| arguments::unknown_counter(name, &ClientStats::NAMES))?);
        Ok(())
    })
}

/// Disconnects the client and frees it. NULL is allowed.
///
/// No other thread may use it any more. In a log function it takes effect once the call that
/// logged is over. In a forked child the server does not notice it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_free(client: *mut sock_client) {
    if !client.is_null() {
        // SAFETY: it came from `sock_client_new` and, as the header asks, is freed once and not
        // used any more.
        guard::free(move || drop(unsafe { Box::from_raw(client) }));
    }
}
