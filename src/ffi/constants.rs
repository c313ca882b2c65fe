//! # Constants
//!
//! All are enums, so that LuaJIT and cgo see them too. Functions take and return them as `int`:
//! later versions add values, and a program ignores those that it doesn't know.

use std::ffi::{CStr, c_int};

use crate::{Kind, MessageType, Status, Transport};

/// How a call ended. Every function that returns `int` without saying otherwise returns one.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum dotsock_status {
    /// It did what was asked.
    DOTSOCK_OK = 0,
    /// An argument is wrong; sock_last_error() names it, its value and what is allowed.
    DOTSOCK_E_INVALID = -1,
    /// The operating system refused something; see sock_last_os_error().
    DOTSOCK_E_IO = -2,
    /// Nothing happened in time.
    DOTSOCK_E_TIMEOUT = -3,
    /// Not connected, or the peer is gone.
    DOTSOCK_E_CLOSED = -4,
    /// A message is malformed, too large, or cannot be encoded.
    DOTSOCK_E_MESSAGE = -5,
    /// The server has as many clients as its option `max_connections` allows.
    DOTSOCK_E_MAX_CONNECTIONS = -6,
    /// The server is not running.
    DOTSOCK_E_NOT_RUNNING = -7,
    /// No client has this id.
    DOTSOCK_E_NO_CLIENT = -8,
    /// A live server has this event, or no port in the range is free.
    DOTSOCK_E_IN_USE = -9,
    /// Access was refused, or a file or a peer is not to be trusted.
    DOTSOCK_E_PERMISSION = -10,
    /// The server does not accept messages from its clients.
    DOTSOCK_E_SEND_DENIED = -11,
    /// The client's queue is full.
    DOTSOCK_E_FULL = -12,
    /// The call is not possible in this state.
    DOTSOCK_E_STATE = -13,
    /// sock_server_cancel() or sock_client_cancel() ended the wait.
    DOTSOCK_E_CANCELLED = -14,
    /// A signal handler ran during the wait: go on, or see what it asked for.
    DOTSOCK_E_INTERRUPTED = -15,
    /// The handle was made before a fork, and this is the child: make a new one.
    DOTSOCK_E_FORKED = -16,
    /// A defect in the library; sock_last_error() says what to report.
    DOTSOCK_E_INTERNAL = -17,
    /// Memory ran out.
    DOTSOCK_E_NO_MEMORY = -18,
}

/// How servers and clients reach each other.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum dotsock_transport {
    /// A Unix socket in the directory that the option `socket_dir` names.
    DOTSOCK_UNIX = 0,
    /// TCP.
    DOTSOCK_TCP = 1,
}

/// What a message is about.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum dotsock_message_type {
    /// What the program has to say.
    DOTSOCK_DATA = 0,
    /// Something failed.
    DOTSOCK_ERROR = 1,
    /// Something about the conversation itself, such as "shutdown".
    DOTSOCK_CONTROL = 2,
}

/// The kind of a value in a message's payload.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum dotsock_kind {
    /// Nothing: JSON's null.
    DOTSOCK_KIND_NIL = 0,
    /// True or false.
    DOTSOCK_KIND_BOOL = 1,
    /// A whole number, from -2^63 to 2^64-1.
    DOTSOCK_KIND_INT = 2,
    /// A floating point number.
    DOTSOCK_KIND_DOUBLE = 3,
    /// Text.
    DOTSOCK_KIND_STRING = 4,
    /// Binary data.
    DOTSOCK_KIND_BYTES = 5,
    /// A list of values.
    DOTSOCK_KIND_ARRAY = 6,
    /// Keys with a value each.
    DOTSOCK_KIND_MAP = 7,
    /// A MessagePack extension: a number that says which, and bytes.
    DOTSOCK_KIND_EXT = 8,
}

/// What sock_server_next() has to tell.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum dotsock_event_kind {
    /// A client has connected.
    DOTSOCK_CLIENT_CONNECTED = 0,
    /// A client has left.
    DOTSOCK_CLIENT_DISCONNECTED = 1,
    /// A client has sent a message.
    DOTSOCK_MESSAGE_RECEIVED = 2,
}

/// Levels for sock_set_log().
#[repr(C)]
#[derive(Clone, Copy)]
pub enum dotsock_log_level {
    /// Nothing at all.
    DOTSOCK_LOG_OFF = 0,
    /// What went wrong.
    DOTSOCK_LOG_ERROR = 1,
    /// What may be wrong, and what a bad peer did.
    DOTSOCK_LOG_WARNING = 2,
    /// What a server or client is doing.
    DOTSOCK_LOG_INFO = 3,
    /// What helps to find a fault.
    DOTSOCK_LOG_DEBUG = 4,
    /// Everything.
    DOTSOCK_LOG_TRACE = 5,
}

/// Sizes of buffers that are always large enough, the final NUL included.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum dotsock_size {
    /// For sock_timestamp_iso() and sock_timestamp_iso_at().
    DOTSOCK_TIMESTAMP_SIZE = 64,
    /// For sock_options_get().
    DOTSOCK_OPTION_SIZE = 4096,
}

/// A sentence for each status, and for a number that is none.
pub(super) fn describe(status: c_int) -> &'static CStr {
    use dotsock_status::*;
    const TEXTS: [(dotsock_status, &CStr); 19] = [
        (DOTSOCK_OK, c"Success"),
        (DOTSOCK_E_INVALID, c"Invalid argument"),
        (DOTSOCK_E_IO, c"The operating system reported an error"),
        (DOTSOCK_E_TIMEOUT, c"Nothing happened in time"),
        (DOTSOCK_E_CLOSED, c"Not connected, or the peer is gone"),
        (DOTSOCK_E_MESSAGE, c"Malformed, too large or not encodable message"),
        (DOTSOCK_E_MAX_CONNECTIONS, c"The server has as many clients as it allows"),
        (DOTSOCK_E_NOT_RUNNING, c"The server is not running"),
        (DOTSOCK_E_NO_CLIENT, c"No client has this id"),
        (DOTSOCK_E_IN_USE, c"A live server has this event, or no port in the range is free"),
        (DOTSOCK_E_PERMISSION, c"Access refused, or a file or peer that is not to be trusted"),
        (DOTSOCK_E_SEND_DENIED, c"The server does not accept messages from its clients"),
        (DOTSOCK_E_FULL, c"The client's queue is full"),
        (DOTSOCK_E_STATE, c"The call is not possible in this state"),
        (DOTSOCK_E_CANCELLED, c"Cancelled"),
        (DOTSOCK_E_INTERRUPTED, c"A signal handler ran during the wait"),
        (DOTSOCK_E_FORKED, c"The handle was made before a fork, and this is the child"),
        (DOTSOCK_E_INTERNAL, c"A defect in the library"),
        (DOTSOCK_E_NO_MEMORY, c"Out of memory"),
    ];
    TEXTS
        .iter()
        .find(|(code, _)| *code as c_int == status)
        .map_or(c"Unknown status, perhaps of a newer version", |(_, text)| text)
}

/// The number of each status. Exhaustive, so that none of the core's can be forgotten here.
pub(super) const fn status_code(status: Status) -> c_int {
    use dotsock_status::*;
    let constant = match status {
        Status::Invalid => DOTSOCK_E_INVALID,
        Status::Io => DOTSOCK_E_IO,
        Status::Timeout => DOTSOCK_E_TIMEOUT,
        Status::Closed => DOTSOCK_E_CLOSED,
        Status::Message => DOTSOCK_E_MESSAGE,
        Status::MaxConnections => DOTSOCK_E_MAX_CONNECTIONS,
        Status::NotRunning => DOTSOCK_E_NOT_RUNNING,
        Status::NoClient => DOTSOCK_E_NO_CLIENT,
        Status::InUse => DOTSOCK_E_IN_USE,
        Status::Permission => DOTSOCK_E_PERMISSION,
        Status::SendDenied => DOTSOCK_E_SEND_DENIED,
        Status::Full => DOTSOCK_E_FULL,
        Status::State => DOTSOCK_E_STATE,
        Status::Cancelled => DOTSOCK_E_CANCELLED,
        Status::Interrupted => DOTSOCK_E_INTERRUPTED,
        Status::Forked => DOTSOCK_E_FORKED,
        Status::Internal => DOTSOCK_E_INTERNAL,
        Status::NoMemory => DOTSOCK_E_NO_MEMORY,
    };
    constant as c_int
}

/// The number of each kind of value; exhaustive like [`status_code`].
pub(super) const fn kind_code(kind: Kind) -> c_int {
    use dotsock_kind::*;
    let constant = match kind {
        Kind::Nil => DOTSOCK_KIND_NIL,
        Kind::Bool => DOTSOCK_KIND_BOOL,
        Kind::Int => DOTSOCK_KIND_INT,
        Kind::Double => DOTSOCK_KIND_DOUBLE,
        Kind::String => DOTSOCK_KIND_STRING,
        Kind::Bytes => DOTSOCK_KIND_BYTES,
        Kind::Array => DOTSOCK_KIND_ARRAY,
        Kind::Map => DOTSOCK_KIND_MAP,
        Kind::Ext => DOTSOCK_KIND_EXT,
    };
    constant as c_int
}

/// The number of each type of message.
pub(super) const fn message_type_code(message_type: MessageType) -> c_int {
    use dotsock_message_type::*;
    let constant = match message_type {
        MessageType::Data => DOTSOCK_DATA,
        MessageType::Error => DOTSOCK_ERROR,
        MessageType::Control => DOTSOCK_CONTROL,
    };
    constant as c_int
}

/// The number of each transport.
pub(super) const fn transport_code(transport: Transport) -> c_int {
    use dotsock_transport::*;
    let constant = match transport {
        Transport::Unix => DOTSOCK_UNIX,
        Transport::Tcp => DOTSOCK_TCP,
    };
    constant as c_int
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_that_the_core_documents() {
        let statuses = [
            Status::Invalid,
            Status::Io,
            Status::Timeout,
            Status::Closed,
            Status::Message,
            Status::MaxConnections,
            Status::NotRunning,
            Status::NoClient,
            Status::InUse,
            Status::Permission,
            Status::SendDenied,
            Status::Full,
            Status::State,
            Status::Cancelled,
            Status::Interrupted,
            Status::Forked,
            Status::Internal,
            Status::NoMemory,
        ];
        assert!(statuses.iter().all(|status| status_code(*status) == status.code()));
        let kinds = [
            Kind::Nil,
            Kind::Bool,
            Kind::Int,
            Kind::Double,
            Kind::String,
            Kind::Bytes,
            Kind::Array,
            Kind::Map,
            Kind::Ext,
        ];
        assert!(kinds.iter().all(|kind| kind_code(*kind) == *kind as c_int));
        let types = [MessageType::Data, MessageType::Error, MessageType::Control];
        assert!(types.iter().all(|kind| message_type_code(*kind) == *kind as c_int));
        let transports = [Transport::Unix, Transport::Tcp];
        assert!(
            transports.iter().all(|transport| transport_code(*transport) == *transport as c_int)
        );
    }

    #[test]
    fn every_status_has_a_sentence_and_other_numbers_have_one_too() {
        let unknown = describe(7);
        let mut texts: Vec<_> = (-18..=0).map(describe).collect();
        assert!(!texts.contains(&unknown) && describe(-19) == unknown);
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 19);
    }
}
