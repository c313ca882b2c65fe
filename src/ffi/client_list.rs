//! # Lists of clients
//!
//! A list is a snapshot of the clients of a server: what it says stays as it was when the list was
//! made. Strings are borrowed from the list until it is freed.

use std::ffi::{CString, c_char};

use super::arguments::text;
use super::guard::{self, c_text};
use super::server::{sock_server, usable};
use crate::server::ClientInfo;
use crate::{Error, Result};

/// The clients of a server at one moment.
pub struct sock_client_list(Vec<Entry>);

struct Entry {
    id: CString,
    address: CString,
    info: ClientInfo,
}

impl sock_client_list {
    fn new(clients: Vec<ClientInfo>) -> Result<sock_client_list> {
        let mut entries = Vec::new();
        entries
            .try_reserve_exact(clients.len())
            .map_err(|_| Error::no_memory(clients.len() * size_of::<Entry>()))?;
        entries.extend(clients.into_iter().map(|info| Entry {
            id: c_text(&info.id),
            address: c_text(&info.address),
            info,
        }));
        Ok(sock_client_list(entries))
    }
}

/// What `field` says of one client, or `otherwise` when there is none.
///
/// # Safety
/// `list` is NULL or points to a live list.
unsafe fn field<T>(
    list: *const sock_client_list,
    index: usize,
    otherwise: T,
    field: impl FnOnce(&Entry) -> T,
) -> T {
    // SAFETY: the caller's promise.
    guard::get(otherwise, || Some(field(unsafe { list.as_ref() }?.0.get(index)?)))
}

/// The clients that are connected now, none when the server is not running: a snapshot, to be
/// freed with sock_client_list_free().
///
/// NULL on failure; DOTSOCK_E_NO_MEMORY: there is none for so many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_clients(server: *mut sock_server) -> *mut sock_client_list {
    guard::pointer(|| {
        // SAFETY: the header asks for a live server.
        let clients = unsafe { usable(server) }?.server().list_clients()?;
        Ok(Box::into_raw(Box::new(sock_client_list::new(clients)?)))
    })
}

/// A list with the one client that has this id, to be freed with sock_client_list_free().
///
/// NULL on failure; DOTSOCK_E_NO_CLIENT: nobody has this id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_client(
    server: *mut sock_server,
    client_id: *const c_char,
) -> *mut sock_client_list {
    guard::pointer(|| {
        // SAFETY: the header asks for a live server and a NUL-terminated string.
        let (handle, client_id) = unsafe { (usable(server)?, text(client_id, "client_id")?) };
        let client = handle.server().client(client_id)?;
        Ok(Box::into_raw(Box::new(sock_client_list::new(vec![client])?)))
    })
}

/// How many clients are in the list; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_list_size(list: *const sock_client_list) -> usize {
    // SAFETY: the header asks for a live list or NULL.
    guard::get(0, || Some(unsafe { list.as_ref() }?.0.len()))
}

/// The client's id, for sock_send(): of A-Z, a-z, 0-9 and '-', at most 63 bytes, never used again
/// by this server. "" (which no client has) for NULL or an index out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_list_id(
    list: *const sock_client_list,
    index: usize,
) -> *const c_char {
    // SAFETY: the header asks for a live list or NULL.
    unsafe { field(list, index, c"".as_ptr(), |entry| entry.id.as_ptr()) }
}

/// Who it is: "uid 1000, pid 4242", or "127.0.0.1:54321". NULL for NULL or an index out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_list_address(
    list: *const sock_client_list,
    index: usize,
) -> *const c_char {
    // SAFETY: the header asks for a live list or NULL.
    unsafe { field(list, index, std::ptr::null(), |entry| entry.address.as_ptr()) }
}

/// When it connected: Unix time in milliseconds. 0 for NULL or an index out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_list_connected_at_ms(
    list: *const sock_client_list,
    index: usize,
) -> i64 {
    // SAFETY: the header asks for a live list or NULL.
    unsafe { field(list, index, 0, |entry| entry.info.connected_at_ms) }
}

/// The user id of the client's process. -1 for TCP, NULL or an index out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_list_uid(list: *const sock_client_list, index: usize) -> i64 {
    // SAFETY: the header asks for a live list or NULL.
    unsafe { field(list, index, -1, |entry| entry.info.uid.map_or(-1, i64::from)) }
}

/// The process id of the client. -1 for TCP, NULL or an index out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_list_pid(list: *const sock_client_list, index: usize) -> i64 {
    // SAFETY: the header asks for a live list or NULL.
    unsafe { field(list, index, -1, |entry| entry.info.pid.map_or(-1, i64::from)) }
}

/// How many messages were dropped because its queue was full. 0 for NULL or an index out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_list_dropped(
    list: *const sock_client_list,
    index: usize,
) -> u64 {
    // SAFETY: the header asks for a live list or NULL.
    unsafe { field(list, index, 0, |entry| entry.info.dropped) }
}

/// How many bytes wait for it (see the option `client_queue_size`). 0 for NULL or an index out of
/// range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_list_queued_bytes(
    list: *const sock_client_list,
    index: usize,
) -> u64 {
    // SAFETY: the header asks for a live list or NULL.
    unsafe { field(list, index, 0, |entry| entry.info.queued_bytes) }
}

/// Frees a list. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_client_list_free(list: *mut sock_client_list) {
    if !list.is_null() {
        // SAFETY: it came from `sock_server_clients` or `sock_server_client` and, as the header
        // asks, is freed once and not used any more.
        guard::free(move || drop(unsafe { Box::from_raw(list) }));
    }
}
