//! # Sending
//!
//! A server sends to all of its clients, or to the one that `client_id` names.
//!
//! sock_send() sends a message as it is. The other three make one: of the server's event, with the
//! current time, of the `type` DOTSOCK_DATA, DOTSOCK_ERROR or DOTSOCK_CONTROL, and with a payload
//! that is given as MessagePack, as JSON or as a sock_payload.

use std::ffi::{c_char, c_int, c_void};

use super::arguments::{self, bytes, optional_text, text};
use super::guard;
use super::message::{self, sock_message};
use super::payload::{encoded, sock_payload};
use super::server::{sock_server, usable};

/// Sends a message: to all clients when `client_id` is NULL, else to that one. Never blocks,
/// unless the option `slow_client` is "block". The message stays the caller's; its event name may
/// differ from the server's.
///
/// With no client connected a broadcast goes to the backlog (option `message_queue_size`), and the
/// first client that connects gets it. All clients get broadcasts in one order, and what one
/// thread sends arrives in the order of its calls.
///
/// A broadcast is DOTSOCK_OK even where a client's queue was full: what was not queued counts as
/// dropped, and the client is told; never repeat it. A unicast to a full queue is DOTSOCK_OK with
/// `slow_client` "drop_oldest", DOTSOCK_E_FULL with "drop_newest" and "disconnect", and with
/// "block" it waits: DOTSOCK_E_TIMEOUT, DOTSOCK_E_CANCELLED, DOTSOCK_E_INTERRUPTED,
/// DOTSOCK_E_NO_CLIENT (it left) and DOTSOCK_E_NOT_RUNNING (stopped) mean that it was not queued.
///
/// DOTSOCK_E_NOT_RUNNING; DOTSOCK_E_NO_CLIENT: nobody has this id; DOTSOCK_E_MESSAGE: it is larger
/// than `max_message_size` or deeper than `max_depth`. DOTSOCK_E_NO_MEMORY: a unicast was dropped;
/// some clients may have got a broadcast, and for the others it counts as dropped, so do not repeat
/// it unless it may arrive twice. (If there was no memory even to encode it, nobody got it.)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_send(
    server: *mut sock_server,
    message: *const sock_message,
    client_id: *const c_char,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for a live server, a live message and a string or NULL.
        let (handle, message, client_id) = unsafe {
            (usable(server)?, message::shared(message)?, optional_text(client_id, "client_id")?)
        };
        handle.server().send(&message, client_id)
    })
}

/// Like sock_send(), with a new message that has this payload: MessagePack, one map with str keys
/// (maps inside it may have any keys), of `size` bytes, or (NULL, 0) for the empty map.
///
/// DOTSOCK_E_MESSAGE also when `data` is anything else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_send_data(
    server: *mut sock_server,
    r#type: c_int,
    data: *const c_void,
    size: usize,
    client_id: *const c_char,
) -> c_int {
    guard::call(|| {
        let message_type = arguments::message_type(r#type)?;
        // SAFETY: the header asks for a live server, `size` bytes and a string or NULL.
        let (handle, data, client_id) = unsafe {
            (usable(server)?, bytes(data, size, "data")?, optional_text(client_id, "client_id")?)
        };
        handle.server().send_msgpack(message_type, data, client_id)
    })
}

/// Like sock_send(), with a new message that has this payload: one JSON object.
///
/// DOTSOCK_E_MESSAGE also when `json` is anything else; sock_last_error() says where.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_send_json(
    server: *mut sock_server,
    r#type: c_int,
    json: *const c_char,
    client_id: *const c_char,
) -> c_int {
    guard::call(|| {
        let message_type = arguments::message_type(r#type)?;
        // SAFETY: the header asks for a live server, a string, and a string or NULL.
        let (handle, json, client_id) = unsafe {
            (usable(server)?, text(json, "json")?, optional_text(client_id, "client_id")?)
        };
        handle.server().send_json(message_type, json, client_id)
    })
}

/// Like sock_send(), with a new message that has this payload, which stays the caller's and may be
/// changed and sent again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_send_payload(
    server: *mut sock_server,
    r#type: c_int,
    payload: *const sock_payload,
    client_id: *const c_char,
) -> c_int {
    guard::call(|| {
        let message_type = arguments::message_type(r#type)?;
        // SAFETY: the header asks for a live server, a live payload and a string or NULL.
        let (handle, data, client_id) =
            unsafe { (usable(server)?, encoded(payload)?, optional_text(client_id, "client_id")?) };
        handle.server().send_msgpack(message_type, &data, client_id)
    })
}

/// From now on messages are collected and written together, by sock_server_uncork() or when there
/// are 64 KiB for a client: for bursts of a server that has no thread of the library's own
/// (sock_server_open() and sock_server_run()). A cork belongs to the server, not to a thread, and
/// does not nest. sock_server_next() and the end of a hook write what was collected and leave the
/// cork on; sock_server_stop() lifts it.
///
/// DOTSOCK_E_NOT_RUNNING.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_cork(server: *mut sock_server) -> c_int {
    // SAFETY: the header asks for a live server.
    guard::call(|| unsafe { usable(server) }?.server().cork())
}

/// Lifts the cork and writes what was collected. It does not wait: what a client's socket has no
/// room for is written as soon as there is room, by the thread that runs the server or, after
/// sock_server_open(), by sock_server_next().
///
/// DOTSOCK_E_NOT_RUNNING.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_uncork(server: *mut sock_server) -> c_int {
    // SAFETY: the header asks for a live server.
    guard::call(|| unsafe { usable(server) }?.server().uncork())
}
