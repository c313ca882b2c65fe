//! # Events
//!
//! What sock_server_next() returns. An event may be used after its server was freed.

use std::ffi::{c_char, c_int};

use super::client_id::ClientId;
use super::constants::dotsock_event_kind::{
    self, DOTSOCK_CLIENT_CONNECTED, DOTSOCK_CLIENT_DISCONNECTED, DOTSOCK_MESSAGE_RECEIVED,
};
use super::guard;
use super::message::{self, sock_message};
use crate::Message;
use crate::server::{RawEvent, with_client_id};

/// What happened to a server.
pub struct sock_event {
    kind: dotsock_event_kind,
    client_id: ClientId,
    message: Option<Message>,
}

impl sock_event {
    pub(super) fn new(event: RawEvent) -> sock_event {
        let (kind, id, message) = match event {
            RawEvent::Connected(id) => (DOTSOCK_CLIENT_CONNECTED, id, None),
            RawEvent::Disconnected(id) => (DOTSOCK_CLIENT_DISCONNECTED, id, None),
            RawEvent::Message(id, message) => (DOTSOCK_MESSAGE_RECEIVED, id, Some(message)),
        };
        sock_event { kind, client_id: with_client_id(id, ClientId::new), message }
    }
}

/// DOTSOCK_CLIENT_CONNECTED, DOTSOCK_CLIENT_DISCONNECTED or DOTSOCK_MESSAGE_RECEIVED; -1 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_event_kind(event: *const sock_event) -> c_int {
    // SAFETY: the header asks for a live event or NULL.
    guard::get(-1, || Some(unsafe { event.as_ref() }?.kind as c_int))
}

/// The id of the client that it is about; valid until the event is freed. "" (which no client has)
/// for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_event_client_id(event: *const sock_event) -> *const c_char {
    // SAFETY: the header asks for a live event or NULL.
    guard::get(c"".as_ptr(), || Some(unsafe { event.as_ref() }?.client_id.as_ptr()))
}

/// The message that was received, borrowed until the event is freed (sock_message_ref() keeps it
/// for longer); NULL for the other kinds and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_event_message(event: *const sock_event) -> *const sock_message {
    guard::get(std::ptr::null(), || {
        // SAFETY: the header asks for a live event or NULL.
        unsafe { event.as_ref() }?.message.as_ref().map(message::lend)
    })
}

/// Frees an event and its message. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_event_free(event: *mut sock_event) {
    if !event.is_null() {
        // SAFETY: it came from `sock_server_next` and, as the header asks, is freed once and not
        // used any more.
        guard::free(move || drop(unsafe { Box::from_raw(event) }));
    }
}
